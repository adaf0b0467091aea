"""Collectors whose meters are reached through a communications network, against a real broker."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from meters.fleet.fleet import BrokerAddress, Fleet
from meters.radio.faults import NetworkFault
from meters.radio.passage import Cause, DeliveryClass, Direction
from tests.meters.meter_broker import Broker
from tests.meters.meter_process import FleetProcess
from tests.meters.meter_yard import START_S, World, command, grant, street, uneven_power_w
from tests.meters.sparkplug_ear import HOST, METRICS_OF_INTERVAL, SparkplugEar, collected_shipment

COUNT = 24
EACH = 12
HOUR = 3600
END_S = START_S + 10 * HOUR
WEAK = {"transmit_power_dbm": -4.0, "hop_transmissions": 1, "end_to_end_tries": 9, "read_wait_s": 5.0}
"""Of a mesh in which a frame often needs to be said again, and its acknowledgement gets lost as often."""


def serial(row: int) -> str:
    return f"AMI{row:08d}"


class Yard:
    """Meters behind two collectors, their world, and what has become of their frames."""

    def __init__(
        self,
        directory: Path,
        port: int,
        *,
        profile: str = "sparkplug-mesh",
        rows: Sequence[int] = range(COUNT),
        **changes: Mapping[str, object],
    ) -> None:
        """`rows`: the meters of this process. `changes`: of the network's parameters."""
        self.directory = directory
        self.port = port
        self.profile = profile
        self.rows = rows
        self.changes = changes
        self.world = World(uneven_power_w(COUNT))
        self.now_s = START_S
        self.fleet = self.new_fleet()

    def new_fleet(self) -> Fleet:
        return Fleet(
            meters=[collected_shipment(COUNT, "t1", each=EACH, profile=self.profile)[row] for row in self.rows],
            world_rows=self.rows,
            memory_path=self.directory / "fleet-0.db",
            broker=BrokerAddress("127.0.0.1", self.port),
            seed=7,
            start_s=START_S,
            in_lockstep=True,
            primary_host=HOST,
            network=street(COUNT, **self.changes).of(self.rows),
        )

    async def go(self, until_s: int, *, every_s: int | None = None, **switched: bool) -> None:
        """`every_s`: grants besides those that somebody asks for."""
        frames = {}
        if switched or self.now_s == START_S:
            frames[self.now_s] = self.world.frame(self.now_s, power_w=None, **switched)
        for time_s in range(START_S, END_S, 900):
            if self.now_s < time_s <= until_s:
                frames[time_s] = self.world.frame(time_s)
        extra = () if every_s is None else range(self.now_s + every_s, until_s, every_s)
        await grant(self.fleet, until_s, frames, extra=extra)
        self.now_s = until_s

    def deliveries(self) -> list[dict[str, Any]]:
        self.fleet.export_deliveries(self.directory / "network")
        path = self.directory / "network" / f"fleet-0-{self.profile}.parquet"
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        return rows

    def of(self, delivery_class: DeliveryClass, direction: Direction = Direction.UP) -> list[dict[str, Any]]:
        return [
            row for row in self.deliveries() if (row["delivery_class"], row["direction"]) == (delivery_class, direction)
        ]


@pytest.fixture
async def ear(broker: Broker) -> AsyncIterator[SparkplugEar]:
    made = await SparkplugEar("t1", broker.port).open()
    await made.state(True, START_S * 1000)
    yield made
    made.close()


@pytest.fixture
async def yard(tmp_path: Path, broker: Broker, ear: SparkplugEar) -> AsyncIterator[Yard]:
    made = Yard(tmp_path, broker.port)
    await made.fleet.start()
    yield made
    await made.fleet.stop()


async def test_reads_arrive_late_but_whole(yard: Yard, ear: SparkplugEar) -> None:
    await yard.go(START_S + 4 * HOUR + 600)
    await ear.caught_up()
    ear.assert_strict()
    for row in range(COUNT):
        ends = [interval.end_s for interval in ear.intervals(serial(row))]
        assert sorted(set(ends)) == [START_S + 900 * number for number in range(1, 17)]
    reads = yard.of(DeliveryClass.READ)
    assert len(reads) >= COUNT * 16
    arrived = [row for row in reads if row["arrived_at"] is not None]
    assert {(row["serial"], row["about"]) for row in arrived} == {
        (serial(row), START_S + 900 * number) for row in range(COUNT) for number in range(16)
    }
    assert all(row["arrived_at"] > row["sent_at"] for row in arrived)
    assert {(row["via"], row["technology"]) for row in reads} == {("COL0", "mesh"), ("COL1", "mesh")}


async def test_a_command_takes_its_time_there_and_back(yard: Yard, ear: SparkplugEar) -> None:
    await yard.go(START_S + 100)
    ear.tell("COL0", serial(22), command(serial(22), now_s=yard.now_s, purpose="ping", params={}))
    ear.fence("COL0", "f1")
    await yard.fleet.await_fence("f1", ["COL0"])
    await yard.fleet.settle()
    await ear.caught_up()
    assert ear.data(serial(22)) == []
    await yard.go(START_S + 200)
    await ear.caught_up()
    (down,) = yard.of(DeliveryClass.CONTROL, Direction.DOWN)
    (up,) = yard.of(DeliveryClass.CONTROL)
    assert down["about"] == up["about"] == 1
    assert down["sent_at"] < down["arrived_at"] <= up["sent_at"] < up["arrived_at"]
    assert len(ear.data(serial(22))) == 1


async def test_an_answer_with_intervals_is_a_delivery_of_each(yard: Yard, ear: SparkplugEar) -> None:
    await yard.go(START_S + 1800 + 100)
    ear.tell("COL0", serial(22), command(serial(22), now_s=yard.now_s, params={"from": START_S, "to": START_S + 1800}))
    ear.fence("COL0", "f1")
    await yard.fleet.await_fence("f1", ["COL0"])
    await yard.go(START_S + 1800 + 600)
    await ear.caught_up()
    assert len(ear.answers(serial(22))) == 1
    assert [(row["about"], row["arrived_at"] is None) for row in yard.of(DeliveryClass.READ)] == [
        (START_S, False),
        (START_S + 900, False),
    ]


async def test_gasps_of_an_outage_are_lost_by_causes_and_restorations_arrive(yard: Yard, ear: SparkplugEar) -> None:
    down_s = START_S + 1200
    await yard.go(down_s)
    await yard.go(down_s + 1800, **{f"m{row}": False for row in range(0, COUNT, 2) if row < 20})
    gasps = yard.of(DeliveryClass.GASP)
    assert {row["serial"] for row in gasps} == {serial(row) for row in range(0, 20, 2)}
    assert not any(row["lit"] for row in gasps)
    heard = {row["serial"] for row in gasps if row["arrived_at"] is not None}
    assert heard
    for row in gasps:
        if row["arrived_at"] is None:
            assert row["cause"] in (Cause.DARK, Cause.RADIO, Cause.COLLISION, Cause.ENERGY)
    await ear.caught_up()
    assert {name for name in map(serial, range(COUNT)) if ear.events(name)} == heard
    await yard.go(down_s + 3600, **{f"m{row}": True for row in range(0, 20, 2)})
    await ear.caught_up()
    ear.assert_strict()
    for dark in range(0, 20, 2):
        assert [code for code, _, _ in ear.events(serial(dark))][-1:] == ["power_restore"]


async def test_a_concentrator_reports_its_transformer_after_thirty_seconds(
    tmp_path: Path, broker: Broker, ear: SparkplugEar
) -> None:
    yard = Yard(tmp_path, broker.port, profile="sparkplug-plc")
    await yard.fleet.start()
    down_s = START_S + 1200
    await yard.go(down_s)
    await yard.go(down_s + 29, **{f"m{row}": False for row in range(0, COUNT, 2)})
    await ear.caught_up()
    assert ear.mains("COL0") == []
    assert not any("DDEATH" in ear.kinds("COL0", serial(row)) for row in range(0, COUNT, 2))
    await yard.go(down_s + 30)
    await ear.caught_up()
    assert ear.mains("COL0") == [(down_s + 30, False)]
    assert [ear.kinds("COL0", serial(row))[-1] for row in range(0, COUNT, 2)] == ["DDEATH"] * EACH
    assert not any("DDEATH" in ear.kinds("COL1", serial(row)) for row in range(1, COUNT, 2))
    await yard.fleet.stop()


async def lived(yard: Yard, *, every_s: int | None = None) -> list[dict[str, Any]]:
    """An hour with an outage of some, and a block."""
    await yard.fleet.start()
    yard.fleet.disturb_network(wave(START_S + HOUR, START_S + 3 * HOUR, 60_000, "COL0", "COL1"))
    await yard.go(START_S + 2 * HOUR, every_s=every_s)
    await yard.go(START_S + 2 * HOUR + 900, every_s=every_s, **{f"m{row}": False for row in range(8)})
    await yard.go(START_S + 4 * HOUR + 600, every_s=every_s, **{f"m{row}": True for row in range(8)})
    found = yard.deliveries()
    await yard.fleet.stop()
    return sorted(found, key=lambda row: (row["sent_at"], row["serial"], row["delivery_class"], row["about"]))


async def test_deliveries_depend_on_neither_grants_nor_processes(
    tmp_path: Path, broker: Broker, ear: SparkplugEar
) -> None:
    directories = [tmp_path / name for name in ("whole", "slow", "even", "odd")]
    for directory in directories:
        directory.mkdir()
    whole, slow = Yard(directories[0], broker.port), Yard(directories[1], broker.port)
    even, odd = (Yard(directories[2 + first], broker.port, rows=range(first, COUNT, 2)) for first in (0, 1))
    expected = await lived(whole)
    assert {row["delivery_class"] for row in expected} >= {DeliveryClass.GASP, DeliveryClass.ALARM, DeliveryClass.READ}
    assert await lived(slow, every_s=17) == expected
    parts = [*await lived(even), *await lived(odd)]
    assert sorted(map(repr, parts)) == sorted(map(repr, expected))
    await ear.caught_up()


async def test_what_was_in_the_air_when_the_process_died_is_lost_and_made_up_for(
    tmp_path: Path, broker: Broker, ear: SparkplugEar
) -> None:
    block_s = START_S + 4 * HOUR
    process = FleetProcess(tmp_path / "shard.db", broker.port, "t1", COUNT, "mesh")
    # Behind the offset of either collector, and before the end of the minute.
    for now_s in [*range(START_S, block_s, 60), block_s + 59]:
        process.grant(now_s, frame=now_s % 900 == 0)
        process.expect("done")
    process.kill()
    process = FleetProcess(tmp_path / "shard.db", broker.port, "t1", COUNT, "mesh")
    for now_s in range(block_s + 60, block_s + 900, 60):
        process.grant(now_s, frame=now_s == block_s + 60)
        process.expect("done")
    process.end()
    await ear.caught_up()
    recorded = {
        (row["serial"], int(row["interval_start"].timestamp()))
        for row in pq.read_table(tmp_path / "shard-sparkplug-mesh.parquet").to_pylist()
        if row["interval_start"].timestamp() < block_s
    }
    heard = {(name, each.end_s - 900) for name in map(serial, range(COUNT)) for each in ear.intervals(name)}
    assert heard == recorded
    path = tmp_path / "network" / "shard-sparkplug-mesh.parquet"
    reads = [row for row in pq.read_table(path).to_pylist() if row["delivery_class"] == DeliveryClass.READ]
    lost = [row for row in reads if row["arrived_at"] is None]
    assert any(row["cause"] == Cause.COLLECTOR and row["attempts"] for row in lost)
    assert recorded <= {(row["serial"], row["about"]) for row in reads if row["arrived_at"]}


async def test_a_jam_delays_or_loses_what_crosses_the_mesh_that_it_is_of(yard: Yard, ear: SparkplugEar) -> None:
    await yard.go(START_S + 4 * HOUR - 600)
    yard.fleet.disturb_network(
        NetworkFault(fault="jam", from_s=yard.now_s, until_s=yard.now_s + 1_200, collectors=("COL0",), strength=1.0)
    )
    await yard.go(START_S + 4 * HOUR + 500)
    block = [row for row in yard.of(DeliveryClass.READ) if row["sent_at"].timestamp() >= START_S + 4 * HOUR - 600]
    arrived = {via: [row["arrived_at"] is not None for row in block if row["via"] == via] for via in ("COL0", "COL1")}
    assert all(arrived["COL1"])
    assert not any(arrived["COL0"])
    assert {row["cause"] for row in block if row["via"] == "COL0"} == {Cause.JAMMED}
    await yard.go(START_S + 8 * HOUR + 600)
    await ear.caught_up()
    for row in range(COUNT):
        assert len(ear.intervals(serial(row))) >= 32, "what was jammed follows with the next block"


OF_COL0, OF_COL1 = range(0, COUNT, 2), range(1, COUNT, 2)


def wave(from_s: int, until_s: int, size_bytes: int, *collectors: str) -> NetworkFault:
    return NetworkFault(
        fault="firmware-wave", from_s=from_s, until_s=until_s, collectors=collectors, image_bytes=size_bytes
    )


def restarts(ear: SparkplugEar, row: int) -> list[str]:
    return [detail["cause"] for code, detail, _ in ear.events(serial(row)) if code == "reboot"]


async def test_meters_that_have_a_whole_image_restart_with_it_and_lose_nothing(yard: Yard, ear: SparkplugEar) -> None:
    begins_s = START_S + 600
    await yard.go(begins_s)
    yard.fleet.disturb_network(wave(begins_s, begins_s + 3 * HOUR, 60_000, "COL0"))
    # One is dark from before it has the image until long after the others have it.
    dark_s, back_s = begins_s + 100, begins_s + 5400
    await yard.go(dark_s)
    await yard.go(back_s, m4=False)
    await yard.go(START_S + 5 * HOUR, m4=True)
    await ear.caught_up()
    images = {row["serial"]: row for row in yard.of(DeliveryClass.FIRMWARE, Direction.DOWN)}
    assert sorted(images) == [serial(row) for row in OF_COL0]
    for row in OF_COL0:
        image = images[serial(row)]
        assert image["arrived_at"] is not None
        assert image["about"] == image["sent_at"].timestamp() == begins_s
        assert image["bytes"] >= 60_000, "what was lost on the way is sent again"
    assert images[serial(4)]["cause"] == Cause.DARK
    assert images[serial(4)]["arrived_at"].timestamp() > back_s
    assert min(image["arrived_at"].timestamp() for image in images.values()) < back_s
    for row in range(COUNT):
        # An event may be heard twice.
        assert set(restarts(ear, row)) == ({"firmware"} if row in OF_COL0 else set())
        ends = {interval.end_s for interval in ear.intervals(serial(row))}
        dark = {START_S + 900 * number for number in range(1, 17) if dark_s < START_S + 900 * number <= back_s}
        assert ends >= {START_S + 900 * number for number in range(1, 17)} - dark, "nothing is lost"


async def test_an_image_is_cut_off_when_its_time_is_over(yard: Yard, ear: SparkplugEar) -> None:
    begins_s = START_S + 600
    await yard.go(begins_s)
    yard.fleet.disturb_network(wave(begins_s, begins_s + 900, 10_000_000, "COL1"))
    await yard.go(START_S + 2 * HOUR)
    images = yard.of(DeliveryClass.FIRMWARE, Direction.DOWN)
    assert [row["arrived_at"] for row in images] == [None] * (COUNT - EACH)
    assert all(0 < row["bytes"] < 10_000_000 for row in images)
    assert {row["cause"] for row in images} == {Cause.RADIO}
    assert not any(restarts(ear, row) for row in range(COUNT))


async def test_another_process_goes_on_with_an_image_where_the_one_before_was(tmp_path: Path, broker: Broker) -> None:
    """What each meter has is kept, and its row of the deliveries stays one."""
    fault = wave(START_S + 600, START_S + 3 * HOUR, 600_000, "COL0")
    found = []
    for restarted in (False, True):
        yard = Yard(tmp_path / str(restarted), broker.port)
        yard.directory.mkdir()
        await yard.fleet.start()
        yard.fleet.disturb_network(fault)
        await yard.go(START_S + 1700)
        if restarted:
            await yard.fleet.stop()
            yard.fleet = yard.new_fleet()
            await yard.fleet.start()
            yard.fleet.disturb_network(fault)
            await yard.fleet.replay(yard.now_s, yard.world.frame(yard.now_s))
        await yard.go(START_S + 3 * HOUR)
        found.append(yard.of(DeliveryClass.FIRMWARE, Direction.DOWN))
        await yard.fleet.stop()
    whole, parted = ({row["serial"]: row["arrived_at"].timestamp() for row in rows} for rows in found)
    assert min(whole.values()) > START_S + 1800, "nobody had it when the process ended"
    assert len(found[1]) == len(OF_COL0)
    # What changes in the seconds of the start is who is connected, not who has supply.
    assert parted == pytest.approx(whole, abs=5)


async def test_an_image_goes_on_where_its_rows_were_not_written_before_the_process_was_killed(
    tmp_path: Path, broker: Broker
) -> None:
    """The state is kept at each instant, deliveries when a grant is over."""
    fault = wave(START_S + 600, START_S + 3 * HOUR, 60_000, "COL0")
    yard = Yard(tmp_path, broker.port)
    await yard.fleet.start()
    yard.fleet.disturb_network(fault)
    await yard.go(START_S + 700)
    await yard.fleet.stop()
    os.truncate(tmp_path / "fleet-0-sparkplug-mesh.deliveries", 0)
    yard.fleet = yard.new_fleet()
    await yard.fleet.start()
    yard.fleet.disturb_network(fault)
    await yard.fleet.replay(yard.now_s, yard.world.frame(yard.now_s))
    await yard.go(START_S + 3 * HOUR)
    images = yard.of(DeliveryClass.FIRMWARE, Direction.DOWN)
    assert sorted(row["serial"] for row in images) == [serial(row) for row in OF_COL0]
    assert all(row["arrived_at"] is not None for row in images)
    await yard.fleet.stop()


async def test_a_dead_collector_passes_nothing_on_and_makes_up_for_it_when_it_is_replaced(
    yard: Yard, ear: SparkplugEar
) -> None:
    await yard.go(START_S + 4 * HOUR - 600)
    yard.fleet.fail_collectors(["COL0"])
    # Its block of the fourth hour is due now.
    await yard.go(START_S + 4 * HOUR + 500)
    await ear.caught_up()
    assert all(ear.intervals(serial(row)) == [] for row in OF_COL0)
    assert all(len(ear.intervals(serial(row))) == 16 for row in OF_COL1)
    assert ear.kinds("COL0")[-1] == "NDEATH", "the broker has missed its keep-alive"
    yard.fleet.mend_collectors(["COL0"])
    await yard.go(START_S + 5 * HOUR)
    await ear.caught_up()
    for row in OF_COL0:
        assert {interval.end_s for interval in ear.intervals(serial(row))} >= {
            START_S + 900 * number for number in range(1, 17)
        }
    lost = [row for row in yard.of(DeliveryClass.READ) if row["arrived_at"] is None]
    assert {(row["via"], row["cause"]) for row in lost} == {("COL0", Cause.COLLECTOR)}


async def test_supply_that_comes_back_does_not_start_a_dead_collector(yard: Yard, ear: SparkplugEar) -> None:
    await yard.go(START_S + 600)
    yard.fleet.fail_collectors(["COL0"])
    own = {f"m{row}": False for row in OF_COL0}
    await yard.go(START_S + 900, **own)
    await yard.go(START_S + 4 * HOUR + 600, **dict.fromkeys(own, True))
    await ear.caught_up()
    assert all(ear.intervals(serial(row)) == [] for row in OF_COL0)
    yard.fleet.mend_collectors(["COL0"])
    await yard.go(START_S + 5 * HOUR)
    await ear.caught_up()
    assert all(ear.intervals(serial(row)) for row in OF_COL0)


def jam(yard: Yard, *, until_s: int) -> None:
    fault = NetworkFault(fault="jam", from_s=yard.now_s, until_s=until_s, collectors=("COL0",), strength=1.0)
    yard.fleet.disturb_network(fault)


async def test_what_a_jammed_meter_wants_to_tell_is_kept_from_when_it_wants_to(yard: Yard, ear: SparkplugEar) -> None:
    """Without a way it sends nothing: nothing in the air would show that the mesh is of no use."""
    out_s, back_s, clear_s = START_S + 1200, START_S + 1500, START_S + 3600
    await yard.go(out_s)
    await yard.go(back_s, m2=False)
    jam(yard, until_s=clear_s)
    await yard.go(clear_s - 60, m2=True)
    own = [row for row in yard.of(DeliveryClass.SYSTEM) if row["serial"] == serial(2)]
    assert own, "it wanted to register"
    assert {(row["cause"], row["attempts"], row["bytes"]) for row in own} == {(Cause.JAMMED, 0, 0)}
    (registration,) = {row["about"] for row in own}
    assert back_s < -registration < back_s + 120, "since when it is back"
    assert own[0]["sent_at"].timestamp() == -registration
    await yard.go(clear_s + 1800)
    arrived = [row for row in yard.of(DeliveryClass.SYSTEM) if row["about"] == registration and row["arrived_at"]]
    assert [row["serial"] for row in arrived] == [serial(2)]
    await ear.caught_up()
    assert [code for code, _, _ in ear.events(serial(2))] == ["last_gasp", "power_restore"]


async def test_an_event_without_a_way_is_kept_and_tried_again(yard: Yard, ear: SparkplugEar) -> None:
    down_s, clear_s = START_S + 1200, START_S + 2400
    await yard.go(down_s)
    jam(yard, until_s=clear_s)
    await yard.go(down_s + 20, m2=False)
    await yard.go(clear_s - 60, m2=True)
    (momentary,) = {row["about"] for row in yard.of(DeliveryClass.ALARM)}
    kept = yard.of(DeliveryClass.ALARM)
    assert len(kept) > 1, "again and again"
    assert {(row["cause"], row["attempts"], row["lit"]) for row in kept} == {(Cause.JAMMED, 0, True)}
    await yard.go(clear_s + 1800)
    *before, told = yard.of(DeliveryClass.ALARM)
    assert before == kept
    assert (told["about"], told["serial"], told["arrived_at"] is not None) == (momentary, serial(2), True)


async def test_events_of_a_meter_without_its_link_are_kept(yard: Yard, ear: SparkplugEar) -> None:
    down_s = START_S + 1200
    await yard.go(down_s)
    yard.fleet.lose_uplink([serial(2)])
    await yard.go(down_s + 20, m2=False)
    await yard.go(down_s + 300, m2=True)
    (kept,) = yard.of(DeliveryClass.ALARM)
    assert (kept["cause"], kept["attempts"], kept["lit"]) == (Cause.RADIO, 0, True)
    yard.fleet.restore_uplink([serial(2)])
    await yard.go(down_s + 900)
    assert [row["arrived_at"] is not None for row in yard.of(DeliveryClass.ALARM)] == [False, True]


async def test_a_gasp_that_nobody_can_hear_was_said_all_the_same(yard: Yard, ear: SparkplugEar) -> None:
    down_s = START_S + 1200
    await yard.go(down_s)
    await yard.go(down_s + 600, **{f"m{row}": False for row in range(0, COUNT, 2)})
    unheard = [row for row in yard.of(DeliveryClass.GASP) if row["cause"] == Cause.DARK]
    assert unheard, "who is far from its collector has only neighbours in the dark"
    assert all(row["attempts"] for row in unheard)


async def test_a_frame_whose_acknowledgement_is_lost_arrives_twice_and_does_no_harm(
    tmp_path: Path, broker: Broker, ear: SparkplugEar
) -> None:
    yard = Yard(tmp_path, broker.port, mesh=WEAK)
    await yard.fleet.start()
    out_s = START_S + 1200
    await yard.go(out_s)
    # Upwards: an event of each meter.
    everybody = {f"m{row}": False for row in range(COUNT)}
    await yard.go(out_s + 20, **everybody)
    await yard.go(out_s + 300, **dict.fromkeys(everybody, True))
    # Downwards: a command for each.
    for row in range(COUNT):
        ear.tell(f"COL{row % 2}", serial(row), command(serial(row), now_s=yard.now_s, purpose="ping", params={}))
    for collector in ("COL0", "COL1"):
        ear.fence(collector, collector)
        await yard.fleet.await_fence(collector, [collector])
    await yard.go(START_S + 4 * HOUR + 900)
    await ear.caught_up()
    ear.assert_strict()
    codes = [[code for code, _, _ in ear.events(serial(row))] for row in range(COUNT)]
    assert {each.count("momentary") for each in codes} == {1, 2}
    refused = [
        detail["reason"] for row in range(COUNT) for _, detail, _ in ear.events(serial(row)) if "reason" in detail
    ]
    assert refused
    assert set(refused) == {"replayed"}
    for row in range(COUNT):
        ends = [interval.end_s for interval in ear.intervals(serial(row))]
        assert len(ends) == len(set(ends)) == 16, "what a collector has it does not say again"
    down = yard.of(DeliveryClass.CONTROL, Direction.DOWN)
    assert sorted(row["serial"] for row in down) == sorted(map(serial, range(COUNT))), "each is one frame"
    await yard.fleet.stop()


async def test_gasps_die_with_the_collector_when_its_battery_is_empty(yard: Yard, ear: SparkplugEar) -> None:
    """The outage that meters tell of has taken the collector that would carry what they tell."""
    own, others = "m10", [f"m{row}" for row in OF_COL0 if row != 10]
    await yard.go(START_S + 600)
    await yard.go(START_S + 1200, **{own: False})
    await yard.go(START_S + 1800, **{others[0]: False})
    await ear.caught_up()
    assert ear.mains("COL0")[-1][1] is False, "it hangs on the supply of the meter beside it"
    (first,) = [row for row in yard.of(DeliveryClass.GASP) if row["serial"] == serial(0)]
    assert first["arrived_at"] is not None, "its battery carries what others say"
    await yard.go(START_S + 9 * HOUR)
    await yard.go(START_S + 9 * HOUR + 600, **dict.fromkeys(others[1:], False))
    later = [row for row in yard.of(DeliveryClass.GASP) if row["sent_at"].timestamp() > START_S + 9 * HOUR]
    assert {row["serial"] for row in later} == {serial(int(name[1:])) for name in others[1:]}
    assert {(row["arrived_at"], row["cause"]) for row in later} == {(None, Cause.COLLECTOR)}


async def test_a_service_that_is_cut_off_from_a_power_line_is_silent(
    tmp_path: Path, broker: Broker, ear: SparkplugEar
) -> None:
    yard = Yard(tmp_path, broker.port, profile="sparkplug-plc")
    await yard.fleet.start()
    down_s = START_S + 1200
    await yard.go(down_s)
    await yard.go(down_s + 250, m2=False)
    await ear.caught_up()
    assert ear.mains("COL0") == []
    assert "DDEATH" not in ear.kinds("COL0", serial(2))
    await yard.go(down_s + 1800)
    await ear.caught_up()
    assert ear.events(serial(2)) == [], "polls find that it does not answer, and not why"
    assert ear.kinds("COL0", serial(2))[-1] == "DDEATH"
    assert ear.mains("COL0") == []
    (gasp,) = yard.of(DeliveryClass.GASP)
    assert (gasp["serial"], gasp["arrived_at"], gasp["cause"]) == (serial(2), None, Cause.DARK)
    await yard.go(down_s + 3600, m2=True)
    await ear.caught_up()
    assert [code for code, _, _ in ear.events(serial(2))] == ["power_restore"]
    await yard.fleet.stop()


async def test_the_backhaul_takes_its_time_both_ways(tmp_path: Path, broker: Broker, ear: SparkplugEar) -> None:
    yard = Yard(tmp_path, broker.port, backhaul={"latency_least_s": 20.0, "latency_most_s": 21.0})
    await yard.fleet.start()
    await yard.go(START_S + 100)
    ear.tell("COL0", serial(22), command(serial(22), now_s=yard.now_s, purpose="ping", params={}))
    ear.fence("COL0", "f1")
    await yard.fleet.await_fence("f1", ["COL0"])
    await yard.go(START_S + 300)
    for direction in Direction:
        (frame,) = yard.of(DeliveryClass.CONTROL, direction)
        assert 20 <= (frame["arrived_at"] - frame["sent_at"]).total_seconds() < 26
    await yard.fleet.stop()


async def test_events_go_ahead_of_reads_that_arrive_in_the_same_second(yard: Yard, ear: SparkplugEar) -> None:
    block_s = START_S + 4 * HOUR
    # Reads are handed over at whole minutes: a supply that is back a second before is told of then.
    for minute, names in enumerate([("m2", "m3"), ("m4", "m5")], start=1):
        await yard.go(block_s + 60 * minute - 30)
        await yard.go(block_s + 60 * minute - 1, **dict.fromkeys(names, False))
        await yard.go(block_s + 60 * minute, **dict.fromkeys(names, True))
    await yard.go(block_s + 300)
    await ear.caught_up()
    together = 0
    for collector in ("COL0", "COL1"):
        reads = [row for row in yard.of(DeliveryClass.READ) if row["via"] == collector and row["arrived_at"]]
        first = min(row["arrived_at"] for row in reads)
        events = [row for row in yard.of(DeliveryClass.ALARM) if (row["via"], row["arrived_at"]) == (collector, first)]
        together += len(events)
        said = [message for message in ear.heard if (message.edge, message.kind) == (collector, "DDATA")]
        before_reads = {
            message.serial
            for message in itertools.takewhile(lambda each: len(each.payload.metrics) < METRICS_OF_INTERVAL, said)
        }
        assert before_reads >= {row["serial"] for row in events}
    assert together
