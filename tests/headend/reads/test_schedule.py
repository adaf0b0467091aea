"""What each meter owes, checked against a plain set of intervals."""

from hypothesis import given
from hypothesis import strategies as st

from headend.backoff import BackOff
from headend.reads.schedule import Cadence, Schedule

GRACE_S = 120
QUARTER = Cadence(900, 900, GRACE_S)


def schedule(start_s: float = 0, cadence: Cadence = QUARTER) -> Schedule:
    return Schedule([cadence], [start_s])


def test_the_schedule_begins_with_the_interval_that_contains_the_registration() -> None:
    assert schedule(1799.5).mark_s(0) == 900


def test_an_interval_is_due_when_its_grace_is_over() -> None:
    plan = schedule()
    assert not plan.is_behind(0, 900 + GRACE_S - 1)
    assert plan.is_behind(0, 900 + GRACE_S)
    assert plan.next_due_s(GRACE_S) == 900 + GRACE_S
    assert plan.next_due_s(900 + GRACE_S) == 1800 + GRACE_S


def test_a_meter_that_reports_in_blocks_is_not_behind_before_its_block() -> None:
    plan = schedule(cadence=Cadence(900, 4 * 3600, GRACE_S))
    assert not plan.is_behind(0, 4 * 3600 + GRACE_S - 1)
    assert plan.missing_range(0, 4 * 3600 + GRACE_S, max_intervals=96) == (0, 4 * 3600)


def test_a_request_covers_the_first_to_the_last_missing_interval() -> None:
    plan = schedule()
    for start_s in (0, 2700, 4500):
        plan.settle(0, start_s, 900)
    assert plan.missing_range(0, 6 * 900 + GRACE_S, max_intervals=96) == (900, 4500)
    assert plan.missing_range(0, 6 * 900 + GRACE_S, max_intervals=2) == (900, 2700)


def test_intervals_of_another_length_or_off_the_grid_settle_nothing() -> None:
    plan = schedule()
    assert not plan.settle(0, 0, 300)
    assert not plan.settle(0, 450, 900)
    assert not plan.settle(0, -900, 900)
    assert plan.unsettled(0, 0, 1800) == [0, 900]


@given(st.lists(st.integers(-3, 40)), st.integers(0, 40), st.integers(0, 5), st.integers(0, 40))
def test_in_any_order_it_agrees_with_a_set(slots: list[int], due: int, first: int, last: int) -> None:
    plan = schedule()
    settled: set[int] = set()
    for slot in slots:
        assert plan.settle(0, slot * 900, 900) == (slot >= 0 and slot not in settled)
        settled.add(slot)
    owed = [slot for slot in range(due) if slot not in settled]
    now_s = due * 900 + GRACE_S
    assert plan.is_behind(0, now_s) == bool(owed)
    assert plan.behind(now_s) == ([0] if owed else [])
    expected = (owed[0] * 900, (owed[-1] + 1) * 900) if owed else None
    assert plan.missing_range(0, now_s, max_intervals=1000) == expected
    assert plan.unsettled(0, first * 900, last * 900) == [
        slot * 900 for slot in range(first, last) if slot not in settled
    ]


@given(st.integers(0, 200), st.text(max_size=12))
def test_a_back_off_doubles_is_capped_and_repeats_itself(attempt: int, key: str) -> None:
    back_off = BackOff(60, 900)
    nominal_s = min(900, 60 * 2 ** min(attempt, 10))
    assert 0.75 * nominal_s <= back_off.delay_s(attempt, key) <= 1.25 * nominal_s
    assert back_off.delay_s(attempt, key) == BackOff(60, 900).delay_s(attempt, key)


def test_a_polled_meter_owes_nothing_and_leaves_the_others_alone() -> None:
    plan = Schedule([None, QUARTER], [0, 0])
    now_s = 2 * 900 + GRACE_S
    assert plan.behind(now_s) == [1]
    assert not plan.settle(0, 0, 900)
    assert not plan.is_behind(0, now_s)
    assert plan.missing_range(0, now_s, max_intervals=96) is None
    assert plan.unsettled(0, 0, 1800) == []
    assert Schedule([None], [0]).behind(now_s) == []
    assert Schedule([None], [0]).next_due_s(now_s) is None
