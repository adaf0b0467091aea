"""The time between set-up and judgement: granted in lockstep, told on the wall clock, or at a companion's pace."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from lab.errors import UserError
from lab.lockstep.barrier import Barrier, BarrierStalled
from lab.lockstep.conductor import conduct
from lab.lockstep.pace import Agenda, Pace
from lab.lockstep.realtime import RealTime
from lab.lockstep.timeline import Disturbance, actions
from lab.lockstep.watched_grid import WatchedGrid
from lab.run.companion import Companion, Lived, Scene
from lab.run.progress import RunProgress
from lab.run.request import RunRequest
from lab.run.stage import Stage
from lab.run.surroundings import check_externals


@dataclass(frozen=True, slots=True)
class Life:
    request: RunRequest
    progress: RunProgress
    stage: Stage
    start_s: int

    async def live(self, disturbances: Sequence[Disturbance], real_time: RealTime | None, *, end_s: int) -> None:
        """From `start_s` to `end_s`; raises UserError if the lab does not settle."""
        untold = sorted(disturbances, key=lambda disturbance: -disturbance.from_s)
        planned = actions(disturbances)

        def at(now_s: int) -> None:
            self.progress.at(now_s)
            while untold and untold[-1].from_s <= now_s:
                told = untold.pop()
                self.progress.news(f"{datetime.fromtimestamp(told.from_s, UTC):%H:%M:%S} {told.label}")

        async def over(now_s: int) -> None:
            at(now_s)

        with self.progress.simulated_time(self.start_s, end_s):
            if real_time is not None:
                await real_time.until(end_s, planned, progress=at)
                return
            barrier = Barrier(self.stage.grid, self.stage.fleets, self.stage.head)
            await self._conduct(barrier, Agenda(planned, end_s=end_s), Pace(self.start_s, self.request.speed), over)

    async def live_in_company(self, companion: Companion, scene: Scene) -> Lived:
        """Until the companion ends it."""
        barrier = Barrier(WatchedGrid(self.stage.grid, companion.frame), self.stage.fleets, self.stage.head)

        async with companion.attend(scene):
            await self._conduct(barrier, companion.agenda, companion.pace, companion.at)
        return companion.lived()

    async def _conduct(
        self, barrier: Barrier, agenda: Agenda, pace: Pace, progress: Callable[[int], Awaitable[None]]
    ) -> None:
        seed = self.request.scenario.seed
        try:
            await conduct(barrier, self.stage, agenda, pace, start_s=self.start_s, seed=seed, progress=progress)
        except BarrierStalled as error:
            raise await self._explained(error) from error

    async def _explained(self, stalled: BarrierStalled) -> UserError:
        try:
            await check_externals(self.request.database_url, self.request.broker_url)
        except UserError as away:
            return UserError([str(stalled), *away.faults], away.hint)
        return UserError(
            [str(stalled), *self.stage.reasons], "See the parts' logs; is the database or the broker overloaded?"
        )
