"""From what meters reported of one loss of supply to outages, from beginning to end. Pure; all times are epoch s.

The devices behind a group of meters that went dark together are those that `explain` finds. Members of a class that
reported nothing, and of whom nothing speaks against it, are taken to have been dark with the others: reports get lost.

Where part of an outage's meters came back and the others did not, something else holds those: what explains them is a
nested outage that begins when the first came back. A meter counts as still dark only by its own word: it reported a
later end, or it reported the loss and has been silent since, long after the others were back.
"""

import functools
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
from numpy.typing import NDArray

from headend.outages.explain import LIT, SILENT, UNHEARD, Told, explain
from headend.outages.model import Classes
from headend.outages.phases import ALONE, WHOLE, Phases

NEVER_S = math.inf


@dataclass(frozen=True, slots=True)
class Rules:
    """`together_s`: what lies so close by the meters' clocks is one instant.

    `nested_after_s`: a meter that reported its loss and is silent for so long after the others came back is dark.
    """

    together_s: float
    nested_after_s: float


@dataclass(frozen=True, slots=True)
class Report:
    """One loss of supply as a meter tells it. `gasp_s`, `back_s`: when its last gasp and its restore were received.

    `back_by_s`: by then it had supply again, whether it said so or not.
    """

    meter: int
    down_s: float
    up_s: float | None = None
    gasp_s: float | None = None
    back_s: float | None = None
    back_by_s: float = NEVER_S


@dataclass(frozen=True, slots=True, eq=False)
class Sightings:
    """What readings say since a loss of supply, by meter (n,): NEVER_S where they say nothing.

    `lit_s`: the first instant of an interval measured with supply throughout. `back_by_s`: the first instant at which
    the meter, if it had lost supply, must have had it again. `silent`: readings that were due have not come.
    """

    lit_s: NDArray[np.float64]
    back_by_s: NDArray[np.float64]
    silent: NDArray[np.bool_]

    @classmethod
    def none(cls, meters: int) -> "Sightings":
        """Before any reading is due."""
        return cls(np.full(meters, NEVER_S), np.full(meters, NEVER_S), np.zeros(meters, dtype=bool))


@dataclass(frozen=True, slots=True)
class Part:
    """A meter's share in an outage; `to_s` None while it lasts. Without `gasp_s` and `back_s` it is inferred."""

    meter: int
    from_s: float
    to_s: float | None
    gasp_s: float | None = None
    back_s: float | None = None


@dataclass(frozen=True, slots=True)
class Outage:
    """`class_index`: what is open, `phase`: in which phase alone. `ended_s` None while somebody is, or may be, dark."""

    class_index: int
    began_s: float
    ended_s: float | None
    parts: tuple[Part, ...]
    phase: str = WHOLE


def merged(reports: Iterable[Report], together_s: float) -> list[Report]:
    """One report for each loss of supply of a meter, by time: a gasp and its restore may differ by a second.

    A loss without an end that is followed by another one must have ended before that.
    """
    result: list[Report] = []
    for report in sorted(reports, key=lambda report: (report.meter, report.down_s)):
        last = result[-1] if result else None
        if last is None or last.meter != report.meter:
            result.append(report)
        elif report.down_s <= max(last.down_s + together_s, last.up_s or 0.0):
            result[-1] = replace(
                last,
                up_s=_last(last.up_s, report.up_s),
                gasp_s=_first(last.gasp_s, report.gasp_s),
                back_s=_first(last.back_s, report.back_s),
            )
        else:
            if last.up_s is None:
                result[-1] = replace(last, back_by_s=report.down_s)
            result.append(report)
    return sorted(result, key=lambda report: (report.down_s, report.meter))


def _first(one: float | None, other: float | None) -> float | None:
    return min((value for value in (one, other) if value is not None), default=None)


def _last(one: float | None, other: float | None) -> float | None:
    return max((value for value in (one, other) if value is not None), default=None)


def groups(reports: Sequence[Report], together_s: float) -> list[list[Report]]:
    """Reports, by time, cut into groups of losses at one instant."""
    result: list[list[Report]] = []
    for report in reports:
        if result and report.down_s <= result[-1][0].down_s + together_s:
            result[-1].append(report)
        else:
            result.append([report])
    return result


class Follower:
    """Leads the losses of one group to their end, on what is known at `now_s`."""

    def __init__(
        self,
        classes: Classes,
        sightings: Sightings,
        rules: Rules,
        *,
        elsewhere: Collection[int],
        now_s: float,
        phases: Phases | None = None,
    ) -> None:
        """`elsewhere`: meters that were dark already, and belong to another outage.

        `phases`: which ones meters have, and lost at the instant of the reports; nothing is known of them if not given.
        """
        self._phases = Phases.unknown(len(classes.order)) if phases is None else phases
        self._classes = classes
        self._sightings = sightings
        self._rules = rules
        self._elsewhere = np.array(sorted(elsewhere), dtype=np.intp)
        self._now_s = now_s

    def outages(self, reports: Sequence[Report]) -> list[Outage]:
        """The outages behind the reports of one group, of one report per meter."""
        began_s = float(math.floor(median(report.down_s for report in reports)))
        known = [self._with_end(report, reports) for report in reports]
        return self._explained(known, began_s, restored=(), waiting=())

    def _with_end(self, report: Report, group: Sequence[Report]) -> Report:
        """The report with its end, where the restore was lost but readings say that supply is back: as the others'."""
        bound_s = min(report.back_by_s, float(self._sightings.back_by_s[report.meter]))
        if report.up_s is not None or bound_s == NEVER_S:
            return report
        ends = [other.up_s for other in group if other.up_s is not None and other.up_s <= bound_s]
        return replace(report, up_s=max(ends, default=bound_s))

    def _explained(
        self, dark: Sequence[Report], began_s: float, *, restored: Collection[int], waiting: Collection[int]
    ) -> list[Outage]:
        found: list[Outage] = []
        for index, phase in self._classes_of(dark, began_s, restored, waiting):
            members = set(self._classes.members(index).tolist())
            # Where phases were lost and nobody is dark, there is no outage.
            if inside := [report for report in dark if report.meter in members]:
                found += self._lead(index, phase, inside, began_s)
        return found

    def _classes_of(
        self, dark: Sequence[Report], began_s: float, restored: Collection[int], waiting: Collection[int]
    ) -> list[tuple[int, str]]:
        classes, place = self._classes, self._classes.place
        own = place[[report.meter for report in dark]]
        cost = np.where(self._sightings.silent, SILENT, UNHEARD)[classes.order]
        lit_s = self._sightings.lit_s[classes.order].copy()
        neutral = np.concatenate((self._elsewhere, np.array(sorted(waiting), dtype=np.intp)))
        lit_s[place[np.array(sorted(restored), dtype=np.intp)]] = began_s
        for free in (own, place[neutral]):
            cost[free] = 0.0
            lit_s[free] = NEVER_S
        up_s = np.full(len(place), NEVER_S)
        up_s[own] = [NEVER_S if report.up_s is None else report.up_s for report in dark]

        # When the first came back, so did the phases that others had lost.
        phases = self._phases.with_lost({}) if restored else self._phases
        meters = [report.meter for report in dark]
        # Who says that it lost one phase says, too, that it has others.
        lit_s[place[list(phases.lost)]] = began_s

        @functools.cache
        def by_phase(unheard: frozenset[int]) -> dict[str, tuple[NDArray[np.float64], NDArray[np.bool_]]]:
            heard = phases.with_lost({each: phase for each, phase in phases.lost.items() if each not in unheard})
            return {
                phase: (heard.cost(phase, meters, cost[place], LIT)[classes.order], heard.only(phase)[classes.order])
                for phase in heard.suspected(meters)
            }

        likeliest: dict[int, str] = {}

        def cost_of(index: int, unheard: frozenset[int]) -> float:
            span = slice(classes.first[index], classes.end[index])
            contrary = lit_s[span] < up_s[span].min() - self._rules.together_s
            found = [(float(np.where(contrary, LIT, cost[span]).sum()), WHOLE)]
            for phase, (alone, only) in by_phase(unheard).items():
                found.append((float(np.where(contrary & only[span], LIT, alone[span]).sum()) + ALONE, phase))
            least, likeliest[index] = min(found)
            return least

        says_so = np.zeros(len(place), dtype=bool)
        says_so[meters] = True

        def darkens(index: int, phase: str) -> int:
            return int((phases.only(phase) & ~says_so)[classes.members(index)].sum())

        told = Told(phases.lost, darkens)
        return [(index, likeliest[index]) for index in explain(classes, meters, cost_of, told)]

    def _lead(self, index: int, phase: str, dark: Sequence[Report], began_s: float) -> list[Outage]:
        ends = sorted(report.up_s for report in dark if report.up_s is not None)
        together_s = self._rules.together_s
        if not ends:
            return [self._outage(index, phase, dark, began_s, None)]
        first_s = float(median(end_s for end_s in ends if end_s <= ends[0] + together_s))
        open_ended = [report for report in dark if report.up_s is None]
        patient = self._now_s - first_s <= self._rules.nested_after_s
        waiting = [report for report in open_ended if patient or not self._sightings.silent[report.meter]]
        later = [report for report in dark if report.up_s is not None and report.up_s > ends[0] + together_s]
        later += [report for report in open_ended if report not in waiting]
        if not later:
            return [self._outage(index, phase, dark, began_s, None if waiting else first_s)]
        held = {report.meter for report in later} | {report.meter for report in waiting}
        restored = {report.meter for report in dark} - held
        stuck = {report.meter for report in waiting}
        if [each for each, _ in self._classes_of(later, first_s, restored, stuck)] == [index]:
            # Nothing below it holds them: it came back in steps.
            return [self._outage(index, phase, dark, began_s, None if open_ended else ends[-1])]
        cut = [replace(report, up_s=first_s, back_s=None) if report in later else report for report in dark]
        nested = [replace(report, down_s=first_s) for report in later]
        return [
            self._outage(index, phase, cut, began_s, None if waiting else first_s),
            *self._explained(nested, first_s, restored=restored, waiting=stuck),
        ]

    def _outage(self, index: int, phase: str, dark: Sequence[Report], began_s: float, ended_s: float | None) -> Outage:
        parts = [Part(report.meter, report.down_s, report.up_s, report.gasp_s, report.back_s) for report in dark]
        ends = [report.up_s for report in dark if report.up_s is not None]
        until_s = (ends[0] if ends else NEVER_S) if ended_s is None else ended_s
        spoken_for = {report.meter for report in dark} | set(self._elsewhere.tolist())
        members = self._classes.members(index)
        if phase:
            members = members[self._phases.only(phase)[members]]
        for meter in members.tolist():
            lit = self._sightings.lit_s[meter] < until_s - self._rules.together_s
            if meter not in spoken_for and not lit:
                parts.append(Part(meter, began_s, ended_s))
        return Outage(index, began_s, ended_s, tuple(sorted(parts, key=lambda part: part.meter)), phase)
