"""Which meters have yet to be heard of, and when those try again that could not get through. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meters.device.state import NEVER_S, Rows

EVERY_S = 30
LONGEST_WAIT_S = 960
"""Who found no way, or was not heard, tries again at multiples of the first; it waits twice as long each time, up to
this. Assumptions of amilab's."""


class Attempts:
    """Of n meters."""

    def __init__(self, count: int) -> None:
        self.due_s = np.full(count, NEVER_S)
        """(n,) when each tries again [epoch s]."""
        self.back_since_s = np.zeros(count, dtype=np.int64)
        """(n,) since when who is back has not been heard of [epoch s]; 0: there is nothing to be heard."""
        self._tries = np.zeros(count, dtype=np.int64)

    def later(self, rows: Rows, now_s: int) -> None:
        """These try again, if they are not about to."""
        waits_s = np.minimum(EVERY_S * 2 ** np.minimum(self._tries[rows], 10), LONGEST_WAIT_S)
        self._tries[rows] += 1
        at_s = np.maximum((now_s + waits_s) // EVERY_S * EVERY_S, now_s + 1)
        self.due_s[rows] = np.minimum(self.due_s[rows], at_s)

    def take(self, now_s: int) -> Rows:
        """Who tries now."""
        due: NDArray[np.intp] = np.flatnonzero(self.due_s <= now_s)
        self.due_s[due] = NEVER_S
        return due

    def found(self, rows: Rows) -> None:
        """They were heard."""
        self.back_since_s[rows] = 0
        self._tries[rows] = 0
