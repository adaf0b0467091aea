"""The injected clock: simulated instants in a lockstep run, the wall clock in production."""

import time
from typing import Protocol

#: Sweeps and reviews happen at multiples of it: so a simulated run is not stopped once per meter.
GRID_S = 30


class Clock(Protocol):
    """Tells the instant that every schedule, back-off and expiry of the head-end is reckoned by."""

    def now(self) -> float:
        """Epoch seconds, UTC."""
        ...


class WallClock:
    """The machine's own clock."""

    def now(self) -> float:
        return time.time()


class ManualClock:
    """A clock that stands still until it is set; the owner of the simulated time sets it at each grant."""

    def __init__(self, start_s: float) -> None:
        self._now_s = float(start_s)

    def now(self) -> float:
        return self._now_s

    def set(self, now_s: float) -> None:
        """Move to `now_s` (epoch s). Raises ValueError for a step backwards: timers would fire twice."""
        if now_s < self._now_s:
            raise ValueError(f"the clock stands at {self._now_s} and cannot go back to {now_s}")
        self._now_s = float(now_s)
