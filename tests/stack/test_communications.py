"""A lab whose meters are reached through a communications network."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lab.run.local_stage import LocalStage
from lab.run.request import RunResult
from tests.stack.labs import deliveries_in, failed_criteria, live, scenario_text

EVENTS = """
[[event]]
at = "00:35"
kind = "outage"
device = "section"
duration = "12min"
select = { customers = [3, 20] }
[[event]]
at = "00:05"
kind = "network"
fault = "firmware-wave"
duration = "50min"
image_bytes = 20_000
select = { collectors = 9 }
"""
FLEET = "shares = { sparkplug-mesh = 0.4, sparkplug-plc = 0.3, rl-dsp = 0.3 }"


def reboots(result: RunResult) -> list[tuple[str, str]]:
    """Serials and causes, as the meters' journals have them."""
    tables = [pq.read_table(path).to_pylist() for path in (result.directory / "journal").glob("*_events.parquet")]
    return [
        (row["serial"], json.loads(row["detail"])["cause"])
        for rows in tables
        for row in rows
        if row["code"] == "reboot"
    ]


def test_a_lab_with_a_network_loses_nothing_and_the_seed_alone_says_what_arrives_when(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Some meters of a power line do not register at first, and are late.
    more = "[criteria]\nreads.success_rate = 0.9\n[network.firmware]\nrestart_most_s = 600"
    text = scenario_text(meters=60, duration="1h", events=EVENTS, fleet=FLEET, network="radio", more=more)
    one = live(tmp_path / "one", text)
    assert failed_criteria(one) == set()
    found = deliveries_in(one.directory)
    assert {row["technology"] for row in found} == {"mesh", "plc", "cellular"}
    assert {row["delivery_class"] for row in found} >= {1, 4, 5, 11}
    images = [row for row in found if row["delivery_class"] == 5]
    assert {row["technology"] for row in images if row["arrived_at"] is not None} == {"mesh", "plc"}
    had = {row["serial"] for row in images if row["arrived_at"] is not None}
    assert len(had) > 0.9 * len(images), "some are in the dark when it is over"
    assert {serial for serial, cause in reboots(one) if cause == "firmware"} == had
    assert any(row["arrived_at"] is None for row in found)
    monkeypatch.setattr(LocalStage, "meters_per_fleet", 30)
    other = live(tmp_path / "other", text, speed=3000.0)
    assert list((other.directory / "network").glob("fleet-1-*.parquet"))
    assert deliveries_in(other.directory) == found
