"""Collectors and their meters against real brokers: what a host application hears, and what the journal has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from meters.errors import FleetError
from meters.fleet.fleet import BrokerAddress, Fleet
from meters.fleet.shipment import ShipmentEntry
from tests import left_out
from tests.meters.interval_records import coded_row
from tests.meters.meter_broker import MOSQUITTO, Broker
from tests.meters.meter_process import FleetProcess
from tests.meters.meter_yard import START_S, World, command, grant, uneven_power_w
from tests.meters.sparkplug_ear import HOST, SparkplugEar, collected_shipment, instant

COUNT = 6
END_S = START_S + 5 * 3600
HOUR = 3600
SETTLED_S = 100
"""After a block is due: later than any collector's offset."""


class Yard:
    """Six meters behind two collectors, their world and an ear."""

    def __init__(self, directory: Path, port: int, *, host: str | None = HOST) -> None:
        self.directory = directory
        self.port = port
        self.host = host
        self.entries = collected_shipment(COUNT, "t1")
        self.world = World(uneven_power_w(COUNT))
        self.now_s = START_S
        self.fleet = self.new_fleet()

    def new_fleet(self) -> Fleet:
        return Fleet(
            meters=self.entries,
            world_rows=range(COUNT),
            memory_path=self.directory / "fleet-0.db",
            broker=BrokerAddress("127.0.0.1", self.port),
            seed=7,
            start_s=START_S,
            in_lockstep=True,
            primary_host=self.host,
        )

    async def go(self, until_s: int, **switched: bool) -> None:
        frames = {}
        if switched or self.now_s == START_S:
            frames[self.now_s] = self.world.frame(self.now_s, power_w=None, **switched)
        for time_s in range(START_S, END_S, 900):
            if self.now_s < time_s <= until_s:
                frames[time_s] = self.world.frame(time_s)
        await grant(self.fleet, until_s, frames)
        self.now_s = until_s

    def journal(self) -> list[dict[str, Any]]:
        self.fleet.export_journal(self.directory / "journal")
        rows: list[dict[str, Any]] = pq.read_table(
            self.directory / "journal" / "fleet-0-sparkplug-plc.parquet"
        ).to_pylist()
        return rows


def serial(row: int) -> str:
    return f"AMI{row:08d}"


def collector(row: int) -> str:
    return f"COL{row % 2}"


@pytest.fixture(params=["mosquitto", "iotcore"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    if request.param == "mosquitto" and MOSQUITTO is None:
        left_out.lacking(*left_out.MOSQUITTO)
    made = Broker(tmp_path, from_wheel=request.param == "iotcore")
    made.start()
    yield made
    made.kill()


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


def as_sent(row: dict[str, Any]) -> tuple[int, list[float]]:
    """What docs/wire-sparkplug.md makes of a journal row: end, and the values of the table in its order."""
    values = coded_row(row)
    # Instants are in milliseconds.
    values["1.6.0.5"] *= 1000
    return int(row["interval_start"].timestamp()) + row["interval_length_s"], list(values.values())


def assert_reported(yard: Yard, ear: SparkplugEar, *, to_s: int) -> None:
    """Every interval of the journal that ended by `to_s` was reported, once, with the journal's values."""
    journal = yard.journal()
    for row in range(COUNT):
        expected = [as_sent(entry) for entry in journal if entry["serial"] == serial(row)]
        found = ear.intervals(serial(row))
        assert [f.end_s for f in found] == [end_s for end_s, _ in expected if end_s <= to_s]
        for interval, (_, values) in zip(found, expected, strict=False):
            assert list(interval.values.values()) == pytest.approx(values, rel=1e-6, abs=1e-4)


async def test_collectors_are_born_with_their_meters_and_report_in_blocks(yard: Yard, ear: SparkplugEar) -> None:
    await yard.go(START_S + HOUR)
    await ear.caught_up()
    for edge in ("COL0", "COL1"):
        assert ear.kinds(edge) == ["NBIRTH"]
    assert all(ear.kinds(collector(row), serial(row)) == ["DBIRTH"] for row in range(COUNT))
    assert (await yard.fleet.settle()).connected == COUNT
    await yard.go(START_S + 2 * HOUR + SETTLED_S)
    await ear.caught_up()
    ear.assert_strict()
    assert_reported(yard, ear, to_s=START_S + 2 * HOUR)
    for row in range(COUNT):
        assert ear.kinds(collector(row), serial(row)) == ["DBIRTH", "DDATA", "DDATA"]
        assert not any(interval.historical for interval in ear.intervals(serial(row)))
    # Each collector at an offset of its own, between 5 s and 59 s.
    offsets: dict[str, set[int]] = {}
    for heard in ear.heard:
        if heard.kind == "DDATA":
            assert heard.payload.timestamp_ms is not None
            offsets.setdefault(heard.edge, set()).add(heard.payload.timestamp_ms // 1000 % HOUR)
    (first,), (second,) = offsets.values()
    assert first != second
    assert all(5 <= offset <= 59 for offset in (first, second))


async def test_settle_names_fresh_collectors_and_counts_messages(yard: Yard) -> None:
    await yard.fleet.advance(START_S, yard.world.frame(START_S))
    fresh: list[str] = []
    sent = 0
    while (due_s := yard.fleet.next_due()) is not None and due_s < START_S + 60:
        await yard.fleet.advance(int(due_s), None)
        settled = await yard.fleet.settle()
        fresh += settled.fresh
        sent += settled.sent
    assert sorted(fresh) == ["COL0", "COL1"]
    assert sent == 2 + COUNT
    assert yard.fleet.stations == {"COL0", "COL1", *(serial(row) for row in range(COUNT))}


async def test_fences_go_by_the_collector(yard: Yard, ear: SparkplugEar) -> None:
    await yard.go(START_S + 60)
    for edge in ("COL0", "COL1"):
        ear.fence_node(edge, "f1")
    await yard.fleet.await_fence("f1", ["COL0", "COL1", serial(0)])
    assert (await yard.fleet.settle()).sent == 0


async def test_a_rebirth_says_all_again_with_the_same_session_number(yard: Yard, ear: SparkplugEar) -> None:
    await yard.go(START_S + HOUR + SETTLED_S)
    ear.command("COL0", "Node Control/Rebirth", True)
    ear.fence_node("COL0", "f1")
    await yard.fleet.await_fence("f1", ["COL0"])
    await yard.fleet.settle()
    await ear.caught_up()
    ear.assert_strict()
    births = [heard.payload for heard in ear.heard if heard.kind == "NBIRTH" and heard.edge == "COL0"]
    assert [birth.by_name()["bdSeq"].value for birth in births] == [0, 0]
    assert ear.kinds("COL0", serial(0)) == ["DBIRTH", "DDATA", "DBIRTH"]
    again = [heard.payload for heard in ear.heard if heard.kind == "DBIRTH" and heard.serial == serial(0)][-1].by_name()
    last = ear.intervals(serial(0))[-1]
    assert again["Interval/1.8.0"].timestamp_ms == last.end_s * 1000 == (START_S + HOUR) * 1000
    assert again["Interval/1.8.0"].value == last.values["1.8.0"]
    assert ear.kinds("COL1") == ["NBIRTH"]


async def test_births_wait_for_the_host_and_what_was_measured_meanwhile_is_historical(
    tmp_path: Path, broker: Broker
) -> None:
    ear = await SparkplugEar("t1", broker.port).open()
    await ear.state(False, START_S * 1000)
    yard = Yard(tmp_path, broker.port)
    await yard.fleet.start()
    await yard.go(START_S + HOUR + SETTLED_S)
    await ear.caught_up()
    assert ear.heard == []
    assert (await yard.fleet.settle()).connected == 0
    await ear.state(True, (START_S + 3700) * 1000)
    ear.fence_node("COL0", "f1")
    ear.fence_node("COL1", "f1")
    await yard.fleet.await_fence("f1", ["COL0", "COL1"])
    await yard.fleet.settle()
    await ear.caught_up()
    assert_reported(yard, ear, to_s=START_S + HOUR)
    assert all(interval.historical for row in range(COUNT) for interval in ear.intervals(serial(row)))
    # The host leaves, and is back two blocks later.
    await yard.go(START_S + HOUR + 600)
    await ear.state(False, (START_S + 3700) * 1000)
    for edge in ("COL0", "COL1"):
        ear.fence_node(edge, "f2")
    await yard.fleet.await_fence("f2", ["COL0", "COL1"])
    await yard.go(START_S + 3 * HOUR + SETTLED_S)
    await ear.caught_up()
    assert ear.kinds("COL0") == ["NBIRTH", "NDEATH"]
    assert (await yard.fleet.settle()).connected == 0
    await ear.state(True, (START_S + 4 * HOUR) * 1000)
    for edge in ("COL0", "COL1"):
        ear.fence_node(edge, "f3")
    await yard.fleet.await_fence("f3", ["COL0", "COL1"])
    await yard.fleet.settle()
    await ear.caught_up()
    ear.assert_strict()
    births = [heard.payload.by_name()["bdSeq"].value for heard in ear.heard if heard.kind == "NBIRTH"]
    assert births == [0, 0, 1, 1]
    assert_reported(yard, ear, to_s=START_S + 3 * HOUR)
    await yard.fleet.stop()
    ear.close()


async def test_a_collector_that_lost_its_uplink_makes_up_for_it(yard: Yard, ear: SparkplugEar) -> None:
    await yard.go(START_S + HOUR - 300)
    yard.fleet.lose_uplink(["COL1"])
    await yard.go(START_S + HOUR - 300 + 89)
    await ear.caught_up()
    assert ear.kinds("COL1") == ["NBIRTH"]
    await yard.go(START_S + 2 * HOUR + SETTLED_S)
    await ear.caught_up()
    assert ear.kinds("COL1") == ["NBIRTH", "NDEATH"]
    assert (await yard.fleet.settle()).connected == COUNT // 2
    yard.fleet.restore_uplink(["COL1"])
    await yard.go(START_S + 3 * HOUR + SETTLED_S)
    await ear.caught_up()
    ear.assert_strict()
    assert ear.kinds("COL1") == ["NBIRTH", "NDEATH", "NBIRTH"]
    assert_reported(yard, ear, to_s=START_S + 3 * HOUR)
    for row in range(COUNT):
        late = [interval.end_s for interval in ear.intervals(serial(row)) if interval.historical]
        assert late == ([START_S + 900 * number for number in range(1, 9)] if collector(row) == "COL1" else [])


async def test_a_collector_that_renews_is_born_again_and_reports_on(yard: Yard, ear: SparkplugEar) -> None:
    await yard.go(START_S + HOUR - 300)
    yard.fleet.renew(["COL1", *(serial(row) for row in range(COUNT))])
    await yard.go(START_S + HOUR + SETTLED_S)
    await ear.caught_up()
    ear.assert_strict()
    assert ear.kinds("COL0") == ["NBIRTH"]
    # rumqttd publishes the will after an orderly end, too.
    assert [kind for kind, _ in groupby(ear.kinds("COL1"))] == ["NBIRTH", "NDEATH", "NBIRTH"]
    assert_reported(yard, ear, to_s=START_S + HOUR)


async def test_an_uplink_that_is_back_in_time_keeps_its_session(yard: Yard, ear: SparkplugEar) -> None:
    await yard.go(START_S + HOUR - 5)
    yard.fleet.lose_uplink(["COL1"])
    await yard.go(START_S + HOUR + 70)
    yard.fleet.restore_uplink(["COL1"])
    await yard.go(START_S + HOUR + 75)
    await ear.caught_up()
    ear.assert_strict()
    assert ear.kinds("COL1") == ["NBIRTH"]
    assert_reported(yard, ear, to_s=START_S + HOUR)


async def test_a_broken_mesh_link_is_a_death_and_a_birth_of_the_device_and_no_event(
    yard: Yard, ear: SparkplugEar
) -> None:
    await yard.go(START_S + 600)
    yard.fleet.lose_uplink([serial(2)])
    await yard.go(START_S + 600 + 299)
    await ear.caught_up()
    assert ear.kinds("COL0", serial(2)) == ["DBIRTH"]
    await yard.go(START_S + 2 * HOUR + SETTLED_S)
    await ear.caught_up()
    assert ear.kinds("COL0", serial(2)) == ["DBIRTH", "DDEATH"]
    assert (await yard.fleet.settle()).connected == COUNT - 1
    yard.fleet.restore_uplink([serial(2)])
    await yard.go(START_S + 3 * HOUR + SETTLED_S)
    await ear.caught_up()
    ear.assert_strict()
    assert ear.kinds("COL0", serial(2)) == ["DBIRTH", "DDEATH", "DBIRTH", "DDATA", "DDATA"]
    assert ear.events(serial(2)) == []
    assert_reported(yard, ear, to_s=START_S + 3 * HOUR)
    assert [i.historical for i in ear.intervals(serial(2))] == [True] * 8 + [False] * 4


async def test_a_lost_phase_is_an_event_of_a_device_that_lives_on(yard: Yard, ear: SparkplugEar) -> None:
    down_s = START_S + 1200
    await yard.go(down_s)
    await yard.go(down_s + HOUR, m2_l3=False)
    await yard.go(START_S + 2 * HOUR + SETTLED_S, m2_l3=True)
    await ear.caught_up()
    ear.assert_strict()
    assert ear.kinds("COL0", serial(2)) == ["DBIRTH", *["DDATA"] * 4]
    (loss, lost, _), (back, restored, _) = ear.events(serial(2))
    assert (loss, back, lost["phase"], restored["phase"]) == ("phase_loss", "phase_restored", "L3", "L3")
    assert abs(instant(lost["down_at"]) - down_s) <= 1
    assert abs(instant(restored["up_at"]) - down_s - HOUR) <= 1
    assert_reported(yard, ear, to_s=START_S + 2 * HOUR)


async def test_an_outage_is_told_by_the_meter_and_a_death_says_nothing_of_supply(yard: Yard, ear: SparkplugEar) -> None:
    down_s = START_S + 1200
    await yard.go(down_s)
    dark = {f"m{row}": False for row in range(COUNT)}
    await yard.go(down_s + HOUR + 600, **dark)
    await ear.caught_up()
    gasps = [row for row in range(COUNT) if ear.events(serial(row))]
    # By seed: some are heard, some are not; each is an event, at once.
    assert 0 < len(gasps) < COUNT
    for row in gasps:
        ((code, detail, historical),) = ear.events(serial(row))
        assert (code, historical) == ("last_gasp", False)
        assert abs(instant(detail["down_at"]) - down_s) <= 1
    # The collectors run on from their batteries.
    assert ear.kinds("COL0") == ear.kinds("COL1") == ["NBIRTH", "NDATA"]
    for row in range(COUNT):
        assert [kind for kind in ear.kinds(collector(row), serial(row)) if kind != "DDATA"] == ["DBIRTH", "DDEATH"]
    up_s = down_s + HOUR + 600
    await yard.go(START_S + 3 * HOUR + SETTLED_S, **dict.fromkeys(dark, True))
    await ear.caught_up()
    ear.assert_strict()
    for row in range(COUNT):
        code, detail, historical = ear.events(serial(row))[-1]
        assert (code, historical) == ("power_restore", False)
        assert abs(instant(detail["up_at"]) - up_s) <= 1
        births = [heard.payload for heard in ear.heard if (heard.kind, heard.serial) == ("DBIRTH", serial(row))]
        assert [birth.by_name()["Meter/Boot"].value for birth in births] == [1, 2]
    assert_reported(yard, ear, to_s=START_S + 3 * HOUR)


async def test_a_momentary_interruption_is_an_event_and_changes_nothing_else(yard: Yard, ear: SparkplugEar) -> None:
    await yard.go(START_S + 1200)
    await yard.go(START_S + 1240, m3=False)
    await yard.go(START_S + 1300, m3=True)
    await ear.caught_up()
    assert [code for code, _, _ in ear.events(serial(3))] == ["momentary"]
    assert ear.kinds("COL1", serial(3)) == ["DBIRTH", "DDATA"]


async def test_a_reboot_shows_in_the_boot_count_and_an_event(yard: Yard, ear: SparkplugEar) -> None:
    await yard.go(START_S + 1200)
    yard.fleet.reboot([serial(4)])
    await yard.go(START_S + 1500)
    await ear.caught_up()
    ear.assert_strict()
    boot, event = ear.data(serial(4))
    assert boot["Meter/Boot"].value == 2
    assert event["Event/Code"].value == "reboot"
    assert ear.kinds("COL0", serial(4)) == ["DBIRTH", "DDATA", "DDATA"]


async def test_events_that_could_not_be_told_follow_but_no_stale_last_gasp(yard: Yard, ear: SparkplugEar) -> None:
    await yard.go(START_S + 1200)
    yard.fleet.lose_uplink(["COL0"])
    await yard.go(START_S + 1300)
    await yard.go(START_S + 1330, m2=False)
    await yard.go(START_S + 1400, m2=True)
    await yard.go(START_S + 1470, m2=False)
    await yard.go(START_S + 1500, m2=True)
    yard.fleet.restore_uplink(["COL0"])
    await yard.go(START_S + 1700)
    await ear.caught_up()
    ear.assert_strict()
    assert [(code, historical) for code, _, historical in ear.events(serial(2))] == [
        ("momentary", True), ("power_restore", True),
    ]  # fmt: skip


async def test_a_collector_says_that_it_runs_on_its_battery(yard: Yard, ear: SparkplugEar) -> None:
    await yard.go(START_S + 1200)
    # Meter 1 is the first of COL1: the collector hangs on its supply. Meter 3 is behind it, too.
    await yard.go(START_S + 1300, m1=False, m3=False)
    await yard.go(START_S + 1400, m1=True)
    await ear.caught_up()
    assert [ear.kinds(edge) for edge in ("COL0", "COL1")] == [["NBIRTH"], ["NBIRTH", "NDATA", "NDATA"]]
    assert ear.mains("COL1") == [(START_S + 1200, False), (START_S + 1300, True)]
    # What it could not say while nobody heard it, it says when it is heard again, once.
    yard.fleet.lose_uplink(["COL1"])
    await yard.go(START_S + 1450, m1=False)
    yard.fleet.restore_uplink(["COL1"])
    await yard.go(START_S + 1500, m1=True)
    await yard.go(START_S + 1550, m1=False)
    ear.command("COL1", "Node Control/Rebirth", True)
    ear.fence_node("COL1", "f1")
    await yard.fleet.await_fence("f1", ["COL1"])
    await ear.caught_up()
    ear.assert_strict()
    assert ear.mains("COL1")[2:] == [(START_S + 1450, False), (START_S + 1450, True), (START_S + 1500, False)]
    assert ear.kinds("COL1") == ["NBIRTH", *["NDATA"] * 5, "NBIRTH"]
    births = [heard.payload.by_name()["Power/Mains"].value for heard in ear.heard if heard.kind == "NBIRTH"]
    assert births == [True, True, False]


async def test_a_collector_dies_with_its_battery_and_is_back_with_the_supply(yard: Yard, ear: SparkplugEar) -> None:
    battery_s = 8 * HOUR
    await yard.go(START_S + 1200)
    # Meter 1 is the first of COL1: the collector hangs on its supply.
    frames = {START_S + 1200: yard.world.frame(START_S + 1200, m1=False)}
    dead_s = START_S + 1200 + battery_s
    await grant(yard.fleet, dead_s + 89, frames)
    await ear.caught_up()
    assert ear.kinds("COL1") == ["NBIRTH", "NDATA"]
    await grant(yard.fleet, dead_s + 90)
    await ear.caught_up()
    assert ear.kinds("COL1") == ["NBIRTH", "NDATA", "NDEATH"]
    assert ear.kinds("COL0") == ["NBIRTH"]
    back_s = dead_s + 3 * HOUR
    await grant(yard.fleet, back_s + 100, {back_s: yard.world.frame(back_s, m1=True)})
    await ear.caught_up()
    ear.assert_strict()
    assert ear.kinds("COL1") == ["NBIRTH", "NDATA", "NDEATH", "NBIRTH"]
    assert_reported(yard, ear, to_s=back_s - back_s % HOUR)


async def test_a_load_profile_is_read_by_a_signed_command_in_parts(yard: Yard, ear: SparkplugEar) -> None:
    await yard.go(START_S + 2 * HOUR + SETTLED_S)
    await ear.caught_up()
    birth = next(h for h in ear.heard if h.kind == "DBIRTH" and h.serial == serial(1)).payload.by_name()
    params = {"from": START_S - 9000, "to": START_S + 90000}
    ear.tell("COL1", serial(1), command(serial(1), now_s=yard.now_s, params=params))
    first_only = {"from": START_S, "to": START_S + 900}
    envelope = command(serial(1), counter=2, now_s=yard.now_s, params=first_only)
    ear.tell("COL1", serial(1), envelope, alias=birth["Device Control/Command"].alias)
    ear.fence("COL1", "f1")
    await yard.fleet.await_fence("f1", ["COL1"])
    assert (await yard.fleet.settle()).sent == 2
    await ear.caught_up()
    ear.assert_strict()
    (whole, rows), (_, one) = ear.answers(serial(1))
    assert [whole[name].value for name in ("Answer/From", "Answer/To", "Answer/Part", "Answer/Parts")] == [
        START_S * 1000, (START_S + 2 * HOUR) * 1000, 1, 1,
    ]  # fmt: skip
    assert all(row.historical for row in rows)
    assert [(row.end_s, row.values) for row in rows] == [(row.end_s, row.values) for row in ear.intervals(serial(1))]
    assert [row.end_s for row in one] == [START_S + 900]


async def test_refused_and_unreadable_commands_do_no_harm(yard: Yard, ear: SparkplugEar) -> None:
    await yard.go(START_S + 905)
    good = command(serial(1), counter=3, now_s=yard.now_s)
    for envelope in (good, good, command(serial(3), counter=4, now_s=yard.now_s), b"garbage"):
        ear.tell("COL1", serial(1), envelope)
    ear.send_raw(f"spBv1.0/t1/DCMD/COL1/{serial(1)}", b"\xff\xff")
    ear.send_raw("spBv1.0/t1/DCMD/COL1/NOBODY", b"\x08\x01")
    ear.fence("COL1", "f1")
    await yard.fleet.await_fence("f1", ["COL1"])
    await yard.fleet.settle()
    await ear.caught_up()
    assert [detail["reason"] for _, detail, _ in ear.events(serial(1))] == ["replayed", "wrong_device", "malformed"]
    assert len(ear.answers(serial(1))) == 1


async def test_a_fleet_that_was_killed_goes_on_where_it_reported_last(yard: Yard, ear: SparkplugEar) -> None:
    await yard.go(START_S + HOUR + SETTLED_S)
    await yard.go(START_S + 2 * HOUR)
    frame = yard.world.frame(yard.now_s)
    await yard.fleet.stop()
    yard.fleet = yard.new_fleet()
    await yard.fleet.start()
    # The block of the second hour fell into the gap.
    await yard.fleet.advance(START_S + 2 * HOUR + 300, frame)
    await yard.fleet.settle()
    yard.now_s = START_S + 2 * HOUR + 300
    await yard.go(START_S + 3 * HOUR + SETTLED_S)
    await ear.caught_up()
    ear.assert_strict()
    births = [h.payload.by_name()["bdSeq"].value for h in ear.heard if h.kind == "NBIRTH" and h.edge == "COL0"]
    assert births == [0, 1]
    assert_reported(yard, ear, to_s=START_S + 3 * HOUR)


async def test_sigkill_in_the_middle_of_a_block_loses_no_interval(tmp_path: Path, broker: Broker) -> None:
    ear = await SparkplugEar("t1", broker.port).open()
    count, process = 30, FleetProcess(tmp_path / "fleet-0.db", broker.port, "t1", 30, "collected")
    kills, resumed = {START_S + HOUR: True, START_S + HOUR + 60: True, START_S + 2 * HOUR + 60: False}, False
    for now_s in range(START_S, START_S + 3 * HOUR + 180, 60):
        process.grant(now_s, frame=resumed or (now_s - START_S) % 900 == 0)
        resumed = now_s in kills
        if not resumed or kills[now_s]:
            process.expect("done")
        if resumed:
            process.kill()
            process = FleetProcess(tmp_path / "fleet-0.db", broker.port, "t1", count, "collected")
    process.end()
    await ear.caught_up()
    ear.assert_strict()
    journal = pq.read_table(tmp_path / "fleet-0-sparkplug-plc.parquet").to_pylist()
    for row in range(count):
        expected = [as_sent(entry)[0] for entry in journal if entry["serial"] == serial(row)]
        # What was said shortly before the kill may be said once more.
        assert sorted({interval.end_s for interval in ear.intervals(serial(row))}) == expected
    ear.close()


async def test_a_killed_broker_is_found_again_and_no_record_is_lost(
    yard: Yard, ear: SparkplugEar, broker: Broker
) -> None:
    await yard.go(START_S + 1200)
    broker.kill()
    await yard.fleet.wait_disconnected()
    await yard.go(START_S + 1300)
    assert yard.fleet.losses > 2
    ear.ready.clear()
    broker.start()
    await ear.ready.wait()
    await ear.state(True, (START_S + 1300) * 1000)
    await yard.go(START_S + HOUR + SETTLED_S)
    await ear.caught_up()
    assert_reported(yard, ear, to_s=START_S + HOUR)
    assert (await yard.fleet.settle()).connected == COUNT


async def test_without_a_host_collectors_are_born_at_once(tmp_path: Path, broker: Broker) -> None:
    ear = await SparkplugEar("t1", broker.port).open()
    yard = Yard(tmp_path, broker.port, host=None)
    await yard.fleet.start()
    await yard.go(START_S + 60)
    await ear.caught_up()
    assert ear.kinds("COL0") == ["NBIRTH"]
    await yard.fleet.stop()
    await ear.caught_up()
    assert ear.kinds("COL0") == ["NBIRTH", "NDEATH"]
    ear.close()


def test_meters_without_a_collector_are_refused(tmp_path: Path) -> None:
    def fleet(*entries: ShipmentEntry) -> Fleet:
        return Fleet(
            meters=entries, world_rows=range(len(entries)), memory_path=tmp_path / "x.db",
            broker=BrokerAddress("127.0.0.1", 1), seed=1, start_s=START_S,
        )  # fmt: skip

    one, other = collected_shipment(2, "t1")
    with pytest.raises(FleetError, match=r"no collector .* for AMI00000000"):
        fleet(replace(one, address=""))
    with pytest.raises(FleetError, match="COL0 differ in group, username or password"):
        fleet(one, replace(other, username="somebody"))
    with pytest.raises(FleetError, match="both a meter and a collector: AMI00000001"):
        fleet(replace(one, address=other.serial), replace(other, address=other.serial))
