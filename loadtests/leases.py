"""Which identities are taken, among all processes of one load test: a file for each, made exclusively.

Locust says how many users of a class a process has, not which ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class NoneLeft(Exception):  # noqa: N818 - names the state
    """Locust wants more users of a class than were planned."""


class Leases:
    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def take(self, names: Sequence[str]) -> int:
        """The place of a name that nobody has. Raises NoneLeft."""
        for place, name in enumerate(names):
            try:
                (self._directory / name).touch(exist_ok=False)
            except FileExistsError:
                continue
            return place
        raise NoneLeft

    def give_back(self, name: str) -> None:
        (self._directory / name).unlink(missing_ok=True)
