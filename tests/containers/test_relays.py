"""What meters in containers switch leaves the feeder of the grid's container, also when a container dies of it."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from tests.containers.conftest import Project
from tests.containers.test_compose import passed_verdict
from tests.stack.labs import scenario_text

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1200)]

EVENTS = """
[[event]]
kind = "relay"
at = "00:10"
position = "open"
duration = "20min"
select = { meters = 12 }
[[event]]
kind = "kill"
at = "00:10"
part = "fleet"
down = "5min"
"""
SCENARIO = scenario_text(name="relays", duration="45min", seed=1, events=EVENTS, fleet='preset = "bakeoff"')


def assert_left_at_its_second(run: Path) -> None:
    """Twelve customers, who were disconnected for twenty minutes, whatever died meanwhile."""
    begin = datetime.fromisoformat("2026-01-15T00:00:00+00:00").timestamp()
    rows = json.loads((run / "truth_disconnections.json").read_text())
    spans = [[datetime.fromisoformat(row[edge]).timestamp() - begin for edge in ("from", "to")] for row in rows]
    assert spans == [[600.0, 1800.0]] * 12
    served = (run / "logs" / "meters.log").read_text()
    # On a Swarm that has just been told other settings, a container may be replaced besides.
    assert served.count("serving fleet-0 ") >= 2, "it was not killed"


def test_demand_leaves_at_its_second(project: Project, tmp_path: Path) -> None:
    scenario = tmp_path / "relays.toml"
    scenario.write_text(SCENARIO)
    verdict = passed_verdict(project, tmp_path, str(scenario), METERS_PER_CONTAINER="10")
    assert verdict["outages"]["injected"] == verdict["outages"]["detected"] == 0
    assert_left_at_its_second(tmp_path / "latest")
