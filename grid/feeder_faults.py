"""What is wrong with a net that is to become a feeder. Each function returns messages, none of them raises.

The tables have been read (`grid.net_tables`). What is wrong with a row that is out of service does not count: such a
row is taken out of the net, with the switches at it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandapower as pp
from numpy.typing import NDArray

from grid.net_tables import NEEDED, TABLES, UNSUPPORTED, rows
from grid.pandapower_calls import NotConvergedError, PandapowerError, run_power_flow
from grid.topology import Topology
from grid.wording import counted

Mask = NDArray[np.bool_]
_LARGEST = 1e9
"""Beyond any length, power or impedance of a grid, in the units of pandapower."""
_LOWEST_KV = 0.01
_SWITCHED = {"l": ("line", ("from_bus", "to_bus")), "t": ("trafo", ("hv_bus", "lv_bus"))}


def faults_of_tables(net: Any) -> list[str]:
    """Elements that are not supported, references that lead nowhere, values that no equipment has.

    Rows that are wrong but out of service, and unsupported elements that are, leave `net`.
    """
    faults = list(_unsupported(net))
    lacking = [
        f"has no column {name!r} in its table {table!r}"
        for table, columns in TABLES.items()
        for name, column in columns.items()
        if name not in net[table] and (column.default is NEEDED)
    ]
    if lacking:
        return faults + lacking
    for table in TABLES:
        faults += _faults_of_rows(net, table)
    return faults + _faults_of_switches(net)


def _unsupported(net: Any) -> Iterator[str]:
    for table in UNSUPPORTED:
        if table not in net or not len(net[table]):
            continue
        frame = net[table]
        in_service = frame["in_service"].to_numpy(dtype=bool)
        if in_service.any():
            yield (
                f"has {counted(int(in_service.sum()), 'element')} of the kind {table!r} in service, which is not "
                f"supported; remove or replace: {rows(frame, in_service)}"
            )
        net[table] = pp.create_empty_network()[table]
    if "et" in net.switch:
        # At three-winding transformers, none of which is left.
        net["switch"] = net.switch[(net.switch["et"] != "t3").to_numpy(dtype=bool)]


def _faults_of_rows(net: Any, table: str) -> list[str]:
    frame = net[table]
    # A bus out of service may have elements: it cannot leave, and has to be right.
    stays = table == "bus" or "in_service" not in frame
    counts = np.ones(len(frame), dtype=bool) if stays else frame["in_service"].to_numpy(dtype=bool)
    faults, wrong = [], np.zeros(len(frame), dtype=bool)
    for mask, message in _checks(net, table):
        if (mask & counts).any():
            faults.append(f"{table} {rows(frame, mask & counts)}: {message}")
        wrong |= mask
    if (wrong & ~counts).any():
        _take_out(net, table, wrong & ~counts)
    return faults


def _take_out(net: Any, table: str, mask: Mask) -> None:
    frame = net[table]
    gone = frame.index[mask]
    net[table] = frame[~mask]
    for et, (switched, _) in _SWITCHED.items():
        if switched == table:
            at_it = (net.switch["et"] == et) & net.switch["element"].isin(gone)
            net["switch"] = net.switch[~at_it.to_numpy(dtype=bool)]


def _checks(net: Any, table: str) -> Iterator[tuple[Mask, str]]:
    """(rows, what is wrong with them), out of service or not."""
    frame = net[table]
    for name, column in TABLES[table].items():
        if column.kind in ("number", "amount") and name in frame:
            values = frame[name].to_numpy(dtype=np.float64)
            too_large = ~(np.abs(values) <= _LARGEST)
            yield (too_large & ~np.isnan(values) if column.kind == "amount" else too_large), f"{name} is no number"
        elif name in ("bus", "from_bus", "to_bus", "hv_bus", "lv_bus"):
            yield ~frame[name].isin(net.bus.index).to_numpy(dtype=bool), f"{name} is not a bus of the net"
    for (of, condition), message in _RULES.items():
        if of == table:
            yield condition(frame), message


def _column(name: str, condition: Callable[[Any], Any]) -> Callable[[Any], Mask]:
    return lambda frame: np.asarray(condition(frame[name].to_numpy()), dtype=bool)


def _same(first: str, second: str) -> Callable[[Any], Mask]:
    return lambda frame: np.asarray(frame[first] == frame[second], dtype=bool)


def _below_zero(name: str) -> Callable[[Any], Mask]:
    """Of a column that may be missing."""
    return lambda frame: (
        _column(name, lambda values: values < 0)(frame) if name in frame else np.zeros(len(frame), bool)
    )


def _without_impedance(line: Any) -> Mask:
    return np.asarray((line["r_ohm_per_km"] == 0) & (line["x_ohm_per_km"] == 0), dtype=bool)


def _too_resistive(trafo: Any) -> Mask:
    return np.asarray((trafo["vkr_percent"] > trafo["vk_percent"]) & (trafo["vk_percent"] > 0), dtype=bool)


def _tap_out_of_range(trafo: Any) -> Mask:
    return np.asarray((trafo["tap_pos"] < trafo["tap_min"]) | (trafo["tap_pos"] > trafo["tap_max"]), dtype=bool)


# What is no number compares as false: that has a message of its own.
_RULES: dict[tuple[str, Callable[[Any], Mask]], str] = {
    ("bus", _column("vn_kv", lambda kv: kv < _LOWEST_KV)): f"vn_kv is below {_LOWEST_KV:g}",
    ("ext_grid", _column("vm_pu", lambda pu: pu <= 0)): "vm_pu is not above 0",
    ("line", _column("length_km", lambda km: km < 0)): "length_km is below 0",
    ("line", _column("r_ohm_per_km", lambda ohm: ohm < 0)): "r_ohm_per_km is below 0",
    ("line", _without_impedance): "it has no impedance: r_ohm_per_km and x_ohm_per_km are 0",
    **{
        ("line", _below_zero(name)): f"{name} is below 0" for name in ("r0_ohm_per_km", "x0_ohm_per_km", "c0_nf_per_km")
    },
    **{("trafo", _below_zero(name)): f"{name} is below 0" for name in ("vk0_percent", "vkr0_percent", "mag0_percent")},
    ("line", _same("from_bus", "to_bus")): "from_bus and to_bus are the same",
    ("line", _column("parallel", lambda count: count < 1)): "parallel is no number of lines",
    ("trafo", _same("hv_bus", "lv_bus")): "hv_bus and lv_bus are the same",
    ("trafo", _column("sn_mva", lambda mva: mva <= 0)): "sn_mva is not above 0",
    ("trafo", _column("vn_hv_kv", lambda kv: kv < _LOWEST_KV)): f"vn_hv_kv is below {_LOWEST_KV:g}",
    ("trafo", _column("vn_lv_kv", lambda kv: kv < _LOWEST_KV)): f"vn_lv_kv is below {_LOWEST_KV:g}",
    ("trafo", _column("vk_percent", lambda percent: percent <= 0)): "it has no impedance: vk_percent is not above 0",
    ("trafo", _column("vkr_percent", lambda percent: percent < 0)): "vkr_percent is below 0",
    ("trafo", _too_resistive): "vkr_percent is above vk_percent",
    ("trafo", _column("pfe_kw", lambda kw: kw < 0)): "pfe_kw is below 0",
    ("trafo", _column("i0_percent", lambda percent: percent < 0)): "i0_percent is below 0",
    ("trafo", _column("parallel", lambda count: count < 1)): "parallel is no number of transformers",
    ("trafo", _column("df", lambda factor: factor <= 0)): "df is not above 0",
    ("trafo", _tap_out_of_range): "tap_pos is not between tap_min and tap_max",
    ("switch", _column("z_ohm", lambda ohm: ohm < 0)): "z_ohm is below 0",
    ("shunt", _column("vn_kv", lambda kv: kv < _LOWEST_KV)): f"vn_kv is below {_LOWEST_KV:g}",
    ("shunt", _column("step", lambda step: step < 0)): "step is no number of steps",
    ("motor", _column("cos_phi", lambda cos: (cos <= 0) | (cos > 1))): "cos_phi is not between 0 and 1",
    ("motor", _column("efficiency_percent", lambda percent: percent <= 0)): "efficiency_percent is not above 0",
}


def _faults_of_switches(net: Any) -> list[str]:
    faults = []
    switch = net.switch
    kind = switch["et"].to_numpy(dtype=object)
    odd = ~np.isin(kind.astype(str), ["l", "t", "b"])
    if odd.any():
        faults.append(f"switch {rows(switch, odd)}: et is none of l, t, b")
    lost = (kind == "b") & ~switch["element"].isin(net.bus.index).to_numpy()
    if lost.any():
        faults.append(f"switch {rows(switch, lost)}: element is not a bus of the net")
    for et, (table, ends) in _SWITCHED.items():
        here = kind == et
        lost = here & ~switch["element"].isin(net[table].index).to_numpy()
        if lost.any():
            faults.append(f"switch {rows(switch, lost)}: element is not a {table} of the net")
        at = net[table].index.get_indexer(switch["element"].to_numpy()[here & ~lost])
        buses = [net[table][end].to_numpy()[at] for end in ends]
        astray = np.zeros(len(switch), dtype=bool)
        bus = switch["bus"].to_numpy()[here & ~lost]
        astray[here & ~lost] = (bus != buses[0]) & (bus != buses[1]) & switch["bus"][here & ~lost].isin(net.bus.index)
        if astray.any():
            faults.append(f"switch {rows(switch, astray)}: bus is no end of its {table}")
    return faults


def unsupplied_loads(net: Any, topology: Topology) -> list[str]:
    """Loads that nothing feeds in the normal switching state."""
    energised = topology.energised_buses()
    dark = net.load["in_service"].to_numpy() & ~energised[net.bus.index.get_indexer(net.load["bus"])]
    if not dark.any():
        return []
    loads = counted(int(dark.sum()), "load")
    return [f"{loads} without a path to a source in the normal switching state: {rows(net.load, dark)}"]


def power_flow_faults(net: Any) -> list[str]:
    """Whether the net can be solved with the loads that it carries."""
    try:
        run_power_flow(net)
    except NotConvergedError:
        return ["its power flow does not converge with the loads that the net carries; check impedances and loads"]
    except PandapowerError as error:
        return [f"pandapower cannot solve it: {error}"]
    return []
