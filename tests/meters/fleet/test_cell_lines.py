"""Meters with modems in a cellular network, against a real broker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from grid.world import WorldFrame
from meters.fleet.fleet import Fleet
from meters.radio.faults import NetworkFault
from meters.radio.parameters import load_parameters
from meters.radio.passage import Cause, DeliveryClass, Direction
from meters.radio.setup import NetworkSetup
from tests.meters.meter_broker import Broker
from tests.meters.meter_yard import START_S, Ear, World, command, grant, make_fleet, shipment, uneven_power_w

COUNT = 12
ONE_CELL = {"operators": 1, "spacing_m": 20_000.0, "loss_at_1_km_db": 100.0}
FRAMES_S = range(START_S, START_S + 4 * 3600, 900)


def serial(row: int) -> str:
    return f"AMI{row + 1:08d}"


class Yard:
    """Half of the meters are some kilometres from the others: in other cells."""

    def __init__(self, directory: Path, port: int, **cellular: float) -> None:
        """`cellular`: parameters that are others than usual."""
        self.cellular = {"latency_least_s": 1.5, "latency_easy_s": 2.0, **cellular}
        self.directory = directory
        self.port = port
        self.world = World(uneven_power_w(COUNT))
        self.fleet = self.new_fleet()
        self.now_s = START_S

    def new_fleet(self, *faults: NetworkFault) -> Fleet:
        setup = NetworkSetup(
            parameters=load_parameters({"cellular": self.cellular}),
            positions_m=tuple((row * 20.0, row % 2 * 6_000.0) for row in range(COUNT)),
            faults=faults,
        )
        return make_fleet(shipment(COUNT, "t1"), self.port, self.directory / "shard-0.db", network=setup)

    async def replace(self, *faults: NetworkFault) -> None:
        """Another process goes on from the memory; what was in the air with the first is lost."""
        await self.fleet.stop()
        self.fleet = self.new_fleet(*faults)
        await self.fleet.start()
        await self.fleet.replay(self.now_s, self.world.frame(self.now_s))
        await self.fleet.settle()

    async def go(self, until_s: int, **switched: bool) -> None:
        frames: dict[int, WorldFrame] = {}
        if switched or self.now_s == START_S:
            frames[self.now_s] = self.world.frame(self.now_s, power_w=None, **switched)
        frames |= {time_s: self.world.frame(time_s) for time_s in FRAMES_S if self.now_s < time_s <= until_s}
        await grant(self.fleet, until_s, frames)
        self.now_s = until_s

    async def go_until_a_restoration_is_under_way(self) -> None:
        """Meter 5 has been without supply."""
        await self.go(START_S + 1200)
        await self.go(START_S + 1800, m5=False)
        await self.go(self.now_s + 1, m5=True)
        while not self.deliveries(DeliveryClass.ALARM):
            await self.go(self.now_s + 1)

    def deliveries(
        self, delivery_class: DeliveryClass, direction: Direction = Direction.UP, *, of: str | None = None
    ) -> list[dict[str, Any]]:
        self.fleet.export_deliveries(self.directory / "network")
        rows: list[dict[str, Any]] = pq.read_table(
            self.directory / "network" / "shard-0-rl-dsp.parquet",
        ).to_pylist()
        kind = (delivery_class, direction)
        return [
            row for row in rows if (row["delivery_class"], row["direction"]) == kind and of in (None, row["serial"])
        ]

    def cell_of(self, row: int) -> str:
        (cell,) = {str(each["via"]) for each in self.deliveries(DeliveryClass.READ, of=serial(row))}
        return cell


@pytest.fixture
async def yard(tmp_path: Path, broker: Broker) -> AsyncIterator[Yard]:
    made = Yard(tmp_path, broker.port)
    await made.fleet.start()
    yield made
    await made.fleet.stop()


async def test_reads_arrive_late_in_order_and_each_once(yard: Yard, ear: Ear) -> None:
    await yard.go(START_S + 3600 + 60)
    await ear.caught_up()
    for row in range(COUNT):
        ends = [payload["meter"]["ts"] for payload in ear.of("ds", serial(row))]
        assert ends == sorted(set(ends))
        assert len(ends) == 4
        assert ear.states(serial(row)) == ["online"]
    reads = yard.deliveries(DeliveryClass.READ)
    assert len(reads) == 4 * COUNT
    assert all(1.5 < (row["arrived_at"] - row["sent_at"]).total_seconds() < 60 for row in reads)
    assert {row["technology"] for row in reads} == {"cellular"}
    starts_s = {(row["serial"], row["about"]) for row in reads}
    assert starts_s == {(serial(row), START_S + 900 * n) for row in range(COUNT) for n in range(4)}


async def test_nothing_has_arrived_while_it_is_on_its_way(yard: Yard, ear: Ear) -> None:
    await yard.go(START_S + 901)
    await ear.caught_up()
    assert ear.of("ds") == []
    await yard.go(START_S + 960)
    await ear.caught_up()
    assert len(ear.of("ds")) == COUNT


async def test_an_outage_is_told_by_gasps_and_restorations_that_take_their_time(yard: Yard, ear: Ear) -> None:
    await yard.go(START_S + 1200)
    await yard.go(START_S + 3000, m3=False)
    await yard.go(START_S + 3600, m3=True)
    await ear.caught_up()
    assert ear.events(serial(3)) == ["last_gasp", "power_restore"]
    (gasp,) = yard.deliveries(DeliveryClass.GASP)
    wanted, restored = yard.deliveries(DeliveryClass.ALARM)
    assert (gasp["serial"], gasp["lit"], restored["lit"]) == (serial(3), False, True)
    # It had to attach first.
    assert (wanted["attempts"], wanted["cause"], wanted["arrived_at"]) == (0, Cause.CELL, None)
    assert (wanted["about"], wanted["lit"]) == (restored["about"], True)
    assert wanted["sent_at"] < restored["sent_at"]
    assert gasp["arrived_at"] > gasp["sent_at"]
    unsent = [row for row in yard.deliveries(DeliveryClass.READ, of=serial(3)) if row["attempts"] == 0]
    assert unsent, "intervals that ended in the dark"
    assert not any(row["arrived_at"] for row in unsent)


async def test_a_command_takes_its_time_there_and_back(yard: Yard, ear: Ear) -> None:
    await yard.go(START_S + 100)
    await ear.tell(serial(2), command(serial(2), now_s=yard.now_s, purpose="ping", params={}))
    await ear.fence(serial(2), "f1")
    await yard.fleet.await_fence("f1", [serial(2)])
    await yard.fleet.settle()
    await ear.caught_up()
    assert ear.of("an", serial(2)) == []
    await yard.go(START_S + 200)
    await ear.caught_up()
    assert len(ear.of("an", serial(2))) == 1
    (down,) = yard.deliveries(DeliveryClass.CONTROL, Direction.DOWN)
    (up,) = yard.deliveries(DeliveryClass.CONTROL)
    assert down["about"] == up["about"] == 1
    assert down["sent_at"] < down["arrived_at"] <= up["sent_at"] < up["arrived_at"]


async def test_a_cell_that_is_down_takes_its_own_meters_off_and_they_come_back(yard: Yard, ear: Ear) -> None:
    await yard.go(START_S + 960)
    cell = yard.cell_of(0)
    hit = {row for row in range(COUNT) if yard.cell_of(row) == cell}
    assert 0 < len(hit) < COUNT
    fault = NetworkFault(fault="cell-down", from_s=yard.now_s, until_s=yard.now_s + 1_000, cells=(cell,))
    yard.fleet.disturb_network(fault)
    await yard.go(START_S + 1_890)
    await ear.caught_up()
    for row in range(COUNT):
        assert len(ear.of("ds", serial(row))) == (1 if row in hit else 2)
        assert ear.states(serial(row))[-1] == ("offline" if row in hit else "online")
    await yard.go(START_S + 3_600 + 60)
    await ear.caught_up()
    for row in range(COUNT):
        assert ear.states(serial(row))[-1] == "online"
        assert len(ear.of("ds", serial(row))) == (3 if row in hit else 4)
    unsent = [row for row in yard.deliveries(DeliveryClass.READ) if row["arrived_at"] is None]
    assert {row["serial"] for row in unsent} == {serial(row) for row in hit}
    assert {row["cause"] for row in unsent} == {Cause.CELL}


@pytest.mark.parametrize("planned_until_s", [None, START_S + 20_000])
async def test_an_outage_that_somebody_ends_is_over_then(yard: Yard, ear: Ear, planned_until_s: int | None) -> None:
    await yard.go(START_S + 960)
    fault = NetworkFault(fault="operator-outage", from_s=yard.now_s, until_s=planned_until_s, operators=("operator-a",))
    yard.fleet.disturb_network(fault)
    await yard.go(START_S + 1_890)
    await ear.caught_up()
    hit = {row for row in range(COUNT) if len(ear.of("ds", serial(row))) == 1}
    assert 0 < len(hit) < COUNT
    yard.fleet.disturb_network(fault.model_copy(update={"until_s": yard.now_s + 10}))
    await yard.go(START_S + 3_660)
    await ear.caught_up()
    assert {ear.states(serial(row))[-1] for row in hit} == {"online"}
    assert {len(ear.of("ds", serial(row))) for row in hit} == {3}


async def test_an_operators_outage_takes_the_meters_of_all_its_cells(yard: Yard, ear: Ear) -> None:
    await yard.go(START_S + 960)
    hit = {row for row in range(COUNT) if yard.cell_of(row).startswith("operator-a/")}
    assert 0 < len(hit) < COUNT
    until_s = yard.now_s + 1_000
    yard.fleet.disturb_network(
        NetworkFault(fault="operator-outage", from_s=yard.now_s, until_s=until_s, operators=("operator-a",))
    )
    await yard.go(START_S + 1_890)
    await ear.caught_up()
    assert {row for row in range(COUNT) if len(ear.of("ds", serial(row))) == 1} == hit


async def test_in_a_congested_hour_frames_of_that_cell_are_later(yard: Yard, ear: Ear) -> None:
    await yard.go(START_S + 960)
    cell = yard.cell_of(0)
    fault = NetworkFault(
        fault="congestion", from_s=yard.now_s, until_s=yard.now_s + 1_800, cells=(cell,), messages_per_s=10_000.0
    )
    yard.fleet.disturb_network(fault)
    await yard.go(START_S + 2_700)
    longest_s: dict[bool, float] = {True: 0.0, False: 0.0}
    for row in yard.deliveries(DeliveryClass.READ):
        if row["about"] == START_S + 900 and row["arrived_at"] is not None:
            taken_s = (row["arrived_at"] - row["sent_at"]).total_seconds()
            longest_s[row["via"] == cell] = max(longest_s[row["via"] == cell], taken_s)
    assert longest_s[False] < 30 < longest_s[True]


async def test_an_uplink_that_somebody_took_stays_away_when_the_cell_is_back(yard: Yard, ear: Ear) -> None:
    await yard.go(START_S + 960)
    cell = yard.cell_of(0)
    yard.fleet.lose_uplink([serial(0)])
    yard.fleet.disturb_network(
        NetworkFault(fault="cell-down", from_s=yard.now_s, until_s=START_S + 1_500, cells=(cell,))
    )
    await yard.go(START_S + 1_860)
    await ear.caught_up()
    assert len(ear.of("ds", serial(0))) == 1
    yard.fleet.restore_uplink([serial(0)])
    await yard.go(START_S + 2_760)
    await ear.caught_up()
    assert len(ear.of("ds", serial(0))) == 2


async def test_what_a_meter_forgets_before_it_arrives_is_told_again(yard: Yard, ear: Ear) -> None:
    """A restart loses what was on its way, and with it nothing that is to be told."""
    await yard.go_until_a_restoration_is_under_way()
    yard.fleet.reboot([serial(5)])
    await yard.go(START_S + 2400)
    await ear.caught_up()
    assert ear.events(serial(5)) == ["last_gasp", "power_restore", "reboot"]
    lost, told = yard.deliveries(DeliveryClass.ALARM)
    assert lost["arrived_at"] is None
    assert told["arrived_at"] is not None


async def test_whoever_goes_on_from_the_memory_tells_what_was_in_the_air(yard: Yard, ear: Ear) -> None:
    await yard.go_until_a_restoration_is_under_way()
    await yard.replace()
    await yard.go(START_S + 2400)
    await ear.caught_up()
    assert ear.events(serial(5)) == ["last_gasp", "power_restore"]
    lost, told = yard.deliveries(DeliveryClass.ALARM)
    assert (lost["arrived_at"] is None, told["arrived_at"] is None) == (True, False)


async def test_whoever_is_begun_amid_an_outage_of_cells_waits_for_its_end(yard: Yard, ear: Ear) -> None:
    await yard.go(START_S + 960)
    cell = yard.cell_of(0)
    fault = NetworkFault(fault="cell-down", from_s=yard.now_s, until_s=START_S + 2_000, cells=(cell,))
    yard.fleet.disturb_network(fault)
    await yard.go(START_S + 1_200)
    await yard.replace(fault)
    await yard.go(START_S + 1_890)
    await ear.caught_up()
    assert len(ear.of("ds", serial(0))) == 1
    await yard.go(START_S + 3_660)
    await ear.caught_up()
    assert len(ear.of("ds", serial(0))) == 3


async def test_whoever_is_begun_when_an_outage_of_cells_is_over_is_in_service(yard: Yard, ear: Ear) -> None:
    """It ended while there was no process: the meters' memory does not say that they are cut off."""
    await yard.go(START_S + 960)
    cell = yard.cell_of(0)
    fault = NetworkFault(fault="cell-down", from_s=yard.now_s, cells=(cell,))
    yard.fleet.disturb_network(fault)
    await yard.go(START_S + 1_200)
    yard.now_s = START_S + 1_500
    await yard.replace(fault.model_copy(update={"until_s": START_S + 1_300}))
    await yard.go(START_S + 1_890)
    await ear.caught_up()
    assert ear.states(serial(0))[-1] == "online"
    assert len(ear.of("ds", serial(0))) == 2


async def test_meters_of_a_cell_that_report_together_wait_for_each_other(
    tmp_path: Path, broker: Broker, ear: Ear
) -> None:
    crowded = Yard(tmp_path, broker.port, **ONE_CELL, messages_per_s=0.1)
    await crowded.fleet.start()
    await crowded.go(START_S + 1_800)
    reads = [row for row in crowded.deliveries(DeliveryClass.READ) if row["about"] == START_S and row["arrived_at"]]
    taken_s = [(row["arrived_at"] - row["sent_at"]).total_seconds() for row in reads]
    assert len(taken_s) == COUNT
    # The first waits for nobody; with eleven others, each of whom takes 10 s, it is a matter of luck.
    assert max(taken_s) > 30
    await crowded.fleet.stop()


async def test_meters_of_a_cell_that_attach_together_hinder_each_other(
    tmp_path: Path, broker: Broker, ear: Ear
) -> None:
    # The one cell grants an attach every three seconds: most that come alone would get theirs at once.
    crowded = Yard(tmp_path, broker.port, **ONE_CELL, attaches_per_s=0.3)
    await crowded.fleet.start()
    await crowded.go(START_S + 15)
    await ear.caught_up()
    assert sum(ear.states(serial(row)) == ["online"] for row in range(COUNT)) < COUNT / 2
    await crowded.go(START_S + 1_800)
    await ear.caught_up()
    assert all(ear.states(serial(row)) == ["online"] for row in range(COUNT))
    await crowded.fleet.stop()
