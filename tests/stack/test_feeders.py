"""Whole labs on other feeders than the bundled village."""

from __future__ import annotations

import json
from pathlib import Path

import pandapower as pp
import pandapower.networks
import pytest

from tests.stack.labs import amilab, scenario_text

CASES = Path(__file__).parents[1] / "cases"


@pytest.mark.long
@pytest.mark.timeout(300)
def test_quickstart_passes_on_a_small_simbench_network(tmp_path: Path) -> None:
    """41 customers behind one transformer: every selector of quickstart finds something, and the output says what."""
    lab = amilab("run", "quickstart", "--feeder", "simbench:1-LV-semiurb4--0-sw", "--out", tmp_path)
    output, errors = lab.communicate(timeout=280)
    assert lab.returncode == 0, output + errors
    verdict = json.loads((tmp_path / "latest" / "verdict.json").read_text())
    assert verdict["feeder"] == {
        "name": "simbench:1-LV-semiurb4--0-sw",
        "buses": 44,
        "usage_points": 41,
        "transformers": 1,
        "flow": "three-phase",
        "time_zone": "Europe/Berlin",
    }
    assert verdict["reads"]["lost"] == verdict["reads"]["unrecorded"] == 0
    assert set(verdict["network"]["technologies"]) == {"mesh", "cellular"}
    said = " ".join(output.split())
    assert "in place of a transformer with 50–200 customers" in said
    assert "60 asked for; one in 5 of" in said


def test_a_feeder_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    net = pandapower.networks.create_kerber_landnetz_freileitung_1()
    net.line.loc[net.line.index[-1], "in_service"] = False
    pp.to_json(net, str(tmp_path / "village.json"))
    lab = amilab("run", "quickstart", "--feeder", f"file:{tmp_path}/village.json", "--meters", "5", "--out", tmp_path)
    output, errors = lab.communicate(timeout=60)
    assert lab.returncode == 2, output + errors
    said = " ".join(errors.split())
    assert "feeder 'file:village.json' cannot be used" in said
    assert "1 load without a path to a source in the normal switching state" in said
    assert "Traceback" not in errors
    assert "Choose another feeder with --feeder." in errors
    assert "[feeder]" not in errors, "it does not come from there"
    (run,) = tmp_path.glob("quickstart-*")
    assert f"The parts' logs are in {run}/logs." in errors


def test_a_feeder_of_the_scenario_is_to_be_changed_there(tmp_path: Path) -> None:
    (tmp_path / "net.json").write_text("{}")
    text = scenario_text(meters=None, duration="1h").replace('"schutterwald"', f'"file:{tmp_path}/net.json"')
    (tmp_path / "small.toml").write_text(text)
    lab = amilab("run", tmp_path / "small.toml", "--out", tmp_path / "runs")
    output, errors = lab.communicate(timeout=60)
    assert lab.returncode == 2, output + errors
    assert "Choose another feeder in the scenario's [feeder] table." in errors


def test_a_net_in_metres_with_a_line_of_no_length_runs_without_a_map(tmp_path: Path) -> None:
    """What is taken otherwise than the net has it is told, and the report does without positions."""
    net = json.loads((CASES / "geometry" / "utm.json").read_text())
    lines = json.loads(net["_object"]["line"]["_object"])
    lines["data"][1][lines["columns"].index("length_km")] = 0.0
    net["_object"]["line"]["_object"] = json.dumps(lines)
    (tmp_path / "net.json").write_text(json.dumps(net))
    (tmp_path / "small.toml").write_text(scenario_text(meters=None, duration="1h", fleet='preset = "mesh"'))
    lab = amilab("run", tmp_path / "small.toml", "--feeder", f"file:{tmp_path}/net.json", "--out", tmp_path / "runs")
    output, errors = lab.communicate(timeout=120)
    assert lab.returncode == 0, output + errors
    assert "6 buses have coordinates that are not longitude and latitude: no map" in output
    assert "1 line of no length is taken to be 1 m long: 1 'L1'" in output
    run = tmp_path / "runs" / "latest"
    assert json.loads((run / "verdict.json").read_text())["reads"]["expected"] == 16
    assert not (run / "geography.json").exists()
    assert "</html>" in (run / "report.html").read_text()[-200:]


def test_a_net_of_which_half_has_positions_has_a_map_of_that_half(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(scenario_text(meters=None, duration="1h"))
    net = CASES / "geometry" / "broken.json"
    lab = amilab("run", tmp_path / "small.toml", "--feeder", f"file:{net}", "--out", tmp_path / "runs")
    output, errors = lab.communicate(timeout=120)
    assert lab.returncode == 0, output + errors
    assert "3 buses and 1 line have coordinates that are not longitude and latitude: left out of maps" in output
    run = tmp_path / "runs" / "latest"
    assert list(json.loads((run / "geography.json").read_text())["usage_points"]) == ["UP-house3"]
    assert "Feeder map" in (run / "report.html").read_text()
