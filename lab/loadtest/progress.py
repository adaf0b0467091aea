"""What a person sees while a load test goes on: steps, then a line that moves, or one for each tenth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from lab.loadtest.generator import Progress as Said
from lab.run.progress import QUIET_EVERY, RunProgress
from loadtests.shapes import Shape


class LoadProgress(RunProgress):
    """Reports to a Rich console, live on a terminal and in plain lines elsewhere."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._is_live = console.is_terminal

    @contextmanager
    def load(self, shape: Shape, label: str | None = None) -> Iterator[Callable[[Said], None]]:
        """Gives what is to be called with what the generator says."""
        first_s: float | None = None
        told = 0.0
        bar = Progress(
            SpinnerColumn(),
            TextColumn(label or shape.name),
            BarColumn(bar_width=None),
            TextColumn("[cyan]{task.fields[said]}"),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
            disable=not self._is_live,
        )

        def say(said: Said) -> None:
            nonlocal first_s, told
            first_s = said.at_s if first_s is None else first_s
            done_s = said.at_s - first_s
            text = f"{said.users:,} users, {said.sent:,} sent, {said.acknowledged:,} acknowledged"
            if said.failed:
                text += f", {said.failed:,} failed"
            if self._is_live:
                bar.update(task, completed=min(done_s, shape.duration_s), said=text)
            elif done_s / shape.duration_s >= told + QUIET_EVERY and told + QUIET_EVERY < 1:
                told = done_s / shape.duration_s
                self.console.print(f"  {done_s:4.0f} s  {text}", highlight=False, soft_wrap=True)

        with bar:
            task = bar.add_task("load", total=shape.duration_s, said="")
            yield say
