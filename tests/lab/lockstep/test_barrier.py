"""The barrier by itself, with toy parts that exchange messages through a slow, ordered toy broker."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import pytest

from lab.lockstep.barrier import (
    NOTHING_SWITCHED,
    Barrier,
    BarrierStalled,
    FleetRound,
    GridStep,
    HeadRound,
    Switched,
)
from lab.lockstep.link import PartGone


class ToyBroker:
    """Delivers each queue in order, but only when the event loop has turned a random number of times."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.up: deque[tuple[str, str]] = deque()
        self.down: dict[str, deque[str]] = {}

    async def delay(self) -> None:
        for _ in range(self.random.randrange(4)):
            await asyncio.sleep(0)


class ToyGrid:
    def __init__(self, step_s: int) -> None:
        self.step_s = step_s
        self.frames = 0
        self.switched: list[tuple[int, dict[int, bool]]] = []

    async def advance(self, now_s: int, switched: Switched = NOTHING_SWITCHED) -> GridStep:
        if switched:
            self.switched.append((now_s, dict(switched)))
            self.frames += 1
            return GridStep(float(now_s - now_s % self.step_s + self.step_s), b"after " + str(now_s).encode())
        due = now_s % self.step_s == 0
        self.frames += due
        return GridStep(float(now_s - now_s % self.step_s + self.step_s), b"frame" if due else None)


class ToyFleet:
    """Each meter reads every `period_s`; it answers a command with one message per command."""

    def __init__(self, broker: ToyBroker, serials: Sequence[str], period_s: int) -> None:
        self.broker = broker
        self.serials = serials
        self.period_s = period_s
        self.now_s = 0
        self.sent = 0
        self.fences: dict[str, str] = {}
        self.fresh: list[str] = list(serials)
        self.subscribed: set[str] = set()
        self.moved: dict[int, bool] = {}
        self.moves_for: dict[str, dict[int, bool]] = {}
        self.frames: list[tuple[int, bytes]] = []

    async def advance(self, now_s: int, frame: bytes | None) -> None:
        again, self.now_s = self.now_s == now_s, now_s
        if frame is not None:
            self.frames.append((now_s, frame))
        if now_s % self.period_s == 0 and not again:
            for serial in self.serials:
                self.push(serial, f"reading {now_s}")

    def push(self, serial: str, text: str) -> None:
        self.sent += 1
        self.broker.up.append((serial, text))

    async def settle(self) -> FleetRound:
        await self.broker.delay()
        sent, self.sent = self.sent, 0
        fresh, self.fresh = self.fresh, []
        due_s = float(self.now_s - self.now_s % self.period_s + self.period_s)
        moved, self.moved = self.moved, {}
        return FleetRound(sent, fresh, due_s, len(self.serials), moved)

    async def switched(self) -> Switched:
        raise AssertionError("the rounds tell it")

    async def flow(self, *, from_s: float, wall_s: float, speed: float, until_s: float) -> None: ...

    async def await_fence(self, token: str, stations: Sequence[str]) -> None:
        for serial in set(stations) & set(self.serials):
            while self.fences.get(serial) != token:
                await self.broker.delay()
                message = self.broker.down[serial].popleft()
                if message.startswith("fence "):
                    self.fences[serial] = message.removeprefix("fence ")
                    self.subscribed.add(serial)
                else:
                    self.moved.update(self.moves_for.get(message, {}))
                    self.push(serial, f"answer to {message}")


class ToyHead:
    """Asks a meter back `questions` times after each reading; commits only what a fence has flushed."""

    def __init__(self, broker: ToyBroker, questions: int = 0) -> None:
        self.broker = broker
        self.questions = questions
        self.committed: list[tuple[int, str, str]] = []
        self.asked: dict[str, int] = {}
        self.commanded: set[str] = set()
        self.now_s = 0
        self.timer_s: int | None = None
        self.timers_run: list[int] = []
        self.dies_in: str | None = None

    def live(self, where: str) -> None:
        if self.dies_in == where:
            raise PartGone("headend")

    async def begin(self, now_s: int) -> None:
        self.live("begin")
        self.now_s = now_s

    async def advance(self) -> None:
        self.live("advance")
        self.timers_run.append(self.now_s)
        self.timer_s = None

    async def settle(self) -> HeadRound:
        self.live("settle")
        await self.broker.delay()
        while self.broker.up:
            serial, text = self.broker.up.popleft()
            self.committed.append((self.now_s, serial, text))
            if self.asked.get(serial, 0) < self.questions:
                self.asked[serial] = self.asked.get(serial, 0) + 1
                self.commanded.add(serial)
                self.broker.down.setdefault(serial, deque()).append(f"question {self.asked[serial]}")
        commanded, self.commanded = sorted(self.commanded), set()
        return HeadRound(True, commanded, self.timer_s)

    async def fence_devices(self, token: str, serials: Sequence[str]) -> bool:
        self.live("fence")
        for serial in serials:
            self.broker.down.setdefault(serial, deque()).append(f"fence {token}")
        return True


@pytest.mark.parametrize("seed", range(20))
async def test_nothing_is_under_way_when_a_grant_ends(seed: int) -> None:
    broker = ToyBroker(seed)
    fleets = [ToyFleet(broker, [f"M{shard}{i}" for i in range(5)], 900) for shard in range(2)]
    head = ToyHead(broker, questions=3)
    barrier = Barrier(ToyGrid(900), fleets, head)
    await barrier.grant(900)
    assert not broker.up
    assert not any(broker.down.values())
    texts = [text for _, serial, text in head.committed if serial == "M00"]
    assert texts == ["reading 900", "answer to question 1", "answer to question 2", "answer to question 3"]
    assert all(set(fleet.serials) == fleet.subscribed for fleet in fleets), "fresh connections were not fenced"


async def test_instants_come_in_order_and_are_the_earliest_of_all_parts() -> None:
    broker = ToyBroker(1)
    head = ToyHead(broker)
    barrier = Barrier(ToyGrid(600), [ToyFleet(broker, ["M"], 900)], head)
    await barrier.grant(0)
    head.timer_s = 700
    await barrier.quiesce()
    granted = []
    while (due := barrier.next_due_s()) is not None and due <= 1800:
        await barrier.grant(due)
        granted.append(due)
    assert granted == [600, 700, 900, 1200, 1800]
    assert head.timers_run == [700]


async def test_a_timer_between_seconds_is_granted_at_the_next_second_and_time_never_stands_still() -> None:
    broker = ToyBroker(2)
    head = ToyHead(broker)
    barrier = Barrier(ToyGrid(600), [], head)
    await barrier.grant(0)
    head.timer_s = 12.25  # type: ignore[assignment] # an instant between two grants
    await barrier.quiesce()
    assert barrier.next_due_s() == 13
    await barrier.grant(13)
    head.timer_s = 3
    await barrier.quiesce()
    assert barrier.next_due_s() == 14, "a timer in the past is due at once, one second later"


async def test_an_absent_head_end_holds_nobody_up_and_makes_up_for_it_when_it_is_back() -> None:
    class Absent(ToyHead):
        absent = False

        async def settle(self) -> HeadRound:
            return HeadRound(True, (), None) if self.absent else await super().settle()

        async def fence_devices(self, token: str, serials: Sequence[str]) -> bool:
            return not self.absent and await super().fence_devices(token, serials)

    broker = ToyBroker(3)
    fleet = ToyFleet(broker, ["A", "B"], 900)
    head = Absent(broker, questions=1)
    barrier = Barrier(ToyGrid(900), [fleet], head)
    await barrier.grant(900)
    head.absent = True
    await barrier.grant(1800)
    fleet.fresh = ["A"]
    await barrier.grant(2700)
    assert fleet.now_s == 2700, "the meters lived through the grants"
    assert {at for at, _, _ in head.committed} == {900}
    head.absent = False
    await barrier.quiesce()
    committed = {(serial, text) for _, serial, text in head.committed}
    assert {(serial, f"reading {at}") for serial in "AB" for at in (900, 1800, 2700)} <= committed


async def test_a_head_end_that_dies_unasked_is_an_error() -> None:
    broker = ToyBroker(4)
    head = ToyHead(broker)
    barrier = Barrier(ToyGrid(900), [ToyFleet(broker, ["A"], 900)], head)
    head.dies_in = "settle"
    with pytest.raises(PartGone):
        await barrier.grant(900)


async def test_a_part_that_never_settles_is_reported_and_not_waited_for_for_ever() -> None:
    class Stuck(ToyFleet):
        async def settle(self) -> FleetRound:
            await asyncio.Event().wait()
            raise AssertionError

    broker = ToyBroker(5)
    barrier = Barrier(ToyGrid(900), [Stuck(broker, ["A"], 900)], ToyHead(broker), stall_s=0.05)
    with pytest.raises(BarrierStalled, match="simulated 1970-01-01 00:15:00"):
        await barrier.grant(900)


async def test_a_head_end_that_never_ends_its_timers_is_reported_too() -> None:
    """It may be waiting for a database that does not come back."""

    class Stuck(ToyHead):
        async def advance(self) -> None:
            await asyncio.Event().wait()

    broker = ToyBroker(5)
    head = Stuck(broker)
    head.timer_s = 900
    barrier = Barrier(ToyGrid(900), [ToyFleet(broker, ["A"], 900)], head, stall_s=0.2)
    with pytest.raises(BarrierStalled, match="simulated 1970-01-01 00:15:00"):
        await barrier.grant(900)


@pytest.mark.parametrize("gone", ["meters", "head-end"])
async def test_it_is_told_when_the_broker_seems_to_be_away(gone: str) -> None:
    class Alone(ToyFleet):
        async def settle(self) -> FleetRound:
            return replace(await super().settle(), connected=0)

    class Cut(ToyHead):
        async def settle(self) -> HeadRound:
            return replace(await super().settle(), connected=False)

    broker = ToyBroker(5)
    fleets = [ToyFleet(broker, ["A"], 900), ToyFleet(broker, ["B"], 900)]
    whole = Barrier(ToyGrid(900), [*fleets, Alone(broker, ["C"], 900)], ToyHead(broker))
    await whole.grant(900)
    assert not whole.out_of_touch, "one fleet may well have nobody connected"
    if gone == "meters":
        barrier = Barrier(ToyGrid(900), [Alone(broker, ["A"], 900)], None)
    else:
        barrier = Barrier(ToyGrid(900), [ToyFleet(broker, ["A"], 900)], Cut(broker))
    await barrier.grant(900)
    assert barrier.out_of_touch


@pytest.mark.parametrize("seed", range(5))
async def test_the_same_grants_give_the_same_commits(seed: int) -> None:
    async def run(broker_seed: int) -> list[tuple[int, str, str]]:
        broker = ToyBroker(broker_seed)
        head = ToyHead(broker, questions=2)
        barrier = Barrier(ToyGrid(900), [ToyFleet(broker, ["A", "B", "C"], 900)], head)
        for at in (900, 1800, 2700):
            await barrier.grant(at)
        return sorted(head.committed)

    assert await run(seed) == await run(seed + 1000)


async def test_what_meters_switch_is_the_grids_at_the_same_instant_all_at_once() -> None:
    """Two fleets, and one relay in answer to a question: they are one power flow, and everybody gets its frame."""
    broker, grid = ToyBroker(6), ToyGrid(900)
    one, other = ToyFleet(broker, ["A", "B"], 900), ToyFleet(broker, ["C"], 900)
    one.moved, one.moves_for = {3: False, 4: False}, {"question 1": {5: False}}
    other.moved = {7: True}
    barrier = Barrier(grid, [one, other], ToyHead(broker, questions=1))
    await barrier.grant(900)
    assert grid.switched == [(900, {3: False, 4: False, 5: False, 7: True})]
    for fleet in (one, other):
        assert fleet.frames == [(900, b"frame"), (900, b"after 900")]
    await barrier.grant(1800)
    assert len(grid.switched) == 1, "told once"


async def test_a_relay_that_is_moved_between_two_grants_counts_from_the_last() -> None:
    broker, grid = ToyBroker(7), ToyGrid(900)
    fleet = ToyFleet(broker, ["A"], 900)
    barrier = Barrier(grid, [fleet], ToyHead(broker))
    await barrier.grant(900)
    fleet.moved = {0: False}
    await barrier.quiesce()
    assert grid.switched == [(900, {0: False})]
    assert barrier.next_due_s() == 1800


async def test_relays_that_rest_after_many_switchings_end_nothing() -> None:
    class Busy(ToyFleet):
        left = 16

        async def advance(self, now_s: int, frame: bytes | None) -> None:
            await super().advance(now_s, frame)
            if frame is not None and self.left:
                self.left -= 1
                self.moved = {0: self.left % 2 == 0}

    broker, grid = ToyBroker(8), ToyGrid(900)
    await Barrier(grid, [Busy(broker, ["A"], 900)], ToyHead(broker)).grant(900)
    assert len(grid.switched) == 16


async def test_relays_that_never_rest_end_the_run() -> None:
    class Restless(ToyFleet):
        async def settle(self) -> FleetRound:
            self.moved = {0: self.now_s % 2 == 0}
            return await super().settle()

    broker = ToyBroker(8)
    barrier = Barrier(ToyGrid(900), [Restless(broker, ["A"], 900)], ToyHead(broker))
    with pytest.raises(BarrierStalled, match=r"relays of meters move without end at simulated 1970-01-01 00:15:00"):
        await barrier.grant(900)
