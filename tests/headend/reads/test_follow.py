"""Which polls are believed, whatever a register shows: without sockets."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headend.drivers import Registers
from headend.ratios import Ratios
from headend.reads.follow import ACCEPTED_AFTER, Follower, Taken
from headend.reads.plausibility import most_wh
from headend.registry import rated_power_w
from headend.store.register_records import BoundaryReading, DerivedInterval

LENGTH_S = 900
ROLL_OVER_WH = 100_000_000
START_S = 1_768_435_200
POWER_W = rated_power_w(100.0)
MOST_WH = 17_000
"""100 A in three phases over a quarter-hour, without any margin."""


def poll(number: int, import_wh: int, export_wh: int = 0) -> BoundaryReading:
    boundary_s = START_S + number * LENGTH_S
    return BoundaryReading(boundary_s, boundary_s + 1.0, Registers(import_wh, export_wh, 0, (230.0, 230.0, 230.0)))


def follow(shown_wh: list[int | None]) -> tuple[Follower, list[Taken]]:
    """What becomes of a register that shows these values at one boundary after the other; None: no answer."""
    follower = Follower(LENGTH_S, ROLL_OVER_WH, POWER_W)
    return follower, [follower.take(poll(number, value)) for number, value in enumerate(shown_wh) if value is not None]


def shares_of(taken: list[Taken]) -> list[DerivedInterval]:
    return [share for one in taken for _, shares in one.pieces for share in shares]


def energies(taken: list[Taken]) -> list[tuple[int, int, bool]]:
    """(interval, Wh, estimated)."""
    return [((s.start_s - START_S) // LENGTH_S, s.import_wh, s.estimated) for s in shares_of(taken)]


@pytest.mark.parametrize("before_kwh", [5, 40_000, 60_000, 89_000])
@pytest.mark.parametrize("glitch", [0, 3, 99_999_999])
def test_a_register_that_comes_back_is_estimated_over(before_kwh: int, glitch: int) -> None:
    base = before_kwh * 1000
    _, taken = follow([base, base + 100, glitch, base + 300, base + 400])
    assert energies(taken) == [(0, 100, False), (1, 100, True), (2, 100, True), (3, 100, False)]
    assert [one.fault.reason if one.fault else None for one in taken] == [
        None, None, "register_jump" if glitch > base else "register_backwards", None, None
    ]  # fmt: skip


def test_a_register_that_stays_lower_is_accepted_and_nothing_is_made_up() -> None:
    _, taken = follow([500_000, *range(10, 10 + ACCEPTED_AFTER + 1)])
    assert energies(taken[:ACCEPTED_AFTER]) == []
    assert [one.is_first for one in taken[1:ACCEPTED_AFTER]] == [True] + [False] * (ACCEPTED_AFTER - 2)
    assert len(taken[ACCEPTED_AFTER].accepted) == ACCEPTED_AFTER
    # From its first poll on nothing is lost, and of the interval before it nothing is said.
    assert energies(taken) == [(number, 1, False) for number in range(1, ACCEPTED_AFTER + 1)]


def test_strays_that_do_not_agree_are_never_accepted() -> None:
    shown: list[int | None] = [50_000_000, *(value for _ in range(20) for value in (0, 30_000_000))]
    follower, taken = follow([*shown, 50_000_900])
    assert not any(one.accepted for one in taken)
    assert sum(energy for _, energy, _ in energies(taken)) == 900
    assert follower.strays == ()


def test_a_roll_over_is_an_advance() -> None:
    _, taken = follow([ROLL_OVER_WH - 40, 60])
    assert energies(taken) == [(0, 100, False)]


def test_a_boundary_that_was_dealt_with_changes_nothing() -> None:
    follower, _ = follow([1000, 1100])
    assert follower.take(poll(1, 5000)) == Taken()
    assert follower.take(poll(0, 5000)) == Taken()


BEYOND: list[tuple[dict[str, float], str]] = [
    ({"active_power_l1_w": 10_000_000}, "power_beyond_rating"),
    ({"reactive_power_l3_var": -103_501}, "power_beyond_rating"),
    ({"current_l2_a": 150.1}, "current_beyond_rating"),
]


def measuring(number: int, import_wh: int, channels: dict[str, float]) -> BoundaryReading:
    reading = poll(number, import_wh)
    return replace(reading, registers=reading.registers._replace(channels=channels))


@pytest.mark.parametrize(("channels", "reason"), BEYOND)
def test_a_phase_beyond_the_rating_is_not_believed_however_often_it_is_shown(
    channels: dict[str, float], reason: str
) -> None:
    follower = Follower(LENGTH_S, ROLL_OVER_WH, POWER_W)
    beyond = range(1, 2 * ACCEPTED_AFTER)
    taken = [follower.take(poll(0, 0)), *(follower.take(measuring(n, 100 * n, channels)) for n in beyond)]
    assert [one.fault.reason for one in taken[1:] if one.fault] == [reason] * len(beyond)
    assert [one.is_first for one in taken].count(True) == 1
    assert not any(one.accepted for one in taken)
    assert energies(taken) == []
    back = follower.take(poll(beyond.stop, 100 * beyond.stop))
    assert energies([back]) == [(number, 100, True) for number in range(beyond.stop)], "no energy is lost"


def test_a_first_reading_beyond_the_rating_is_none() -> None:
    follower = Follower(LENGTH_S, ROLL_OVER_WH, POWER_W)
    assert follower.take(measuring(0, 0, {"active_power_l1_w": 10_000_000})).fault is not None
    assert follower.take(poll(1, 100)) == Taken()
    assert energies([follower.take(poll(2, 200))]) == [(1, 100, False)]


def test_a_replaced_meter_is_not_accepted_with_what_it_cannot_have_measured() -> None:
    follower = Follower(LENGTH_S, ROLL_OVER_WH, POWER_W)
    taken = [follower.take(poll(0, 50_000_000)), follower.take(measuring(1, 1, {"current_l1_a": 151.0}))]
    taken += [follower.take(poll(number, number)) for number in range(2, ACCEPTED_AFTER + 2)]
    assert [stray.boundary_s for stray in taken[-1].accepted] == [
        START_S + number * LENGTH_S for number in range(2, ACCEPTED_AFTER + 2)
    ]


ratios = st.floats(1, 10_000)


@given(ratios, ratios, st.floats(1, 1e8), st.integers(-(10**9), 10**9))
def test_no_phase_that_is_believed_overflows_its_column_behind_transformers(
    current: float, voltage: float, power_w: float, shown_w: int
) -> None:
    both = Ratios(current, voltage)
    follower = Follower(LENGTH_S, ROLL_OVER_WH, power_w, both.power)
    follower.take(poll(0, 0))
    taken = follower.take(measuring(1, 0, {"active_power_l1_w": shown_w}))
    assert taken.fault is not None or abs(round(shown_w * both.of("active_power_l1_w"))) < 2**31


@given(st.lists(st.one_of(st.none(), st.integers(0, ROLL_OVER_WH - 1)), max_size=60))
def test_whatever_is_shown_no_energy_is_more_than_physics(shown_wh: list[int | None]) -> None:
    _, taken = follow(shown_wh)
    shares = shares_of(taken)
    starts = [share.start_s for share in shares]
    assert starts == sorted(set(starts)), "each interval once"
    for one in taken:
        for _, piece in one.pieces:
            assert 0 <= sum(share.import_wh for share in piece) <= most_wh(len(piece) * LENGTH_S + 60, POWER_W)


steps_wh = st.integers(0, MOST_WH)
glitches_wh = st.one_of(st.integers(0, 9_000_000), st.integers(60_000_000, ROLL_OVER_WH - 1))


@given(
    st.lists(st.tuples(steps_wh, st.one_of(st.none(), st.just(True), glitches_wh)), min_size=1, max_size=80), steps_wh
)
def test_once_it_is_back_intervals_sum_to_the_register_difference(
    polls: list[tuple[int, bool | int | None]], last_wh: int
) -> None:
    """True values lie between 10 and 20 MWh; glitches far from them; some polls are not answered."""
    true_wh, together = 10_000_000, 0
    shown: list[int | None] = [true_wh]
    for step_wh, what in polls:
        true_wh += step_wh
        # Of glitches that look like a meter of its own there are fewer than are believed.
        glitched = what is not None and what is not True
        together = together + 1 if glitched and together < ACCEPTED_AFTER - 1 else 0
        shown.append(None if what is None else what if together else true_wh)  # an int if glitched
    true_wh += last_wh
    _, taken = follow([*shown, true_wh])
    shares = shares_of(taken)
    assert [share.start_s for share in shares] == [START_S + number * LENGTH_S for number in range(len(shown))]
    assert sum(share.import_wh for share in shares) == true_wh - 10_000_000
    for number, value in enumerate(shown):
        if value is None or not 10_000_000 <= value < 60_000_000:
            beside = [
                s for s in shares if s.start_s in (START_S + (number - 1) * LENGTH_S, START_S + number * LENGTH_S)
            ]
            assert all(share.estimated for share in beside), "nothing beside a glitch or a gap is called actual"
