"""Speed 1 with toy parts: each second told once, actions at theirs, and nobody waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from lab.errors import UserError
from lab.lockstep.barrier import FleetRound, GridStep, Switched
from lab.lockstep.link import Body
from lab.lockstep.network_fault import NetworkFault
from lab.lockstep.realtime import CONNECT_LIMIT_S, RealTime
from lab.lockstep.timeline import Action, Disturbance, actions


class Toy:
    """Grid, fleet, stage and wall clock in one. Writes down what it is told; the clock follows what was told."""

    def __init__(self, *, wall_s: float = 1e9, connects_at_s: int = 0) -> None:
        self.log: list[tuple[object, ...]] = []
        self.flows: list[tuple[float, ...]] = []
        self.wall_s = wall_s
        self.now_s = 0
        self.frame = b"1"
        self.connects_at_s = connects_at_s
        self.moved: Switched = {}
        self.comes_back_at_s = 0
        self.came_back = asyncio.Event()

    def clock(self) -> float:
        return self.wall_s

    async def advance(self, now_s: int, frame: Switched | bytes | None = None) -> GridStep:
        if isinstance(frame, dict):
            self.log.append(("grid switched", now_s, frame))
        elif frame is None:
            self.log.append(("grid", now_s))
            self.now_s = now_s
            self.wall_s = max(self.wall_s, now_s + 0.99)
        else:
            self.log.append(("fleet", now_s))
        if self.now_s >= self.comes_back_at_s:
            self.came_back.set()
        return GridStep(None, self.frame)

    async def flow(self, *, from_s: float, wall_s: float, speed: float, until_s: float) -> None:
        self.flows.append((from_s - wall_s, speed, until_s))

    async def settle(self) -> FleetRound:
        return FleetRound(0, [], None, 5 if self.now_s >= self.connects_at_s else 3)

    async def switched(self) -> Switched:
        moved, self.moved = self.moved, {}
        return moved

    async def await_fence(self, token: str, stations: Sequence[str]) -> None:
        raise AssertionError("there is no barrier")

    async def switch(self, verb: str, device: str) -> None:
        self.log.append((verb, device))

    async def disturb(self, verb: str, stations: Sequence[str]) -> None:
        self.log.append((verb, tuple(stations), self.now_s))
        if verb.endswith("_relay"):
            self.moved = {7: verb == "close_relay"}

    async def impair(self, part: str, fault: NetworkFault) -> None:
        self.log.append(("impair", part, self.now_s))

    async def disturb_network(self, fault: Body) -> None:
        self.log.append(("disturb_network", fault["fault"], self.now_s))

    async def await_repairs(self) -> None:
        """They end at once."""

    async def hold(self, part: str) -> None:
        raise AssertionError("nobody waits for anything")

    async def await_broker(self, now_s: int) -> None:
        raise AssertionError("nobody waits for anything")

    async def update(self, part: str) -> AsyncIterator[str]:
        for number in range(2):
            yield f"{part}-{number}"
            await self.came_back.wait()
        self.log.append(("updated", part))

    async def say_farewell(self, part: str) -> None:
        self.log.append(("farewell", part))

    async def kill(self, part: str) -> None:
        self.log.append(("kill", part, self.now_s))

    async def rotate(self, what: str) -> None:
        self.log.append(("rotate", what, self.now_s))

    async def retire(self) -> None:
        self.log.append(("retire", self.now_s))

    async def bring_back(self, part: str, now_s: int) -> None:
        self.log.append(("starting", part, now_s))
        await self.came_back.wait()
        self.log.append(("back", part))


def real_time(toy: Toy, start_s: int) -> RealTime:
    # Its `advance` is the grid's and a fleet's.
    both: Any = toy
    return RealTime(both, [both], toy, start_s=start_s, clock=toy.clock)


async def test_seconds_of_the_past_are_told_one_after_the_other_and_each_action_at_its_own() -> None:
    toy = Toy()
    planned = actions(
        [
            Disturbance("outage", "", 102, 104, "service 7"),
            Disturbance("uplink_loss", "", 103, 105, stations=["A"]),
            Disturbance("kill", "", 103, 105, "broker"),
            Disturbance("network", "", 105, 105, "fleet", fault=NetworkFault("pause", 5)),
            Disturbance("rotate", "", 104, 106, "identities"),
        ]
    )
    seen: list[int] = []
    live = real_time(toy, 100)
    await live.until(101)
    await live.until(106, planned, progress=seen.append)
    assert [entry[1] for entry in toy.log if entry[0] == "grid"] == [*range(100, 107)]
    assert [entry[1] for entry in toy.log if entry[0] == "fleet"] == [*range(100, 107)]
    # For whoever asks the meters, it is what the wall clock shows, up to the second that is told next.
    assert toy.flows == [(0.0, 1.0, float(second)) for second in range(101, 108)]
    assert seen == [*range(102, 107)]
    assert toy.log.index(("open", "service 7")) + 1 == toy.log.index(("grid", 102)), "dark from that second on"
    assert toy.log.index(("impair", "fleet", 104)) < toy.log.index(("grid", 105))
    assert [entry for entry in toy.log if entry[0] not in ("grid", "fleet", "open", "impair")] == [
        ("lose_uplink", ("A",), 103),
        ("farewell", "broker"),
        ("kill", "broker", 103),
        ("close", "service 7"),
        ("rotate", "identities", 104),
        ("restore_uplink", ("A",), 105),
        ("starting", "broker", 105),
        ("back", "broker"),
        ("retire", 106),
    ]


async def test_the_meters_go_on_while_a_head_end_starts_and_it_has_arrived_at_the_end() -> None:
    toy = Toy()
    toy.comes_back_at_s = 106
    await real_time(toy, 100).until(106, actions([Disturbance("kill", "", 101, 103, "headend")]))
    assert (
        toy.log.index(("starting", "headend", 103)) < toy.log.index(("grid", 106)) < toy.log.index(("back", "headend"))
    )


async def test_a_part_is_killed_again_only_after_it_has_come_back() -> None:
    toy = Toy()
    toy.comes_back_at_s = 104
    planned = actions([Disturbance("kill", "", 101, 102, "headend"), Disturbance("kill", "", 104, 105, "headend")])
    await real_time(toy, 100).until(106, planned)
    assert toy.log.index(("back", "headend")) < toy.log.index(("kill", "headend", 104))


async def test_the_meters_go_on_through_a_rolling_update_which_is_over_at_the_end() -> None:
    toy = Toy()
    toy.comes_back_at_s = 104
    planned = actions([Disturbance("update", "", 101, 101, "fleet"), Disturbance("kill", "", 105, 106, "fleet")])
    await real_time(toy, 100).until(106, planned)
    updated = toy.log.index(("updated", "fleet"))
    assert toy.log.index(("fleet", 103)) < updated < toy.log.index(("kill", "fleet", 105))
    toy = Toy()
    toy.comes_back_at_s = 103
    await real_time(toy, 100).until(103, planned[:1])
    assert ("updated", "fleet") in toy.log


async def test_a_head_end_that_does_not_come_back_ends_the_run() -> None:
    class Broken(Toy):
        async def bring_back(self, part: str, now_s: int) -> None:
            raise UserError("its database is full")

    with pytest.raises(UserError, match="database is full"):
        await real_time(Broken(), 100).until(110, [Action(103, "return", "headend")])


async def test_it_goes_on_until_the_meters_are_connected() -> None:
    toy = Toy(wall_s=105.0, connects_at_s=105)
    assert await real_time(toy, 100).until_connected(5) == 106
    assert toy.log[-1] == ("fleet", 105)


async def test_what_is_switched_while_meters_connect_is_not_lost_on_the_grid() -> None:
    class Switching(Toy):
        async def settle(self) -> FleetRound:
            return replace(await super().settle(), switched=await self.switched())

        async def flow(self, **told: float) -> None:
            await super().flow(**told)
            if told["until_s"] == 106.0:
                # Between the last second and the round that asks who is connected.
                self.moved = {7: False}

    toy = Switching(wall_s=105.0, connects_at_s=105)
    assert await real_time(toy, 100).until_connected(5) == 106
    assert toy.log[-2:] == [("grid switched", 105, {7: False}), ("fleet", 105)]


async def test_meters_that_cannot_connect_are_an_error_of_the_surroundings() -> None:
    class Locked(Toy):
        async def settle(self) -> FleetRound:
            self.wall_s += CONNECT_LIMIT_S + 1
            return await super().settle()

    toy = Locked(wall_s=100.0, connects_at_s=10**9)
    with pytest.raises(UserError, match=f"only 3 of 5 meters could connect to the broker within {CONNECT_LIMIT_S} s"):
        await real_time(toy, 100).until_connected(5)


async def test_what_is_switched_goes_back_to_the_grid_in_the_same_second() -> None:
    toy = Toy()
    planned = actions([Disturbance("relay", "", 102, 104, "open", ["A"]), Disturbance("kill", "", 102, 104, "fleet")])
    await real_time(toy, 100).until(105, planned)
    about = [entry for entry in toy.log if entry[0] not in ("starting", "back", "farewell")]
    at = about.index(("open_relay", ("A",), 102))
    assert about[at - 1 : at + 4] == [
        ("fleet", 102),
        ("open_relay", ("A",), 102),
        ("grid switched", 102, {7: False}),
        ("fleet", 102),
        ("kill", "fleet", 102),
    ]
    assert ("grid switched", 104, {7: True}) in toy.log
    toy.moved = {7: False}  # by a command, between two seconds
    await real_time(toy, 106).until(106)
    assert toy.log[-2:] == [("grid switched", 106, {7: False}), ("fleet", 106)]
