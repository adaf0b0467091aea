"""The map's moving part: what is known of each meter now, as bytes that a page can draw at once.

A flag byte for each meter, then a byte for each with the phases that its customer lacks (1, 2, 4 for L1, L2, L3; 0 for
who is dark), then a little-endian uint16 of its voltage in 1/10,000 of the nominal one, 0 where it is not known. Where
the truth is hidden all are as the head-end sees it, which knows no voltage of this moment.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from grid.world import WorldFrame
from lab.live.feed import Secret

DARK = 1
"""Without supply at the line side of the meter, in truth: an outage."""
GASPED = 2
"""It has said that supply is gone, and not yet that it is back."""
OUT = 4
"""In an outage that the head-end has found and that lasts."""
ONLINE = 8
OFFLINE = 16
"""Whether the head-end can reach it; neither if that is not known yet."""
DISCONNECTED = 32
"""Its customer is disconnected by the meter's relay, in truth: no outage, and it may be in one besides."""
PHASE_TOLD = 64
"""It has said that it lost a phase, and not yet that the phase is back."""
_PHASE_BITS = np.array([1, 2, 4], dtype=np.uint8)
_VOLTAGE_UNIT = 1e-4


class MapState:
    """The newest frame of the grid, and what the head-end says."""

    def __init__(
        self,
        serials: Sequence[str],
        rows: Sequence[int],
        nominal_v: NDArray[np.float64],
        connected: NDArray[np.bool_],
    ) -> None:
        """:param rows: of the meters' usage points in the physical frame.
        :param connected: (n, 3) the phases that each has.
        """
        self._number = {serial: number for number, serial in enumerate(serials)}
        self._rows = np.asarray(rows, dtype=np.intp)
        self._nominal_v = nominal_v
        self._connected = connected
        self._frame: bytes | None = None
        self._headend = np.zeros(len(serials), dtype=np.uint8)
        self.version = 0

    def see_frame(self, frame: bytes) -> None:
        """The grid's state from now on."""
        self._frame = frame
        self.version += 1

    def see_headend(self, flags: Iterable[tuple[int, Iterable[str]]]) -> None:
        """For each flag, the serials of those that it holds for."""
        seen = np.zeros_like(self._headend)
        for flag, serials in flags:
            seen[[self._number[serial] for serial in serials if serial in self._number]] |= flag
        if not np.array_equal(seen, self._headend):
            self._headend = seen
            self.version += 1

    def encoded(self, hidden: Collection[Secret] = ()) -> bytes:
        """The bytes of this module's header, without what would reveal what is `hidden`."""
        flags = self._headend & ~np.uint8(OUT) if "outages" in hidden else self._headend
        lacking = np.zeros(len(flags), dtype=np.uint8)
        voltage = np.zeros(len(flags), dtype="<u2")
        if "truth" not in hidden and self._frame is not None:
            frame = WorldFrame.from_bytes(self._frame)
            flags = flags | np.where(frame.energised[self._rows], 0, DARK).astype(np.uint8)
            flags = flags | np.where(frame.breaker_closed[self._rows], 0, DISCONNECTED).astype(np.uint8)
            lit = frame.phase_energised[self._rows]
            lost = self._connected & ~lit & lit.any(axis=1, keepdims=True)
            lacking = (lost * _PHASE_BITS).sum(axis=1, dtype=np.uint8)
            pu = frame.voltage_v[self._rows].max(axis=1) / self._nominal_v
            voltage = np.clip(np.rint(pu / _VOLTAGE_UNIT), 0, 65_535).astype("<u2")
        return flags.tobytes() + lacking.tobytes() + voltage.tobytes()

    def counts(self, hidden: Collection[Secret] = ()) -> dict[str, int]:
        """How many meters each flag holds for, in words."""
        count = len(self._headend)
        flags, lacking = np.frombuffer(self.encoded(hidden)[: 2 * count], dtype=np.uint8).reshape(2, count)
        names = {
            "dark": DARK,
            "gasped": GASPED,
            "out": OUT,
            "online": ONLINE,
            "offline": OFFLINE,
            "disconnected": DISCONNECTED,
            "phase_told": PHASE_TOLD,
        }
        counts = {name: int(((flags & bit) > 0).sum()) for name, bit in names.items()}
        return {"meters": count, **counts, "phase_missing": int(np.count_nonzero(lacking))}
