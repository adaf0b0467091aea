"""The life of commands, without a database or a device: which may follow what, and when something is sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headend.backoff import BackOff
from headend.commands.lifecycle import ENDS, State
from headend.commands.orders import RETRY_GRID_S, Order, Orders
from headend.drivers import driver_for
from headend.pace import Pace
from headend.registry import EndDevice

NOW_S = 1_768_435_200.0


def device(number: int) -> EndDevice:
    return EndDevice(number, number + 1, f"AMI{number}", f"UP{number}", "g", driver_for("rl-dsp"), NOW_S)


def order(number: int, meter: int, **changed: object) -> Order:
    usual = {
        "command_id": f"c{number}", "device": device(meter), "purpose": "ping", "params": {}, "requested_by": "me",
        "not_before_s": NOW_S - 300, "expires_s": NOW_S + 100, "state": State.APPROVED, "attempts": 0, "next_s": NOW_S,
    }  # fmt: skip
    return Order(**{**usual, **changed})  # type: ignore[arg-type]  # of any kind


def orders(*under_way: Order, away: set[int] | None = None) -> Orders:
    gone = set() if away is None else away
    pace = Pace(120, BackOff(60.0, 900.0), BackOff(14_400.0, 14_400.0), 600, order_first_s=20.0, order_max_s=60.0)
    made = Orders(pace_of=lambda _device: pace, is_away=lambda found: found.index in gone)
    made.add(under_way)
    return made


def test_a_command_is_sent_again_with_pauses_that_double_until_it_ends() -> None:
    found = orders(order(1, 0, expires_s=NOW_S + 200))
    sent = []
    now_s = NOW_S
    while (due_s := found.next_due_s(now_s)) is not None:
        now_s = due_s
        (ended,) = found.expire(now_s) or (None,)
        if ended is not None:
            assert (ended.state, ended.reason, ended.at_s, ended.attempt) == ("expired", "no_answer", NOW_S + 200, 5)
            break
        for due in found.due(now_s, most=10):
            found.queued(due, now_s)
            assert found.step(due, State.SENT, now_s) is not None
            sent.append(now_s - NOW_S)
    assert sent == [0, 20, 60, 120, 180]
    assert len(found) == 0


def test_repetitions_fall_on_a_grid() -> None:
    found = orders(order(1, 0))
    (due,) = found.due(NOW_S + 1.3, most=1)
    found.queued(due, NOW_S + 1.3)
    assert found.next_due_s(NOW_S + 1.3) == NOW_S + 25
    assert due.next_s % RETRY_GRID_S == 0


def test_who_is_away_is_sent_nothing_until_it_is_back() -> None:
    away = {0}
    found = orders(order(1, 0), order(2, 1), away=away)
    assert [due.command_id for due in found.due(NOW_S, most=10)] == ["c2"]
    away.clear()
    assert [due.command_id for due in found.due(NOW_S + 50, most=10)] == ["c1", "c2"]
    away.add(0)
    assert {step.command_id: step.reason for step in found.expire(NOW_S + 100)} == {
        "c1": "unreachable", "c2": "unreachable"
    }  # fmt: skip


def test_one_command_for_each_device_and_no_more_than_are_wanted() -> None:
    found = orders(order(1, 0), order(2, 0), order(3, 1), order(4, 2))
    assert [due.command_id for due in found.due(NOW_S, most=10)] == ["c1", "c3", "c4"]
    assert [due.command_id for due in found.due(NOW_S, most=2)] == ["c1", "c3"]


def test_nothing_is_sent_before_it_may_act_or_before_it_is_approved() -> None:
    later, waiting = order(1, 0, not_before_s=NOW_S + 30), order(2, 1, state=State.REQUESTED)
    found = orders(later, waiting)
    assert found.due(NOW_S + 29.9, most=10) == []
    assert found.next_due_s(NOW_S) == NOW_S + 30
    assert found.due(NOW_S + 30, most=10) == [later]
    assert found.step(waiting, State.APPROVED, NOW_S + 31, actor="somebody") is not None
    assert set(map(id, found.due(NOW_S + 31, most=10))) == {id(later), id(waiting)}


def test_why_nothing_came_of_a_command() -> None:
    silent, refused, unapproved = order(1, 0), order(2, 1, trouble="gateway_target_failed"), order(3, 2)
    unapproved.state = State.REQUESTED
    found = orders(silent, refused, unapproved)
    for each in (silent, refused):
        found.queued(each, NOW_S)
    assert {step.command_id: step.reason for step in found.expire(NOW_S + 100)} == {
        "c1": "no_answer", "c2": "gateway_target_failed", "c3": "not_approved"
    }  # fmt: skip


def test_a_command_belongs_to_its_device() -> None:
    one = order(1, 0)
    found = orders(one)
    assert found.of(device(0), "c1") is one
    assert found.of(device(1), "c1") is None
    assert found.of(device(0), "c2") is None


@pytest.mark.parametrize("end", sorted(ENDS))
def test_nothing_follows_an_end(end: State) -> None:
    assert [state for state in State if end.may_become(state)] == []


def test_only_what_was_not_sent_can_be_cancelled() -> None:
    assert [state for state in State if state.may_become(State.CANCELLED)] == [
        State.REQUESTED, State.APPROVED, State.QUEUED
    ]  # fmt: skip


def test_what_was_requested_goes_nowhere_without_approval() -> None:
    assert not State.REQUESTED.may_become(State.QUEUED)


@given(st.lists(st.sampled_from(State), max_size=20))
def test_a_life_has_one_end_and_never_goes_back_but_for_a_retry(wishes: list[State]) -> None:
    one = order(1, 0, state=State.REQUESTED)
    found = orders(one)
    lived = [State.REQUESTED]
    for wish in wishes:
        step = found.step(one, wish, NOW_S)
        if step is not None:
            assert lived[-1] not in ENDS
            before, after = list(State).index(lived[-1]), list(State).index(wish)
            assert after > before or wish is State.QUEUED
            lived.append(wish)
    assert (len(found) == 0) == (lived[-1] in ENDS)
