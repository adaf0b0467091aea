"""Two power-flow engines of others solve the same nets with three phases: power-grid-model 1.12.110 and OpenDSS.

They are told lines, transformers and loads in ohms, watts and volts, from the net's own tables.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from grid.demand import Demand
from grid.feeder import Feeder, load_feeder
from grid.network import Network
from grid.phase_assumptions import phase_assumptions
from tests.grid import european_feeder
from tests.grid.conftest import START_S
from tests.interop.environment import environment

PEERS = Path(__file__).parent / "peers"
ENGINES = {
    "power-grid-model": ("1.12.110", "power_grid_model_flow.py"),
    "opendssdirect.py": ("0.9.4", "opendss_flow.py"),
}
Floats = NDArray[np.float64]


def solved_by(engine: str, described: dict[str, Any]) -> Floats:
    """(nodes, 3) volts to neutral."""
    version, peer = ENGINES[engine]
    done = subprocess.run(
        [environment(engine, version), PEERS / peer],
        input=json.dumps(described),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return np.array(json.loads(done.stdout))


def described(feeder: Feeder, active_w: Floats, reactive_var: Floats) -> dict[str, Any]:
    """The net with all its devices closed. Its lines have no charging, and its transformers no iron: see the caller."""
    net, assumed = feeder.net, phase_assumptions()
    position, line, trafo = net.bus.index.get_indexer, net.line, net.trafo
    closed = set(net.switch.loc[net.switch["closed"], "element"]) | set(line.index) - set(net.switch["element"])
    line = line[line["in_service"].to_numpy() & line.index.isin(closed)]
    r0, x0 = assumed.line_r0_over_r1 * line["r_ohm_per_km"], assumed.line_x0_over_x1 * line["x_ohm_per_km"]
    ohm = {
        "r1": line["r_ohm_per_km"],
        "x1": line["x_ohm_per_km"],
        "r0": line["r0_ohm_per_km"].fillna(r0) if "r0_ohm_per_km" in line else r0,
        "x0": line["x0_ohm_per_km"].fillna(x0) if "x0_ohm_per_km" in line else x0,
    }
    return {
        "nodes": {"u_rated": (net.bus["vn_kv"] * 1e3).tolist()},
        "lines": {
            "from_node": position(line["from_bus"]).tolist(),
            "to_node": position(line["to_bus"]).tolist(),
            **{name: (values * line["length_km"]).tolist() for name, values in ohm.items()},
            "c1": [0.0] * len(line),
            "c0": [0.0] * len(line),
        },
        "transformers": {
            "from_node": position(trafo["hv_bus"]).tolist(),
            "to_node": position(trafo["lv_bus"]).tolist(),
            "u1": (trafo["vn_hv_kv"] * 1e3).tolist(),
            "u2": (trafo["vn_lv_kv"] * 1e3).tolist(),
            "sn": (trafo["sn_mva"] * 1e6).tolist(),
            "uk": (trafo["vk_percent"] / 100).tolist(),
            "pk": (trafo["vkr_percent"] / 100 * trafo["sn_mva"] * 1e6).tolist(),
            "i0": [0.0] * len(trafo),
            "p0": [0.0] * len(trafo),
            "clock": (trafo["shift_degree"] / 30).round().astype(int).tolist(),
        },
        "sources": {"node": position(net.ext_grid["bus"]).tolist(), "u_ref": net.ext_grid["vm_pu"].tolist()},
        "loads": {
            "node": feeder.bus_position.tolist(),
            "p_w": active_w.tolist(),
            "q_var": reactive_var.tolist(),
        },
    }


def assert_same_voltages(feeder: Feeder, demand: tuple[Floats, Floats], engine: str, tolerance_v: float) -> None:
    solution = Network(feeder).solve(*demand)
    ours = np.abs(solution.phase_voltage_pu) * feeder.nominal_voltage_v[:, np.newaxis]
    theirs = solved_by(engine, described(feeder, *demand))[feeder.bus_position]
    assert np.ptp(ours, axis=1).max() > 1.0, "the phases differ, and so can be confused"
    np.testing.assert_allclose(ours, theirs, atol=tolerance_v)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("engine", ENGINES)
def test_the_european_feeder(engine: str) -> None:
    feeder = european_feeder.european_feeder()
    assert_same_voltages(feeder, european_feeder.demand("566"), engine, 1e-4)


@pytest.mark.timeout(600)
def test_the_village_in_the_evening() -> None:
    feeder = load_feeder("schutterwald")
    feeder.net.line["c_nf_per_km"] = 0.0
    feeder.net.trafo["pfe_kw"] = feeder.net.trafo["i0_percent"] = 0.0
    drawn = Demand.draw(feeder, seed=7)
    share = drawn.connected / drawn.connected.sum(axis=1, keepdims=True)
    active_w, reactive_var = (power[:, np.newaxis] * share for power in drawn.at(START_S + 18 * 3600))
    assert_same_voltages(feeder, (active_w, reactive_var), "power-grid-model", 1e-3)
