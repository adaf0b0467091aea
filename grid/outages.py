"""Which interruption is the work of which device."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grid.feeder import Device, Feeder


@dataclass(frozen=True, slots=True)
class Outage:
    """One interruption: the usage points (ids) that lost supply when the device opened."""

    id: str
    device: Device
    usage_points: tuple[str, ...]
    from_s: int
    to_s: int | None
    """When the last of them had supply again; None while it lasts."""


@dataclass(slots=True)
class _Open:
    id: str
    device: Device
    points: NDArray[np.intp]
    from_s: int


class OutageLog:
    """Attributes every dark usage point to exactly one open device.

    A usage point that stays dark when its device closes, because another open device cuts it off too, continues as an
    outage of that other device. A device that darkens nobody still has its entry, without usage points.
    """

    def __init__(self, feeder: Feeder) -> None:
        self._feeder = feeder
        self._energised: NDArray[np.bool_] = np.ones(len(feeder.usage_points), dtype=bool)
        self._open: list[_Open] = []
        self._closed: list[Outage] = []
        self._opened: frozenset[Device] = frozenset()
        self._count = 0

    def update(self, time_s: int, energised: NDArray[np.bool_], opened: frozenset[Device]) -> None:
        """Take note of a switching: the new energised set and the devices now open."""
        orphans = self._energised & ~energised
        kept: list[_Open] = []
        for entry in self._open:
            still_dark = entry.points[~energised[entry.points]]
            over = len(entry.points) > 0 and len(still_dark) == 0
            if entry.device in opened and not over:
                kept.append(entry)
                continue
            self._closed.append(self._record(entry, time_s))
            orphans[still_dark] = True
        self._open = kept
        new = sorted(opened - self._opened)
        # A just opened device comes first; then those that were open already and now hold somebody else's points.
        for device in (*new, *sorted(opened & self._opened)):
            reach = self._feeder.darkened_by(device)
            self._begin(device, reach[orphans[reach]], time_s, orphans, even_empty=device in new)
        if orphans.any() and opened:
            # Dark only because several devices are open at once: the last one opened tipped the scale.
            self._begin((new or sorted(opened))[-1], np.flatnonzero(orphans), time_s, orphans, even_empty=False)
        self._energised = energised.copy()
        self._opened = opened

    def _begin(
        self, device: Device, points: NDArray[np.intp], time_s: int, orphans: NDArray[np.bool_], *, even_empty: bool
    ) -> None:
        if len(points) or even_empty:
            self._count += 1
            self._open.append(_Open(f"outage-{self._count:03d}", device, points, time_s))
            orphans[points] = False

    def _record(self, entry: _Open, to_s: int | None) -> Outage:
        ids = tuple(self._feeder.usage_points[point].id for point in entry.points)
        return Outage(entry.id, entry.device, ids, entry.from_s, to_s)

    @property
    def outages(self) -> tuple[Outage, ...]:
        """In the order of their beginning, those that last included."""
        return tuple(sorted((*self._closed, *(self._record(entry, None) for entry in self._open)), key=lambda o: o.id))


def write_outages(path: Path, outages: Iterable[Outage]) -> None:
    """A JSON list of {id, device_kind, device, conductor, from, to, usage_points}: ISO 8601 in UTC.

    `to` is null if it lasts, `conductor` if the device opened as a whole.
    """

    def iso(time_s: int | None) -> str | None:
        return None if time_s is None else datetime.fromtimestamp(time_s, UTC).isoformat()

    rows: Collection[dict[str, object]] = [
        {
            "id": outage.id,
            "device_kind": outage.device.kind,
            "device": outage.device.id,
            "conductor": outage.device.conductor or None,
            "from": iso(outage.from_s),
            "to": iso(outage.to_s),
            "usage_points": list(outage.usage_points),
        }
        for outage in outages
    ]
    path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
