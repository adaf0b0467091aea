"""How fast simulated time goes, with a clock that the test turns on."""

from __future__ import annotations

import asyncio

import pytest

from lab.lockstep.pace import Agenda, Pace, WallPace
from lab.lockstep.timeline import Action

INJECTED = Action(150, "open", "transformer T1")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_an_instant_that_has_come_is_reached_at_once(clock: Clock) -> None:
    pace = Pace(0, 10.0, clock=clock)
    clock.now += 6
    assert await pace.reach(60)
    assert pace.reached_s == 60


async def test_time_shows_what_the_clock_says_but_never_more_than_is_waited_for(clock: Clock) -> None:
    pace = Pace(0, 10.0, clock=clock)
    waiting = asyncio.create_task(pace.reach(60))
    await asyncio.sleep(0)
    clock.now += 3
    assert pace.now_s() == 30
    clock.now += 100
    assert pace.now_s() == 60
    pace.look_again()
    assert not await waiting


async def test_who_waits_looks_again_when_the_speed_changes(clock: Clock) -> None:
    pace = Pace(0, 1.0, clock=clock)
    waiting = asyncio.create_task(pace.reach(900))
    await asyncio.sleep(0)
    clock.now += 100
    pace.set(None)
    assert not await waiting
    assert pace.reached_s == 0
    assert await pace.reach(900)
    assert pace.now_s() == 900


async def test_what_is_late_is_made_up_for_unless_the_speed_changes(clock: Clock) -> None:
    pace = Pace(0, 10.0, clock=clock)
    clock.now += 10
    assert await pace.reach(50)
    assert await pace.reach(100)
    clock.now += 100
    pace.set(10.0)
    waiting = asyncio.create_task(pace.reach(200))
    await asyncio.sleep(0)
    assert not waiting.done() or not waiting.result(), "100 s of delay were let go"
    clock.now += 10
    assert await pace.reach(200)


async def test_nothing_comes_while_time_is_paused(clock: Clock) -> None:
    pace = Pace(0, 0.0, clock=clock)
    waiting = asyncio.create_task(pace.reach(1))
    clock.now += 1e6
    await asyncio.sleep(0)
    assert not waiting.done()
    pace.set(1.0)
    assert not await waiting
    assert pace.now_s() == 0


async def test_excused_time_is_not_made_up_for(clock: Clock) -> None:
    pace = Pace(0, 10.0, clock=clock)
    clock.now += 100
    pace.excuse(99)
    waiting = asyncio.create_task(pace.reach(11))
    await asyncio.sleep(0)
    assert pace.now_s() == 10
    waiting.cancel()


def test_an_agenda_can_be_added_to_and_taken_from() -> None:
    end = Action(200, "close", "transformer T1")
    agenda = Agenda([end, Action(100, "reboot", stations=("A",))], end_s=300)
    assert agenda.next_s() == 100
    assert [action.verb for action in agenda.take(100)] == ["reboot"]
    agenda.put(INJECTED)
    assert agenda.next_s() == 150
    agenda.drop(end)
    assert agenda.take(299) == [INJECTED]
    assert agenda.next_s() == 300


def test_at_one_instant_ends_come_before_beginnings_whenever_they_were_put() -> None:
    agenda = Agenda()
    for action in (Action(5, "open", "A"), Action(5, "close", "B"), Action(5, "kill", "broker")):
        agenda.put(action)
    assert [action.verb for action in agenda.take(5)] == ["close", "open", "kill"]


async def test_the_time_on_the_wall_is_caught_up_with_and_then_kept(clock: Clock) -> None:
    pace = WallPace(100, clock=clock)
    for instant in (100, 400, 1000):
        assert await pace.reach(instant), "the past is gone through at once"
    pace.excuse(600)
    waiting = asyncio.create_task(pace.reach(1010))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert pace.now_s() == 1000
    clock.now += 4
    assert pace.now_s() == 1004
    pace.look_again()
    assert not await waiting
    clock.now += 10_000
    assert await pace.reach(1010), "the machine has slept"
    assert await pace.reach(10_000)


async def test_who_waits_long_for_the_wall_clock_looks_again_now_and_then(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.lockstep.pace._LOOK_AGAIN_S", 0.01)
    assert not await WallPace(1000, clock=clock).reach(1900), "the machine may sleep, and the wait does not count that"
