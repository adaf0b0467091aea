"""Which intervals each meter owes, and which of them are settled. Pure: no clock, no I/O.

All times are epoch seconds. A meter is named by its index, 0 … n − 1. For each meter there is a mark before which
everything is settled, and a set of the few settled starts beyond it; in the usual order the set stays empty.
"""

from collections.abc import Sequence
from dataclasses import dataclass

_NONE: frozenset[int] = frozenset()
_NEVER_S = 2**62


@dataclass(frozen=True, slots=True)
class Cadence:
    """An interval's length, how often a meter reports (a multiple of it), and how long reports may be on their way."""

    interval_length_s: int
    report_every_s: int
    grace_s: int


class Schedule:
    """The schedules of n meters.

    `starts_s[i]`: meter i owes the interval that contains this instant and all later ones. An interval is due, that is
    missing when it is not settled, its cadence's grace after the first reporting instant at or after its end. A meter
    whose cadence is None owes nothing: it cannot be asked.
    """

    def __init__(self, cadences: Sequence[Cadence | None], starts_s: Sequence[float]) -> None:
        self._cadences = list(cadences)
        self._distinct = frozenset(cadence for cadence in cadences if cadence is not None)
        self._lengths_s = [0 if cadence is None else cadence.interval_length_s for cadence in cadences]
        self._marks_s = [
            int(start_s // length_s) * length_s if length_s else _NEVER_S
            for length_s, start_s in zip(self._lengths_s, starts_s, strict=True)
        ]
        self._ahead: dict[int, set[int]] = {}

    def settle(self, meter: int, start_s: int, length_s: int) -> bool:
        """The interval is stored, or known not to exist. True if the schedule was waiting for it."""
        mark_s = self._marks_s[meter]
        if length_s != self._lengths_s[meter] or start_s < mark_s:
            return False
        if start_s != mark_s:
            if start_s % length_s:
                return False
            ahead = self._ahead.setdefault(meter, set())
            if start_s in ahead:
                return False
            ahead.add(start_s)
            return True
        mark_s += length_s
        held = self._ahead.get(meter)
        if held is not None:
            while mark_s in held:
                held.remove(mark_s)
                mark_s += length_s
            if not held:
                del self._ahead[meter]
        self._marks_s[meter] = mark_s
        return True

    def awaits(self, meter: int, start_s: int, length_s: int) -> bool:
        """Whether the interval is one that the meter owes and that is not settled."""
        return (
            length_s == self._lengths_s[meter]
            and start_s >= self._marks_s[meter]
            and start_s not in self._ahead.get(meter, _NONE)
        )

    def mark_s(self, meter: int) -> int:
        """Everything of this meter that starts before is settled."""
        return self._marks_s[meter]

    def due_before_s(self, cadence: Cadence, now_s: float) -> int:
        """At `now_s`, intervals that start before the result are due."""
        reported_s = int((now_s - cadence.grace_s) // cadence.report_every_s) * cadence.report_every_s
        return reported_s // cadence.interval_length_s * cadence.interval_length_s

    def is_behind(self, meter: int, now_s: float) -> bool:
        """Whether a due interval of this meter is not settled."""
        cadence = self._cadences[meter]
        return cadence is not None and self._marks_s[meter] < self.due_before_s(cadence, now_s)

    def behind(self, now_s: float) -> list[int]:
        """The meters with a due interval that is not settled."""
        limits_s: dict[Cadence | None, int] = {cadence: self.due_before_s(cadence, now_s) for cadence in self._distinct}
        if len(limits_s) == 1:
            (limit_s,) = limits_s.values()
            return [meter for meter, mark_s in enumerate(self._marks_s) if mark_s < limit_s]
        limits_s[None] = 0
        return [
            meter
            for meter, (mark_s, cadence) in enumerate(zip(self._marks_s, self._cadences, strict=True))
            if mark_s < limits_s[cadence]
        ]

    def missing_range(self, meter: int, now_s: float, *, max_intervals: int) -> tuple[int, int] | None:
        """[from, to): from the first due and unsettled interval to the end of the last one, at most `max_intervals`."""
        cadence = self._cadences[meter]
        if cadence is None:
            return None
        length_s = cadence.interval_length_s
        first_s = self._marks_s[meter]
        end_s = min(self.due_before_s(cadence, now_s), first_s + max_intervals * length_s)
        if first_s >= end_s:
            return None
        held = self._ahead.get(meter, _NONE)
        while end_s - length_s in held:
            end_s -= length_s
        return first_s, end_s

    def intervals(self, meter: int, from_s: int, to_s: int) -> int:
        """How many intervals of this meter, which owes some, are in [from_s, to_s)."""
        return (to_s - from_s) // self._lengths_s[meter]

    def unsettled(self, meter: int, from_s: int, to_s: int) -> list[int]:
        """The starts in [from_s, to_s) that are not settled."""
        length_s = self._lengths_s[meter]
        if not length_s:
            return []
        held = self._ahead.get(meter, _NONE)
        first_s = max(self._marks_s[meter], -(-from_s // length_s) * length_s)
        return [start_s for start_s in range(first_s, to_s, length_s) if start_s not in held]

    def next_due_s(self, now_s: float) -> int | None:
        """The first instant after `now_s` at which more intervals become due."""
        return min(
            (
                (int((now_s - cadence.grace_s) // cadence.report_every_s) + 1) * cadence.report_every_s
                + cadence.grace_s
                for cadence in self._distinct
            ),
            default=None,
        )
