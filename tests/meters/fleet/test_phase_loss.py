"""A meter that loses a phase and not its supply lives on, records, and tells of the phase over its wire."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.meters.meter_broker import Broker
from tests.meters.meter_process import FleetProcess
from tests.meters.meter_yard import START_S, Ear, World, grant, make_fleet, shipment, uneven_power_w

METER = "AMI00000003"
DOWN_S = START_S + 900 + 300
BACK_S = START_S + 2 * 3600


async def test_a_lost_phase_is_an_event_and_no_last_gasp(tmp_path: Path, broker: Broker) -> None:
    ear = await Ear("t1", broker.port).open()
    world = World(uneven_power_w(5))
    fleet = make_fleet(shipment(5, "t1"), broker.port, tmp_path / "shard-0.db")
    await fleet.start()
    lost = {START_S: world.frame(START_S), DOWN_S: world.frame(DOWN_S, m2_l2=False)}
    await grant(fleet, DOWN_S + 3600, lost)
    await ear.caught_up()
    assert ear.events(METER) == ["phase_loss"]
    assert ear.states(METER) == ["online"]
    await grant(fleet, BACK_S + 900, {BACK_S: world.frame(BACK_S, m2_l2=True)})
    await ear.caught_up()
    loss, back = (payload["event"] for payload in ear.of("ev", METER))
    assert (loss["code"], back["code"]) == ("phase_loss", "phase_restored")
    assert loss["detail"]["phase"] == back["detail"]["phase"] == "L2"
    assert loss["detail"]["down_at"] == back["detail"]["down_at"]
    assert "up_at" not in loss["detail"]
    assert back["detail"]["up_at"] > back["detail"]["down_at"]
    # Its load profile goes on, on two phases; supply was never down.
    fleet.export_journal(tmp_path / "journal")
    rows = pq.read_table(tmp_path / "journal" / "shard-0-rl-dsp.parquet").to_pylist()
    own = [row for row in rows if row["serial"] == METER]
    assert len(own) == 9
    assert {row["status"] for row in own} == {0}
    dark = [row for row in own if DOWN_S + 900 <= row["interval_start"].timestamp() < BACK_S - 900]
    assert {(row["import_l2_wh"], row["voltage_l2_v"]) for row in dark} == {(0, 0.0)}
    assert all(row["import_l1_wh"] > 0 and row["voltage_l1_v"] > 200 for row in dark)
    assert not [event for other in (1, 2, 4, 5) for event in ear.events(f"AMI0000000{other}")]
    await fleet.stop()
    ear.close()


async def test_a_meter_that_loses_all_phases_one_after_the_other_gasps(tmp_path: Path, broker: Broker) -> None:
    ear = await Ear("t1", broker.port).open()
    world = World(uneven_power_w(3))
    fleet = make_fleet(shipment(3, "t1"), broker.port, tmp_path / "shard.db")
    await fleet.start()
    await grant(
        fleet,
        DOWN_S + 3600,
        {
            START_S: world.frame(START_S),
            DOWN_S: world.frame(DOWN_S, m2_l1=False),
            DOWN_S + 10: world.frame(DOWN_S + 10, m2_l2=False, m2_l3=False),
        },
    )
    await ear.caught_up()
    assert ear.events(METER) == ["last_gasp"]
    await fleet.stop()
    ear.close()


@pytest.mark.parametrize("killed_s", [60, 900, 1800])
async def test_sigkill_loses_and_doubles_no_event_of_a_phase(tmp_path: Path, broker: Broker, killed_s: int) -> None:
    """While the loss is pending, after it was told, and right after the phase is back."""
    lost_s = START_S + 2 * 900
    process = FleetProcess(tmp_path / "shard.db", broker.port, "t1", 4, PHASE_LOST="yes")
    killed = False
    for now_s in range(START_S, START_S + 6 * 900 + 60, 30):
        process.grant(now_s, frame=now_s % 900 == 0)
        process.expect("done")
        if not killed and now_s >= lost_s + killed_s - 60:
            process.kill()
            process = FleetProcess(tmp_path / "shard.db", broker.port, "t1", 4, PHASE_LOST="yes")
            process.grant(now_s, frame=True)
            process.expect("done")
            killed = True
    process.end()
    events = pq.read_table(tmp_path / "shard-rl-dsp_events.parquet").to_pylist()
    own = [event for event in events if event["serial"] == "AMI00000002"]
    assert [(event["sequence"], event["code"]) for event in own] == [(1, "phase_loss"), (2, "phase_restored")]
    down_at = {json.loads(event["detail"])["down_at"] for event in own}
    assert len(down_at) == 1
