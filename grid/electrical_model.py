"""The electrical constants of a net, in all switching states: branches, shunts, sources.

pandapower converts its tables to per-unit branches, once; a switching state then picks from them
(`grid.switched_net`), which is several times faster than a conversion for each. Base: `base_mva` for three phases, and
the nominal voltage of each bus.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pandapower.auxiliary import _add_ppc_options
from pandapower.pd2ppc import _pd2ppc
from pandapower.pypower.idx_brch import BR_STATUS, SHIFT
from pandapower.pypower.idx_bus import BS, GS, PD, QD
from pandapower.pypower.makeYbus import branch_vectors

from grid.pandapower_calls import pandapower_call
from grid.phase_assumptions import PhaseAssumptions
from grid.voltage_levels import LOW_VOLTAGE_KV
from grid.zero_sequence import line_zero_sequence, trafo_zero_sequence

Floats = NDArray[np.float64]
Complex = NDArray[np.complex128]
Ints = NDArray[np.intp]

_SWITCH_R_OVER_X = 2.0
"""Of a switch with an impedance, as pandapower's `runpp` takes it (`switch_rx_ratio`)."""


@dataclass(frozen=True, slots=True, eq=False)
class ElectricalModel:
    """Rows of buses as in `net.bus`; branches are the rows of `net.line`, `net.trafo` and `net.switch`, in this order.

    Admittances (m, 4) are those of the two ends, the second of a transformer being its low-voltage one:
    I₁ = a·V₁ + b·V₂, I₂ = c·V₁ + d·V₂.
    """

    base_mva: float
    lines: int
    trafos: int
    start: Ints
    end: Ints
    admittance: Complex
    """(m, 4) of the positive sequence, and of the negative one, without the phase shift."""
    shift_rad: Floats
    """(m,) by which the positive sequence lags at the second end; by which the negative one leads there."""
    zero_admittance: Complex
    """(m, 4) of the zero sequence, low voltage only: a transformer has only its second end, to earth."""
    shunt: Complex
    """(buses,) without a zero sequence: in star with no neutral, or in delta."""
    constant_mva: Complex
    """(buses,) what takes constant power and is no load, for instance motors."""
    low_voltage: NDArray[np.bool_]
    """(buses,) where the zero sequence is solved."""
    source_bus: Ints
    """(s,) of the rows of `net.ext_grid`."""
    source_in_service: NDArray[np.bool_]
    source_voltage: Complex
    base_kv: Floats
    """(buses,)"""
    trafo_rated_kv: Floats
    """(t, 2) high and low."""
    trafo_rated_mva: Floats

    @classmethod
    def of(cls, net: Any, assumed: PhaseAssumptions) -> ElectricalModel:
        """Of a pandapower net; its loads do not count. Raises PandapowerError."""
        whole = _unswitched(net)
        with pandapower_call():
            ppc = _converted(whole)
            branch = ppc["branch"].real.copy()
            branch[:, BR_STATUS] = 1.0
            tt, ff, ft, tf = branch_vectors(branch, len(branch))
        base_mva, bus = float(ppc["baseMVA"]), net.bus.index
        base_kv = net.bus["vn_kv"].to_numpy(dtype=np.float64)
        shift = np.radians(branch[:, SHIFT])
        turn = np.exp(1j * shift)
        own = np.column_stack((ff, ft / turn, tf * turn, tt))
        switches = _switch_admittances(net, base_kv, base_mva)
        start, end = _ends(net, bus)
        low_voltage = base_kv <= LOW_VOLTAGE_KV
        lines, trafos = len(net.line), len(net.trafo)
        zero = np.zeros((len(start), 4), dtype=np.complex128)
        zero[:lines] = _line_zero(net, base_kv[start[:lines]], base_mva, assumed)
        zero[lines : lines + trafos, 3] = _trafo_zero(net, base_kv[end[lines : lines + trafos]], base_mva, assumed)
        zero[lines + trafos :] = switches
        zero[~low_voltage[end]] = 0.0
        rows = ppc["bus"].real[whole._pd2ppc_lookups["bus"][bus.to_numpy()]]
        grids = net.ext_grid
        angle = np.radians(grids["va_degree"].to_numpy(dtype=np.float64))
        rated = net.trafo["sn_mva"] * net.trafo["parallel"] * net.trafo["df"]
        return cls(
            base_mva=base_mva,
            lines=lines,
            trafos=trafos,
            start=start,
            end=end,
            admittance=np.vstack((own, switches)),
            shift_rad=np.concatenate((shift, np.zeros(len(switches)))),
            zero_admittance=zero,
            shunt=(rows[:, GS] + 1j * rows[:, BS]) / base_mva,
            constant_mva=rows[:, PD] + 1j * rows[:, QD],
            low_voltage=low_voltage,
            source_bus=bus.get_indexer(grids["bus"]),
            source_in_service=grids["in_service"].to_numpy(dtype=bool),
            source_voltage=grids["vm_pu"].to_numpy(dtype=np.float64) * np.exp(1j * angle),
            base_kv=base_kv,
            trafo_rated_kv=net.trafo[["vn_hv_kv", "vn_lv_kv"]].to_numpy(dtype=np.float64),
            trafo_rated_mva=rated.to_numpy(dtype=np.float64),
        )


def _unswitched(net: Any) -> Any:
    """A copy in which nothing is joined, cut or left out by switches, and nothing taken by loads."""
    whole = copy.deepcopy(net)
    whole["switch"] = whole.switch.iloc[:0]
    for table in ("bus", "line", "trafo"):
        whole[table]["in_service"] = True
    whole.load["p_mw"], whole.load["q_mvar"] = 0.0, 0.0
    return whole


def _converted(net: Any) -> Any:
    """pandapower's own conversion, as `runpp` does it before it solves (its `to_ppc` leaves columns out)."""
    net["_options"] = {}
    _add_ppc_options(
        net,
        calculate_voltage_angles=True,
        trafo_model="t",
        check_connectivity=False,
        mode="pf",
        switch_rx_ratio=_SWITCH_R_OVER_X,
        enforce_p_lims=False,
        enforce_q_lims=False,
        recycle=None,
    )
    return _pd2ppc(net)[0]


def _ends(net: Any, bus: Any) -> tuple[Ints, Ints]:
    # Switches that are none between two buses have no second bus: nobody reads it.
    first = [bus.get_indexer(c) for c in (net.line["from_bus"], net.trafo["hv_bus"], net.switch["bus"])]
    second = [bus.get_indexer(c) for c in (net.line["to_bus"], net.trafo["lv_bus"], net.switch["element"])]
    return np.concatenate(first), np.concatenate(second)


def _switch_admittances(net: Any, base_kv: Floats, base_mva: float) -> Complex:
    """(switches, 4); 0 for those without impedance, which join their buses instead."""
    ohm = net.switch["z_ohm"].to_numpy(dtype=np.float64)
    ohm = np.where((net.switch["et"] == "b").to_numpy(dtype=bool), ohm, 0.0)
    at = net.bus.index.get_indexer(net.switch["bus"])
    z = ohm * (_SWITCH_R_OVER_X + 1j) / np.hypot(_SWITCH_R_OVER_X, 1.0) * base_mva / base_kv[at] ** 2
    y = np.divide(1.0, z, out=np.zeros_like(z), where=ohm > 0)
    return np.column_stack((y, -y, -y, y))


def _line_zero(net: Any, base_kv: Floats, base_mva: float, assumed: PhaseAssumptions) -> Complex:
    zero, line = line_zero_sequence(net, assumed), net.line
    length_km, parallel = line["length_km"].to_numpy(dtype=np.float64), line["parallel"].to_numpy(dtype=np.float64)
    base_ohm = base_kv**2 / base_mva
    y = base_ohm * parallel / ((zero.r0_ohm_per_km + 1j * zero.x0_ohm_per_km) * length_km)
    half = 1j * np.pi * float(net.f_hz) * zero.c0_nf_per_km * 1e-9 * length_km * parallel * base_ohm
    return np.column_stack((y + half, -y, -y, y + half))


def _trafo_zero(net: Any, base_kv: Floats, base_mva: float, assumed: PhaseAssumptions) -> Complex:
    trafo = net.trafo
    rated_ohm = (trafo["vn_lv_kv"] ** 2 / trafo["sn_mva"] / trafo["parallel"]).to_numpy(dtype=np.float64)
    return np.asarray(base_kv**2 / base_mva / (trafo_zero_sequence(net, assumed) * rated_ohm))
