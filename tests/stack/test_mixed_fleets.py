"""Whole labs with meters behind collectors and gateways, alone and mixed."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lab.run.request import RunResult
from tests.stack.labs import failed_criteria, live, scenario_text
from tests.stack.test_lab import figures, stored

PHANTOM = """
[[event]]
at = "00:20"
kind = "uplink_loss"
duration = "25min"
select = { collectors = 1 }
"""
FAULTS = """
[[event]]
at = "01:45:10"
kind = "outage"
device = "transformer"
duration = "20min"
select = { customers = [50, 200] }

[[event]]
at = "02:40"
kind = "kill"
part = "headend"
down = "20min"
"""
BAKEOFF = 'preset = "bakeoff"'


def journals(result: RunResult) -> dict[str, list[dict[str, object]]]:
    files = (result.directory / "journal").glob("*.parquet")
    return {path.stem: pq.read_table(path).to_pylist() for path in files if not path.stem.endswith("_events")}


@pytest.mark.parametrize("broker", ["mosquitto", pytest.param("iotcore", marks=pytest.mark.long)])
def test_three_vendors_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broker: str) -> None:
    monkeypatch.setenv("AMILAB_BROKER", broker)
    text = scenario_text(meters=200, duration="4h", events=PHANTOM + FAULTS, fleet=BAKEOFF)
    result = live(tmp_path, text)
    verdict = result.verdict
    assert failed_criteria(result) == set()
    assert verdict.fleet.by_vendor == {"rl-dsp": 60, "sdm630": 10, "sparkplug-mesh": 130}
    assert verdict.fleet.by_protocol == {"modbus": 10, "mqtt": 190}
    assert verdict.fleet.collectors == 1
    reads = verdict.comparison.reads
    # Nobody polled at 02:45.
    assert reads.estimated >= 10 * 2
    assert verdict.detection is not None
    assert len(verdict.detection.detected) == 1, "a collector without its uplink is no outage"
    communication = pq.read_table(result.directory / "communication.parquet").to_pylist()
    meters = {row["serial"]: row for row in pq.read_table(result.directory / "meters.parquet").to_pylist()}
    unheard = {row["serial"] for row in communication if not row["online"]}
    assert {serial for serial, row in meters.items() if row["collector"].startswith("COL")} <= unheard
    assert set(journals(result)) == {"fleet-0-rl-dsp", "fleet-0-sdm630", "fleet-0-sparkplug-mesh"}


def test_concentrators_on_the_power_line(tmp_path: Path) -> None:
    result = live(tmp_path, scenario_text(meters=120, duration="3h", events=PHANTOM, fleet='preset = "plc"'))
    assert result.verdict.passed
    assert result.verdict.fleet.by_vendor == {"sparkplug-plc": 120}
    assert result.verdict.fleet.collectors > 5, "one at each transformer"


@pytest.mark.long
def test_a_mixed_fleet_is_the_same_at_every_speed(tmp_path: Path) -> None:
    text = scenario_text(meters=40, duration="1h", events=PHANTOM, fleet=BAKEOFF)
    fast = live(tmp_path / "fast", text)
    paced = live(tmp_path / "paced", text, speed=1500.0)
    assert figures(fast) == figures(paced)
    assert journals(fast) == journals(paced)
    assert stored(fast).equals(stored(paced))


def test_an_estimate_that_does_not_conserve_energy_fails(tmp_path: Path) -> None:
    kill = '[[event]]\nat = "00:40"\nkind = "kill"\npart = "headend"\ndown = "10min"\n'
    text = scenario_text(meters=200, duration="4h", events=kill, fleet=BAKEOFF)
    result = live(tmp_path, text, parts={"headend": "tests.stack.sabotage.inventive_headend"})
    assert failed_criteria(result) == {"reads.estimates_conserve"}
    rows = pq.read_table(result.directory / "discrepancies.parquet").to_pylist()
    assert [row["by"] for row in rows if row["kind"] == "estimate_off"] == [2.0] * 10


HOUSEHOLD = """\
name = "household-5min"
title = "The same household meter, set to five minutes"
wire = "rl-dsp"
[facts]
interval_length_s = { value = 300, source = "the tender" }
report_every_s = { value = 300, source = "the tender" }
"""


def test_meters_of_several_capture_periods_and_cadences_pass_in_one_fleet(tmp_path: Path) -> None:
    """Every five minutes, each quarter of an hour, and quarter-hours in blocks of an hour."""
    path = tmp_path / "household.toml"
    path.write_text(HOUSEHOLD)
    fleet = f'shares = {{ rl-dsp = 0.3, "file:{path}" = 0.4, sparkplug-plc = 0.3 }}'
    text = scenario_text(meters=40, duration="2h", settle="1h", fleet=fleet, events=PHANTOM)
    result = live(tmp_path / "runs", text)
    assert failed_criteria(result) == set()
    counts = result.verdict.fleet.by_vendor
    five, quarter = counts["household-5min"], counts["rl-dsp"] + counts["sparkplug-plc"]
    assert result.verdict.comparison.reads.expected == five * 24 + quarter * 8
    stored = pq.read_table(result.directory / "stored.parquet", columns=["vendor_profile", "interval_length_s"])
    assert set(map(tuple, (row.values() for row in stored.to_pylist()))) == {
        ("household-5min", 300), ("rl-dsp", 900), ("sparkplug-plc", 900),
    }  # fmt: skip
    meters = pq.read_table(result.directory / "meters.parquet", columns=["vendor_profile", "report_every_s"])
    assert {tuple(row.values()) for row in meters.to_pylist()} == {
        ("household-5min", 300), ("rl-dsp", 900), ("sparkplug-plc", 3_600),
    }  # fmt: skip
