"""Solves a net, described on stdin as JSON, with power-grid-model, and prints the nodes' voltages by phase in volts."""

import json
import sys
from typing import Any

import numpy as np
from power_grid_model import (
    CalculationMethod,
    ComponentType,
    LoadGenType,
    PowerGridModel,
    WindingType,
    initialize_array,
)

_STIFF_VA = 1e20


def _array(component: Any, columns: dict[str, Any]) -> Any:
    array = initialize_array("input", component, len(columns["id"]))
    for name, values in columns.items():
        array[name] = values
    return array


def main() -> None:
    net = json.load(sys.stdin)
    nodes, lines, trafos, loads = (net[name] for name in ("nodes", "lines", "transformers", "loads"))
    count = len(nodes["u_rated"])
    first = {"line": count, "trafo": count + len(lines["from_node"])}
    first["source"] = first["trafo"] + len(trafos["from_node"])
    first["load"] = first["source"] + len(net["sources"]["node"])

    def ids(kind: str, columns: dict[str, Any]) -> Any:
        length = len(next(iter(columns.values())))
        return np.arange(first[kind], first[kind] + length)

    on = {"from_status": 1, "to_status": 1}
    data = {
        ComponentType.node: _array(ComponentType.node, {"id": np.arange(count), **nodes}),
        ComponentType.line: _array(
            ComponentType.line,
            {"id": ids("line", lines), **lines, **on, "tan1": 0.0, "tan0": 0.0, "i_n": 1e3},
        ),
        ComponentType.transformer: _array(
            ComponentType.transformer,
            {
                "id": ids("trafo", trafos),
                **trafos,
                **on,
                "winding_from": WindingType.delta,
                "winding_to": WindingType.wye_n,
                "tap_side": 0,
                "tap_pos": 0,
                "tap_min": 0,
                "tap_max": 0,
                "tap_nom": 0,
                "tap_size": 0.0,
            },
        ),
        ComponentType.source: _array(
            ComponentType.source, {"id": ids("source", net["sources"]), **net["sources"], "status": 1, "sk": _STIFF_VA}
        ),
        ComponentType.asym_load: _array(
            ComponentType.asym_load,
            {
                "id": ids("load", loads),
                "node": loads["node"],
                "status": 1,
                "type": LoadGenType.const_power,
                "p_specified": loads["p_w"],
                "q_specified": loads["q_var"],
            },
        ),
    }
    output = PowerGridModel(data, system_frequency=50.0).calculate_power_flow(
        symmetric=False,
        calculation_method=CalculationMethod.newton_raphson,
        error_tolerance=1e-10,
        max_iterations=50,
        output_component_types=[ComponentType.node],
    )
    json.dump(output[ComponentType.node]["u"].tolist(), sys.stdout)


main()
