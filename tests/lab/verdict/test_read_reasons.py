"""Why a read is late or missing, where a network carried it: each reason, and no other."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lab.report.events import RunEvent, interruptions_of
from lab.verdict.judge_files import judge_run
from meters.radio.passage import Cause, DeliveryClass, Direction
from tests.lab.verdict.network_frames import Air, reads_of
from tests.lab.verdict.synthetic import (
    START_S,
    STEP_S,
    Dark,
    Run,
    instants,
    make_run,
    make_stations,
    write_with_transformers,
)

POINTS, INTERVALS = 4, 12
HOUR_S = 3600
METER, INTERVAL = 1, 3
DUE_S = (INTERVAL + 1) * STEP_S
DEADLINE_S = DUE_S + STEP_S + 300
BROKER = RunEvent(START_S + DUE_S, "kill", "broker killed", START_S + DUE_S + 180, "broker")
HEAD_END = RunEvent(START_S + DUE_S, "kill", "headend killed", START_S + DUE_S + 180, "headend")


def uplink(*stations: str) -> RunEvent:
    return RunEvent(START_S + DUE_S - 60, "uplink_loss", "uplink loss", START_S + DUE_S + HOUR_S, stations=stations)


@dataclass
class Case:
    """One read that is late by hours, or missing, and the rows that the network has of it."""

    run: Run
    air: Air
    directory: Path
    row: int = METER * INTERVALS + INTERVAL

    def without_its_frames(self) -> Case:
        about = START_S + INTERVAL * STEP_S
        self.air.rows = [row for row in self.air.rows if (row["about"], row["serial"]) != (about, f"AMI{METER:08d}")]
        return self

    def told(self, *events: RunEvent, missing: bool = False) -> dict[str, Any]:
        if missing:
            self.run.drop("stored", [self.row])
        else:
            self.run.stored["committed_at"][self.row] = instants(np.array(START_S + DEADLINE_S + 2 * HOUR_S))
        run_dir = self.air.write(self.run.write(self.directory))
        judge_run(run_dir, self.run.context(), interruptions=interruptions_of(events))
        found: dict[str, Any] = json.loads((run_dir / "verdict.json").read_text())["network"]["late_or_missing_reads"]
        return found


@pytest.fixture
def case(tmp_path: Path) -> Case:
    run = make_run(POINTS, INTERVALS)
    return Case(run, reads_of(run), tmp_path / "run")


def only(reason: str, *, missing: bool = False) -> dict[str, Any]:
    return {reason: {"late": int(not missing), "missing": int(missing)}}


def test_nothing_late_nothing_told(tmp_path: Path) -> None:
    run = make_run(POINTS, INTERVALS)
    run_dir = reads_of(run).write(run.write(tmp_path / "run"))
    judge_run(run_dir, run.context())
    assert json.loads((run_dir / "verdict.json").read_text())["network"]["late_or_missing_reads"] == {}


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (Cause.DARK, "dark"),
        (Cause.RADIO, "radio"),
        (Cause.COLLISION, "radio"),
        (Cause.JAMMED, "radio"),
        (Cause.ENERGY, "radio"),
        (Cause.COLLECTOR, "collector"),
        (Cause.CELL, "cell"),
        (Cause.BACKHAUL, "backhaul"),
    ],
)
def test_lost_in_the_air(case: Case, cause: Cause, reason: str, missing: bool) -> None:
    case.without_its_frames()
    case.air.read(METER, INTERVAL, DUE_S, None, cause=cause)
    if not missing:
        case.air.read(METER, INTERVAL, DUE_S + 2 * HOUR_S)
    assert case.told(missing=missing) == only(reason, missing=missing)


def test_delayed_in_the_air(case: Case) -> None:
    case.without_its_frames()
    case.air.read(METER, INTERVAL, DUE_S, DEADLINE_S - DUE_S + 1.0, cause=Cause.BACKHAUL)
    assert case.told() == only("backhaul")


def test_what_is_sent_to_a_meter_is_no_read_of_it(case: Case) -> None:
    case.without_its_frames()
    case.air.read(METER, INTERVAL, DUE_S, None, cause=Cause.CELL)
    case.air.read(METER, INTERVAL, DUE_S, direction=Direction.DOWN)
    assert case.told() == only("cell")


def test_what_became_of_it_last_before_its_deadline_counts(case: Case) -> None:
    case.without_its_frames()
    case.air.read(METER, INTERVAL, DUE_S, None, cause=Cause.COLLECTOR)
    case.air.read(METER, INTERVAL, DUE_S + 60, None, cause=Cause.CELL)
    case.air.read(METER, INTERVAL, DEADLINE_S + 1, None, cause=Cause.BACKHAUL)
    case.air.read(METER, INTERVAL, DEADLINE_S + 60)
    assert case.told() == only("cell")


@pytest.mark.parametrize("missing", [False, True])
def test_arrived_and_not_stored_is_the_head_ends(case: Case, missing: bool) -> None:
    assert case.told(HEAD_END, missing=missing) == only("head-end", missing=missing)


@pytest.mark.parametrize("missing", [False, True])
def test_arrived_at_a_broker_that_dies(case: Case, missing: bool) -> None:
    assert case.told(BROKER, missing=missing) == only("broker", missing=missing)


def test_a_broker_that_dies_another_time_is_not_to_blame(case: Case) -> None:
    earlier = RunEvent(START_S + 60, "kill", "broker killed", START_S + 240, "broker")
    assert case.told(earlier) == only("head-end")


def test_arrived_at_a_collector_without_a_way_on(case: Case) -> None:
    assert case.told(uplink("collector-1")) == only("backhaul")


def test_another_collector_is_not_to_blame(case: Case) -> None:
    assert case.told(uplink("collector-2")) == only("head-end")


def test_a_meter_of_a_cell_without_uplink(case: Case) -> None:
    case.without_its_frames()
    for row in case.air.rows:
        row["technology"] = "cellular"
    assert case.told(uplink(f"AMI{METER:08d}")) == only("cell")


def test_held_by_a_meter_in_the_dark(tmp_path: Path) -> None:
    run = make_run(POINTS, INTERVALS, darks=(Dark(0, 3, INTERVAL + 1, INTERVAL + 3),))
    # Of the meter's intervals, two are not recorded: those in the dark.
    case = Case(run, reads_of(run), tmp_path / "run", METER * INTERVALS - 2 + INTERVAL).without_its_frames()
    assert case.told() == only("dark")


def test_held_for_a_reason_that_nobody_knows(case: Case) -> None:
    assert case.without_its_frames().told() == only("not known")


def test_a_meter_of_which_nothing_was_ever_on_its_way(case: Case) -> None:
    case.air.rows = [row for row in case.air.rows if row["serial"] != f"AMI{METER:08d}"]
    assert case.told() == only("not known")


def test_it_is_known_by_whom_such_a_meter_would_have_been_carried(case: Case) -> None:
    case.air.rows = [row for row in case.air.rows if row["serial"] != f"AMI{METER:08d}"]
    case.run.fleet["collector"] = np.full(POINTS, "collector-9")
    assert case.told(uplink("collector-9")) == only("backhaul")


GATEWAY = "127.0.0.1:5020"


def polled(case: Case) -> Case:
    """The first two meters hang on a gateway, which has the supply of the first of them."""
    case.air.rows = [row for row in case.air.rows if row["serial"] > f"AMI{METER:08d}"]
    case.run.fleet["protocol"] = np.array(["modbus"] * 2 + ["mqtt"] * (POINTS - 2))
    case.run.fleet["collector"] = np.array([GATEWAY] * 2 + ["collector-0"] * (POINTS - 2))
    return case


def dark(directory: Path, number: int) -> Case:
    run = make_run(POINTS, INTERVALS, darks=(Dark(number, number + 1, INTERVAL + 1, INTERVAL + 3),))
    not_recorded = 2 if number < METER else 0
    return polled(Case(run, reads_of(run), directory, METER * INTERVALS - not_recorded + INTERVAL))


def test_a_polled_meter_in_the_dark(tmp_path: Path) -> None:
    assert dark(tmp_path / "run", METER).told() == only("dark")


def test_a_gateway_has_the_supply_of_its_first_meter(tmp_path: Path) -> None:
    assert dark(tmp_path / "run", 0).told() == only("gateway")
    assert dark(tmp_path / "other", METER + 1).told() == only("head-end")


@pytest.mark.parametrize("missing", [False, True])
def test_a_polled_meter_whose_line_is_broken(case: Case, missing: bool) -> None:
    assert polled(case).told(uplink(f"AMI{METER:08d}"), missing=missing) == only("gateway", missing=missing)


def test_no_broker_is_to_blame_for_what_is_polled(case: Case) -> None:
    assert polled(case).told(BROKER, uplink("AMI00000000")) == only("head-end")


def test_registers_that_are_told_more_often_carry_a_read_with_the_last_of_them(case: Case) -> None:
    case.without_its_frames()
    for minute in range(15):
        sent_s = INTERVAL * STEP_S + 60.0 * (minute + 1)
        case.air.frame(
            METER, DeliveryClass.READ, sent_s, None if minute == 14 else 1.0,
            about=int(START_S + sent_s) - 60, cause=Cause.CELL if minute == 14 else Cause.ON_TIME,
        )  # fmt: skip
    assert case.told() == only("cell")


def test_registers_whose_last_were_not_told_are_not_in_time(case: Case) -> None:
    case.without_its_frames()
    for minute in range(10):
        sent_s = INTERVAL * STEP_S + 60.0 * (minute + 1)
        case.air.frame(METER, DeliveryClass.READ, sent_s, about=int(START_S + sent_s) - 60)
    assert case.told() == only("not known")


@pytest.mark.parametrize("protocol", ["mqtt", "modbus"])
def test_meters_at_transformers_are_told_of_by_themselves(case: Case, protocol: str) -> None:
    stations = make_stations(2, INTERVALS)
    stations.fleet["protocol"] = np.full(2, protocol)
    stations.drop("stored", [INTERVAL])
    run_dir = write_with_transformers(case.directory, case.run, stations)
    name = str(stations.fleet["serial"][0])
    case.air.rows.append({**case.air.rows[0], "serial": name, "about": START_S + INTERVAL * STEP_S})
    judge_run(case.air.write(run_dir), case.run.context())
    network = json.loads((run_dir / "verdict.json").read_text())["network"]
    assert network["late_or_missing_reads"] == {}
    assert network["late_or_missing_transformer_reads"] == only("head-end", missing=True)
