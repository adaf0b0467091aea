"""What is wrong with a net that is to become a feeder. Each function returns messages, none of them raises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandapower as pp

from grid.pandapower_quiet import NUMBA
from grid.topology import Topology

_UNSUPPORTED_TABLES = ("trafo3w", "impedance", "dcline", "gen", "ward", "xward", "storage", "line_dc", "vsc")
_BUS_COLUMNS = (
    *(("load", "bus"), ("ext_grid", "bus"), ("line", "from_bus"), ("line", "to_bus")),
    *(("trafo", "hv_bus"), ("trafo", "lv_bus"), ("switch", "bus")),
)
_SHOWN = 10


def faults_of_tables(net: Any) -> list[str]:
    """Elements that are not supported, references that lead nowhere, loads that are no numbers."""
    faults = [
        f"has {len(net[table])} element(s) of the kind {table!r}, which is not supported; remove or replace them"
        for table in _UNSUPPORTED_TABLES
        if table in net and len(net[table])
    ]
    for table, column in _BUS_COLUMNS:
        missing = net[table][~net[table][column].isin(net.bus.index)]
        if len(missing):
            faults.append(f"{table} {_some(missing.index)}: {column} is not a bus of the net")
    numbers = net.load[["p_mw", "q_mvar"]].to_numpy(dtype=float)
    if not np.all(np.isfinite(numbers)):
        faults.append(f"load {_some(net.load.index[~np.isfinite(numbers).all(axis=1)])}: p_mw or q_mvar is no number")
    return faults


def _some(items: Any) -> str:
    shown = [str(item) for item in items]
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more


def unsupplied_loads(net: Any, topology: Topology) -> list[str]:
    """Loads that nothing feeds in the normal switching state."""
    energised = topology.energised_buses()
    dark = net.load[net.load["in_service"].to_numpy() & ~energised[net.bus.index.get_indexer(net.load["bus"])]]
    if dark.empty:
        return []
    names = (f"{name or 'load'} (index {index})" for index, name in dark["name"].items())
    return [f"{len(dark)} load(s) without a path to a source in the normal switching state: {_some(names)}"]


def power_flow_faults(net: Any) -> list[str]:
    """Whether the net can be solved with the loads that it carries."""
    try:
        pp.runpp(net, numba=NUMBA)
    except pp.LoadflowNotConverged:
        return ["its power flow does not converge with the loads that the net carries; check impedances and loads"]
    return []
