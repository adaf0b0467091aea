"""What the durable memory is for: a fleet process that dies goes on where it was."""

from __future__ import annotations

import gc
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import uvloop

from meters.errors import FleetError
from tests.meters.meter_broker import Broker
from tests.meters.meter_process import FleetProcess
from tests.meters.meter_yard import START_S, Ear, World, command, grant, make_fleet, shipment, uneven_power_w, until

COUNT = 70
HOURS = 2
END_S = START_S + HOURS * 3600


def journal(directory: Path) -> list[dict[str, Any]]:
    table = pq.read_table(directory / "shard-rl-dsp.parquet")
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def live(directory: Path, port: int, group: str, killed_at: dict[int, bool], *, gap_s: int = 0) -> list[dict[str, Any]]:
    """Live through the hours in grants of a minute. `killed_at`: instant -> whether SIGKILL hits within its grant.

    The process that follows is granted the same instant again, or one `gap_s` later."""
    directory.mkdir()
    process = FleetProcess(directory / "shard.db", port, group, COUNT)
    now_s, resumed = START_S, False
    while now_s <= END_S + 60:
        process.grant(now_s, frame=resumed or now_s % 900 == 0)
        resumed = False
        if now_s in killed_at:
            if not killed_at.pop(now_s):
                process.expect("done")
            process.kill()
            process = FleetProcess(directory / "shard.db", port, group, COUNT)
            now_s, resumed = now_s + gap_s, True
            continue
        process.expect("done")
        now_s += 60
    process.end()
    return journal(directory)


def test_sigkill_at_any_moment_neither_loses_nor_doubles_nor_alters_an_interval(tmp_path: Path, broker: Broker) -> None:
    rng = random.Random(11)
    moments = rng.sample(range(START_S + 60, END_S, 60), 3) + rng.sample(range(START_S + 900, END_S, 900), 3)
    expected = live(tmp_path / "whole", broker.port, "whole", {})
    killed = live(tmp_path / "killed", broker.port, "killed", {at_s: rng.random() < 0.7 for at_s in moments})
    assert killed == expected
    # And the run without a kill is a whole one. Meter 4 was dark for half an hour.
    per_meter = Counter(row["serial"] for row in expected)
    assert per_meter.pop("AMI00000004") in (HOURS * 4 - 2, HOURS * 4 - 1)
    assert set(per_meter.values()) == {HOURS * 4}
    assert len(per_meter) == COUNT - 1


def test_frames_missed_while_dead_are_filled_by_what_the_next_one_says(tmp_path: Path, broker: Broker) -> None:
    died_s = START_S + 1800 + 120
    expected = live(tmp_path / "whole", broker.port, "whole", {})
    killed = live(tmp_path / "killed", broker.port, "killed", {died_s: False}, gap_s=3600)

    def by_meter(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
        return {serial: [row for row in rows if row["serial"] == serial] for serial in {row["serial"] for row in rows}}

    whole, other = by_meter(expected), by_meter(killed)
    assert set(whole) == set(other)
    for serial, rows in other.items():
        starts_s = [row["interval_start"].timestamp() for row in rows]
        assert starts_s == sorted(set(starts_s))
        # Nothing is missing, and the energy of the run is the same: only its spread over the gap is not known, and so
        # not quite which of the meter's errors, which depend on the load, it had.
        assert {row["interval_start"] for row in whole[serial]} <= {row["interval_start"] for row in rows}
        assert all(row["import_wh"] >= 0 and row["export_wh"] >= 0 for row in rows)
        measured_wh, allowed_wh = (sum(row[name] for row in rows) for name in ("import_wh", "import_allowed_wh"))
        assert abs(measured_wh - sum(row["import_wh"] for row in whole[serial])) <= 0.1 * allowed_wh + 1
        assert np.diff([row["import_register_wh"] % 10**9 for row in rows]).tolist() == [
            row["import_wh"] for row in rows[1:]
        ]


async def test_counters_phases_boots_and_faults_outlive_the_process(tmp_path: Path, broker: Broker) -> None:
    entries = shipment(5, "t1")
    ear = await Ear("t1", broker.port).open()
    world = World(uneven_power_w(5))
    first = make_fleet(entries, broker.port, tmp_path / "shard.db")
    await first.start()
    await grant(first, START_S + 100, {START_S: world.frame(START_S)})
    first.lose_uplink(["AMI00000002"])
    await ear.tell("AMI00000001", command("AMI00000001", counter=5, now_s=START_S))
    await until(lambda: bool(ear.of("lp", "AMI00000001")))
    dark = world.frame(START_S + 100, m3=False)
    await grant(first, START_S + 130, {START_S + 100: dark})
    await first.stop()

    second = make_fleet(entries, broker.port, tmp_path / "shard.db")
    await second.start()
    with pytest.raises(FleetError, match="its first grant must carry the current frame"):
        await second.advance(START_S + 140, None)
    await second.advance(START_S + 140, dark)
    await second.settle()
    await grant(second, START_S + 400)
    settled = await second.settle()
    # Not the one without uplink, nor the one without power.
    assert settled.connected == 3
    await ear.tell("AMI00000001", command("AMI00000001", counter=5, now_s=START_S))
    await until(lambda: bool(ear.events("AMI00000001")))
    (refusal,) = ear.of("ev", "AMI00000001")
    assert (refusal["event"]["seq"], refusal["event"]["detail"]["reason"]) == (1, "replayed")
    second.restore_uplink(["AMI00000002"])
    await grant(second, START_S + 600, {START_S + 400: world.frame(START_S + 400, m3=True)})
    await ear.caught_up()
    assert (await second.settle()).connected == 5
    # Its super-capacitor ran on while the process was away.
    assert ear.events("AMI00000004") == ["last_gasp", "power_restore"]
    assert ear.of("st", "AMI00000004")[-1]["state"]["boot"] == 2
    await second.stop()
    ear.close()


async def test_frames_that_run_backwards_are_refused(tmp_path: Path, broker: Broker) -> None:
    fleet = make_fleet(shipment(2, "t1"), broker.port, tmp_path / "shard.db")
    await fleet.start()
    world = World(uneven_power_w(2))
    await fleet.advance(START_S, world.frame(START_S))
    await fleet.advance(START_S + 900, world.frame(START_S + 900))
    other = World(uneven_power_w(2), sequence=5)
    with pytest.raises(FleetError, match="the energies of a run are cumulative"):
        await fleet.advance(START_S + 1800, other.frame(START_S))
    await fleet.stop()


def test_a_process_that_ends_with_connections_open_says_nothing_of_them(
    tmp_path: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def live_on() -> None:
        fleet = make_fleet(shipment(3, "t1"), broker.port, tmp_path / "shard.db")
        await fleet.start()
        await grant(fleet, START_S + 60, {START_S: World(uneven_power_w(3)).frame(START_S)})
        assert (await fleet.settle()).connected

    gc.collect()
    said: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", said.append)
    uvloop.run(live_on())
    gc.collect()
    assert said == []
