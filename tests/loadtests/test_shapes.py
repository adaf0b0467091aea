"""Shapes and schedules as functions: whatever their parameters are, what they promise holds."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from loadtests import duties
from loadtests.duties import GASP, RESTORE, Duty, Kind, Rhythm, spread
from loadtests.shapes import Shape, Storm, Wave, faults_of

levels = st.floats(0, 1)


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    steps = draw(st.lists(st.floats(0.1, 100), min_size=1, max_size=6))
    times = [0.0]
    for step in steps:
        times.append(times[-1] + step)
    return Shape("any", tuple((at_s, draw(levels)) for at_s in times))


@st.composite
def rhythms(draw: st.DrawFn, *, incidents: bool = True) -> Rhythm:
    period_s, block = draw(st.floats(0.2, 5)), draw(st.integers(1, 16))
    end_s = draw(st.floats(20, 60))
    storm = Storm(draw(st.floats(1, 8)), 1.0, draw(st.floats(1, 8))) if incidents and draw(st.booleans()) else None
    wave = Wave(draw(st.floats(1, 8)), 5.0, draw(st.integers(1, 40))) if incidents and draw(st.booleans()) else None
    return Rhythm(period_s, block, end_s, storm, wave)


@given(shapes(), st.floats(0, 700))
def test_a_level_is_a_share_until_the_shape_is_over(shape: Shape, at_s: float) -> None:
    level = shape.level(at_s)
    assert (level is None) == (at_s >= shape.duration_s)
    assert level is None or -1e-9 <= level <= 1 + 1e-9


@given(shapes())
def test_a_shape_meets_its_corners(shape: Shape) -> None:
    for at_s, level in shape.corners[:-1]:
        assert shape.level(at_s) == pytest.approx(level)


@given(shapes())
def test_between_two_corners_the_level_stays_between_theirs(shape: Shape) -> None:
    for (from_s, low), (to_s, high) in pairwise(shape.corners):
        middle = shape.level((from_s + to_s) / 2)
        assert middle is not None
        assert min(low, high) - 1e-9 <= middle <= max(low, high) + 1e-9


def test_every_fault_of_a_shape_is_named() -> None:
    shape = Shape("bad", ((1, 0), (0, 3)), Storm(5, 2, 1), Wave(9, 9, 1))
    text = " ".join(faults_of(shape))
    for words in (
        "begin at 0",
        "order of time",
        "from 0 to 1",
        "storm of the shape",
        "before the last gasps",
        "wave of",
    ):
        assert words in text
    assert faults_of(Shape("empty", ((0, 0), (1, 0)))) == ["the shape empty has no users at any time"]
    assert faults_of(Shape("good", ((0, 1), (1, 1)))) == []


def all_of(duties_: list[Duty]) -> Counter[tuple[int, int]]:
    """How often each interval of each meter is sent."""
    kinds = (Kind.READING, Kind.BLOCK, Kind.BACKLOG)
    return Counter(
        (duty.meter, number)
        for duty in duties_
        if duty.kind in kinds
        for number in range(duty.first, duty.first + duty.count)
    )


@given(rhythms(), st.integers(0, 10_000))
def test_a_meter_sends_no_interval_twice_and_none_out_of_range(rhythm: Rhythm, meter: int) -> None:
    done = list(duties.of_meter(meter, rhythm, 0.0))
    counts = all_of(done)
    assert set(counts.values()) <= {1}
    assert all(rhythm.oldest <= number < rhythm.newest for _, number in counts)
    assert [duty.due_s for duty in done] == sorted(duty.due_s for duty in done)


@given(rhythms(), st.integers(1, 30))
def test_neither_do_the_meters_of_a_collector(rhythm: Rhythm, meters: int) -> None:
    done = list(duties.of_collector(range(meters), rhythm, 0.0))
    counts = all_of(done)
    assert set(counts.values()) <= {1}
    assert all(rhythm.oldest <= number < rhythm.newest for _, number in counts)
    assert [duty.due_s for duty in done] == sorted(duty.due_s for duty in done)


@given(rhythms(incidents=False), st.integers(0, 100), st.floats(0, 19))
def test_who_comes_late_goes_on_where_the_schedule_is(rhythm: Rhythm, meter: int, from_s: float) -> None:
    whole = list(duties.of_meter(meter, rhythm, 0.0))
    late = list(duties.of_meter(meter, rhythm, from_s))
    assert [duty for duty in whole if duty.due_s >= from_s + 1e-6] == [d for d in late if d.due_s >= from_s + 1e-6]
    assert set(late) <= set(whole)


@given(rhythms(), st.integers(0, 1000))
def test_a_dark_meter_is_silent_between_its_gasp_and_the_return_of_supply(rhythm: Rhythm, meter: int) -> None:
    assume(rhythm.storm is not None)
    storm = rhythm.storm
    assert storm is not None
    done = list(duties.of_meter(meter, rhythm, 0.0))
    events = [(duty.first, duty.due_s) for duty in done if duty.kind is Kind.EVENT]
    assert [sequence for sequence, _ in events] == [GASP, RESTORE]
    assert storm.at_s <= events[0][1] < storm.at_s + storm.gather_s
    assert events[1][1] == pytest.approx(events[0][1] + storm.dark_s)
    readings = [duty.due_s for duty in done if duty.kind is Kind.READING]
    assert not any(storm.at_s <= due_s < storm.at_s + storm.dark_s for due_s in readings)


@given(rhythms(), st.integers(0, 50), st.integers(1, 31))
def test_a_master_asks_each_unit_once_in_each_period(rhythm: Rhythm, gateway: int, units: int) -> None:
    polls = list(duties.of_master(gateway, units, rhythm, 0.0))
    counts = Counter(duty.first for duty in polls)
    assert set(counts) <= set(range(1, units + 1))
    expected = rhythm.end_s / rhythm.period_s
    assert all(math.floor(expected) - 1 <= count <= math.ceil(expected) + 1 for count in counts.values())


@given(st.integers(0, 100_000), st.integers(10, 200))
def test_neighbours_are_spread_over_the_whole_period(first: int, count: int) -> None:
    tenths = Counter(int(spread(number) * 10) for number in range(first, first + count))
    assert max(tenths.values()) <= math.ceil(count / 10) + 3
