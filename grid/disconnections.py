"""Which customers were disconnected, and when: their breaker was open, whether or not there was supply before it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grid.feeder import Feeder


@dataclass(frozen=True, slots=True)
class Disconnection:
    """The breaker of a usage point (id) was open from one epoch second to another; `to_s` is None while it is."""

    usage_point: str
    from_s: int
    to_s: int | None


class DisconnectionLog:
    """Open breakers by usage point, and since when."""

    def __init__(self, feeder: Feeder) -> None:
        self._feeder = feeder
        self._open: dict[int, int] = {}
        self._over: list[Disconnection] = []

    def update(self, time_s: int, breaker_closed: NDArray[np.bool_]) -> None:
        """Take note of the breakers' positions from `time_s` on."""
        now_open = set(np.flatnonzero(~breaker_closed).tolist())
        for row in sorted(self._open.keys() - now_open):
            from_s = self._open.pop(row)
            # One that was closed again at the same instant was never open.
            if from_s < time_s:
                self._over.append(self._record(row, from_s, time_s))
        for row in sorted(now_open - self._open.keys()):
            self._open[row] = time_s

    @property
    def disconnections(self) -> tuple[Disconnection, ...]:
        """By their beginning and usage point, those that last included."""
        lasting = [self._record(row, from_s, None) for row, from_s in self._open.items()]
        return tuple(sorted([*self._over, *lasting], key=lambda each: (each.from_s, each.usage_point)))

    def _record(self, row: int, from_s: int, to_s: int | None) -> Disconnection:
        return Disconnection(self._feeder.usage_points[row].id, from_s, to_s)


def write_disconnections(path: Path, disconnections: Iterable[Disconnection]) -> None:
    """A JSON list of {usage_point, from, to}: ISO 8601 in UTC, `to` null if it lasts."""

    def iso(time_s: int | None) -> str | None:
        return None if time_s is None else datetime.fromtimestamp(time_s, UTC).isoformat()

    rows = [
        {"usage_point": each.usage_point, "from": iso(each.from_s), "to": iso(each.to_s)} for each in disconnections
    ]
    path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
