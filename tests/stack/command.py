"""`amilab run` as a process: what it prints, which processes and sockets it has, and what it leaves behind."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import psutil

from tests.stack.labs import amilab, processes_of

DEADLINE_S = 120.0


def wait_for(condition: Callable[[], object], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Poll: what we wait for happens in other processes, which set no event of ours."""
    until_s = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > until_s:
            raise TimeoutError(f"waited {deadline_s:g} s for {what}")
        time.sleep(0.05)


class Command:
    """One run. Its directory, and the mark of its processes, are known once it has made the directory."""

    def __init__(self, process: subprocess.Popen[str], out: Path, temporary: Path) -> None:
        self.process = process
        self.out = out
        self.temporary = temporary
        self._lines: dict[str, list[str]] = {"stdout": [], "stderr": []}
        self._readers = [
            threading.Thread(target=self._read, args=(stream, self._lines[name]), daemon=True)
            for name, stream in (("stdout", process.stdout), ("stderr", process.stderr))
        ]
        for reader in self._readers:
            reader.start()

    @property
    def stdout(self) -> str:
        return "".join(self._lines["stdout"])

    @property
    def stderr(self) -> str:
        return "".join(self._lines["stderr"])

    @property
    def directory(self) -> Path:
        """The run's results."""
        wait_for(self._directories, "the run's directory")
        (directory,) = self._directories()
        return directory

    def until_printed(self, text: str) -> None:
        wait_for(lambda: text in self.stdout or not self._alive(), repr(text))
        assert text in self.stdout, self.stdout + self.stderr

    def until_it_lives(self, tenths: int = 1) -> None:
        """Wait until so many tenths of simulated time are over, of which the run prints a line each."""
        wait_for(lambda: self.stdout.count("\n  Thu ") >= tenths or not self._alive(), "simulated time")
        assert self._alive(), self.stdout + self.stderr

    def end(self) -> int:
        """Wait for it; returns the exit code."""
        code = self.process.wait(DEADLINE_S)
        for reader in self._readers:
            reader.join(DEADLINE_S)
        return code

    def processes(self) -> list[psutil.Process]:
        """Its parts, services and reaper's charges: whatever carries the run's mark."""
        return processes_of(str(self.directory.resolve()))

    def part(self, name: str) -> psutil.Process | None:
        """A part or a service by the name that its log has."""
        for process in self.processes():
            try:
                line = process.cmdline()
            except psutil.Error:
                continue
            match [Path(word).name for word in line]:
                case ["postgres", "-D", *_]:
                    found = "postgres"
                case ["mosquitto", *_] | [_, "-P", "rumqttd_main.py", *_]:
                    found = "broker"
                case [*_, "--name", part]:
                    found = part
                case _:
                    continue
            if found == name:
                return process
        return None

    def ports(self) -> set[int]:
        """Those on which its processes listen."""
        found = set()
        for process in [psutil.Process(self.process.pid), *self.processes()]:
            try:
                connections = process.net_connections("inet")
            except psutil.Error:
                continue
            found |= {c.laddr.port for c in connections if c.status == psutil.CONN_LISTEN}
        return found

    def left_behind(self, ports: set[int]) -> list[str]:
        """Processes, listening sockets (of `ports`) and private directories that are still there."""
        left = [f"process {process.pid}" for process in self.processes()]
        listening = {c.laddr.port for c in psutil.net_connections("inet") if c.laddr and c.status == psutil.CONN_LISTEN}
        left += [f"port {port}" for port in sorted(ports & listening)]
        return left + [str(path) for path in self.temporary.iterdir()]

    def _directories(self) -> list[Path]:
        return [path for path in self.out.glob("*") if path.is_dir() and not path.is_symlink()]

    def _alive(self) -> bool:
        return self.process.poll() is None

    def _read(self, stream: IO[str] | None, lines: list[str]) -> None:
        assert stream is not None
        with stream:
            lines.extend(stream)


@contextmanager
def temporary_directory() -> Iterator[Path]:
    """One that all users may enter, as the services of a run need it: pytest's own are closed."""
    directory = Path(tempfile.mkdtemp(prefix="test-"))
    directory.chmod(0o711)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


@contextmanager
def running(
    scenario: Path | str, *arguments: str | Path, out: Path, temporary: Path, verb: str = "run", **environment: str
) -> Iterator[Command]:
    """Start `amilab run`, or `amilab up`; at the end it is stopped, if it is not over, and its reaper clears up."""
    process = amilab(verb, scenario, "--out", out, *arguments, TMPDIR=str(temporary), **environment)
    command = Command(process, out, temporary)
    try:
        yield command
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            command.end()
