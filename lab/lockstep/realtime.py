"""Speed 1: no barrier. Every part runs on the wall clock, as it would in production.

The head-end runs its own timers; the fleets and the grid are told the time once a second, and the grid's frames are
passed on as they come. Nothing waits for anything: not even for a killed head-end, which comes back beside the meters.
Every second is told once, so a late second is made up for. What meters have switched by the end of a second's work
goes back to the grid with that second; what they switch between two, with the next.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from lab.errors import UserError
from lab.lockstep.barrier import Fleet, Grid, Switched
from lab.lockstep.conductor import Stage
from lab.lockstep.timeline import RELAY_VERBS, Action

CONNECT_LIMIT_S = 120


class RealTime:
    """Tells grid and fleets each second from `start_s` [epoch s] on, which may lie a little in the past."""

    def __init__(
        self,
        grid: Grid,
        fleets: Sequence[Fleet],
        stage: Stage,
        *,
        start_s: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._grid = grid
        self._fleets = fleets
        self._stage = stage
        self._clock = clock
        self._next_s = start_s
        self._returning: dict[str, asyncio.Task[object]] = {}

    async def until_connected(self, meters: int) -> int:
        """Go on until so many meters are connected; returns the first second that has not been told yet.

        :raises UserError: they are not within `CONNECT_LIMIT_S`.
        """
        limit_s = self._clock() + CONNECT_LIMIT_S
        while True:
            await self._tell(())
            if self._next_s <= self._clock():
                continue
            rounds = await asyncio.gather(*(fleet.settle() for fleet in self._fleets))
            # Told here, it is not told again.
            await self._switch(self._next_s - 1, [fleet.switched for fleet in rounds])
            connected = sum(fleet.connected for fleet in rounds)
            if connected >= meters:
                return self._next_s
            if self._clock() > limit_s:
                raise UserError(
                    f"only {connected:,} of {meters:,} meters could connect to the broker within {CONNECT_LIMIT_S} s",
                    "May they publish to dt/# and subscribe to cmd/#? See fleet-0.log in the run's directory.",
                )

    async def until(
        self, end_s: int, actions: Sequence[Action] = (), *, progress: Callable[[int], None] = lambda _now_s: None
    ) -> None:
        """Go on until the wall clock shows `end_s`, which is told, and do `actions` at their instants."""
        pending = deque(actions)
        try:
            while self._next_s <= end_s:
                due: list[Action] = []
                while pending and pending[0].at_s <= self._next_s:
                    due.append(pending.popleft())
                progress(await self._tell(due))
            await asyncio.gather(*self._returning.values())
            await self._stage.await_repairs()
        finally:
            for task in self._returning.values():
                task.cancel()
            await asyncio.gather(*self._returning.values(), return_exceptions=True)

    async def _tell(self, due: Sequence[Action]) -> int:
        now_s = self._next_s
        await asyncio.sleep(max(0.0, now_s - self._clock()))
        for action in due:
            if action.verb in ("open", "close"):
                await self._stage.switch(action.verb, action.target)
            elif action.fault is not None:
                await self._stage.impair(action.target, action.fault)
            elif action.air is not None:
                await self._stage.disturb_network(action.air)
        step = await self._grid.advance(now_s)
        await asyncio.gather(*(fleet.advance(now_s, step.frame) for fleet in self._fleets))
        for action in due:
            if action.verb in RELAY_VERBS:
                await self._stage.disturb(action.verb, action.stations)
        await self._switch(now_s, await asyncio.gather(*(fleet.switched() for fleet in self._fleets)))
        wall_s = self._clock()
        flow = {"from_s": wall_s, "wall_s": wall_s, "speed": 1.0, "until_s": now_s + 1.0}
        await asyncio.gather(*(fleet.flow(**flow) for fleet in self._fleets))
        self._next_s = now_s + 1
        for action in due:
            if action.stations and action.verb not in RELAY_VERBS:
                await self._stage.disturb(action.verb, action.stations)
            elif action.verb == "kill":
                await self._kill(action.target)
            elif action.verb == "rotate":
                await self._stage.rotate(action.target)
            elif action.verb == "retire":
                await self._stage.retire()
            elif action.verb == "return":
                self._returning[action.target] = asyncio.create_task(
                    self._stage.bring_back(action.target, now_s), name=f"return of {action.target}"
                )
            elif action.verb == "update":
                self._returning[action.target] = asyncio.create_task(
                    self._update(action.target), name=f"update of {action.target}"
                )
        for part, task in list(self._returning.items()):
            if task.done():
                await self._returning.pop(part)
        return now_s

    async def _switch(self, now_s: int, told: Iterable[Switched]) -> None:
        """Have the grid follow what each fleet says that its meters have switched."""
        switched = {row: closed for fleet in told for row, closed in fleet.items()}
        if not switched:
            return
        step = await self._grid.advance(now_s, switched)
        if step.frame is not None:
            await asyncio.gather(*(fleet.advance(now_s, step.frame) for fleet in self._fleets))

    async def _update(self, part: str) -> None:
        async for _gone in self._stage.update(part):
            pass

    async def _kill(self, part: str) -> None:
        # A part that is only just coming back must have arrived before it can be killed again.
        if part in self._returning:
            await self._returning.pop(part)
        await self._stage.say_farewell(part)
        await self._stage.kill(part)
