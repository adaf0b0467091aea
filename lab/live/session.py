"""A living lab as the page and the command line see it: it goes with a run as its companion."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from lab.errors import UserError
from lab.live.asked import CommandWanted, Wanted
from lab.live.commanding import Commanding
from lab.live.exercises import Exercises
from lab.live.feed import Event, Feed, Secret
from lab.live.headend_view import HeadEndView
from lab.live.incidents import Incident, Incidents
from lab.live.injection import Injector
from lab.live.map_state import MapState
from lab.live.panels import Panels
from lab.live.reader import Reader, ReadError, may_take_roles
from lab.live.routes import Routes
from lab.live.scene import map_scene
from lab.live.so_far import Judged, SoFar, described
from lab.live.training import clock
from lab.lockstep.answers import Described, checked
from lab.lockstep.pace import Agenda, Pace
from lab.run.companion import Lived, Scene
from lab.run.settling import settled_s
from lab.run.stage import GRID
from lab.scenario.air_targets import Airspace
from lab.verdict.network_model import read_network
from lab.verdict.verdict import Verdict
from meters.radio.faults import NetworkFault

LOOK_EVERY_S = 0.5
"""Wall clock: the head-end's database is looked into no more often."""
Serve = Callable[["Session"], contextlib.AbstractAsyncContextManager[None]]
Tell = Callable[[str], None]


class Session:
    """Everything that the page shows and does. Use as a run's companion; the rest once `living`."""

    def __init__(
        self, *, speed: float | None, history_s: int, duration_s: int | None, serve: Serve, tell: Tell
    ) -> None:
        """:param speed: simulated seconds per second of wall clock, once `history_s` have been lived through.
        :param duration_s: how long to live, for ever if not given.
        :param serve: serves the page while the lab lives.
        :param tell: what happens, for the terminal.
        """
        self._speed, self._duration_s = speed, duration_s
        self._history_s: int | None = history_s
        self._serve, self._tell = serve, tell
        self.feed = Feed()
        self.agenda = Agenda()
        self.pace = Pace(0)
        self.incidents = Incidents(self.agenda)
        self.completed_s = 0
        self.lagging = ""
        self._end_s: int | None = None
        self._serving = AsyncExitStack()
        self._over = False
        self._final: dict[str, Any] | None = None
        self._ended: dict[str, Any] | None = None
        self._looked = asyncio.Event()
        self._scene: Scene | None = None

    # Around the run.

    @asynccontextmanager
    async def until_told(self) -> AsyncIterator[None]:
        """The page, once the lab lives, is served until the end of this, and the last that it tells is how it ended."""
        async with self._serving:
            try:
                yield
            finally:
                self._over = True
                if self._ended is None:
                    self._ended = {"words": "without a verdict; the terminal says why", "passed": None}

    def judged(self, verdict: Verdict, directory: Path) -> None:
        """The verdict on the whole run, whose results are in this directory."""
        assert self._end_s is not None
        self._final = described(Judged(self._end_s, verdict), self.scene.start_s)
        met = sum(result.passed for result in verdict.criteria)
        words = f"{'PASSED' if verdict.passed else 'FAILED'}, {met} of {len(verdict.criteria)}"
        self._ended = {"words": words, "passed": verdict.passed, "report": str(directory / "report.html")}

    # What the run asks of its companion.

    @asynccontextmanager
    async def attend(self, scene: Scene) -> AsyncIterator[None]:
        self._scene = scene
        self.pace = Pace(scene.start_s)
        self.completed_s, self._told_s = scene.start_s, scene.start_s - 1
        for disturbance in scene.disturbances:
            self.incidents.add(disturbance, "scenario", open_ended=disturbance.open_ended)
        network = read_network(scene.stage.layout.network_model)
        description = checked(await scene.stage.link.call(GRID, "describe"), Described)
        self.map = map_scene(scene.judging.plan, scene.judging.grid, description, network)
        self.map_state = MapState(self.map.serials, scene.judging.plan.rows, self.map.nominal_v, self.map.connected)
        self.airspace = Airspace.of(
            scene.scenario,
            scene.judging.plan.everybody,
            time_zone=scene.judging.grid["time_zone"],
            start_s=scene.start_s,
        )
        self.routes = _routes(scene, self.airspace)
        self.injector = Injector(scene, network, self.incidents, self.airspace)
        self.exercises = Exercises(
            self.incidents,
            self.injector,
            self.feed,
            self.pace,
            may_begin=self._refuse_when_stopping,
            soon_s=self._soon_s,
            reach=network.reach(self.map.usage_points),
            collectors=scene.judging.plan.fleet.collectors,
            meters=len(self.map.serials),
        )
        reader = Reader(scene.store, roles=await may_take_roles(scene.store))
        self._panels = Panels(reader)
        self.commanding = Commanding(scene.stage, reader, self.map.serials, self.agenda.put)
        self.so_far = SoFar(scene)
        self._view = HeadEndView(reader, self.map_state, self.feed)
        self._looking = asyncio.create_task(self._look(), name="look at the head-end")
        try:
            await self._serving.enter_async_context(self._serve(self))
            yield
        finally:
            self._over = True
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
            await self.so_far.stop()

    def frame(self, frame: bytes) -> None:
        self.map_state.see_frame(frame)
        if self.routes is not None:
            self.routes.see_frame(frame)

    async def at(self, now_s: int) -> None:
        self._tell_of_incidents(self._told_s, now_s)
        self.completed_s = self._told_s = now_s
        if self._history_s is not None and now_s >= self.scene.start_s + self._history_s and not self.stopping:
            self._history_s = None
            self.pace.set(self._speed)
        if self._duration_s is not None and now_s >= self.scene.start_s + self._duration_s:
            self.stop()
        # While an exercise goes on, nobody is to learn from the verdict what was done to the lab. Parts that are dead
        # cannot say what they know.
        killed = any(each.disturbance.kind == "kill" for each in self.incidents.active(now_s))
        if self.exercises.training is None and not self.stopping and not killed:
            await self.so_far.consider(now_s)
        self._looked.set()
        if self._looking.done():
            # It never ends by itself: whatever it has raised is to be seen.
            self._looking.result()
        self.feed.wake()

    def lived(self) -> Lived:
        assert self._end_s is not None
        return Lived(self._end_s, tuple(self.incidents.disturbances()))

    # What goes on.

    @property
    def scene(self) -> Scene:
        assert self._scene is not None, "the lab does not live yet"
        return self._scene

    @property
    def living(self) -> bool:
        return self._scene is not None

    @property
    def stopping(self) -> bool:
        return self._end_s is not None

    @property
    def hidden(self) -> Collection[Secret]:
        """What must not be shown, because an exercise goes on."""
        return self.exercises.hides

    @property
    def dashboards(self) -> list[dict[str, Any]]:
        return self._panels.described()

    @property
    def panels(self) -> Panels:
        """:raises UserError: the lab is over, and its database with it."""
        if self._over:
            raise UserError("the lab is over, and so is its database", "Its report has the figures of the whole run.")
        return self._panels

    def now_s(self) -> float:
        return self.completed_s if self._over else self.pace.now_s()

    def state(self) -> dict[str, Any]:
        """What changes from moment to moment, but for events and the map."""
        now_s = self.now_s()
        hidden = self.hidden
        judged = self.so_far.latest
        so_far = None if judged is None or "truth" in hidden else described(judged, self.scene.start_s)
        return {
            "now_s": now_s,
            "completed_s": self.completed_s,
            "speed": self.pace.speed,
            "phase": self._phase(),
            "ended": self._ended,
            "lagging": self.lagging,
            "map": self.map_state.version,
            "counts": self.map_state.counts(hidden),
            "hidden": sorted(hidden),
            "incidents": [] if "truth" in hidden else [_incident(each) for each in self.incidents.active(now_s)],
            "verdict": self._final or so_far,
            "judging": self.so_far.busy,
            "judged_next_s": None if judged is not None else self.scene.start_s,
            "verdict_fault": self.so_far.fault,
            "exercise": None if self.exercises.training is None else self.exercises.training.posed(),
            "debrief": self.exercises.debrief,
        }

    def _phase(self) -> str:
        if self._over:
            return "judging" if self._ended is None else "ended"
        return "stopping" if self.stopping else "catching up" if self._history_s is not None else "living"

    def network_faults(self) -> list[NetworkFault]:
        """What disturbs the modelled network now."""
        active = (each.disturbance.air_fault for each in self.incidents.active(self.completed_s))
        return [NetworkFault.model_validate(fault) for fault in active if fault is not None]

    def dead_collectors(self) -> set[str]:
        """Those whose hardware has failed."""
        active = [each.disturbance for each in self.incidents.active(self.completed_s)]
        return {name for each in active if each.kind == "collector_failure" for name in each.stations}

    def events(self, after: int) -> list[Event]:
        return self.feed.after(after, self.hidden)

    # What one can do.

    def set_speed(self, speed: float | None) -> None:
        """:raises UserError: the lab is stopping."""
        self._refuse_when_stopping()
        self._history_s = None
        self.pace.set(speed)
        words = "as fast as it can" if speed is None else "paused" if speed == 0 else f"{speed:g} × real time"
        self.feed.tell(int(self.now_s()), "lab", f"speed: {words}")

    def judge_now(self) -> None:
        """Judge what there is, at the next instant. :raises UserError: there is nothing yet, or an exercise goes on."""
        self._refuse_when_stopping()
        if self.exercises.training is not None:
            raise UserError("the verdict is hidden while an exercise goes on")
        if self.so_far.window_end_s(self.completed_s) == self.scene.start_s:
            raise UserError("nothing can be judged yet", "Meters that report in blocks must have reported first.")
        self.so_far.ask()

    async def inject(self, wanted: Wanted) -> list[Incident]:
        """:raises UserError: it cannot be done, or an exercise goes on."""
        self._refuse_when_stopping()
        if self.exercises.training is not None:
            raise UserError("an exercise goes on, and the lab is the trainer's", "Finish it: `amilab exercise stop`.")
        found = await self.injector.inject(wanted, self._soon_s())
        self.pace.look_again()
        return found

    def command(self, wanted: CommandWanted) -> int:
        """The order's number. :raises UserError: a meter is unknown, or time stands still."""
        self._refuse_when_stopping()
        if self.pace.speed == 0:
            raise UserError("the lab's time stands still: no meter would answer", "Let it go on, on the page.")
        number = self.commanding.order(wanted, self._soon_s())
        self.pace.look_again()
        return number

    def stop(self) -> bool:
        """Come to an end: everything is restored, all that was measured is waited for. False if that cannot be."""
        if not self.living or self.stopping:
            return False
        if self.exercises.training is not None:
            self.exercises.end()
        now_s, start_s = max(self._soon_s(), self.completed_s + 1), self.scene.start_s
        length_s = self.scene.vendors.longest_interval_s
        self._end_s = max(-(-now_s // length_s) * length_s, start_s + length_s)
        for incident in self.incidents.wind_up(self.completed_s, self._end_s):
            self._tell(f"restored at the end: {incident.disturbance.label}")
        self.agenda.end_s = settled_s(self.scene.scenario, self.scene.vendors, start_s=start_s, end_s=self._end_s)
        self._tell(f"judged up to {clock(self._end_s)}; living on to {clock(self.agenda.end_s)} to let meters report")
        self.pace.set(None)
        self.feed.tell(int(self.now_s()), "lab", "the lab comes to its end")
        return True

    def _soon_s(self) -> int:
        """The next whole second that has not been granted."""
        return max(int(self.now_s()), self.pace.reached_s) + 1

    def _refuse_when_stopping(self) -> None:
        if self.stopping:
            raise UserError("the lab is coming to its end", "Start another one: `amilab up`.")

    def _tell_of_incidents(self, from_s: int, until_s: int) -> None:
        for incident in self.incidents.begun(from_s, until_s):
            self._tell_of(incident, incident.disturbance.from_s, "", "warning")
        for incident in self.incidents.over(from_s, until_s):
            self._tell_of(incident, incident.disturbance.until_s, "over: ", "good")

    def _tell_of(self, incident: Incident, at_s: int, before: str, tone: Any) -> None:
        text = before + incident.disturbance.label
        self.feed.tell(at_s, "lab", text, tone, reveals="truth")
        if self.exercises.training is None:
            self._tell(f"{clock(at_s)} {text}")

    async def _look(self) -> None:
        """Again and again, while there is something new and somebody to see it."""
        while True:
            await self._looked.wait()
            self._looked.clear()
            try:
                await self._view.look(self.completed_s)
                self.lagging = ""
            except ReadError as error:
                # The scenario may have killed it, or somebody who injects.
                self.lagging = f"the head-end's database does not answer: {error}"
                self._looked.set()
            self.feed.wake()
            await asyncio.sleep(LOOK_EVERY_S)


def _routes(scene: Scene, airspace: Airspace | None) -> Routes | None:
    """How meters are reached, where the scenario has a model of that."""
    if airspace is None:
        return None
    return Routes(scene.judging.plan, airspace.setup, seed=scene.scenario.seed, start_s=scene.start_s)


def _incident(incident: Incident) -> dict[str, Any]:
    disturbance = incident.disturbance
    return {
        "number": incident.number,
        "kind": disturbance.kind,
        "label": disturbance.label,
        "from_s": disturbance.from_s,
        "until_s": None if incident.open_ended else disturbance.until_s,
        "origin": incident.origin,
        "target": disturbance.target,
        "stations": list(disturbance.hit)[:1000],
    }
