"""Grants and quiescence: how simulated time advances in lockstep.

The barrier grants simulated instants. A grant is over only when the lab is *quiescent*: every device holds a PUBACK for
all that it sent or knows that it is disconnected; the head-end has received a fence that it sent to itself, and has
committed everything before it; and every device that was sent a command, or that has just connected, has received a
fence that follows on its command topic. Rounds repeat until one finds nothing new. There are no message counts and no
quiet periods, so a grant takes as long as the work takes.

Within a grant the order is fixed, which makes a run repeatable: the grid first, then the meters under the new frame,
then (once all that they sent is committed) the head-end's timers. What meters have switched by then goes back to the
grid at the same instant, all of it in one power flow, and the meters get the frame that follows from it.

A fleet or a head-end that the scenario kills is absent for a while, also from the middle of a grant on: it then
answers at once, with nothing. When it is back, `quiesce` waits until what it missed has been made up for.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Protocol, TypeVar

T = TypeVar("T")
Switched = Mapping[int, bool]
"""Relays that meters have moved: row of the usage point in the physical frame → whether it is closed now."""
_MOST_SWITCHINGS = 16
"""At one instant. A relay that answers another needs one more, but nothing answers for ever."""
NOTHING_SWITCHED: Switched = MappingProxyType({})


class BarrierStalled(Exception):  # noqa: N818 - names the state
    """A round of quiescence did not end within the limit of wall-clock time."""


@dataclass(frozen=True, slots=True)
class GridStep:
    """What the grid did at a grant: its next instant [epoch s] and the encoded frame, if there is a new one."""

    next_due_s: float | None
    frame: bytes | None


@dataclass(frozen=True, slots=True)
class FleetRound:
    """One fleet's part of a round: messages sent since the last, stations newly subscribed, next instant [epoch s].

    A station is a meter or a collector. `connected`: how many meters are, now. `switched`: since the last.
    """

    sent: int
    fresh: Sequence[str]
    next_due_s: float | None
    connected: int
    switched: Switched = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HeadRound:
    """The head-end's part of a round: stations that it sent commands to since the last, next instant [epoch s]."""

    connected: bool
    commanded: Sequence[str]
    next_due_s: float | None


class Grid(Protocol):
    async def advance(self, now_s: int, switched: Switched = NOTHING_SWITCHED) -> GridStep:
        """`switched` holds from `now_s` on, which may be the instant of the last call."""
        ...


class Fleet(Protocol):
    async def advance(self, now_s: int, frame: bytes | None) -> None: ...
    async def flow(self, *, from_s: float, wall_s: float, speed: float, until_s: float) -> None:
        """Until the next grant: it was `from_s` at `wall_s` of the wall clock, and `until_s` is not passed."""
        ...

    async def settle(self) -> FleetRound: ...
    async def switched(self) -> Switched:
        """What its meters have switched since it last told, without waiting for anything."""
        ...

    async def await_fence(self, token: str, stations: Sequence[str]) -> None: ...


class Head(Protocol):
    async def begin(self, now_s: int) -> None: ...
    async def advance(self) -> None: ...
    async def settle(self) -> HeadRound: ...
    async def fence_devices(self, token: str, stations: Sequence[str]) -> bool:
        """Returns whether the fence was sent."""
        ...


class Barrier:
    """Grants instants to one grid, any number of fleets and a head-end.

    :param stall_s: wall-clock limit of one round; a lab that does not settle in that time has failed.
    """

    def __init__(self, grid: Grid, fleets: Iterable[Fleet], head: Head | None, *, stall_s: float = 120.0) -> None:
        self._grid = grid
        self._fleets = list(fleets)
        self._head = head
        self._stall_s = stall_s
        self._tokens = 0
        self._grid_due_s: float | None = None
        self._fleet_due_s: list[float | None] = [None] * len(self._fleets)
        self._head_due_s: float | None = None
        self._fresh: set[str] = set()
        self._switched: dict[int, bool] = {}
        self.out_of_touch = False
        """Whether the last round found the head-end, or all meters, without a connection to the broker."""
        self.now_s = 0
        self.rounds = 0

    def next_due_s(self) -> int | None:
        """The earliest instant at which any member has something to do, rounded up to 1 s and after the present one."""
        known = [due for due in (self._grid_due_s, *self._fleet_due_s, self._head_due_s) if due is not None]
        return max(math.ceil(min(known)), self.now_s + 1) if known else None

    async def grant(self, now_s: int, *, under_way: Callable[[], Awaitable[None]] | None = None) -> None:
        """Let every member do what is due at `now_s` [epoch s], and wait until the lab is quiescent.

        :param under_way: done when the broker has acknowledged all that the meters say at this instant, and before the
            head-end does anything.

        :raises BarrierStalled: the head-end did not finish, or a round took longer than the limit.
        """
        self.now_s = now_s
        step, _ = await asyncio.gather(self._grid.advance(now_s), self._begin())
        self._grid_due_s = step.next_due_s
        await asyncio.gather(*(fleet.advance(now_s, step.frame) for fleet in self._fleets))
        if under_way is not None:
            await self.settle_fleets()
            await under_way()
        await self._rounds()
        if self._head is not None and self._head_due_s is not None and self._head_due_s <= now_s:
            # It may have commands to store, and wait for its database.
            await self._within_limit(self._head.advance())
            await self._rounds()
        await self._switch()

    async def flow(self, *, from_s: float, speed: float, until_s: float) -> None:
        """Between two grants time flows for whoever asks the meters: it is `from_s`, and goes so fast."""
        wall_s = time.time()
        await asyncio.gather(
            *(fleet.flow(from_s=from_s, wall_s=wall_s, speed=speed, until_s=until_s) for fleet in self._fleets)
        )

    async def quiesce(self) -> None:
        """Repeat rounds until one neither sends nor connects anything that must still arrive, nor switches anything.

        :raises BarrierStalled: a round took longer than the limit, or relays move without end.
        """
        await self._rounds()
        await self._switch()

    async def settle_fleets(self) -> None:
        """Return when the broker has all that the meters said.

        :raises BarrierStalled: it took longer than the limit.
        """
        await self._within_limit(self._settle_fleets())

    async def _rounds(self) -> None:
        while not await self._within_limit(self._round()):
            pass

    async def _switch(self) -> None:
        """All that was switched in the rounds so far, in one power flow."""
        for _ in range(_MOST_SWITCHINGS):
            if not self._switched:
                return
            switched, self._switched = self._switched, {}
            step = await self._grid.advance(self.now_s, switched)
            self._grid_due_s = step.next_due_s
            if step.frame is not None:
                await asyncio.gather(*(fleet.advance(self.now_s, step.frame) for fleet in self._fleets))
                await self._rounds()
        if self._switched:
            raise BarrierStalled(f"relays of meters move without end at simulated {self._instant}")

    async def _within_limit(self, work: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._stall_s):
                return await work
        except TimeoutError as error:
            raise BarrierStalled(
                f"the lab did not settle within {self._stall_s:g} s of wall-clock time at simulated {self._instant}"
            ) from error

    @property
    def _instant(self) -> str:
        return f"{datetime.fromtimestamp(self.now_s, UTC):%F %T}"

    async def _begin(self) -> None:
        if self._head is not None:
            await self._head.begin(self.now_s)

    async def _settle_fleets(self) -> None:
        fleets = await asyncio.gather(*(fleet.settle() for fleet in self._fleets))
        self._fleet_due_s = [fleet.next_due_s for fleet in fleets]
        self._fresh.update(station for fleet in fleets for station in fleet.fresh)
        for fleet in fleets:
            self._switched.update(fleet.switched)
        self.out_of_touch = not any(fleet.connected for fleet in fleets)

    async def _round(self) -> bool:
        self.rounds += 1
        await self._settle_fleets()
        fresh, self._fresh = self._fresh, set()
        head = self._head
        if head is None:
            return True
        settled = await head.settle()
        self._head_due_s = settled.next_due_s
        self.out_of_touch |= not settled.connected
        targets = sorted(fresh.union(settled.commanded))
        if not targets or not settled.connected:
            return True
        self._tokens += 1
        token = str(self._tokens)
        if await head.fence_devices(token, targets):
            await asyncio.gather(*(fleet.await_fence(token, targets) for fleet in self._fleets))
        return False
