"""Exercises on a living lab: at most one goes on, and while it does nothing else disturbs the lab."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from lab.errors import UserError
from lab.live.exercise_files import load_exercise
from lab.live.feed import Feed, Secret
from lab.live.incidents import Incident, Incidents
from lab.live.injection import Injector
from lab.live.training import Training, Truth
from lab.lockstep.pace import Pace


class Exercises:
    """`training`: the one that goes on; `debrief`: of the last one that was answered."""

    def __init__(
        self,
        incidents: Incidents,
        injector: Injector,
        feed: Feed,
        pace: Pace,
        *,
        may_begin: Callable[[], None],
        soon_s: Callable[[], int],
        reach: Mapping[str, frozenset[str]],
        collectors: Mapping[str, Sequence[object]],
        meters: int,
    ) -> None:
        """:param may_begin: raises UserError when no exercise may begin any more.
        :param soon_s: the next whole second that has not been granted.
        :param reach: whom each device of the feeder darkens; `collectors`: their meters; `meters`: how many there are.
        """
        self._incidents, self._injector, self._feed, self._pace = incidents, injector, feed, pace
        self._may_begin, self._soon_s = may_begin, soon_s
        self._reach, self._collectors, self._meters = reach, collectors, meters
        self._held: list[Incident] = []
        self.training: Training | None = None
        self.debrief: dict[str, Any] | None = None

    @property
    def hides(self) -> Collection[Secret]:
        """What must not be shown, because an exercise goes on."""
        return () if self.training is None else self.training.hides

    async def begin(self, name: str) -> dict[str, Any]:
        """Returns what is posed. :raises UserError: there is none of this name, or one goes on already."""
        self._may_begin()
        exercise = load_exercise(name)
        if self.training is not None:
            raise UserError(
                f"the exercise {self.training.exercise.name} goes on", "Answer it, or end it: `amilab exercise stop`."
            )
        begun_s = self._soon_s()
        if active := self._incidents.active(begun_s):
            raise UserError(
                [f"the lab is disturbed: {each.disturbance.label}" for each in active],
                "An exercise begins with nothing wrong: `amilab inject restore`, or wait.",
            )
        # Whatever else happened now would spoil the answers.
        self._held = self._incidents.hold(begun_s)
        made: dict[str, Incident] = {}
        try:
            for each in exercise.disturb:
                (made[each.name],) = await self._injector.inject(each.wanted, begun_s + each.after_s, "exercise")
        except UserError:
            for incident in made.values():
                self._incidents.cancel(incident.number)
            self._let_come(begun_s)
            raise
        self.training = Training(exercise, begun_s, made, self._truth(made))
        self.debrief = None
        self._pace.look_again()
        self._feed.tell(int(self._pace.now_s()), "lab", f"exercise begun: {exercise.title}")
        return self.training.posed()

    def answer(self, answers: Mapping[str, str]) -> dict[str, Any]:
        """Score the answers, end the exercise, and return its debrief. :raises UserError: no exercise goes on."""
        training = self._under_way()
        self.debrief = training.debrief(answers, int(self._pace.now_s()), self._feed.after(0))
        self._end(training)
        score = f"{self.debrief['earned']:g} of {self.debrief['points']} points"
        self._feed.tell(int(self._pace.now_s()), "lab", f"exercise answered: {score}", "good")
        return self.debrief

    def end(self) -> None:
        """Without answers. :raises UserError: no exercise goes on."""
        self._end(self._under_way())
        self._feed.tell(int(self._pace.now_s()), "lab", "exercise ended without answers")

    def _truth(self, made: Mapping[str, Incident]) -> Truth:
        devices, collectors, numbers = {}, {}, {}
        behind = self._collectors
        for name, incident in made.items():
            disturbance = incident.disturbance
            if disturbance.kind in ("outage", "conductor"):
                devices[name] = ":".join(disturbance.target.split()[:2])
                numbers[name] = len(self._injector.customers_of(devices[name]))
            else:
                collectors[name] = disturbance.stations[0]
                numbers[name] = sum(len(behind.get(station, ())) or 1 for station in disturbance.stations)
        return Truth(devices, collectors, numbers, self._reach, tuple(behind), self._meters)

    def _under_way(self) -> Training:
        if self.training is None:
            raise UserError("no exercise goes on", "Begin one: `amilab exercise start NAME`.")
        return self.training

    def _end(self, training: Training) -> None:
        self.training = None
        soon_s = self._soon_s()
        for incident in training.incidents.values():
            now = self._incidents.get(incident.number)
            if now is not None and now.active(soon_s):
                self._incidents.end(incident.number, soon_s)
            elif now is not None and now.disturbance.from_s >= soon_s:
                self._incidents.cancel(incident.number)
        self._let_come(soon_s)
        self._pace.look_again()
        self._feed.wake()

    def _let_come(self, soon_s: int) -> None:
        """What was held back, as far as its time has not passed."""
        for held in self._held:
            if held.disturbance.from_s >= soon_s:
                self._incidents.add(held.disturbance, held.origin, open_ended=held.open_ended)
            else:
                self._feed.tell(soon_s, "lab", f"left out because of the exercise: {held.disturbance.label}")
        self._held = []
