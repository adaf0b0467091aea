"""A lab that is kept running: its communications network is disturbed by hand, and the run's verdict knows of it."""

from __future__ import annotations

import json

import pytest

from meters.radio.passage import Cause
from tests.stack.command import wait_for
from tests.stack.labs import deliveries_in, scenario_text
from tests.stack.live import PATIENCE_S, LiveLab, live_lab

pytestmark = pytest.mark.timeout(900)
CRITERIA = "[criteria]\nreads.success_rate = 0.5"


def refused(lab: LiveLab, *words: str) -> str:
    answer = lab.amilab("inject", *words)
    assert answer.returncode == 2, answer.stdout + answer.stderr
    assert "Traceback" not in answer.stderr
    return answer.stderr


def test_an_operators_outage_by_hand_is_over_when_it_is_restored_and_judged_with_the_run() -> None:
    fleet = "shares = { sparkplug-mesh = 0.5, rl-dsp = 0.5 }"
    text = scenario_text(meters=60, duration="1h", settle="30min", fleet=fleet, more=CRITERIA, network="radio")
    with live_lab(text, "--duration", "3h") as lab:
        network = lab.client.get("scene")["network"]
        operator = network["cells"][0].partition("/")[0]
        hit = sum(at >= 0 and network["cells"][at].startswith(f"{operator}/") for at in network["cell"])
        assert 0 < hit < 60
        lost = lab.amilab("inject", "operator-outage", operator)
        assert lost.stdout == f"1  network: operator-outage of {operator}, {hit} meters\n", lost.stderr
        assert f"{operator} is out already" in refused(lab, "operator-outage", operator, "--for", "1h")
        assert "no collector of a mesh is called COL9999" in refused(lab, "jam", "COL9999")
        assert "finite number" in refused(lab, "jam", "--strength", "nan")
        assert "less than or equal to 604800" in refused(lab, "cell-down", "--for", "3650d", "--cells", "1000000")
        jammed = lab.amilab("inject", "jam", network["meshes"][0], "--strength", "0.3", "--for", "10min")
        assert "30% of transmissions" in jammed.stdout
        lab.speed(120)
        lab.until_counted("offline", hit)
        # An interval of theirs ends meanwhile.
        end_s = lab.client.get("scene")["scenario"]["start_s"] + 31 * 60
        wait_for(lambda: lab.state()["completed_s"] >= end_s, "the next interval", PATIENCE_S)
        ended_s = lab.state()["completed_s"]
        assert lab.amilab("inject", "restore", "1").returncode == 0
        lab.until_counted("offline", 0)
        lab.speed(None)
        assert lab.command.end() == 0, lab.command.stdout + lab.command.stderr
        directory = lab.command.directory
        assert json.loads((directory / "verdict.json").read_text())["reads"]["lost"] == 0
        outage, jam = json.loads((directory / "run.json").read_text())["events"]
        assert (outage["kind"], outage["target"], outage["stations"]) == ("network", "operator-outage", [operator])
        assert ended_s < outage["until_s"] < ended_s + 3600
        assert (jam["stations"], jam["until_s"] - jam["time_s"]) == ([network["meshes"][0]], 600)
        unsent = [row for row in deliveries_in(directory) if row["cause"] == Cause.CELL and not row["hops"]]
    assert unsent
    for row in unsent:
        assert row["via"].startswith(f"{operator}/")
        assert outage["time_s"] <= row["sent_at"].timestamp()


def test_a_lab_without_a_model_says_what_is_missing() -> None:
    with live_lab(scenario_text(meters=10, duration="30min")) as lab:
        assert "no communications network is modelled in this lab" in refused(
            lab, "congestion", "--messages-per-s", "9"
        )
        assert lab.state()["incidents"] == []
