"""When the devices of a shard try to connect: exponential back-off with full jitter, on the simulated clock."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from meters.device.draws import Purpose, uniform
from meters.device.facts import ConnectedFacts
from meters.device.state import NEVER_S, Rows

FIRST_CONNECTS_WITHIN_S = 10.0
_EXPONENT_LIMIT = 16


class Backoff:
    """The instants of the next attempts, by row of the connection; NEVER_S where there is none. Not kept in memory."""

    def __init__(self, keys: NDArray[np.uint64], facts: ConnectedFacts) -> None:
        self.due_s = np.full(len(keys), NEVER_S)
        self._keys = keys
        self._first_s = facts.reconnect_first_s
        self._limit_s = facts.reconnect_limit_s
        self._attempts = np.zeros(len(keys), dtype=np.int64)
        self._attempts_in_all = np.zeros(len(keys), dtype=np.int64)

    def first(self, rows: Rows, now_s: int) -> None:
        """After the start of the world: not all at the same instant."""
        first_s = uniform(self._keys[rows], Purpose.FIRST_CONNECT, 0, 0, FIRST_CONNECTS_WITHIN_S)
        self.due_s[rows] = np.ceil(now_s + first_s)

    def soon(self, rows: Rows, at_s: float) -> None:
        """Try at `at_s`, as if nothing had failed before."""
        self._attempts[rows] = 0
        self.due_s[rows] = at_s

    def stop(self, rows: Rows) -> None:
        """Do not try any more."""
        self.due_s[rows] = NEVER_S

    def joined(self, row: int) -> None:
        """An attempt succeeded."""
        self._attempts[row] = 0

    def failed(self, row: int, now_s: int) -> None:
        """An attempt, or the connection, failed."""
        exponent = min(int(self._attempts[row]), _EXPONENT_LIMIT)
        window_s = min(self._limit_s, self._first_s * 2.0**exponent)
        self._attempts[row] += 1
        self._draw(np.array([row]), np.array([window_s]), now_s)

    def restored(self, rows: Rows, lost_for_s: NDArray[np.float64], now_s: int) -> None:
        """The uplink is back after `lost_for_s` (m,).

        The attempts during the loss are not played out one by one: they could only fail.
        """
        self._draw(rows, np.minimum(self._limit_s, np.maximum(lost_for_s, self._first_s)), now_s)

    def take_due(self, now_s: int) -> list[int]:
        """Who is to try now."""
        due = np.flatnonzero(self.due_s <= now_s)
        self.due_s[due] = NEVER_S
        return [int(row) for row in due]

    def _draw(self, rows: Rows, window_s: NDArray[np.float64], now_s: int) -> None:
        wait_s = window_s * uniform(self._keys[rows], Purpose.RECONNECT, self._attempts_in_all[rows])
        self._attempts_in_all[rows] += 1
        self.due_s[rows] = [now_s + max(1, math.ceil(seconds)) for seconds in wait_s.tolist()]
