"""Simulated time as the report writes it: with seconds where minutes would not tell two instants apart."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Clock:
    """`fine`: with seconds. `days`: the day is said beside the time of day."""

    fine: bool = False
    days: bool = False

    @classmethod
    def of(cls, times_s: Iterable[float]) -> "Clock":
        """For a column of these instants, or an axis with these ticks."""
        times = np.asarray(list(times_s), dtype=np.float64)
        times = times[np.isfinite(times)]
        if not len(times):
            return cls()
        return cls(bool((times % 60 != 0).any()), float(np.ptp(times)) > 1.5 * _DAY_S)

    def time(self, time_s: float) -> str:
        """12:30, 12:30:02, or 16 Jan 12:30."""
        pattern = ("%d %b " if self.days else "") + ("%H:%M:%S" if self.fine else "%H:%M")
        return f"{datetime.fromtimestamp(time_s, UTC):{pattern}}"

    def date(self, time_s: float) -> str:
        """2026-01-15 12:30, or with seconds."""
        return f"{datetime.fromtimestamp(time_s, UTC):{'%Y-%m-%d %H:%M:%S' if self.fine else '%Y-%m-%d %H:%M'}}"
