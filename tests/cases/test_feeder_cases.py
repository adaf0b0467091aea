"""Nets as other people save them: each folder with a `case.json` says what becomes of its inputs.

`faults` are all of a refusal. Otherwise the net is a feeder that can be lived through, and what is stated of it holds;
`voltage_pu` are its usage points' with the loads that the net states.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grid.demand import Demand
from grid.feeder import Feeder, FeederError, load_feeder
from grid.geography import geography
from grid.network import Network, evenly
from grid.network_model import network_model, write_network_model
from grid.simulation import GridSimulation
from headend.outages.model import read_network_model

START_S = 1_768_435_200
INPUTS = [
    pytest.param(case.parent / name, expected, id=f"{case.parent.name}/{name.removesuffix('.json')}")
    for case in sorted(Path(__file__).parent.glob("*/case.json"))
    for name, expected in json.loads(case.read_text(encoding="utf-8")).items()
]


@pytest.mark.parametrize(("path", "expected"), INPUTS)
def test_what_becomes_of_a_net(path: Path, expected: dict[str, Any], tmp_path: Path) -> None:
    if "faults" in expected:
        with pytest.raises(FeederError) as refused:
            load_feeder(f"file:{path}")
        assert list(refused.value.faults) == expected["faults"]
        return
    feeder = load_feeder(f"file:{path}")
    lives(feeder)
    head_end_reads(feeder, tmp_path / "network.json")
    found = {
        "usage_points": [point.id for point in feeder.usage_points],
        "lines": list(feeder.lines),
        "notices": list(feeder.notices),
        "tap_changer_type": feeder.net.trafo["tap_changer_type"].iloc[0],
        "courses": courses(feeder),
    }
    assert {key: value for key, value in found.items() if key in expected} == {
        key: value for key, value in expected.items() if key in found
    }
    positions = {point.id: (point.longitude, point.latitude) for point in feeder.usage_points}
    if "voltage_pu" in expected:
        load = feeder.net.load.loc[feeder.load_index]
        demand = (evenly(load[column].to_numpy() * 1e6) for column in ("p_mw", "q_mvar"))
        solution = Network(feeder).solve(*demand)
        assert np.abs(solution.phase_voltage_pu[:, 0]).tolist() == pytest.approx(expected["voltage_pu"], abs=2e-6)
    for point, position in expected.get("positions", {}).items():
        assert positions[point] == ((None, None) if position is None else tuple(position))


def lives(feeder: Feeder) -> None:
    simulation = GridSimulation(feeder, Demand.draw(feeder, seed=7), start_s=START_S)
    frame = simulation.advance(START_S)
    assert frame is not None
    assert frame.energised.all()


def head_end_reads(feeder: Feeder, path: Path) -> None:
    """The head-end refuses a file in which an id occurs twice, or a position is none."""
    model = network_model(feeder)
    assert max(Counter(entry.device for entry in model.devices).values()) == 1
    write_network_model(path, model)
    assert set(read_network_model(path).feeding) == {point.id for point in feeder.usage_points}


def courses(feeder: Feeder) -> int | None:
    """How many lines a map has."""
    document = geography(feeder)
    return None if document is None else sum(map(len, document["lines"].values()))
