"""Device clocks of a shard, and the interval boundaries that they set.

Between two synchronisations a device's clock runs off at its own constant rate. An interval ends when *the device's*
clock reaches a multiple of the interval length, which is at some other true instant; that instant is what makes the
window that the meter really integrates. Boundaries are numbered on the grid of intervals, and the number only ever
rises by one: a clock that is set back cannot close an interval twice, one that is set forward cannot skip one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meters.device.draws import Purpose, uniform
from meters.device.facts import Facts
from meters.device.state import Rows, ShardState, field

_SECONDS_PER_DAY = 86_400.0


class Clocks:
    """The clocks behind the fields `clock_*`, `boundary*` and `boundary_due_s` of a shard's state."""

    def __init__(self, state: ShardState, keys: NDArray[np.uint64], facts: Facts) -> None:
        limit = facts.clock_drift_limit_s_per_day / _SECONDS_PER_DAY
        self._keys = keys
        self._interval_s = facts.interval_length_s
        self._syncs_every = facts.sync_every_s // facts.interval_length_s
        self._sync_error_limit_s = facts.sync_error_limit_s
        self._drift = uniform(keys, Purpose.CLOCK_DRIFT, 0, -limit, limit)
        self._sync_phase = uniform(keys, Purpose.SYNC_PHASE, 0, 0, self._syncs_every).astype(np.int64)
        self._anchor_s = field(state, "clock_anchor_s")
        self._offset_s = field(state, "clock_offset_s")
        self._boundary = field(state, "boundary")
        self._first_boundary = field(state, "first_boundary")
        self._due_s = field(state, "boundary_due_s")
        self._invalid = field(state, "clock_invalid")

    def begin(self, start_s: int) -> None:
        """Set all clocks as by a synchronisation at `start_s`; the first boundary is the next one of true time."""
        limit = self._sync_error_limit_s
        self._anchor_s[:] = start_s
        self._offset_s[:] = uniform(self._keys, Purpose.CLOCK_OFFSET, 0, -limit, limit)
        self._boundary[:] = start_s // self._interval_s + 1
        self._first_boundary[:] = self._boundary
        self._update_due(np.arange(len(self._keys)))

    def device_time(self, rows: Rows, true_s: float | NDArray[np.float64]) -> NDArray[np.float64]:
        """What the clocks of `rows` show at the true instant(s)."""
        shown: NDArray[np.float64] = true_s + self._offset_s[rows] + self._drift[rows] * (true_s - self._anchor_s[rows])
        return shown

    def shown(self, row: int, true_s: float) -> float:
        """`device_time` of one meter."""
        return float(self.device_time(np.array([row]), true_s)[0])

    def close(self, rows: Rows) -> NDArray[np.int64]:
        """Pass the pending boundary of `rows`: returns its device times (m,), and makes the next one pending."""
        device_s: NDArray[np.int64] = self._boundary[rows] * self._interval_s
        self._boundary[rows] += 1
        self._update_due(rows)
        return device_s

    def sync_wanted(self, rows: Rows) -> NDArray[np.bool_]:
        """Which of `rows` synchronise now that they have closed an interval: an invalid clock at the next occasion."""
        due = (self._boundary[rows] + self._sync_phase[rows]) % self._syncs_every == 0
        wanted: NDArray[np.bool_] = due | self._invalid[rows]
        return wanted

    def invalidate(self, rows: Rows) -> None:
        """These were without supply for longer than their reserve: until they are set, nobody knows what they show."""
        self._invalid[rows] = True

    def invalid(self, rows: Rows) -> NDArray[np.bool_]:
        """Which of `rows` know that their clock is not to be relied upon."""
        found: NDArray[np.bool_] = self._invalid[rows]
        return found

    def synchronise(self, rows: Rows, true_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Set the clocks of `rows` from the time source at `true_s` (m,); returns by how many seconds each moved."""
        limit = self._sync_error_limit_s
        error_s = uniform(self._keys[rows], Purpose.SYNC_ERROR, self._boundary[rows], -limit, limit)
        moved_s: NDArray[np.float64] = true_s + error_s - self.device_time(rows, true_s)
        self._anchor_s[rows] = true_s
        self._offset_s[rows] = error_s
        self._invalid[rows] = False
        self._update_due(rows)
        return moved_s

    def _update_due(self, rows: Rows) -> None:
        anchor_s = self._anchor_s[rows]
        device_s = self._boundary[rows] * self._interval_s
        due_s = anchor_s + (device_s - anchor_s - self._offset_s[rows]) / (1.0 + self._drift[rows])
        # A boundary that a synchronisation jumped over is due at that synchronisation.
        self._due_s[rows] = np.maximum(due_s, anchor_s)
