"""Relays of whole labs: what a technician switches leaves the feeder at its second, and no outage comes of it."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from lab.errors import PartFailed, UserError
from lab.run.request import RunResult
from tests.stack.labs import live, scenario_text
from tests.stack.test_lab import figures, journal, stored

START = datetime(2026, 1, 15, tzinfo=UTC)
RELAYS = """
[[event]]
kind = "relay"
at = "00:20:10"
position = "open"
duration = "50min"
select = { meters = 12 }

[[event]]
kind = "relay"
at = "00:40"
position = "open"
select = { meters = 5 }

[[event]]
kind = "relay"
at = "01:20"
position = "closed"
select = { meters = 2 }
"""
OUTAGE = """
[[event]]
kind = "outage"
at = "00:30"
device = "transformer"
duration = "20min"
select = { customers = [50, 200] }
"""


def disconnections(result: RunResult) -> list[tuple[str, float, float | None]]:
    """Usage point, from, to, in seconds since the start."""

    def offset(text: str | None) -> float | None:
        return None if text is None else (datetime.fromisoformat(text) - START).total_seconds()

    rows = json.loads((result.directory / "truth_disconnections.json").read_text())
    return [(row["usage_point"], offset(row["from"]), offset(row["to"])) for row in rows]  # type: ignore[misc]  # `from` is never null


def events(result: RunResult, shard: str = "fleet-0-rl-dsp") -> list[dict[str, Any]]:
    table = pq.read_table(result.directory / "journal" / f"{shard}_events.parquet")
    return [row for row in table.to_pylist() if row["code"].startswith("relay_")]


def test_demand_leaves_at_its_second_and_the_verdict_knows_no_outage_of_it(tmp_path: Path) -> None:
    result = live(tmp_path, scenario_text(meters=120, events=RELAYS + OUTAGE))
    assert result.verdict.passed
    spans = disconnections(result)
    opened = Counter((from_s, to_s) for _, from_s, to_s in spans)
    assert opened == {(1210.0, 4210.0): 12, (2400.0, 4800.0): 2, (2400.0, None): 3}
    injected = json.loads((result.directory / "truth_outages.json").read_text())
    assert {row["device_kind"] for row in injected} == {"transformer"}
    frames = pq.read_table(result.directory / "truth_frames.parquet").to_pandas()
    for point, from_s, to_s in spans:
        own = frames[frames["usage_point"] == point].set_index("time")
        lit = own[own["energised"]]
        seconds = (lit.index - START).total_seconds()
        apart = (seconds >= from_s) & (seconds < (np.inf if to_s is None else to_s))
        assert not lit["active_power_w"][apart].any()
        assert lit["active_power_w"][~apart].all()
    told = events(result)
    assert {(row["code"], json.loads(row["detail"])["cause"]) for row in told} == {
        ("relay_opened", "local"),
        ("relay_closed", "local"),
    }
    assert len(told) == 12 * 2 + 5 + 2
    heard = pq.read_table(result.directory / "events.parquet").to_pylist()
    stored_codes = Counter((row["serial"], row["code"]) for row in heard if row["code"].startswith("relay_"))
    assert stored_codes == Counter((row["serial"], row["code"]) for row in told)
    # Their meters went on: each interval with supply is there, and its energy is nothing.
    apart = {point for point, from_s, _ in spans if from_s == 1210.0}
    rows = [row for row in journal(result).to_pylist() if row["interval_start"] == START + timedelta(minutes=45)]
    measured_wh = {row["usage_point"]: row["import_wh"] for row in rows if row["usage_point"] in apart}
    assert measured_wh == dict.fromkeys(apart, 0)


def test_an_outage_over_disconnected_customers_is_found_with_them(tmp_path: Path) -> None:
    early = """
[[event]]
kind = "relay"
at = "00:05"
position = "open"
select = { meters = 70 }
"""
    late = OUTAGE.replace("00:30", "01:30")
    result = live(tmp_path, scenario_text(meters=120, events=early + late))
    assert result.verdict.passed
    apart = {point for point, _, _ in disconnections(result)}
    (outage,) = json.loads((result.directory / "truth_outages.json").read_text())
    both = apart.intersection(outage["usage_points"])
    assert both, "the outage is to take some who are disconnected"
    detection = result.verdict.detection
    assert detection is not None
    (match,) = detection.matches
    assert both <= {share.usage_point for share in match.detected.shares}, "their meters said it like the others"
    assert detection.true_indices.saidi_min == pytest.approx(20 * len(match.injected.usage_points) / 120)


def test_every_lockstep_speed_and_every_repetition_gives_the_same_run(tmp_path: Path) -> None:
    text = scenario_text(meters=60, duration="90min", events=RELAYS)
    fast = live(tmp_path / "fast", text)
    paced = live(tmp_path / "paced", text, speed=600.0)
    assert figures(fast) == figures(paced)
    assert journal(fast).equals(journal(paced))
    assert stored(fast).equals(stored(paced))
    assert disconnections(fast) == disconnections(paced)
    assert disconnections(fast)


KILLED = """
[[event]]
kind = "relay"
at = "00:30"
position = "open"
select = { meters = 8 }

[[event]]
kind = "kill"
at = "00:30"
part = "fleet"
down = "4min"
moment = "MOMENT"

[[event]]
kind = "relay"
at = "00:32"
position = "open"
select = { meters = 3 }
"""


@pytest.mark.parametrize("moment", ["under way", "any"])
def test_a_kill_of_the_meters_at_the_same_instant_loses_no_switching(tmp_path: Path, moment: str) -> None:
    result = live(tmp_path, scenario_text(meters=50, events=KILLED.replace("MOMENT", moment)))
    assert result.verdict.passed
    spans = disconnections(result)
    opened = {row["usage_point"] for row in events(result)}
    assert {point for point, _, _ in spans} == opened, "grid and meters agree"
    assert len(opened) == 11
    assert all(to_s is None for _, _, to_s in spans)
    begins = sorted(from_s for _, from_s, _ in spans)
    # Who was asked while nobody was there moves when somebody is.
    assert begins[8:] == [2040.0] * 3
    if moment == "under way":
        assert begins[:8] == [1800.0] * 8
    heard = pq.read_table(result.directory / "events.parquet").to_pylist()
    assert sum(row["code"] == "relay_opened" for row in heard) == 11


def test_a_meter_without_a_relay_is_refused_before_the_run_begins(tmp_path: Path) -> None:
    event = RELAYS.split("[[event]]")[1].replace("{ meters = 12 }", '{ serials = ["AMI00000003"] }')
    with pytest.raises(UserError, match=r"event 1 \(relay, line \d+\): AMI00000003 has no relay \(sdm630\)"):
        live(tmp_path, scenario_text(meters=10, events=f"[[event]]{event}", fleet='profile = "sdm630"'))


def test_meters_that_switch_others_customers_off_end_the_run(tmp_path: Path) -> None:
    words = r"^fleet-0 answered settle with the relay of the usage point in row \d+, which is none of its meters'"
    with pytest.raises(PartFailed, match=words):
        live(tmp_path, scenario_text(meters=10), parts={"fleet": "tests.stack.sabotage.switching_fleet"})


def test_meters_that_switch_a_relay_that_they_do_not_have_end_the_run(tmp_path: Path) -> None:
    parts = {"fleet": "tests.stack.sabotage.phantom_relay_fleet"}
    words = r"^fleet-0 answered settle with the relay of the usage point in row \d+, which is none of its meters'"
    with pytest.raises(PartFailed, match=words):
        live(tmp_path, scenario_text(meters=10, fleet='profile = "sdm630"'), parts=parts)


@pytest.mark.long
def test_at_speed_1_the_grid_follows_within_the_same_second(tmp_path: Path) -> None:
    event = """
[[event]]
kind = "relay"
at = "00:00:04"
position = "open"
duration = "3s"
select = { meters = 4 }
"""
    text = scenario_text(meters=10, duration="10s", settle="3s", events=event)
    result = live(tmp_path, text.replace("[fleet]", '[fleet]\ninterval = "5s"'), speed=1.0)
    assert result.verdict.passed
    start_s = result.verdict.context.clock.start_s
    rows = json.loads((result.directory / "truth_disconnections.json").read_text())
    edges = [(datetime.fromisoformat(row[name]).timestamp() - start_s) for row in rows for name in ("from", "to")]
    assert edges == [4.0, 7.0] * 4
    assert {row["usage_point"] for row in rows} == {row["usage_point"] for row in events(result)}
