"""Which register readings of a meter are believed, one boundary after the other. Pure.

A register that drops or jumps, once or a few times, and comes back was a glitch: what lies between is estimated from
the last good reading to the next one. A register that stays where it is, for `ACCEPTED_AFTER` readings that agree among
each other, is that of a meter that was replaced or reset: the first of these is where it begins anew. What passed
between the last reading of the old one and the first of the new one nobody knows, and nothing is made up for it. A
reading with a power, voltage or current that the meter cannot have is never believed, nor does any agree with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from headend.reads.estimation import Implausible, intervals_between
from headend.reads.plausibility import Limits, most_wh
from headend.store.register_records import BoundaryReading, DerivedInterval

#: Two hours of quarter-hours. Nothing is lost by waiting: accepted readings make intervals, too.
ACCEPTED_AFTER = 8
# A reading may be so far from its boundary, which makes the time between two longer than the boundaries say.
_LATE_S = 60


@dataclass(frozen=True, slots=True)
class Taken:
    """What a reading came to.

    `pieces`: (reading, the intervals that end with it), in the order of time. `fault`: why the reading is not believed,
    with its words; None if it is. `is_first`: the one before was believed. `accepted`: those that are believed after
    all.
    """

    pieces: tuple[tuple[BoundaryReading, tuple[DerivedInterval, ...]], ...] = ()
    fault: Implausible | None = None
    is_first: bool = False
    accepted: tuple[BoundaryReading, ...] = ()


@dataclass(slots=True)
class Follower:
    """One meter's readings. `last`: the last one that is believed; `strays`: those since, as far as they agree.

    `ratio`: what the primary's power is of that which the meter counts.
    """

    length_s: int
    roll_over_wh: int
    max_power_w: float
    ratio: float = 1.0
    last: BoundaryReading | None = None
    strays: tuple[BoundaryReading, ...] = ()
    _limits: Limits = field(init=False)

    def __post_init__(self) -> None:
        self._limits = Limits.of(self.length_s, self.max_power_w, self.roll_over_wh, self.ratio)

    @property
    def newest_s(self) -> int | None:
        """The boundary of the last reading that was taken, believed or not."""
        newest = self.strays[-1] if self.strays else self.last
        return None if newest is None else newest.boundary_s

    def take(self, reading: BoundaryReading) -> Taken:
        """The next one; one of a boundary that is not later than the last one's changes nothing."""
        if self.newest_s is not None and reading.boundary_s <= self.newest_s:
            return Taken()
        before = self.last
        try:
            self._check(reading)
            intervals = [] if before is None else self._between(before, reading)
        except Implausible as fault:
            return self._stray(reading, fault)
        self.last, self.strays = reading, ()
        return Taken() if before is None else Taken(((reading, tuple(intervals)),))

    def _stray(self, reading: BoundaryReading, fault: Implausible) -> Taken:
        is_first = not self.strays
        before = self.strays
        if before:
            try:
                self._check(before[-1])
                self._check(reading)
                self._between(before[-1], reading)
            except Implausible:
                before = ()
        self.strays = (*before, reading)
        if len(self.strays) < ACCEPTED_AFTER:
            return Taken(fault=fault, is_first=is_first)
        accepted, self.strays, self.last = self.strays, (), reading
        return Taken(self._pieces(accepted), fault, is_first, accepted)

    def _pieces(
        self, readings: Sequence[BoundaryReading]
    ) -> tuple[tuple[BoundaryReading, tuple[DerivedInterval, ...]], ...]:
        return tuple((after, tuple(self._between(before, after))) for before, after in pairwise(readings))

    def _check(self, reading: BoundaryReading) -> None:
        """Raises Implausible: no meter of this rating measures so much, whatever its registers are."""
        shown = reading.registers
        reason = self._limits.fault_of_moment(shown)
        if reason is not None:
            said = {"active_power_w": shown.active_power_w, "voltages_v": shown.voltages_v, **shown.channels}
            raise Implausible(reason, ", ".join(f"{name} {value}" for name, value in said.items()))

    def _between(self, before: BoundaryReading, after: BoundaryReading) -> list[DerivedInterval]:
        elapsed_s = after.boundary_s - before.boundary_s + _LATE_S
        return intervals_between(
            before,
            after,
            length_s=self.length_s,
            roll_over_wh=self.roll_over_wh,
            most_wh=most_wh(elapsed_s, self.max_power_w),
        )
