"""How commands find a lab that runs: a file in its run's directory with the page's address and token."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path

from lab.errors import UserError
from lab.processes.reaper import ProcessId, is_alive, status_of

FILE = "live.json"
OPENING = "open.html"


@dataclass(frozen=True, slots=True)
class Handle:
    """`pid`, `started`: the lab's process, which no other can be confused with (lab/processes/reaper.py)."""

    url: str
    token: str
    pid: int
    started: int

    @classmethod
    def here(cls, url: str, token: str) -> Handle:
        """Of a lab in this process."""
        status = status_of(os.getpid())
        assert status is not None
        return cls(url, token, *status.identity)

    @property
    def alive(self) -> bool:
        return is_alive(ProcessId(self.pid, self.started))


@contextmanager
def announced(handle: Handle, directory: Path) -> Iterator[None]:
    """Readable by this user alone, and gone when the lab is."""
    path = directory / FILE
    # Whoever finds it finds all of it.
    written = path.with_suffix(".new")
    with os.fdopen(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(asdict(handle), file)
    written.rename(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def opening_page(url: str, directory: Path) -> Iterator[Path]:
    """A page that leads to `url`, for a browser to be started with.

    A browser's command line is read by every user of the machine, and the address has the token in it.
    """
    path = directory / OPENING
    text = f'<!DOCTYPE html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={escape(url)}">\n'
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def find(place: Path) -> Handle:
    """The one lab that runs: in this run's directory, or below this directory of runs.

    :raises UserError: there is none, or more than one.
    """
    files = [place / FILE] if (place / FILE).exists() else sorted(place.glob(f"*/{FILE}"))
    running = {
        file.parent: handle for file in files if not file.parent.is_symlink() if (handle := _read(file)) is not None
    }
    if not running:
        raise UserError(f"no lab is running in {place}", "Start one with `amilab up`, or say with --run where it is.")
    if len(running) > 1:
        raise UserError([f"{directory} is running" for directory in running], "Say with --run which of them is meant.")
    return next(iter(running.values()))


def _read(path: Path) -> Handle | None:
    try:
        handle = Handle(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        # Its lab has just ended.
        return None
    return handle if handle.alive else None
