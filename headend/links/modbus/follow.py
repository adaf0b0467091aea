"""Which polls of a meter are believed, one after the other. Pure.

A register that drops or jumps, once or for some polls, and comes back was a glitch: what lies between is estimated from
the last good poll to the next one. A register that stays where it is, for `ACCEPTED_AFTER` polls that agree among each
other, is that of a meter that was replaced or reset: the first of these polls is where it begins anew. What passed
between the last poll of the old one and the first of the new one nobody knows, and nothing is made up for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from headend.links.modbus.estimation import Implausible, Poll, Share, intervals_between
from headend.reads.plausibility import most_wh

#: Two hours of quarter-hourly polls. Nothing is lost by waiting: accepted polls make intervals, too.
ACCEPTED_AFTER = 8
# An answer may come so long after its boundary, which makes the time between two longer than the boundaries say.
_LATE_S = 60


@dataclass(frozen=True, slots=True)
class Taken:
    """What a poll came to.

    `pieces`: (poll, the intervals that end with it), in the order of time. `fault`: why the poll is not believed, with
    its words; None if it is. `is_first`: the poll before was believed. `accepted`: polls that are believed after all.
    """

    pieces: tuple[tuple[Poll, tuple[Share, ...]], ...] = ()
    fault: Implausible | None = None
    is_first: bool = False
    accepted: tuple[Poll, ...] = ()


@dataclass(slots=True)
class Follower:
    """One meter's polls. `last`: the last one that is believed; `strays`: those since, as far as they agree."""

    length_s: int
    roll_over_wh: int
    max_power_w: float
    last: Poll | None = None
    strays: tuple[Poll, ...] = ()

    def take(self, poll: Poll) -> Taken:
        """The next poll; one of a boundary that is not later than the last one's changes nothing."""
        newest = self.strays[-1] if self.strays else self.last
        if newest is not None and poll.boundary_s <= newest.boundary_s:
            return Taken()
        if self.last is None:
            self.last = poll
            return Taken()
        try:
            shares = self._between(self.last, poll)
        except Implausible as fault:
            return self._stray(poll, fault)
        self.last, self.strays = poll, ()
        return Taken(((poll, tuple(shares)),))

    def _stray(self, poll: Poll, fault: Implausible) -> Taken:
        is_first = not self.strays
        before = self.strays
        if before:
            try:
                self._between(before[-1], poll)
            except Implausible:
                before = ()
        self.strays = (*before, poll)
        if len(self.strays) < ACCEPTED_AFTER:
            return Taken(fault=fault, is_first=is_first)
        accepted, self.strays, self.last = self.strays, (), poll
        return Taken(self._pieces(accepted), fault, is_first, accepted)

    def _pieces(self, polls: Sequence[Poll]) -> tuple[tuple[Poll, tuple[Share, ...]], ...]:
        return tuple((after, tuple(self._between(before, after))) for before, after in pairwise(polls))

    def _between(self, before: Poll, after: Poll) -> list[Share]:
        elapsed_s = after.boundary_s - before.boundary_s + _LATE_S
        return intervals_between(
            before,
            after,
            length_s=self.length_s,
            roll_over_wh=self.roll_over_wh,
            most_wh=most_wh(elapsed_s, self.max_power_w),
        )
