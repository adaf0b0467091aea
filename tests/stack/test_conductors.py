"""One conductor open in a real lab: what the physics does, what meters tell of it, and what the verdict makes of it."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.stack.labs import conductor_event, failed_criteria, live, scenario_text

SABOTAGE = "tests.stack.sabotage"
EVENTS = (
    conductor_event("00:02:10", "L2", "line", "18min", (15, 60))
    + conductor_event("00:22", "L1", "transformer", "16min", (100, 200))
    + conductor_event("00:40", "N", "section", "17min", (5, 60))
)
SCENARIO = scenario_text(meters=None, duration="1h", events=EVENTS)
FUSE = conductor_event("00:05", "L1", "transformer", "12min", (100, 200))
SMALL = scenario_text(meters=250, duration="30min", events=FUSE)


def read(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


def test_open_phase_blown_fuse_and_open_neutral(tmp_path: Path) -> None:
    result = live(tmp_path, SCENARIO)
    assert failed_criteria(result) == set()
    directory = result.directory
    phase, fuse, neutral = json.loads((directory / "truth_outages.json").read_text())
    assert [(each["device_kind"], each["conductor"]) for each in (phase, fuse, neutral)] == [
        ("line", "L2"), ("transformer", "L1"), ("section", "N"),
    ]  # fmt: skip
    network = json.loads((directory / "network.json").read_text())
    phases = {point["id"]: point["phases"] for point in network["usage_points"]}
    parents = {device["id"]: device["parent"] for device in network["devices"]}

    def behind(outage: dict[str, Any]) -> set[str]:
        name, found = f"{outage['device_kind']}:{outage['device']}", set()
        for point in network["usage_points"]:
            at = point["device"]
            while at is not None and at != name:
                at = parents[at]
            if at == name:
                found.add(point["id"])
        return found

    serial_of = {row["serial"]: row["usage_point"] for row in read(directory / "meters.parquet")}
    told: dict[str, set[str]] = defaultdict(set)
    for event in read(directory / "events.parquet"):
        told[event["code"]].add(serial_of[event["serial"]])
    dark, lost = set(), set()
    for outage, conductor in ((phase, "L2"), (fuse, "L1")):
        reached = {point for point in behind(outage) if conductor in phases[point]}
        alone = {point for point in reached if phases[point] == [conductor]}
        assert set(outage["usage_points"]) == alone
        assert reached - alone, "somebody has two phases left"
        dark |= alone
        lost |= reached - alone
    assert dark
    # Who lost a phase and lives told so, over the wire, and who has no phase left gasped; nobody did both.
    assert told["phase_loss"] == told["phase_restored"] == lost
    assert told["last_gasp"] == told["power_restore"] == dark | set(neutral["usage_points"])

    judged = result.verdict.phases
    assert judged is not None
    assert {loss.usage_point for loss in judged.judged} == lost
    assert (judged.recall, judged.false, judged.brief, judged.mute) == (1.0, (), (), ())

    detection = result.verdict.detection
    assert detection is not None
    injected = [each for each in (phase, fuse, neutral) if each["usage_points"]]
    assert len(detection.matches) == len(detection.injected) == len(injected)
    detected = {row["device"]: row["phase"] for row in read(directory / "detected_outages.parquet")}
    assert detected[f"transformer:{fuse['device']}"] == "L1"

    # Behind the lost neutral voltages float; before it they are as ever.
    floating = behind(neutral)
    voltages: dict[bool, list[float]] = {True: [], False: []}
    for row in read(next((directory / "journal").glob("*rl-dsp.parquet"))):
        if row["interval_start"].minute == 30 and row["interval_start"].hour == 0:
            at_end = [row[f"voltage_l{number}_v"] for number in (1, 2, 3)]
            voltages[row["usage_point"] in floating] += [volt for volt in at_end if volt]
    assert np.ptp(voltages[True]) > 2 * np.ptp(voltages[False])
    assert max(voltages[True]) > 253, "more than the upper limit of EN 50160"


def test_a_head_end_that_knows_no_phases_finds_many_small_outages(tmp_path: Path) -> None:
    result = live(tmp_path, SCENARIO, parts={"headend": f"{SABOTAGE}.phase_blind_headend"})
    failed = failed_criteria(result)
    assert {"outages.recall", "outages.false"} <= failed
    assert failed <= {"outages.recall", "outages.false", "outages.localised"}


def test_meters_that_gasp_for_a_lost_phase_make_outages_too_large(tmp_path: Path) -> None:
    result = live(tmp_path, SCENARIO, parts={"fleet": f"{SABOTAGE}.gasping_fleet"})
    assert {"outages.recall", "outages.false", "outages.saidi_error_pct"} <= failed_criteria(result)


@pytest.mark.parametrize(("fleet", "criterion"), [("discreet", "phases.recall"), ("forging", "phases.false")])
def test_a_meter_that_keeps_a_lost_phase_to_itself_or_makes_one_up(tmp_path: Path, fleet: str, criterion: str) -> None:
    result = live(tmp_path, SMALL, parts={"fleet": f"{SABOTAGE}.{fleet}_fleet"})
    assert failed_criteria(result) == {criterion}
    phases = result.verdict.phases
    assert phases is not None
    assert len(phases.judged) > 3
    assert (len(phases.missed), len(phases.false)) == ((1, 0) if fleet == "discreet" else (0, 1))
