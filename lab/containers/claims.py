"""Who has which part: a lock on a file in the shared directory, which the kernel takes back from the dead.

flock(2) is held by the open file, so it ends with the process however that ends, and with the container. It works over
bind mounts, also read-only ones, between all containers of a machine, and on NFS 4 between machines.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self


class Claim:
    """A part that is ours until this is closed."""

    def __init__(self, name: str, descriptor: int) -> None:
        self.name = name
        self._descriptor = descriptor

    def close(self) -> None:
        """Give it to whoever wants it."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def claim_one(directory: Path, names: Iterable[str]) -> Claim | None:
    """The first of these parts that nobody holds, or None. `directory` has a file for each."""
    for name in names:
        try:
            descriptor = os.open(directory / name, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            # The plan is being written anew.
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
        else:
            return Claim(name, descriptor)
    return None


def is_claimed(directory: Path, name: str) -> bool:
    """Whether somebody holds this part."""
    claim = claim_one(directory, [name])
    if claim is None:
        return (directory / name).exists()
    claim.close()
    return False
