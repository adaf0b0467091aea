"""The conductor with a toy barrier's parts: order of actions, kills under way, pace."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lab.lockstep.barrier import Barrier, FleetRound, GridStep, HeadRound, Switched
from lab.lockstep.conductor import conduct
from lab.lockstep.link import Body
from lab.lockstep.network_fault import NetworkFault
from lab.lockstep.pace import Agenda, Pace
from lab.lockstep.timeline import Action, Disturbance, actions


class Recorder:
    """Grid, fleet, head-end and stage in one, that writes down what it is told."""

    def __init__(self, broker_away_at_s: Sequence[int] = ()) -> None:
        self.broker_away_at_s = broker_away_at_s
        self.log: list[tuple[object, ...]] = []
        self.flows: list[tuple[float, ...]] = []
        self.now_s = 0

    async def advance(self, now_s: int, frame: bytes | None = None) -> GridStep:
        self.log.append(("grid" if frame is None else "fleet", now_s))
        self.now_s = now_s
        return GridStep(float(now_s // 900 * 900 + 900), b"")

    async def settle(self) -> FleetRound:
        self.log.append(("settled", self.now_s))
        return FleetRound(0, [], None, 0 if self.now_s in self.broker_away_at_s else 1)

    async def switched(self) -> Switched:
        raise AssertionError("the rounds tell it")

    async def flow(self, *, from_s: float, wall_s: float, speed: float, until_s: float) -> None:
        self.flows.append((from_s, speed, until_s))

    async def await_fence(self, token: str, stations: Sequence[str]) -> None:
        raise AssertionError("nothing to fence")

    async def switch(self, verb: str, device: str) -> None:
        self.log.append((verb, device))

    async def disturb(self, verb: str, stations: Sequence[str]) -> None:
        self.log.append((verb, tuple(stations), self.now_s))

    async def say_farewell(self, part: str) -> None:
        self.log.append(("farewell", part))

    async def hold(self, part: str) -> None:
        self.log.append(("hold", part))

    async def kill(self, part: str) -> None:
        self.log.append(("kill", part))

    async def bring_back(self, part: str, now_s: int) -> None:
        self.log.append(("return", part))

    async def impair(self, part: str, fault: NetworkFault) -> None:
        self.log.append(("impair", part, fault))

    async def disturb_network(self, fault: Body) -> None:
        self.log.append(("disturb_network", fault["fault"], self.now_s))

    async def await_repairs(self) -> None:
        """They end at once."""

    async def rotate(self, what: str) -> None:
        self.log.append(("rotate", what))

    async def retire(self) -> None:
        self.log.append(("retire",))

    async def update(self, part: str) -> AsyncIterator[str]:
        for number in range(3):
            self.log.append(("gone", f"{part}-{number}"))
            yield f"{part}-{number}"
        self.log.append(("updated", part))

    async def await_broker(self, now_s: int) -> None:
        self.log.append(("await broker", now_s))
        await asyncio.sleep(0.1)


WORK = ("grid", "fleet", "farewell", "hold", "settled", "read")
"""What is done at each grant, or around each kill."""


class ToyHead:
    def __init__(self, log: list[tuple[object, ...]]) -> None:
        self._log = log
        self._now_s = 0

    async def begin(self, now_s: int) -> None:
        self._now_s = now_s

    async def advance(self) -> None: ...
    async def settle(self) -> HeadRound:
        self._log.append(("read", self._now_s))
        return HeadRound(True, [], None)

    async def fence_devices(self, token: str, serials: Sequence[str]) -> bool:
        raise AssertionError("nothing to fence")


async def conduct_recorded(
    planned: Sequence[Action], end_s: int, speed: float | None = None, broker_away_at_s: Sequence[int] = ()
) -> Recorder:
    recorder = Recorder(broker_away_at_s)
    # Its `advance` is the grid's and a fleet's.
    both: Any = recorder
    barrier = Barrier(both, [both], ToyHead(recorder.log))

    async def over(_now_s: int) -> None: ...

    agenda, pace = Agenda(planned, end_s=end_s), Pace(0, speed)
    await conduct(barrier, recorder, agenda, pace, start_s=0, seed=1, progress=over)
    return recorder


async def test_every_step_of_the_grid_and_every_action_is_granted_at_its_instant() -> None:
    planned = actions(
        [
            Disturbance("outage", "", 100, 1000, "transformer T1"),
            Disturbance("uplink_loss", "", 950, 1100, stations=["A", "B"]),
            Disturbance("kill", "", 900, 1200, "headend"),
            Disturbance("kill", "", 1300, 1400, "broker"),
        ]
    )
    recorder = await conduct_recorded(planned, 1800)
    granted = [entry[1] for entry in recorder.log if entry[0] == "grid"]
    assert granted == [0, 100, 900, 950, 1000, 1100, 1200, 1300, 1400, 1800]
    told = [entry for entry in recorder.log if entry[0] not in WORK]
    assert told == [
        ("open", "transformer T1"),
        ("kill", "headend"),
        ("lose_uplink", ("A", "B"), 950),
        ("close", "transformer T1"),
        ("restore_uplink", ("A", "B"), 1100),
        ("return", "headend"),
        ("kill", "broker"),
        ("return", "broker"),
    ]
    assert recorder.log.index(("farewell", "headend")) < recorder.log.index(("grid", 900))
    # A device opens before the grid's grant of that instant, and a kill falls when the meters have spoken.
    assert recorder.log.index(("open", "transformer T1")) < recorder.log.index(("grid", 100))
    assert recorder.log.index(("kill", "headend")) > recorder.log.index(("fleet", 900))


async def test_a_killed_part_takes_in_nothing_of_its_last_instant() -> None:
    """Whoever reads what is on its way is held before anything is said; so no machine gets further than another."""
    planned = actions([Disturbance("kill", "", 900, 1200, part) for part in ("headend", "broker")])
    recorder = await conduct_recorded(planned, 1800)
    order = [entry for entry in recorder.log if entry[0] in ("hold", "kill") or entry[1:] == (900,)]
    assert order[:9] == [
        *[("hold", part) for part in ("headend", "broker")],
        *[(name, 900) for name in ("grid", "fleet", "settled")],
        *[("kill", part) for part in ("headend", "broker")],
        ("settled", 900),
        ("read", 900),
    ]


async def test_a_kill_may_race_with_the_work_of_its_instant() -> None:
    recorder = await conduct_recorded(actions([Disturbance("kill", "", 900, 1200, "broker", races=True)]), 1800)
    assert ("hold", "broker") not in recorder.log
    assert ("kill", "broker") in recorder.log


async def test_a_network_fault_is_there_before_the_traffic_of_its_instant() -> None:
    fault = NetworkFault("loss", 5, loss=0.2)
    recorder = await conduct_recorded(actions([Disturbance("network", "", 900, 900, "ingest", fault=fault)]), 1800)
    assert recorder.log.index(("impair", "ingest", fault)) < recorder.log.index(("grid", 900))


async def test_certificates_rotate_while_readings_flow() -> None:
    planned = actions([Disturbance("rotate", "", 900, 1500, "authority"), Disturbance("kill", "", 900, 950, "broker")])
    recorder = await conduct_recorded(planned, 1800)
    told = [entry for entry in recorder.log if entry[0] not in WORK]
    assert told == [("rotate", "authority"), ("kill", "broker"), ("return", "broker"), ("retire",)]
    assert recorder.log.index(("rotate", "authority")) > recorder.log.index(("grid", 900))
    assert recorder.log.index(("retire",)) > recorder.log.index(("grid", 1500))


async def test_one_process_of_a_rolling_update_goes_before_each_grant() -> None:
    planned = actions([Disturbance("update", "", 900, 900, "fleet")])
    recorder = await conduct_recorded(planned, 4500)
    told = [entry for entry in recorder.log if entry[0] in ("grid", "gone", "updated")]
    assert told == [
        ("grid", 0),
        ("gone", "fleet-0"),
        ("grid", 900),
        ("gone", "fleet-1"),
        ("grid", 1800),
        ("gone", "fleet-2"),
        ("grid", 2700),
        ("updated", "fleet"),
        ("grid", 3600),
        ("grid", 4500),
    ]


async def test_no_run_ends_in_the_middle_of_a_rolling_update() -> None:
    planned = actions([Disturbance("update", "", 900, 900, "fleet"), Disturbance("update", "", 1800, 1800, "ingest")])
    recorder = await conduct_recorded(planned, 1800)
    told = [entry for entry in recorder.log if entry[0] in ("grid", "gone", "updated")]
    assert told[:3] == [("grid", 0), ("gone", "fleet-0"), ("grid", 900)]
    assert told[3:] == [
        ("gone", "fleet-1"),
        ("gone", "fleet-2"),
        ("updated", "fleet"),
        *(("gone", f"ingest-{number}") for number in range(3)),
        ("updated", "ingest"),
        ("grid", 1800),
    ]


async def test_a_speed_limit_holds_back_and_changes_nothing_else() -> None:
    began = time.monotonic()
    paced = await conduct_recorded([], 1800, speed=9000)
    assert time.monotonic() - began >= 1800 / 9000
    unpaced = await conduct_recorded([], 1800)
    assert paced.log == unpaced.log
    # Between two grants time flows for whoever asks a meter; without a limit there is no time between them.
    assert paced.flows == [(0.0, 9000, 900), (900.0, 9000, 1800)]
    assert unpaced.flows == []


async def test_time_stands_still_while_the_broker_is_away_and_is_not_made_up_for() -> None:
    began = time.monotonic()
    recorder = await conduct_recorded([], 2700, speed=9000, broker_away_at_s=[900])
    assert time.monotonic() - began >= 2700 / 9000 + 0.1
    awaited = recorder.log.index(("await broker", 900))
    assert recorder.log.index(("grid", 900)) < awaited < recorder.log.index(("grid", 1800))
    assert ("await broker", 1800) not in recorder.log


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50)), max_size=8))
def test_actions_are_in_the_order_of_time_and_ends_come_before_beginnings(spans: list[tuple[int, int]]) -> None:
    planned = actions(
        [Disturbance("outage", "", first, first + length, str(n)) for n, (first, length) in enumerate(spans)]
    )
    assert [action.at_s for action in planned] == sorted(action.at_s for action in planned)
    for earlier, later in itertools.pairwise(planned):
        assert earlier.at_s < later.at_s or not (earlier.verb == "open" and later.verb == "close")
    for number in range(len(spans)):
        verbs = [action.verb for action in planned if action.target == str(number)]
        assert verbs == ["open", "close"]


async def test_a_relay_moves_under_way_and_the_lab_knows_it_before_anybody_is_killed() -> None:
    planned = actions(
        [
            Disturbance("relay", "", 900, 1200, "open", ["A", "B"]),
            Disturbance("kill", "", 900, 1000, "fleet"),
            Disturbance("relay", "", 1500, 1500, "closed", ["C"], lasting=True),
        ]
    )
    recorder = await conduct_recorded(planned, 1800)
    log = recorder.log
    moved = log.index(("open_relay", ("A", "B"), 900))
    assert log.index(("fleet", 900)) < moved < log.index(("settled", 900), moved) < log.index(("kill", "fleet"))
    assert [entry for entry in log if str(entry[0]).endswith("_relay")] == [
        ("open_relay", ("A", "B"), 900),
        ("close_relay", ("A", "B"), 1200),
        ("close_relay", ("C",), 1500),
    ]


async def test_a_relay_beside_a_kill_that_races_moves_when_that_is_over() -> None:
    planned = actions(
        [
            Disturbance("relay", "", 900, 900, "open", ["A"], lasting=True),
            Disturbance("kill", "", 900, 1000, "broker", races=True),
        ]
    )
    log = (await conduct_recorded(planned, 1800)).log
    moved = log.index(("open_relay", ("A",), 900))
    assert log.index(("kill", "broker")) < moved < log.index(("settled", 900), moved)


async def test_a_fault_of_the_modelled_network_is_told_before_its_instant() -> None:
    jam = Disturbance("network", "", 900, 1500, "jam", air={"fault": "jam"})
    assert jam.air_fault == {"fault": "jam", "from_s": 900, "until_s": 1500}
    recorder = await conduct_recorded(actions([jam]), 1800)
    begun, ended = [entry for entry in recorder.log if entry[0] == "disturb_network"]
    assert recorder.log.index(begun) < recorder.log.index(("grid", 900))
    assert recorder.log.index(("grid", 900)) < recorder.log.index(ended) < recorder.log.index(("grid", 1500))
