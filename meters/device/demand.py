"""Maximum demand of meters with a load profile: the highest mean power of a capture period, since the month began.

Block demand: its period is the capture period, on the meter's own clock (OBIS 1.6.0, a DLMS extended register, with the
time at which it was captured). A billing period ends with the calendar month in UTC, which is amilab's own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meters.device.state import Rows, ShardState, field


class MaximumDemand:
    """The fields `max_demand_*` and `demand_month` of a shard's state."""

    def __init__(self, state: ShardState) -> None:
        self._most_w = field(state, "max_demand_import_w")
        self._at_s = field(state, "max_demand_at_s")
        self._month = field(state, "demand_month")

    def begin(self, start_s: int) -> None:
        """All billing periods begin."""
        self._at_s[:] = start_s
        self._month[:] = _months(np.array([start_s]))[0]

    def close(self, rows: Rows, demand_w: NDArray[np.float64], end_s: NDArray[np.int64]) -> None:
        """The demand (m,) of a capture period of `rows` that ended at the device times `end_s` (m,)."""
        # A period that ends with the month belongs to it.
        months = _months(end_s - 1)
        higher = (demand_w > self._most_w[rows]) | (months != self._month[rows])
        self._month[rows] = months
        self._most_w[rows] = np.where(higher, demand_w, self._most_w[rows])
        self._at_s[rows] = np.where(higher, end_s, self._at_s[rows])

    def shown(self, rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The highest demand (m,) in whole W, and the device time (m,) at which its period ended."""
        return np.rint(self._most_w[rows]).astype(np.int64), self._at_s[rows].astype(np.int64)


def _months(device_s: NDArray[np.int64]) -> NDArray[np.int64]:
    """Months (m,) since January 1970."""
    months: NDArray[np.int64] = device_s.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64)
    return months
