"""A shard against a real broker: what it records, and what of that arrives."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from grid.world import WorldFrame
from meters.errors import FleetError, MemoryFailedError
from tests.meters.interval_records import coded_row
from tests.meters.meter_broker import Broker
from tests.meters.meter_yard import START_S, Ear, World, command, grant, make_fleet, shipment, uneven_power_w, until

COUNT = 12
DOWN_S = START_S + 900 + 300
FRAMES_S = range(START_S, START_S + 4 * 3600, 900)


class Yard:
    """A fleet, its world and an ear."""

    def __init__(self, directory: Path, port: int, group: str = "t1", seed: int = 7) -> None:
        self.entries = shipment(COUNT, group)
        self.world = World(uneven_power_w(COUNT))
        self.fleet = make_fleet(self.entries, port, directory / "shard-0.db", seed)
        self.directory = directory
        self.now_s = START_S

    async def go(self, until_s: int, *, extra: Sequence[int] = (), **switched: bool) -> None:
        """Frames each quarter of an hour, and one at once if something is `switched`."""
        frames: dict[int, WorldFrame] = {}
        if switched or self.now_s == START_S:
            frames[self.now_s] = self.world.frame(self.now_s, power_w=None, **switched)
        for time_s in FRAMES_S:
            if self.now_s < time_s <= until_s:
                frames[time_s] = self.world.frame(time_s)
        await grant(self.fleet, until_s, frames, extra=extra)
        self.now_s = until_s

    def journal(self) -> list[dict[str, Any]]:
        self.fleet.export_journal(self.directory / "journal")
        table = pq.read_table(self.directory / "journal" / "shard-0-rl-dsp.parquet")
        rows: list[dict[str, Any]] = table.to_pylist()
        return rows

    def events(self) -> list[dict[str, Any]]:
        self.fleet.export_journal(self.directory / "journal")
        rows: list[dict[str, Any]] = pq.read_table(
            self.directory / "journal" / "shard-0-rl-dsp_events.parquet"
        ).to_pylist()
        return rows


def serial(row: int) -> str:
    return f"AMI{row + 1:08d}"


@pytest.fixture
async def yard(tmp_path: Path, broker: Broker) -> AsyncIterator[Yard]:
    made = Yard(tmp_path, broker.port)
    await made.fleet.start()
    yield made
    await made.fleet.stop()


def as_reading(row: dict[str, Any]) -> dict[str, Any]:
    """What docs/wire-rl-dsp.md makes of a journal row."""
    end_s = row["interval_start"].timestamp() + row["interval_length_s"]
    return {"ts": end_s, **coded_row(row), "1.6.0.5": row["max_demand_at"].isoformat()}


def readings(ear: Ear, who: str) -> list[dict[str, Any]]:
    return [{**m, "ts": datetime.fromisoformat(m["ts"]).timestamp()} for m in (p["meter"] for p in ear.of("ds", who))]


async def test_every_reading_arrives_with_the_values_of_the_journal(yard: Yard, ear: Ear) -> None:
    await yard.go(START_S + 3600 + 5)
    await ear.caught_up()
    journal = yard.journal()
    assert len(journal) == 4 * COUNT
    for row in range(COUNT):
        own = [entry for entry in journal if entry["serial"] == serial(row)]
        assert readings(ear, serial(row)) == [as_reading(entry) for entry in own]
        assert ear.states(serial(row)) == ["online"]
        assert {entry["usage_point"] for entry in own} == {f"UP{row + 1:05d}"}


async def test_the_journal_is_what_physics_did_within_class_over_the_window_integrated(yard: Yard) -> None:
    await yard.go(START_S + 2 * 3600 + 5)
    power_w = uneven_power_w(COUNT)
    for entry in yard.journal():
        row = int(entry["serial"][3:]) - 1
        window_h = (entry["window_end_s"] - entry["window_start_s"]) / 3600
        true_import_wh = np.maximum(power_w[row], 0).sum() * window_h
        true_export_wh = np.maximum(-power_w[row], 0).sum() * window_h
        assert abs(entry["import_wh"] - true_import_wh) <= 0.01 * true_import_wh + 2
        assert abs(entry["export_wh"] - true_export_wh) <= 0.01 * true_export_wh + 2
        assert abs(entry["window_start_s"] - entry["interval_start"].timestamp()) < 0.5
        assert 0 <= entry["recorded_at_s"] - entry["window_end_s"] <= 1
        assert entry["voltage_l1_v"] == pytest.approx(231.4, rel=0.005)
        assert entry["status"] == 0


async def test_a_long_outage_is_told_by_last_gasp_and_restore(yard: Yard, ear: Ear) -> None:
    await yard.go(DOWN_S)
    await yard.go(DOWN_S + 7200, m3=False)
    await ear.caught_up()
    assert ear.events(serial(3)) == ["last_gasp"]
    assert ear.states(serial(3)) == ["online", "offline"]
    assert ear.states(serial(4)) == ["online"]
    await yard.go(DOWN_S + 7200 + 120, m3=True)
    await ear.caught_up()
    gasp, restore = (payload["event"] for payload in ear.of("ev", serial(3)))
    assert (gasp["code"], gasp["seq"], restore["code"], restore["seq"]) == ("last_gasp", 1, "power_restore", 2)
    instant = {
        name: datetime.fromisoformat(text).timestamp()
        for name, text in {**gasp["detail"], **restore["detail"], "gasp": gasp["ts"], "back": restore["ts"]}.items()
    }
    # The meter's clock is off by less than a second, and shows whole seconds.
    assert abs(instant["down_at"] - DOWN_S) <= 1
    assert abs(instant["up_at"] - (DOWN_S + 7200)) <= 1
    assert 44 <= instant["gasp"] - DOWN_S <= 56
    assert 19 <= instant["back"] - (DOWN_S + 7200) <= 41
    assert ear.states(serial(3)) == ["online", "offline", "online"]
    assert [payload["state"].get("boot") for payload in ear.of("st", serial(3))] == [1, None, 2]


async def test_intervals_have_records_if_and_only_if_there_was_supply(yard: Yard) -> None:
    await yard.go(DOWN_S)
    await yard.go(DOWN_S + 7200, m3=False)
    # Back 100 s before the end of an interval.
    await yard.go(START_S + 3 * 3600 - 100)
    await yard.go(START_S + 3 * 3600 + 905, m3=True)
    own = {int(row["interval_start"].timestamp()): row for row in yard.journal() if row["serial"] == serial(3)}
    expected_s = [START_S, START_S + 900, START_S + 3 * 3600 - 900, START_S + 3 * 3600]
    assert sorted(own) == expected_s
    before, down, up, after = (own[start_s] for start_s in expected_s)
    assert [row["status"] for row in (before, down, up, after)] == [0, 4, 4 | 8, 0]
    power_w = np.maximum(uneven_power_w(COUNT)[3], 0).sum()
    for row, supplied_s in ((down, 300), (up, 100)):
        assert row["import_wh"] == pytest.approx(power_w * supplied_s / 3600, rel=0.02, abs=2)
    assert (down["active_power_w"], down["voltage_l1_v"]) == (0, 0.0)
    registers = [row["import_register_wh"] for row in (before, down, up, after)]
    assert np.diff(registers).tolist() == [row["import_wh"] for row in (down, up, after)]


async def test_an_interval_that_ends_in_the_dark_is_recorded_but_not_sent(yard: Yard, ear: Ear) -> None:
    await yard.go(DOWN_S)
    await yard.go(DOWN_S + 3600, m3=False)
    await ear.caught_up()
    assert [row["ts"] for row in readings(ear, serial(3))] == [START_S + 900]
    assert sum(row["serial"] == serial(3) for row in yard.journal()) == 2


async def test_a_short_interruption_is_momentary_and_keeps_the_connection(yard: Yard, ear: Ear) -> None:
    await yard.go(DOWN_S)
    await yard.go(DOWN_S + 40, m3=False, m5=False)
    await yard.go(DOWN_S + 1000, m3=True, m5=True)
    await ear.caught_up()
    for row in (3, 5):
        assert ear.events(serial(row)) == ["momentary"]
        assert ear.states(serial(row)) == ["online"]
        (event,) = ear.of("ev", serial(row))
        down_s, up_s = (
            datetime.fromisoformat(event["event"]["detail"][key]).timestamp() for key in ("down_at", "up_at")
        )
        assert 39 <= up_s - down_s <= 41
    statuses = [row["status"] for row in yard.journal() if row["serial"] == serial(3)]
    assert statuses == [0, 12]


async def test_supply_back_after_the_gasp_restores_without_a_boot(yard: Yard, ear: Ear) -> None:
    await yard.go(DOWN_S)
    await yard.go(DOWN_S + 70, m3=False)
    await yard.go(DOWN_S + 100, m3=True)
    await ear.caught_up()
    assert ear.events(serial(3)) == ["last_gasp", "power_restore"]
    assert ear.states(serial(3)) == ["online"]


async def test_a_lost_uplink_goes_silent_then_offline_and_meters_on(yard: Yard, ear: Ear) -> None:
    await yard.go(DOWN_S)
    yard.fleet.lose_uplink([serial(2)])
    await yard.go(DOWN_S + 89)
    await ear.caught_up()
    assert ear.states(serial(2)) == ["online"]
    await yard.go(DOWN_S + 90)
    await ear.caught_up()
    assert ear.states(serial(2)) == ["online", "offline"]
    assert (await yard.fleet.settle()).connected == COUNT - 1
    await yard.go(DOWN_S + 3600)
    yard.fleet.restore_uplink([serial(2)])
    await yard.go(DOWN_S + 3600 + 70)
    await ear.caught_up()
    assert ear.states(serial(2)) == ["online", "offline", "online"]
    assert [row["ts"] for row in readings(ear, serial(2))] == [START_S + 900]
    journal = [row for row in yard.journal() if row["serial"] == serial(2)]
    assert len(journal) == 5
    assert all(row["import_wh"] > 0 and row["status"] == 0 for row in journal)


async def test_an_uplink_back_before_the_keep_alive_is_missed_keeps_its_connection(yard: Yard, ear: Ear) -> None:
    await yard.go(START_S + 890)
    yard.fleet.lose_uplink([serial(2)])
    await yard.go(START_S + 920)
    yard.fleet.restore_uplink([serial(2)])
    await yard.go(START_S + 1805)
    await ear.caught_up()
    assert ear.states(serial(2)) == ["online"]
    assert [row["ts"] for row in readings(ear, serial(2))] == [START_S + 1800]


async def test_events_that_came_up_offline_are_told_later_but_no_stale_last_gasp(yard: Yard, ear: Ear) -> None:
    await yard.go(DOWN_S)
    yard.fleet.lose_uplink([serial(2)])
    await yard.go(DOWN_S + 100)
    await yard.go(DOWN_S + 130, m2=False)
    await yard.go(DOWN_S + 200, m2=True)
    await yard.go(DOWN_S + 270, m2=False)
    await yard.go(DOWN_S + 300, m2=True)
    yard.fleet.restore_uplink([serial(2)])
    await yard.go(DOWN_S + 400)
    await ear.caught_up()
    assert ear.events(serial(2)) == ["momentary", "power_restore"]
    logged = [event for event in yard.events() if event["serial"] == serial(2)]
    assert [event["code"] for event in logged] == ["momentary", "last_gasp", "power_restore"]
    assert [event["sequence"] for event in logged] == [1, 2, 3]
    assert [payload["event"]["seq"] for payload in ear.of("ev", serial(2))] == [1, 3]


async def test_a_reboot_drops_the_connection_at_once_and_says_so_afterwards(yard: Yard, ear: Ear) -> None:
    await yard.go(START_S + 1790)
    yard.fleet.reboot([serial(6)])
    await yard.fleet.settle()
    await ear.caught_up()
    assert ear.states(serial(6)) == ["online", "offline"]
    await yard.go(START_S + 2705)
    await ear.caught_up()
    assert ear.events(serial(6)) == ["reboot"]
    assert [payload["state"].get("boot") for payload in ear.of("st", serial(6))] == [1, None, 2]
    # The reading at 1800 fell into the boot: it is in the memory alone.
    assert [row["ts"] - START_S for row in readings(ear, serial(6))] == [900, 2700]
    assert sum(row["serial"] == serial(6) for row in yard.journal()) == 3


async def test_who_renews_leaves_in_order_and_is_back_before_the_next_reading(yard: Yard, ear: Ear) -> None:
    await yard.go(START_S + 1780)
    yard.fleet.lose_uplink([serial(3)])
    yard.fleet.renew([serial(2), serial(3)])
    assert (await yard.fleet.settle()).connected == COUNT - 2
    await yard.go(START_S + 1800)
    yard.fleet.restore_uplink([serial(3)])
    await yard.go(START_S + 1900)
    await ear.caught_up()
    # In order: nobody hears a will. Who is offline has nothing to leave.
    assert ear.states(serial(2)) == ["online", "online"]
    assert ear.states(serial(3)) == ["online"]
    assert [row["ts"] - START_S for row in readings(ear, serial(2))] == [900, 1800]
    assert ear.events(serial(2)) == []


async def test_a_killed_broker_loses_no_record_and_meters_find_their_way_back(
    yard: Yard, ear: Ear, broker: Broker
) -> None:
    await yard.go(START_S + 905)
    await ear.caught_up()
    broker.kill()
    await yard.fleet.wait_disconnected()
    assert (await yard.fleet.settle()).connected == 0
    await yard.go(START_S + 1810)
    assert yard.fleet.losses > COUNT
    ear.ready.clear()
    broker.start()
    await with_limit(ear)
    await yard.go(START_S + 1900)
    settled = await yard.fleet.settle()
    assert settled.connected == COUNT
    await yard.go(START_S + 2705)
    await ear.caught_up()
    for row in range(COUNT):
        assert [reading["ts"] - START_S for reading in readings(ear, serial(row))] == [900, 2700]
    assert len(yard.journal()) == 3 * COUNT


async def test_what_had_no_puback_when_the_broker_died_is_sent_again(yard: Yard, ear: Ear, broker: Broker) -> None:
    await yard.go(START_S + 890)
    # Published into the sockets of a broker that is about to die: none of it is acknowledged.
    broker.pause()
    await yard.fleet.advance(START_S + 900, yard.world.frame(START_S + 900))
    await yard.fleet.advance(START_S + 901, None)
    broker.kill()
    await yard.fleet.wait_disconnected()
    ear.ready.clear()
    broker.start()
    await with_limit(ear)
    yard.now_s = START_S + 901
    await yard.go(START_S + 1000)
    assert (await yard.fleet.settle()).connected == COUNT
    await ear.caught_up()
    for row in range(COUNT):
        assert [reading["ts"] - START_S for reading in readings(ear, serial(row))] == [900]


async def with_limit(ear: Ear) -> None:
    await until(ear.ready.is_set)


async def test_settle_counts_what_was_sent_and_who_is_fresh(yard: Yard) -> None:
    await yard.fleet.advance(START_S, yard.world.frame(START_S))
    fresh: set[str] = set()
    sent = 0
    while (due_s := yard.fleet.next_due()) is not None and due_s < START_S + 800:
        await yard.fleet.advance(int(due_s), None)
        settled = await yard.fleet.settle()
        fresh.update(settled.fresh)
        sent += settled.sent
    assert fresh == {entry.serial for entry in yard.entries}
    assert sent == COUNT
    settled = await yard.fleet.settle()
    assert (settled.sent, settled.fresh, settled.connected) == (0, [], COUNT)


async def test_fences_reach_connected_meters_and_wait_for_no_other(yard: Yard, ear: Ear) -> None:
    await yard.go(START_S + 20)
    yard.fleet.reboot([serial(1)])
    await yard.fleet.settle()
    everyone = [entry.serial for entry in yard.entries]
    for who in everyone:
        await ear.fence(who, "f1")
    await yard.fleet.await_fence("f1", everyone)
    # A fence changes nothing in the meter.
    assert (await yard.fleet.settle()).sent == 0
    assert yard.events() == []


async def test_a_load_profile_is_read_by_a_signed_command(yard: Yard, ear: Ear) -> None:
    await yard.go(START_S + 3600 + 5)
    params = {"from": START_S - 9000, "to": START_S + 90000}
    await ear.tell(serial(0), command(serial(0), now_s=START_S + 3600, params=params))
    await ear.fence(serial(0), "f1")
    await yard.fleet.await_fence("f1", [serial(0)])
    assert (await yard.fleet.settle()).sent == 1
    await ear.caught_up()
    (answer,) = (payload["profile"] for payload in ear.of("lp", serial(0)))
    # Clipped to what the meter has: from its start to the last interval that ended.
    assert datetime.fromisoformat(answer["from"]).timestamp() == START_S
    assert datetime.fromisoformat(answer["to"]).timestamp() == START_S + 3600
    pushed = [payload["meter"] for payload in ear.of("ds", serial(0))]
    assert [dict(zip(["ts", *answer["columns"]], row, strict=True)) for row in answer["rows"]] == pushed


async def test_the_load_profile_of_an_outage_lacks_the_dark_intervals(yard: Yard, ear: Ear) -> None:
    await yard.go(DOWN_S)
    await yard.go(DOWN_S + 3600, m3=False)
    await yard.go(START_S + 2 * 3600 + 5, m3=True)
    params = {"from": START_S, "to": START_S + 7200}
    await ear.tell(serial(3), command(serial(3), now_s=yard.now_s, params=params))
    await until(lambda: bool(ear.of("lp", serial(3))))
    (answer,) = (payload["profile"] for payload in ear.of("lp", serial(3)))
    ends_s = [datetime.fromisoformat(row[0]).timestamp() for row in answer["rows"]]
    assert ends_s == [START_S + 900 * number for number in (1, 2, 6, 7, 8)]


async def test_replays_and_other_refusals_are_events(yard: Yard, ear: Ear) -> None:
    await yard.go(START_S + 905)
    good = command(serial(0), counter=3, now_s=yard.now_s)
    for message in (good, good, command(serial(1), counter=4, now_s=yard.now_s), b"garbage", b"\x00" * 10_000):
        await ear.tell(serial(0), message)
    await until(lambda: len(ear.of("ev", serial(0))) == 4)
    assert [payload["event"]["detail"]["reason"] for payload in ear.of("ev", serial(0))] == [
        "replayed", "wrong_device", "malformed", "malformed",
    ]  # fmt: skip
    assert len(ear.of("lp", serial(0))) == 1


async def test_a_command_to_a_silent_meter_is_carried_out_when_it_is_back(yard: Yard, ear: Ear) -> None:
    await yard.go(START_S + 905)
    yard.fleet.lose_uplink([serial(0)])
    # The broker still thinks the meter is there.
    await ear.tell(serial(0), command(serial(0), now_s=yard.now_s, params={"from": START_S, "to": START_S + 900}))
    await yard.go(START_S + 1500)
    await ear.caught_up()
    assert ear.of("lp", serial(0)) == []
    yard.fleet.restore_uplink([serial(0)])
    await yard.go(START_S + 1600)
    await until(lambda: len(ear.of("lp", serial(0))) == 1)


async def journal_of(directory: Path, port: int, group: str, *, seed: int, extra: Sequence[int]) -> list[Any]:
    """Three hours with an outage, a lost uplink and a reboot."""
    yard = Yard(directory, port, group, seed)
    await yard.fleet.start()
    await yard.go(DOWN_S, extra=[at_s for at_s in extra if at_s < DOWN_S])
    yard.fleet.lose_uplink([serial(1)])
    yard.fleet.reboot([serial(2)])
    await yard.go(DOWN_S + 4000, m3=False, extra=[at_s for at_s in extra if DOWN_S < at_s < DOWN_S + 4000])
    await yard.go(START_S + 3 * 3600, m3=True)
    rows = [yard.journal(), yard.events()]
    await yard.fleet.stop()
    return rows


async def test_the_journal_depends_on_seed_and_world_alone(tmp_path: Path, broker: Broker) -> None:
    rng = random.Random(3)
    extra = sorted(rng.sample(range(START_S, START_S + 2 * 3600), 40))
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    first = await journal_of(tmp_path / "a", broker.port, "a", seed=7, extra=[])
    finer = await journal_of(tmp_path / "b", broker.port, "b", seed=7, extra=extra)
    other = await journal_of(tmp_path / "c", broker.port, "c", seed=8, extra=[])
    assert first == finer
    assert first != other


async def test_grants_as_coarse_as_the_frames_give_the_same_journal(tmp_path: Path, broker: Broker) -> None:
    fine, coarse = (Yard(tmp_path, broker.port, group) for group in ("a", "b"))
    coarse.directory = tmp_path / "b"
    coarse.fleet = make_fleet(coarse.entries, broker.port, tmp_path / "other" / "shard-0.db")
    (tmp_path / "other").mkdir()
    for yard in (fine, coarse):
        await yard.fleet.start()
    await fine.go(START_S + 3600 + 5)
    for time_s in (START_S, START_S + 3600 + 5):
        await coarse.fleet.advance(time_s, coarse.world.frame(time_s))
    assert coarse.journal() == fine.journal()
    for yard in (fine, coarse):
        await yard.fleet.stop()


async def test_sharding_does_not_change_a_meter(tmp_path: Path, broker: Broker) -> None:
    whole = Yard(tmp_path, broker.port)
    part = make_fleet(whole.entries[5:7], broker.port, tmp_path / "part.db")
    part_of_world = World(uneven_power_w(COUNT)[5:7])
    for fleet in (whole.fleet, part):
        await fleet.start()
    await whole.go(START_S + 905)
    await grant(part, START_S + 905, {s: part_of_world.frame(s) for s in (START_S, START_S + 900)})
    part.export_journal(tmp_path / "part")
    rows = pq.read_table(tmp_path / "part" / "part-rl-dsp.parquet").to_pylist()
    assert rows == [row for row in whole.journal() if row["serial"] in (serial(5), serial(6))]
    for fleet in (whole.fleet, part):
        await fleet.stop()


async def test_misuse_is_answered_in_words(yard: Yard, tmp_path: Path) -> None:
    with pytest.raises(FleetError, match="no physical frame has come yet"):
        await yard.fleet.advance(START_S + 905, None)
    with pytest.raises(FleetError, match="not in this fleet: AMI9"):
        yard.fleet.lose_uplink(["AMI9"])
    with pytest.raises(FleetError, match="time does not run backwards"):
        await yard.fleet.advance(START_S, None)
    with pytest.raises(FleetError, match="row 11 of a physical frame with 3 usage points"):
        await yard.fleet.advance(START_S + 905, World(uneven_power_w(3)).frame(START_S))
    with pytest.raises(MemoryFailedError, match="locked"):
        await make_fleet(yard.entries, 1, tmp_path / "shard-0.db").start()
    with pytest.raises(FleetError, match="same serial"):
        make_fleet([*yard.entries, yard.entries[0]], 1, tmp_path / "x.db")
    with pytest.raises(FleetError, match="without meters"):
        make_fleet([], 1, tmp_path / "x.db")
