"""A directory that is whole or not there, whatever ends the process that writes it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from lab.errors import UserError

UNFINISHED = ".unfinished"


class NewDirectory:
    """A directory that gets its name when the block ends well, and else is gone."""

    def __init__(self, to: Path) -> None:
        self._to = to.parent.resolve() / to.name
        self._draft = self._to.with_name(f".{self._to.name}{UNFINISHED}")

    def __enter__(self) -> Path:
        if os.path.lexists(self._to):
            raise UserError(f"{self._to} is there already", "Name another place: a backup overwrites nothing.")
        try:
            self._to.parent.mkdir(parents=True, exist_ok=True)
            # What somebody left who was killed is no backup, and is known by its name.
            shutil.rmtree(self._draft, ignore_errors=True)
            self._draft.mkdir(mode=0o700)
        except OSError as error:
            raise UserError(f"cannot make {self._to}: {error.strerror}", "Name another place.") from error
        return self._draft

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            shutil.rmtree(self._draft, ignore_errors=True)
            return
        sync(self._draft)
        try:
            self._draft.rename(self._to)
        except OSError as error:
            shutil.rmtree(self._draft, ignore_errors=True)
            raise UserError(f"{self._to} has come about meanwhile: {error.strerror}", "Name another place.") from error
        sync(self._to.parent)


def write(path: Path, content: bytes) -> None:
    """A new file of this user alone, on the disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Have a file or directory on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
