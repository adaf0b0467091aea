"""A directory of this user alone for as long as a block lasts, and no longer than until the next one if it is killed.

Keys and a whole database may lie in it. A lock on it, which the kernel takes back from the dead, tells one that is in
use from one that was left.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.containers.state import remove_tree
from lab.errors import UserError

PREFIX = ".restoring-"


@contextmanager
def private_directory(parent: Path) -> Iterator[Path]:
    """A new one in `parent`, from which those go that were left there.

    :raises UserError: it cannot be made; or see `remove_tree`.
    """
    try:
        with _locked(parent):
            for left in parent.glob(f"{PREFIX}*"):
                _remove_unless_in_use(left)
            place = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
            using = _lock(place)
    except OSError as error:
        raise UserError(f"{parent} cannot be written: {error.strerror}") from error
    try:
        yield place
    finally:
        shutil.rmtree(place)
        os.close(using)


def _remove_unless_in_use(place: Path) -> None:
    try:
        with _locked(place, fcntl.LOCK_EX | fcntl.LOCK_NB):
            remove_tree(place)
    except (BlockingIOError, NotADirectoryError, PermissionError):
        return  # it is in use, or none of ours


@contextmanager
def _locked(directory: Path, kind: int = fcntl.LOCK_EX) -> Iterator[None]:
    descriptor = _lock(directory, kind)
    try:
        yield
    finally:
        os.close(descriptor)


def _lock(directory: Path, kind: int = fcntl.LOCK_EX) -> int:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, kind)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
