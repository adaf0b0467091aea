"""What each user has to do, and when: the schedule against which the generator's own lag is measured. Pure.

Instants are seconds since the start of the load, and do not depend on when a user was made: one that comes late, or in
another's place, goes on where the schedule is. Intervals are numbered, 0 being the one that a meter reports first;
older ones have negative numbers. So a schedule says which rows a database must have in the end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from heapq import merge

from loadtests.shapes import Storm, Wave

_GOLDEN = (math.sqrt(5) - 1) / 2


class Kind(IntEnum):
    """What is sent. Intervals: READING by a meter itself, BLOCK by its collector, BACKLOG by either."""

    READING = 0
    BLOCK = 1
    BACKLOG = 2
    EVENT = 3
    POLL = 4
    QUERY = 5


GASP, RESTORE = 1, 2
"""Sequence numbers of a meter's two events."""


@dataclass(frozen=True, slots=True, order=True)
class Duty:
    """`first`: number of the first of `count` intervals; of an event its sequence number, of a poll the unit."""

    due_s: float
    meter: int
    kind: Kind
    first: int
    count: int = 1


@dataclass(frozen=True, slots=True)
class Rhythm:
    """A capture period passes in `period_s` seconds; collectors report `block` intervals at once. Ends at `end_s`."""

    period_s: float
    block: int
    end_s: float
    storm: Storm | None = None
    wave: Wave | None = None

    @property
    def oldest(self) -> int:
        """The smallest number of an interval that anybody sends."""
        return -self.block - (0 if self.wave is None else self.wave.depth)

    @property
    def newest(self) -> int:
        """One more than the largest number."""
        return math.ceil(self.end_s / self.period_s) + 1


def spread(number: int) -> float:
    """A place in [0, 1) for each number, such that any run of them is spread evenly (golden ratio)."""
    return (number * _GOLDEN) % 1.0


def of_meter(meter: int, rhythm: Rhythm, from_s: float) -> Iterator[Duty]:
    """Duties of a meter with a connection of its own, from `from_s` on, in the order of time."""
    return merge(_readings(meter, rhythm, from_s), _events(meter, rhythm, from_s), _backlog(meter, rhythm, from_s, 1))


def of_collector(meters: range | list[int], rhythm: Rhythm, from_s: float) -> Iterator[Duty]:
    """Duties of a collector: blocks of its meters one after the other, so that the load is even."""
    streams = [_blocks(meter, place / len(meters), rhythm, from_s) for place, meter in enumerate(meters)]
    streams += [_events(meter, rhythm, from_s) for meter in meters]
    streams += [_backlog(meter, rhythm, from_s, rhythm.block) for meter in meters]
    return merge(*streams)


def of_master(gateway: int, units: int, rhythm: Rhythm, from_s: float) -> Iterator[Duty]:
    """Polls of all units of a gateway, one after the other, in each period."""
    step_s = rhythm.period_s / units
    shift_s = spread(gateway) * step_s
    number = max(0, math.ceil((from_s - shift_s) / step_s))
    while (due_s := number * step_s + shift_s) < rhythm.end_s:
        yield Duty(due_s, gateway, Kind.POLL, number % units + 1)
        number += 1


def of_reader(reader: int, pause_s: float, rhythm: Rhythm, from_s: float) -> Iterator[Duty]:
    """A query in each `pause_s`; `first` counts them."""
    number = max(0, math.ceil(from_s / pause_s - spread(reader)))
    while (due_s := (number + spread(reader)) * pause_s) < rhythm.end_s:
        yield Duty(due_s, reader, Kind.QUERY, number)
        number += 1


def _readings(meter: int, rhythm: Rhythm, from_s: float) -> Iterator[Duty]:
    phase = spread(meter)
    number = max(0, math.ceil(from_s / rhythm.period_s - phase))
    while (due_s := (number + phase) * rhythm.period_s) < rhythm.end_s:
        if not _is_dark(due_s, rhythm.storm):
            yield Duty(due_s, meter, Kind.READING, number)
        number += 1


def _blocks(meter: int, phase: float, rhythm: Rhythm, from_s: float) -> Iterator[Duty]:
    every_s = rhythm.period_s * rhythm.block
    number = max(0, math.ceil(from_s / every_s - phase))
    while (due_s := (number + phase) * every_s) < rhythm.end_s:
        yield Duty(due_s, meter, Kind.BLOCK, (number - 1) * rhythm.block, rhythm.block)
        number += 1


def _events(meter: int, rhythm: Rhythm, from_s: float) -> Iterator[Duty]:
    storm = rhythm.storm
    if storm is None or from_s > storm.at_s:
        # Who comes in the middle of an outage has seen nothing of it.
        return
    offset_s = spread(meter) * storm.gather_s
    yield Duty(storm.at_s + offset_s, meter, Kind.EVENT, GASP)
    yield Duty(storm.at_s + storm.dark_s + offset_s, meter, Kind.EVENT, RESTORE)


def _backlog(meter: int, rhythm: Rhythm, from_s: float, at_once: int) -> Iterator[Duty]:
    wave = rhythm.wave
    if wave is None or from_s > wave.at_s:
        return
    oldest = -rhythm.block - wave.depth
    messages = -(-wave.depth // at_once)
    for number in range(messages):
        first = number * at_once
        due_s = wave.at_s + (number + spread(meter)) * wave.within_s / messages
        yield Duty(due_s, meter, Kind.BACKLOG, oldest + first, min(at_once, wave.depth - first))


def _is_dark(at_s: float, storm: Storm | None) -> bool:
    return storm is not None and storm.at_s <= at_s < storm.at_s + storm.dark_s
