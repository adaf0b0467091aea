"""What is wrong with a net that is to become a feeder. Each function returns messages, none of them raises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandapower as pp

from grid.pandapower_quiet import NUMBA
from grid.topology import Topology

_UNSUPPORTED_TABLES = (
    *("trafo3w", "impedance", "dcline", "gen", "ward", "xward", "storage", "asymmetric_load", "asymmetric_sgen"),
    *("svc", "ssc", "tcsc", "bus_dc", "line_dc", "load_dc", "source_dc", "vsc", "b2b_vsc"),
)
_BUS_COLUMNS = (
    *(("load", "bus"), ("ext_grid", "bus"), ("line", "from_bus"), ("line", "to_bus")),
    *(("trafo", "hv_bus"), ("trafo", "lv_bus"), ("switch", "bus"), ("sgen", "bus")),
)
_COLUMNS = {
    **dict.fromkeys(("load", "sgen"), ("bus", "p_mw", "q_mvar", "scaling", "in_service")),
    "bus": ("vn_kv", "in_service"),
    "ext_grid": ("bus", "in_service"),
    "line": ("from_bus", "to_bus", "in_service"),
    "trafo": ("hv_bus", "lv_bus", "in_service"),
    "switch": ("bus", "element", "et", "closed"),
}
_SHOWN = 10


def faults_of_tables(net: Any) -> list[str]:
    """Elements that are not supported, references that lead nowhere, loads that are no numbers."""
    faults = [
        f"has {len(net[table])} element(s) of the kind {table!r}, which is not supported; remove or replace them"
        for table in _UNSUPPORTED_TABLES
        if table in net and len(net[table])
    ]
    missing_tables = [f"has no table {table!r}" for table in _COLUMNS if table not in net]
    if missing_tables:
        return faults + missing_tables
    lacking = [
        f"has no column {column!r} in its table {table!r}"
        for table, columns in _COLUMNS.items()
        for column in columns
        if column not in net[table]
    ]
    if lacking:
        return faults + lacking
    for table, column in _BUS_COLUMNS:
        missing = net[table][~net[table][column].isin(net.bus.index)]
        if len(missing):
            faults.append(f"{table} {_some(missing.index)}: {column} is not a bus of the net")
    for kind, table in (("l", "line"), ("t", "trafo"), ("b", "bus")):
        switches = net.switch[net.switch["et"] == kind]
        lost = switches.index[~switches["element"].isin(net[table].index)]
        if len(lost):
            faults.append(f"switch {_some(lost)}: element is not a {table} of the net")
    odd = net.switch.index[~net.switch["et"].isin(["l", "t", "b"])]
    if len(odd):
        faults.append(f"switch {_some(odd)}: et is none of l, t, b")
    for table in ("load", "sgen"):
        numbers = net[table][["p_mw", "q_mvar", "scaling"]].to_numpy(dtype=float)
        wrong = net[table].index[~np.isfinite(numbers).all(axis=1)]
        if len(wrong):
            faults.append(f"{table} {_some(wrong)}: p_mw, q_mvar or scaling is no number")
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
