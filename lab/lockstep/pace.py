"""How fast simulated time goes, and what is still to be done in it. Both may change while a run goes on."""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import time
from collections.abc import Callable, Iterable

from lab.lockstep.timeline import Action, order

_LOOK_AGAIN_S = 30.0


class Agenda:
    """Actions in their `order`, and the instant [epoch s] at which the run ends: None while nobody knows it."""

    def __init__(self, actions: Iterable[Action] = (), *, end_s: int | None = None) -> None:
        self._pending = sorted(actions, key=order)
        self.end_s = end_s

    def put(self, action: Action) -> None:
        bisect.insort(self._pending, action, key=order)

    def drop(self, action: Action) -> None:
        """Without effect on what is done already."""
        if action in self._pending:
            self._pending.remove(action)

    def take(self, now_s: int) -> list[Action]:
        """What is due, which is no longer pending then."""
        count = bisect.bisect_right(self._pending, (now_s, True), key=order)
        due, self._pending = self._pending[:count], self._pending[count:]
        return due

    def next_s(self) -> int | None:
        """The next instant at which there is something to do, or at which all ends."""
        known = [self._pending[0].at_s] if self._pending else []
        known += [] if self.end_s is None else [self.end_s]
        return min(known, default=None)


class Pace:
    """Holds simulated time back.

    `speed`: simulated seconds per wall-clock second at most; None for as fast as the work takes, 0 for standing still.
    Who is late makes up for it, unless the speed is changed.
    """

    def __init__(
        self, start_s: int, speed: float | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.speed = speed
        self._clock = clock
        self._from_s = float(start_s)
        self._since = clock()
        self._reached_s = start_s
        self._awaited_s = start_s
        self._changed = asyncio.Event()

    @property
    def reached_s(self) -> int:
        """The last instant that `reach` has come to."""
        return self._reached_s

    def now_s(self) -> float:
        """The instant by the clock, but none that lies beyond what is waited for: that has not happened yet."""
        return min(max(self._by_clock(), float(self._reached_s)), float(self._awaited_s))

    def set(self, speed: float | None) -> None:
        """From now on; work that is late is late no more."""
        self._from_s, self._since = self.now_s(), self._clock()
        self.speed = speed
        self.look_again()

    def excuse(self, wall_s: float) -> None:
        """Time stood still for so long on the wall, and that is not to be made up for."""
        self._since += wall_s

    def look_again(self) -> None:
        """Let whoever waits find out what is next: it may be something else than before."""
        self._changed.set()

    async def reach(self, instant_s: int) -> bool:
        """Wait until the instant has come; False if something has changed, so that another may be next."""
        self._awaited_s = instant_s
        wall_s = self._wall_s_until(instant_s)
        if wall_s is None or wall_s > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wall_s):
                    await self._changed.wait()
        if self._changed.is_set():
            self._changed.clear()
            return False
        self._reached_s = instant_s
        return True

    def _by_clock(self) -> float:
        if self.speed is None:
            return float(self._reached_s)
        return self._from_s + (self._clock() - self._since) * self.speed

    def _wall_s_until(self, instant_s: int) -> float | None:
        """None where it will never come."""
        if self.speed is None:
            return 0.0
        return (instant_s - self._by_clock()) / self.speed if self.speed else None


class WallPace(Pace):
    """Simulated time is the wall clock's. What lies before the present is late: it takes as long as the work takes.

    So it is again after the machine has slept, or stood still. Nobody changes its speed.
    """

    def __init__(
        self,
        start_s: int,
        *,
        clock: Callable[[], float] = time.time,
        caught_up: Callable[[], None] = lambda: None,
    ) -> None:
        """:param caught_up: called once, when nothing that is to be done lies before the present any more."""
        super().__init__(start_s, 1.0, clock=clock)
        self._since = float(start_s)
        self._caught_up: Callable[[], None] | None = caught_up

    def excuse(self, wall_s: float) -> None:
        """There is no excuse: the clock on the wall goes on."""

    async def reach(self, instant_s: int) -> bool:
        ahead_s = instant_s - self._clock()
        if ahead_s > 0 and self._caught_up is not None:
            self._caught_up()
            self._caught_up = None
        # What waits does not count the time for which the machine sleeps.
        waiting = ahead_s > _LOOK_AGAIN_S
        if waiting:
            self._awaited_s = instant_s
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_AGAIN_S):
                    await self._changed.wait()
            self._changed.clear()
        return False if waiting else await super().reach(instant_s)
