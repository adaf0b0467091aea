"""Whole labs on other feeders than the bundled village."""

from __future__ import annotations

import json
from pathlib import Path

import pandapower as pp
import pandapower.networks
import pytest

from tests.stack.labs import amilab


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
    }
    assert verdict["reads"]["lost"] == verdict["reads"]["unrecorded"] == 0
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
    assert "1 load(s) without a path to a source in the normal switching state" in said
    assert "Traceback" not in errors
