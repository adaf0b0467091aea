"""Leaves no process, no socket and no directory behind, however the lab ends.

`amilab` starts this file as a process of its own before anything else and tells it, over a pipe, of every process and
directory of the run. When the pipe closes (the lab is gone, be it by SIGKILL), it kills what is left and removes the
directories. It runs with `-I -S` from its path, so this module imports only the standard library and nothing of ours.

A process is named by its pid *and* its start time, so that a pid used again by somebody else is never signalled.
Three things find the members of a run, since no single one does: the registered processes with their sessions; all
descendants (a PostgreSQL backend has a session of its own); and a mark in the environment, which a process carries from
its `exec` on, before it could be registered.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple, Self

MARK_VARIABLE = "AMILAB_RUN"
DIRECTORY_PREFIX = "amilab-"
QUIT_GRACE_S = 2.0
GIVE_UP_S = 15.0
_POLL_S = 0.02


class ProcessId(NamedTuple):
    """A process that cannot be confused with a later one of the same pid. `start` is in clock ticks since boot."""

    pid: int
    start: int


class ProcessStatus(NamedTuple):
    """What the lab needs of `/proc/<pid>/stat` (proc(5))."""

    identity: ProcessId
    state: str
    parent: int
    session: int


def status_of(pid: int) -> ProcessStatus | None:
    """The status of a process, or None if there is none of that pid. Works for processes of other users too."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name, in brackets, may itself hold brackets and blanks: the fields start behind the last bracket.
    fields = stat[stat.rindex(b")") + 2 :].split()
    return ProcessStatus(ProcessId(pid, int(fields[19])), fields[0].decode(), int(fields[1]), int(fields[3]))


def is_alive(process: ProcessId) -> bool:
    """Whether that very process still runs. A zombie does not: it holds nothing any more."""
    status = status_of(process.pid)
    return status is not None and status.identity == process and status.state not in "ZX"


def all_processes() -> list[ProcessStatus]:
    """Every living process of the machine (or of this container)."""
    found = (status_of(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdecimal())
    return [status for status in found if status is not None and status.state not in "ZX"]


def descendants(roots: Iterable[int], processes: Iterable[ProcessStatus] | None = None) -> set[ProcessId]:
    """All living processes below `roots` (pids), themselves not included."""
    children: dict[int, list[ProcessStatus]] = {}
    for status in all_processes() if processes is None else processes:
        children.setdefault(status.parent, []).append(status)
    found: set[ProcessId] = set()
    waiting = list(roots)
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child.identity not in found:
                found.add(child.identity)
                waiting.append(child.identity.pid)
    return found


def send_signal(process: ProcessId, number: signal.Signals) -> None:
    """Signal that very process; nothing happens if it is gone."""
    if is_alive(process):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


@dataclass(slots=True)
class Estate:
    """What the lab leaves behind, as the reaper has been told."""

    mark: str
    processes: dict[ProcessId, bool] = field(default_factory=dict)  # True: SIGQUIT first
    directories: set[Path] = field(default_factory=set)

    def apply(self, message: dict[str, object]) -> None:
        """Take in one message of `Reaper`."""
        match message:
            case {"own": [int(pid), int(start)], "quit": bool(quit_first)}:
                self.processes[ProcessId(pid, start)] = quit_first
            case {"disown": [int(pid), int(start)]}:
                self.processes.pop(ProcessId(pid, start), None)
            case {"directory": str(path)} if is_removable(Path(path)):
                self.directories.add(Path(path))
            case {"keep": str(path)}:
                self.directories.discard(Path(path))
            case _:
                raise ValueError(f"not a message to the reaper: {message!r}")

    def members(self) -> set[ProcessId]:
        """All living processes of the run."""
        processes = [status for status in all_processes() if status.identity.pid not in (os.getpid(), os.getppid(), 1)]
        by_pid = {status.identity.pid: status for status in processes}
        # A session of a registered process counts unless its leader is by now somebody else.
        sessions = {p.pid for p in self.processes if p.pid not in by_pid or by_pid[p.pid].identity == p}
        roots = {s.identity for s in processes if s.identity in self.processes or s.session in sessions}
        roots |= {s.identity for s in processes if s.identity not in roots and carries_mark(s.identity.pid, self.mark)}
        return roots | descendants((root.pid for root in roots), processes)

    def settle(self) -> None:
        """Kill every process of the run and remove its directories."""
        deadline = time.monotonic() + GIVE_UP_S
        # PostgreSQL told to quit ends its own backends; all others have nothing to put in order.
        victims = self.members()
        gentle = {process for process, quit_first in self.processes.items() if quit_first and process in victims}
        spared = gentle | descendants(process.pid for process in gentle)
        for process in gentle:
            send_signal(process, signal.SIGQUIT)
        for process in victims - spared:
            send_signal(process, signal.SIGKILL)
        quit_deadline = min(deadline, time.monotonic() + QUIT_GRACE_S)
        while any(map(is_alive, spared)) and time.monotonic() < quit_deadline:
            time.sleep(_POLL_S)
        while victims := {process for process in victims | self.members() if is_alive(process)}:
            for process in victims:
                send_signal(process, signal.SIGKILL)
            if time.monotonic() > deadline:
                break
            time.sleep(_POLL_S)
        for directory in self.directories:
            if is_removable(directory):
                shutil.rmtree(directory, ignore_errors=True)


def carries_mark(pid: int, mark: str) -> bool:
    """Whether a process was started with the run's mark. Of other users' processes this cannot be read: then not."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return os.fsencode(f"{MARK_VARIABLE}={mark}") in environment.split(b"\0")


def is_removable(path: Path) -> bool:
    """Only a private directory of a run is ever removed, whatever the lab says."""
    return path.is_absolute() and path.name.startswith(DIRECTORY_PREFIX) and not path.is_symlink()


class Reaper:
    """The lab's end of the pipe. Start it before anything that must not outlive the lab.

    `mark` must be in the environment of every process of the run, as the variable `AMILAB_RUN`.
    """

    def __init__(self, mark: str) -> None:
        self.mark = mark
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, mark],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,  # holding the lab's own output open would make its reader wait for us
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def own(self, process: ProcessId, *, quit_first: bool = False) -> None:
        """Register a process (and with it its session and descendants). `quit_first`: SIGQUIT before SIGKILL."""
        self._tell({"own": list(process), "quit": quit_first})

    def disown(self, process: ProcessId) -> None:
        """The process is gone, and all of its own with it: also because the reaper has cleared up."""
        if not self._pipe.closed:
            self._tell({"disown": list(process)})

    def own_directory(self, path: Path) -> None:
        """Register a directory to be removed; its name must start with `amilab-`. Raises ValueError otherwise."""
        if not is_removable(path):
            raise ValueError(f"{path} is not a private directory of a run")
        self._tell({"directory": str(path)})

    def keep_directory(self, path: Path) -> None:
        """Do not remove the directory after all."""
        self._tell({"keep": str(path)})

    def close(self) -> None:
        """Let the reaper clear up what is left, and wait until it has."""
        with contextlib.suppress(BrokenPipeError):
            self._pipe.close()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _tell(self, message: dict[str, object]) -> None:
        self._pipe.write(json.dumps(message).encode() + b"\n")
        self._pipe.flush()

    @property
    def _pipe(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin


def main(mark: str) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    estate = Estate(mark)
    lab = os.getppid()
    pending = b""
    # A child that the lab forked without exec would hold the pipe open: so look at the parent as well.
    while os.getppid() == lab:
        if not select.select([0], [], [], 1.0)[0]:
            continue
        received = os.read(0, 65536)
        if not received:
            break
        *lines, pending = (pending + received).split(b"\n")
        for line in lines:
            estate.apply(json.loads(line))
    estate.settle()


if __name__ == "__main__":
    main(sys.argv[1])
