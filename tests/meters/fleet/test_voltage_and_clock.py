"""What a meter notices of its voltage and of its clock, on a real broker."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from grid.world import WorldFrame
from meters.device.records import Status
from tests.meters.meter_broker import Broker
from tests.meters.meter_yard import START_S, Ear, World, grant, make_fleet, shipment, uneven_power_w

RESERVE_S = 129_600
WHO = "AMI00000001"


def at_voltage(frame: WorldFrame, volts: float) -> WorldFrame:
    """L2 of the first meter has another voltage."""
    voltage_v = frame.voltage_v.copy()
    voltage_v[0, 1] = volts
    return replace(frame, voltage_v=voltage_v)


def journal(directory: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(directory / "shard-rl-dsp.parquet").to_pylist()
    return [row for row in rows if row["serial"] == WHO]


async def test_a_sag_is_an_event_with_phase_lowest_voltage_and_duration(tmp_path: Path, broker: Broker) -> None:
    world, ear = World(uneven_power_w(2)), await Ear("t1", broker.port).open()
    fleet = make_fleet(shipment(2, "t1"), broker.port, tmp_path / "shard.db")
    await fleet.start()
    frames = {}
    for number, volts in enumerate((230.0, 203.0, 198.0, 231.0)):
        now_s = START_S + 900 * number
        frames[now_s] = at_voltage(world.frame(now_s), volts)
    await grant(fleet, START_S + 2705, frames)
    await ear.caught_up()
    (event,) = (payload["event"] for payload in ear.of("ev", WHO))
    assert event["code"] == "voltage_sag"
    detail = event["detail"]
    assert (detail["phase"], detail["duration_s"]) == ("L2", 1800)
    assert abs(detail["lowest_v"] / 198.0 - 1) <= 0.006
    assert abs(datetime.fromisoformat(detail["from"]).timestamp() - START_S - 900) <= 1
    assert ear.of("ev", "AMI00000002") == []
    await fleet.stop()
    ear.close()


async def test_a_clock_is_invalid_from_an_outage_beyond_its_reserve_until_it_is_set(
    tmp_path: Path, broker: Broker
) -> None:
    statuses = {}
    for name, dark_s in (("short", RESERVE_S - 900), ("long", RESERVE_S + 900)):
        world = World(uneven_power_w(1))
        fleet = make_fleet(shipment(1, "t1"), broker.port, tmp_path / f"{name}.db")
        await fleet.start()
        down_s, up_s = START_S + 900, START_S + 900 + dark_s
        frames = {
            START_S: world.frame(START_S),
            down_s: world.frame(down_s, m0=False),
            up_s: world.frame(up_s, m0=True),
        }
        await grant(fleet, up_s + 1805, frames)
        fleet.export_journal(tmp_path / name)
        await fleet.stop()
        rows = pq.read_table(tmp_path / name / f"{name}-rl-dsp.parquet").to_pylist()
        statuses[name] = [
            bool(row["status"] & Status.CLOCK_INVALID)
            for row in rows
            if row["interval_start"].timestamp() >= up_s - 900
        ]
    assert not any(statuses["short"])
    # The first interval that ends is marked, and the clock set; those that follow are not.
    assert statuses["long"][-2:] == [True, False]


async def test_a_meter_that_starts_in_the_dark_has_no_valid_clock_at_first(tmp_path: Path, broker: Broker) -> None:
    world = World(uneven_power_w(1))
    fleet = make_fleet(shipment(1, "t1"), broker.port, tmp_path / "shard.db")
    await fleet.start()
    frames = {START_S: world.frame(START_S, m0=False), START_S + 900: world.frame(START_S + 900, m0=True)}
    await grant(fleet, START_S + 2705, frames)
    fleet.export_journal(tmp_path)
    assert [bool(row["status"] & Status.CLOCK_INVALID) for row in journal(tmp_path)][-2:] == [True, False]
    await fleet.stop()


async def test_maximum_demand_is_the_highest_interval_of_the_month_with_its_time(
    tmp_path: Path, broker: Broker
) -> None:
    world = World(uneven_power_w(1))
    fleet = make_fleet(shipment(1, "t1"), broker.port, tmp_path / "shard.db")
    await fleet.start()
    frames = {
        START_S + 900 * number: world.frame(START_S + 900 * number, power_w=np.full((1, 3), watts))
        for number, watts in enumerate((500.0, 2000.0, 800.0, 800.0))
    }
    await grant(fleet, START_S + 2705, frames)
    fleet.export_journal(tmp_path)
    rows = journal(tmp_path)
    highest = max(rows, key=lambda row: row["import_wh"])
    for row in rows[1:]:
        assert row["max_demand_import_w"] == highest["import_wh"] * 4
        assert row["max_demand_at"].timestamp() == START_S + 1800
    assert rows[0]["max_demand_import_w"] == rows[0]["import_wh"] * 4
    await fleet.stop()
