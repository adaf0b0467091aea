"""Starts, watches, kills and stops the processes of a run.

Every process gets a session of its own: Ctrl-C in the terminal reaches only the lab, which then shuts down in order.
Its output goes to a file in the log directory. When a process ends, whatever is left of its tree is killed before its
pid is released, so that no grandchild survives and no pid is signalled that may by then be somebody else's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from lab.errors import PartFailed
from lab.processes.private_environment import VARIABLES
from lab.processes.reaper import (
    MARK_VARIABLE,
    ProcessId,
    Reaper,
    all_processes,
    descendants,
    is_alive,
    send_signal,
    status_of,
)

LOG_TAIL_LINES = 20
_TREE_GONE_S = 10.0
_POLL_S = 0.005
_WRITES_UTF8 = {"PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8:backslashreplace"}
"""Whatever the user's terminal can show, logs are UTF-8, and no name in one ends a part."""
_READY_POLL_S = 0.02
_FOR_OTHERS = frozenset({"PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH"})


@dataclass(frozen=True, slots=True)
class Identity:
    """The user that a process runs as, when the lab itself runs as root. Numeric ids; no supplementary groups."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """How a process is started and stopped.

    `environment` is added to what it inherits. `stop_signals` are sent one after the other, `grace_s` apart; SIGKILL
    follows by itself. `quit_first`: the reaper sends SIGQUIT before SIGKILL (PostgreSQL then ends its own backends).
    """

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path | None = None
    identity: Identity | None = None
    stop_signals: tuple[signal.Signals, ...] = (signal.SIGTERM,)
    grace_s: float = 5.0
    quit_first: bool = False


@dataclass(slots=True)
class _Running:
    spec: ProcessSpec
    process: subprocess.Popen[bytes]
    identity: ProcessId
    ended: asyncio.Future[int]
    expected: bool = False
    below: set[ProcessId] = field(default_factory=set)  # as last seen before a signal: orphans lose their parent

    def signal(self, number: signal.Signals) -> None:
        self.expected = True
        self.below |= descendants([self.identity.pid])
        send_signal(self.identity, number)


class Supervisor:
    """The processes of one run, by name. All methods belong to one event loop."""

    def __init__(self, log_directory: Path, reaper: Reaper) -> None:
        self.log_directory = log_directory
        self._reaper = reaper
        self._running: dict[str, _Running] = {}  # in the order of starting
        self._specs: dict[str, ProcessSpec] = {}
        self._returncodes: dict[str, int] = {}  # of those that have ended since they were last started
        self._failures: asyncio.Queue[PartFailed] = asyncio.Queue()
        log_directory.mkdir(parents=True, exist_ok=True)

    @property
    def names(self) -> tuple[str, ...]:
        """The running processes, in the order in which they were started."""
        return tuple(self._running)

    def pid(self, name: str) -> int:
        """The pid of a running process. Raises KeyError."""
        return self._running[name].identity.pid

    def is_running(self, name: str) -> bool:
        return name in self._running

    def log_path(self, name: str) -> Path:
        """Where the process writes stdout and stderr; kept over restarts."""
        return self.log_directory / f"{name}.log"

    def log_tail(self, name: str, lines: int = LOG_TAIL_LINES) -> list[str]:
        """The last lines that the process wrote; empty if it never wrote any."""
        try:
            with self.log_path(name).open(encoding="utf-8", errors="replace") as log:
                return [line.rstrip("\n") for line in deque(log, maxlen=lines)]
        except FileNotFoundError:
            return []

    async def start(self, spec: ProcessSpec) -> int:
        """Start a process and answer its pid. Raises PartFailed if it cannot be executed, ValueError if it runs."""
        if spec.name in self._running:
            raise ValueError(f"{spec.name} is running already")
        self._specs[spec.name] = spec
        self._returncodes.pop(spec.name, None)
        process = self._spawn(spec)
        status = status_of(process.pid)
        assert status is not None, "a child that was not waited for has a status, even when it has ended"
        loop = asyncio.get_running_loop()
        running = _Running(spec, process, status.identity, loop.create_future())
        self._running[spec.name] = running
        self._reaper.own(running.identity, quit_first=spec.quit_first)
        threading.Thread(target=self._await_end, args=(running, loop), name=f"end of {spec.name}", daemon=True).start()
        return process.pid

    async def run(self, spec: ProcessSpec, timeout_s: float = 120.0) -> None:
        """Run a helper command to its end. Raises PartFailed if its exit code is not 0, or after `timeout_s`."""
        await self.start(spec)
        # It may have ended by the time anybody waits.
        running = self._running[spec.name]
        running.expected = True
        try:
            returncode = await asyncio.wait_for(asyncio.shield(running.ended), timeout_s)
        except TimeoutError:
            running.signal(signal.SIGKILL)
            await asyncio.shield(running.ended)
            raise PartFailed(spec.name, None, self.log_tail(spec.name)) from None
        if returncode != 0:
            raise PartFailed(spec.name, returncode, self.log_tail(spec.name))

    async def restart(self, name: str) -> int:
        """Start a process that has ended once more, just as before. Raises KeyError if it was never started."""
        return await self.start(self._specs[name])

    async def wait(self, name: str) -> int:
        """Wait for a process to end by itself. From now on its end is expected. Raises KeyError if it does not run."""
        running = self._running[name]
        running.expected = True
        return await asyncio.shield(running.ended)

    async def kill(self, name: str) -> None:
        """SIGKILL, as a power cut would end it; returns when the process and all below it are gone."""
        running = self._running[name]
        running.signal(signal.SIGKILL)
        await asyncio.shield(running.ended)

    async def stop(self, name: str) -> None:
        """End a process in order; SIGKILL if it does not listen. Nothing happens if it has ended already."""
        running = self._running.get(name)
        if running is None:
            return
        for number in running.spec.stop_signals:
            running.signal(number)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(running.ended), running.spec.grace_s)
                return
        running.signal(signal.SIGKILL)
        await asyncio.shield(running.ended)

    async def stop_all(self) -> None:
        """End every process, the last started first: who uses a service goes before the service."""
        for running in self._running.values():
            running.expected = True
        for name in reversed(self.names):
            await self.stop(name)

    async def until_ready(self, name: str, check: Callable[[], Awaitable[bool]], timeout_s: float = 60.0) -> None:
        """Wait until `check` says that the process serves. Raises PartFailed if it ends first, or after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while (running := self._running.get(name)) is not None and time.monotonic() < deadline:
            # A check may hang, for instance on somebody else's server: the end of the process must not wait for it.
            checking = asyncio.ensure_future(check())
            remaining_s = deadline - time.monotonic()
            both: list[asyncio.Future[Any]] = [checking, running.ended]
            await asyncio.wait(both, timeout=remaining_s, return_when=asyncio.FIRST_COMPLETED)
            if checking.done() and checking.result() and not running.ended.done():
                return
            checking.cancel()
            await asyncio.gather(checking, return_exceptions=True)
            await asyncio.wait([running.ended], timeout=_READY_POLL_S)
        raise PartFailed(name, self._returncodes.get(name), self.log_tail(name))

    async def watch(self) -> NoReturn:
        """Raise PartFailed for the next process that ends without having been asked to, whatever its exit code."""
        raise await self._failures.get()

    def _spawn(self, spec: ProcessSpec) -> subprocess.Popen[bytes]:
        environment = {**inherited(spec.identity), **_WRITES_UTF8, **spec.environment, MARK_VARIABLE: self._reaper.mark}
        with self.log_path(spec.name).open("ab") as log:
            try:
                return subprocess.Popen(
                    list(spec.argv),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=spec.directory,
                    env=environment,
                    start_new_session=True,
                    user=spec.identity.uid if spec.identity else None,
                    group=spec.identity.gid if spec.identity else None,
                    extra_groups=[] if spec.identity else None,
                )
            except OSError as error:
                raise PartFailed(spec.name, 126, [f"cannot execute {spec.argv[0]}: {error.strerror}"]) from error

    def _await_end(self, running: _Running, loop: asyncio.AbstractEventLoop) -> None:
        # A thread and not asyncio's subprocesses: uvloop's take no user, and neither lets us look before reaping.
        pid = running.identity.pid
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        # The zombie keeps pid and process group from being used again until wait().
        _kill_rest(running.identity, running.below)
        returncode = running.process.wait()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            loop.call_soon_threadsafe(self._ended, running, returncode)

    def _ended(self, running: _Running, returncode: int) -> None:
        name = running.spec.name
        del self._running[name]
        self._returncodes[name] = returncode
        self._reaper.disown(running.identity)
        if not running.expected:
            self._failures.put_nowait(PartFailed(name, returncode, self.log_tail(name)))
        running.ended.set_result(returncode)


def inherited(identity: Identity | None) -> dict[str, str]:
    """What a process gets of the lab's environment.

    Nobody gets addresses with passwords that were given to the lab itself, and another user nothing but what programs
    need to run: each process of that user can read it.
    """
    if identity is not None:
        return {name: value for name, value in os.environ.items() if name in _FOR_OTHERS}
    found = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    if "PYTHONPATH" in found:
        # An empty entry, as `PYTHONPATH=$PYTHONPATH:/x` makes it, is the current directory.
        found["PYTHONPATH"] = os.pathsep.join(entry for entry in found["PYTHONPATH"].split(os.pathsep) if entry)
    return found


def _kill_rest(leader: ProcessId, below: set[ProcessId]) -> None:
    """Kill what is left below a process and in its session, and wait until it is gone."""
    deadline = time.monotonic() + _TREE_GONE_S
    while time.monotonic() < deadline:
        session = {s.identity for s in all_processes() if s.session == leader.pid and s.identity != leader}
        rest = {process for process in below | session if is_alive(process)}
        if not rest:
            return
        for process in rest:
            send_signal(process, signal.SIGKILL)
        time.sleep(_POLL_S)
