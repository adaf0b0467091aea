"""What `docker compose up` shows by itself: the scenario `demonstration`, in today's time, without a verdict.

The 24 hours before now are lived through as fast as the work takes; from then on simulated time is the wall clock's.
Each start is a new demonstration; so one that was killed, or slept for a week, goes on from today.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from lab.containers.conducting import until_nobody_conducts
from lab.containers.inside import InsideProject, InsideSite
from lab.containers.state import Owner
from lab.lockstep.pace import Agenda, Pace, WallPace
from lab.lockstep.timeline import Disturbance, actions
from lab.run.companion import Lived, Scene
from lab.run.progress import RunProgress
from lab.run.request import RunRequest
from lab.run.run import run
from lab.scenario.load import Scenario, load_scenario

SCENARIO = "demonstration"
DAYS = 8
"""The one before now, and a week. Then it begins anew, so that neither memory nor disk fills."""
_HOUR_S, _DAY_S = 3600, 86_400


class Demonstration:
    """A run's companion: what happens in the scenario happens each day, and nobody judges it."""

    def __init__(self, tell: Callable[[str], None], *, clock: Callable[[], float] = time.time) -> None:
        """:param tell: what happens, for the log."""
        self.agenda = Agenda()
        self.pace: Pace = WallPace(0, clock=clock)
        self.over = asyncio.Event()
        self._tell = tell
        self._clock = clock
        self._untold: list[Disturbance] = []
        self._end_s = 0

    @asynccontextmanager
    async def attend(self, scene: Scene) -> AsyncIterator[None]:
        self.pace = WallPace(scene.start_s, clock=self._clock, caught_up=self._tell_of_the_present)
        self._end_s = scene.start_s + DAYS * _DAY_S
        daily = [each.later(day * _DAY_S) for day in range(DAYS) for each in scene.disturbances]
        for action in actions(daily):
            self.agenda.put(action)
        self._untold = sorted(daily, key=lambda each: -each.from_s)
        self._tell(f"living through the time since {_shown(scene.start_s)} UTC, as fast as the work takes")
        yield

    def frame(self, frame: bytes) -> None:
        """Nobody looks at the grid itself."""

    async def at(self, now_s: int) -> None:
        while self._untold and self._untold[-1].from_s <= now_s:
            each = self._untold.pop()
            self._tell(f"{_shown(each.from_s)} {each.label}")
        if now_s >= self._end_s:
            self.over.set()

    def lived(self) -> Lived:
        return Lived(self._end_s, ())

    def _tell_of_the_present(self) -> None:
        self._tell(f"{_shown(self._clock())} this is now: from here on at real time")


def in_todays_time(scenario: Scenario, now_s: float) -> Scenario:
    """The same, begun at the last full hour that is at least 24 hours ago."""
    return scenario.model_copy(update={"start_s": int(now_s) // _HOUR_S * _HOUR_S - _DAY_S})


async def demonstrate(directory: Path, out: Path, console: Console) -> None:
    """Until a week is over; and not while a run is under way in the project of `directory`.

    :param out: a directory for what a run leaves; nobody looks at it.

    :raises UserError: see `run`.
    :raises PartFailed: likewise.
    """
    progress = RunProgress(console)
    project = InsideProject(directory)
    owner = Owner(project.settings.uid, project.settings.gid)
    await until_nobody_conducts(project.directory / "state", owner, progress.notice)
    companion = Demonstration(progress.notice)
    scenario = in_todays_time(load_scenario(SCENARIO), time.time())
    request = RunRequest(scenario, out, companion=companion, site=InsideSite(project))
    await _until(companion.over, run(request, progress))


async def _until(over: asyncio.Event, work: Coroutine[Any, Any, object]) -> None:
    """End the work in order when it is over."""
    working, waiting = asyncio.create_task(work), asyncio.create_task(over.wait())
    try:
        await asyncio.wait([working, waiting], return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            await working
    finally:
        for task in (working, waiting):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(working, waiting, return_exceptions=True)


def _shown(time_s: float) -> str:
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d %H:%M:%S}"
