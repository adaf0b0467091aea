"""How simulated time flows between two grants, for meters that are asked then."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Flow:
    """At `wall_s` of the wall clock it is `from_s`; from then on it goes `speed` times as fast, up to `until_s`.

    `until_s` is the next grant: what is beyond has not happened yet. Instants are epoch seconds.
    """

    from_s: float
    wall_s: float
    speed: float
    until_s: float

    def now_s(self, least_s: float) -> float:
        """The present instant, which is not before `least_s`."""
        flown_s = (time.time() - self.wall_s) * self.speed
        return min(self.until_s, max(least_s, self.from_s + flown_s))
