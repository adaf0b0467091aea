"""The modelled communications network, disturbed while everything runs in containers."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from meters.radio.passage import Cause, DeliveryClass
from tests.containers.conftest import Project
from tests.containers.test_compose import passed_verdict
from tests.stack.labs import scenario_text

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1200)]

EVENTS = """
[[event]]
at = "00:25:00"
kind = "network"
fault = "operator-outage"
duration = "30min"
"""
TARGET = "[criteria]\nreads.success_rate = 0.5"


def test_an_operators_outage_keeps_its_meters_reads_back_and_nothing_is_lost(project: Project, tmp_path: Path) -> None:
    scenario = tmp_path / "radio.toml"
    text = scenario_text(name="radio", duration="90min", settle="30min", events=EVENTS, network="radio", more=TARGET)
    scenario.write_text(text)
    verdict = passed_verdict(project, tmp_path, str(scenario))
    assert verdict["reads"]["recovered"] > 0
    run = tmp_path / "latest"
    reads = pa.concat_tables(pq.read_table(part) for part in (run / "network").glob("*.parquet")).to_pylist()
    unsent = [row for row in reads if row["delivery_class"] == DeliveryClass.READ and row["attempts"] == 0]
    assert {row["cause"] for row in unsent} == {Cause.CELL}
    assert len({row["via"].partition("/")[0] for row in unsent}) == 1
