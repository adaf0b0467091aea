"""The modelled communications network in containers: the same as in processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from meters.radio.passage import Cause, DeliveryClass
from tests.containers.conftest import Project
from tests.containers.test_compose import passed_verdict
from tests.stack.labs import deliveries_in, live, scenario_text

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1200)]

FLEET = "shares = { sparkplug-mesh = 0.3, sparkplug-plc = 0.4, rl-dsp = 0.3 }"
EVENTS = """
[[event]]
at = "00:25:00"
kind = "network"
fault = "operator-outage"
duration = "30min"

[[event]]
at = "00:35:00"
kind = "outage"
device = "section"
duration = "6min"
select = { customers = [3, 20] }
"""
CRITERIA = "[criteria]\nreads.success_rate = 0.5"


def test_the_same_seed_delivers_the_same_in_processes_and_in_containers(project: Project, tmp_path: Path) -> None:
    text = scenario_text(
        name="radio", duration="1h", settle="30min", events=EVENTS, fleet=FLEET, more=CRITERIA, network="radio"
    )
    scenario = tmp_path / "radio.toml"
    scenario.write_text(text)
    verdict = passed_verdict(project, tmp_path / "compose", str(scenario), METERS_PER_CONTAINER="20")
    assert verdict["reads"]["recovered"] > 0
    rows = deliveries_in(tmp_path / "compose" / "latest")
    assert {row["technology"] for row in rows} == {"mesh", "plc", "cellular"}
    unsent = [row for row in rows if row["delivery_class"] == DeliveryClass.READ and row["attempts"] == 0]
    cut_off = [row["via"].partition("/")[0] for row in unsent if row["cause"] == Cause.CELL]
    assert len(set(cut_off)) == 1
    assert rows == deliveries_in(live(tmp_path / "processes", text).directory)
