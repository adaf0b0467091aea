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
from meters.radio.passage import Cause
from tests.lab.verdict.network_frames import Air, reads_of
from tests.lab.verdict.synthetic import START_S, STEP_S, Dark, Run, instants, make_run

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
    case.air.read(METER, INTERVAL, DUE_S, 2.0 * HOUR_S, cause=Cause.BACKHAUL)
    assert case.told() == only("backhaul")


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


def test_a_meter_that_no_network_carries_is_not_told_of(case: Case) -> None:
    case.air.rows = [row for row in case.air.rows if row["serial"] != f"AMI{METER:08d}"]
    assert case.told() == {}
