"""The modelled communications network in containers: the same as in processes, and disturbed by hand as there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab.live.client import Client
from lab.live.handle import FILE
from meters.radio.passage import Cause, DeliveryClass
from tests.containers.conftest import Project, until
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


def test_a_lab_that_is_kept_running_in_containers_is_disturbed_by_hand(project: Project, tmp_path: Path) -> None:
    scenario, out, log = tmp_path / "by-hand.toml", tmp_path / "runs", tmp_path / "log"
    scenario.write_text(scenario_text(name="by-hand", meters=20, settle="10min", more=CRITERIA, network="radio"))
    kept = ("--compose", "--port", "0", "--history", "35min", "--duration", "75min", "--out", out)
    lab = project.start("up", scenario, *kept, log=log)
    try:
        until(lambda: list(out.glob(f"*/{FILE}")) or lab.poll() is not None, "the page")
        assert lab.poll() is None, log.read_text()
        page = Client.of(out)
        until(lambda: page.get("state")["phase"] == "living", "its history to be over")
        page.post("judge", {})
        injected = project.amilab("inject", "operator-outage", "--for", "20min", "--run", str(out))
        assert injected.returncode == 0, injected.stderr
        assert "network: operator-outage of operator-" in injected.stdout
        # It begins within a second of the lab's, and then there is an instant at which to judge.
        until(lambda: page.get("state")["verdict"], "a verdict so far", evidence=lambda: str(page.get("state")))
        refused = project.amilab("inject", "jam", "--run", str(out))
        assert (refused.returncode, "no meter of this fleet is in a radio mesh" in refused.stderr) == (2, True)
        page.post("speed", {"speed": None})
        assert lab.wait(300) == 0, log.read_text()
    finally:
        lab.terminate()
        lab.wait(120)
    (run,) = [path for path in out.iterdir() if not path.is_symlink()]
    (outage,) = json.loads((run / "run.json").read_text())["events"]
    assert outage["until_s"] - outage["time_s"] == 20 * 60
    assert json.loads((run / "verdict.json").read_text())["reads"]["lost"] == 0
    lost = [row for row in deliveries_in(run) if row["cause"] == Cause.CELL and row["arrived_at"] is None]
    assert {row["via"].partition("/")[0] for row in lost} == set(outage["stations"])
