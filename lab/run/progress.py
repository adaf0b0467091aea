"""What a person sees while a run goes on: a line for each step of setting up, then a bar of simulated time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

from lab.wording import printable

QUIET_EVERY = 0.1
"""Without a terminal a line is printed after each tenth of the run."""


class _Clock(ProgressColumn):
    max_refresh = 0.1

    def render(self, task: Task) -> Text:
        instant = datetime.fromtimestamp(task.fields["start_s"] + task.completed, UTC)
        return Text(f"{instant:%a %H:%M}", style="cyan")


class _Speed(ProgressColumn):
    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        speed = task.completed / task.elapsed if task.elapsed else 0.0
        return Text(f"{speed:,.0f} × real time", style="magenta")


class RunProgress:
    """Reports to a Rich console, live on a terminal and in plain lines elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._live = console.is_terminal
        self._bar: Progress | None = None
        self._start_s = 0
        self._end_s = 0
        self._told = 0.0

    @contextmanager
    def step(self, doing: str) -> Iterator[None]:
        """A step of setting up or of taking down: a spinner while it lasts, then what it took."""
        began = time.monotonic()
        if self._live:
            with self.console.status(doing):
                yield
        else:
            yield
        self.console.print(f"[green]✓[/] {doing} [dim]{time.monotonic() - began:.1f} s[/]", highlight=False)

    def notice(self, headline: str, *lines: str) -> None:
        """Something that the user has to know now, to be copied from the terminal: never wrapped."""
        for text in (headline, *(f"    {line}" for line in lines)):
            self.console.print(printable(text), highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def simulated_time(self, start_s: int, end_s: int) -> Iterator[None]:
        """Show simulated time from `start_s` to `end_s` [epoch s]; tell it with `at`."""
        self._start_s, self._end_s, self._told = start_s, end_s, 0.0
        if not self._live:
            yield
            return
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("living through"),
            _Clock(),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f} %"),
            _Speed(),
            TimeElapsedColumn(),
            TextColumn("[yellow]{task.fields[news]}"),
            console=self.console,
            transient=True,
        )
        with self._bar:
            self._bar.add_task("run", total=end_s - start_s, start_s=start_s, news="")
            yield
        self._bar = None

    def at(self, now_s: int) -> None:
        done_s = now_s - self._start_s
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done_s)
        elif done_s / (self._end_s - self._start_s) >= self._told + QUIET_EVERY:
            self._told = done_s / (self._end_s - self._start_s)
            self.console.print(f"  {datetime.fromtimestamp(now_s, UTC):%a %H:%M} {self._told:.0%}", highlight=False)

    def news(self, text: str) -> None:
        """Something happened to the lab: kept above the bar. Others may have a say in its words."""
        if self._bar is not None:
            self._bar.console.print(f"  {printable(text)}", style="yellow", highlight=False, markup=False)
        else:
            self.console.print(f"  {printable(text)}", highlight=False, markup=False, soft_wrap=True)
