"""What disturbs a living lab: the scenario's events and what somebody injects, from the first moment to the last."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from lab.lockstep.pace import Agenda
from lab.lockstep.timeline import Disturbance, beginning, ending

Origin = Literal["scenario", "injected", "exercise"]


@dataclass(frozen=True, slots=True)
class Incident:
    """One disturbance under a number. `open_ended`: it lasts until somebody ends it, whatever its `until_s`."""

    number: int
    disturbance: Disturbance
    origin: Origin
    open_ended: bool = False

    def active(self, now_s: float) -> bool:
        lasts = self.open_ended or self.disturbance.until_s > now_s
        return self.disturbance.from_s <= now_s and lasts


class Incidents:
    """Keeps the agenda in step with what is added, and with what ends before its time."""

    def __init__(self, agenda: Agenda) -> None:
        self._agenda = agenda
        self._all: dict[int, Incident] = {}
        self._count = 0

    def __len__(self) -> int:
        """How many there have been, those that were taken back included."""
        return self._count

    def add(self, disturbance: Disturbance, origin: Origin, *, open_ended: bool = False) -> Incident:
        """Put it on the agenda, its end too unless it is `open_ended`."""
        self._count += 1
        incident = Incident(self._count, disturbance, origin, open_ended)
        self._all[incident.number] = incident
        over = ending(disturbance)
        if over is not None and not open_ended:
            self._agenda.put(over)
        self._agenda.put(beginning(disturbance))
        return incident

    def take_over(self, serials: Collection[str], at_s: int) -> None:
        """Somebody moves these relays anew: how earlier ones left them is over, and no end of those moves them back."""
        for each in self.active(at_s):
            before = each.disturbance
            left = tuple(serial for serial in before.stations if serial not in serials)
            if before.kind != "relay" or len(left) == len(before.stations):
                continue
            if (planned := ending(before)) is not None:
                self._agenda.drop(planned)
            after = replace(before, stations=left) if left else replace(before, until_s=at_s, lasting=False)
            if left and (planned := ending(after)) is not None:
                self._agenda.put(planned)
            self._all[each.number] = replace(each, disturbance=after, open_ended=each.open_ended and bool(left))

    def end(self, number: int, at_s: int) -> Incident:
        """End one that is active at `at_s`, earlier than it would. Raises KeyError for a number that is not known.

        What would begin at this very instant is taken back: what ends comes first then, and it would never end.
        """
        incident = self._all[number]
        disturbance = replace(incident.disturbance, until_s=at_s, lasting=False)
        ended = replace(incident, disturbance=disturbance, open_ended=False)
        if incident.disturbance.from_s >= at_s:
            self.cancel(number)
            return ended
        if not incident.open_ended and (planned := ending(incident.disturbance)) is not None:
            self._agenda.drop(planned)
        if (over := ending(ended.disturbance)) is not None:
            self._agenda.put(over)
        self._all[number] = ended
        return ended

    def cancel(self, number: int) -> None:
        """Take one back that has not begun. Raises KeyError for a number that is not known."""
        disturbance = self._all.pop(number).disturbance
        self._agenda.drop(beginning(disturbance))
        if (over := ending(disturbance)) is not None:
            self._agenda.drop(over)

    def hold(self, now_s: int) -> list[Incident]:
        """Take back all that have not begun; `add` them again to let them come after all."""
        held = [incident for incident in self._all.values() if incident.disturbance.from_s > now_s]
        for incident in held:
            self.cancel(incident.number)
        return held

    def get(self, number: int) -> Incident | None:
        return self._all.get(number)

    def active(self, now_s: float) -> list[Incident]:
        """Those that have begun and are not over."""
        return [incident for incident in self._all.values() if incident.active(now_s)]

    def begun(self, from_s: float, until_s: float) -> list[Incident]:
        """Those that begin after `from_s` and not after `until_s`."""
        return [each for each in self._all.values() if from_s < each.disturbance.from_s <= until_s]

    def over(self, from_s: float, until_s: float) -> list[Incident]:
        """Those that end after `from_s` and not after `until_s`."""
        return [
            each
            for each in self._all.values()
            if not each.open_ended
            and each.disturbance.until_s > each.disturbance.from_s
            and from_s < each.disturbance.until_s <= until_s
        ]

    def wind_up(self, now_s: int, end_s: int) -> list[Incident]:
        """Nothing begins any more, and what is active ends by `end_s`; returns what would have lasted longer."""
        self.hold(now_s)
        return [self.end(incident.number, end_s) for incident in self.active(end_s)]

    def disturbances(self) -> Sequence[Disturbance]:
        """All of them, in the order of their beginning."""
        return sorted((each.disturbance for each in self._all.values()), key=lambda each: each.from_s)
