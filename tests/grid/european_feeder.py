"""The IEEE European low-voltage test feeder, and its loads by minute (tests/grid/cases/ieee-european-lv)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
import pandapower.networks
from numpy.typing import NDArray

from grid.feeder import Feeder, build_feeder

CASE = Path(__file__).parent / "cases" / "ieee-european-lv"
MINUTES = ("1", "566", "1440")


def inputs() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((CASE / "inputs.json").read_text(encoding="utf-8"))
    return found


def expected(minute: str) -> dict[int, list[float]]:
    """Volts to neutral of L1, L2, L3 by bus."""
    found = json.loads((CASE / "expected.json").read_text(encoding="utf-8"))
    return {int(bus): volts for bus, volts in found[minute].items()}


def european_feeder() -> Feeder:
    """Its usage points are in the order of the loads of `inputs.json`."""
    given = inputs()
    net = pandapower.networks.ieee_european_lv_asymmetric()
    net["asymmetric_load"] = net.asymmetric_load.iloc[:0]
    for bus, _ in given["loads"]:
        pp.create_load(net, bus, p_mw=0.001)
    source = given["source"]
    z_ohm = source["kv"] * 1e3 / np.sqrt(3.0) / source["short_circuit_a"]
    behind = pp.create_bus(net, source["kv"], name="behind the source impedance")
    r_ohm = z_ohm / np.hypot(1.0, source["x_over_r"])
    net.ext_grid["bus"] = behind
    pp.create_line_from_parameters(net, behind, 0, 1.0, r_ohm, r_ohm * source["x_over_r"], c_nf_per_km=0, max_i_ka=3)
    return build_feeder("ieee-european-lv", net)


def demand(minute: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(active W, reactive var), (55, 3) each."""
    given = inputs()
    phase = np.eye(3)[[phase - 1 for _, phase in given["loads"]]]
    active_w = phase * np.array(given["active_power_w"][minute])[:, np.newaxis]
    return active_w, active_w * np.tan(np.arccos(given["power_factor"]))
