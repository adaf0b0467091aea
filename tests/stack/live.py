"""A lab that `amilab up` keeps running, and how tests talk to it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.live.client import Client
from lab.live.handle import FILE, find
from tests.stack.command import Command, running, temporary_directory, wait_for
from tests.stack.labs import REPOSITORY

PATIENCE_S = 300.0
"""Wall clock: the machine may be busy."""


@dataclass
class LiveLab:
    command: Command
    client: Client
    url: str
    """With the token."""

    @property
    def root(self) -> str:
        """Without the token."""
        return self.url.partition("/#")[0]

    @property
    def token(self) -> str:
        return self.url.partition("token=")[2]

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get("state")
        return found

    def events(self) -> list[str]:
        return [event["text"] for event in self.client.get("events")]

    def speed(self, speed: float | None) -> None:
        self.client.post("speed", {"speed": speed})

    def until(self, what: str, figure: Any) -> None:
        """Wait until something that the state says is so."""
        wait_for(lambda: self.state()[what] == figure, f"{what} to be {figure}", PATIENCE_S)

    def until_counted(self, name: str, figure: int) -> None:
        """Wait until so many meters are counted as this."""
        wait_for(lambda: self.state()["counts"][name] == figure, f"{figure} meters {name}", PATIENCE_S)

    def until_told(self, text: str) -> None:
        """Wait for an event with these words."""
        wait_for(lambda: any(text in event for event in self.events()), f"an event with {text!r}", PATIENCE_S)

    def amilab(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of the user's on this lab."""
        return subprocess.run(
            [sys.executable, "-m", "lab.commands.main", *words, "--run", str(self.command.directory)],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )


@contextmanager
def live_lab(scenario: str, *arguments: str | Path, history: str = "15min") -> Iterator[LiveLab]:
    """One that has lived through its history, and whose time stands still since."""
    with tempfile.TemporaryDirectory() as name, temporary_directory() as temporary:
        out = Path(name)
        (out / "scenario.toml").write_text(scenario)
        with running(
            out / "scenario.toml",
            *("--port", "0", "--history", history, *arguments),
            out=out / "runs",
            temporary=temporary,
            verb="up",
        ) as command:
            wait_for(lambda: any(command.out.glob(f"*/{FILE}")) or command.process.poll() is not None, "the page", 90)
            assert command.process.poll() is None, command.stdout + command.stderr
            handle = find(command.directory)
            lab = LiveLab(command, Client(handle), f"{handle.url}/#token={handle.token}")
            lab.until("phase", "living")
            lab.speed(0)
            yield lab
