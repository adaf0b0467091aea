"""A fast power flow for one switching state of a net without voltage-controlled generators.

pandapower converts the net and solves it once per switching state; after that only loads change, and its admittance
matrix Y is solved here by fixed-point iteration with one factorisation (the implicit Z-bus method: T.-H. Chen et al.,
"Distribution system power flow analysis – a rigid approach", IEEE Trans. Power Delivery 6(3), 1991, 1146–1152):

    Y_pp · v = conj(S / v) − Y_ps · v_s         p: load buses, s: sources

Each solution starts from the no-load voltages, so it depends on the demand and the switching state only, not on what
was solved before. It is several times faster than pandapower's `recycle`, and has no stale state after a switching:
another state is another object. Tests hold it against a full `runpp`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import splu

from grid.pandapower_calls import PandapowerError, run_power_flow

Floats = NDArray[np.float64]

TOLERANCE_MVA = 1e-10
"""Largest mismatch at any bus: thousands of them must not add up to a watt."""
MAX_ITERATIONS = 60
# Columns of the PYPOWER case format.
_PD, _QD, _BASE_KV, _F_BUS, _T_BUS = 2, 3, 9, 0, 1


_TURN = np.exp(1j * np.radians([0.0, -120.0, 120.0]))
"""Of L1, L2, L3 against L1, where phases are alike."""


class PowerFlowError(RuntimeError):
    """The power flow has no solution for this demand and switching state."""


@dataclass(frozen=True, slots=True, eq=False)
class Flow:
    """Rows as in the net's own tables; 0 for what has no supply."""

    bus_voltage_pu: NDArray[np.complex128]
    """(buses, 3) line to neutral of L1, L2, L3, over the nominal line-to-neutral voltage."""
    trafo_loading_percent: Floats
    trafo_active_power_w: Floats
    """At the high-voltage side, + towards the low-voltage side."""
    trafo_losses_w: Floats
    line_losses_w: float
    source_va: NDArray[np.complex128]
    """(s,) active and reactive power of the net's external grids, + into the feeder."""


@dataclass(frozen=True, slots=True, eq=False)
class _Sources:
    """The rows of `net.ext_grid`: at which node each feeds in, and its share of what is fed in there."""

    node: NDArray[np.intp]
    part: Floats
    nodes: int

    @classmethod
    def of(cls, net: Any, lookup: NDArray[np.intp]) -> _Sources:
        node = lookup[net.bus.index.get_indexer(net.ext_grid["bus"])]
        feeding = net.ext_grid["in_service"].to_numpy(dtype=bool) & (node >= 0)
        at_node = np.bincount(node[feeding], minlength=int(lookup.max()) + 1)
        part = np.divide(feeding, at_node[node], out=np.zeros(len(node)), where=feeding)
        return cls(np.where(feeding, node, 0), part, len(at_node))

    def share(self, at_node: NDArray[np.complex128]) -> NDArray[np.complex128]:
        """(s,) of what is fed in at each node."""
        return np.asarray(at_node[self.node] * self.part)


class PowerFlow:
    """The net as it is switched now. Later changes of the net's topology do not reach this object."""

    def __init__(self, net: Any, bus_energised: NDArray[np.bool_]) -> None:
        """Convert `net` and solve it without its loads, which are set to zero: they come with `solve`.

        Raises PowerFlowError.
        """
        net.load["p_mw"], net.load["q_mvar"] = 0.0, 0.0
        try:
            run_power_flow(net)
        except PandapowerError as error:
            raise PowerFlowError(f"pandapower finds no power flow: {error}") from error
        self._bus_energised = bus_energised
        lookup = net._pd2ppc_lookups["bus"][net.bus.index.to_numpy()]
        self._load_rows = net.bus.index.get_indexer(net.load["bus"])
        self._trafo = net.trafo[["vn_hv_kv", "vn_lv_kv"]].to_numpy(dtype=np.float64)
        rated = net.trafo["sn_mva"] * net.trafo["parallel"] * net.trafo["df"]
        self._rated_mva = rated.to_numpy(dtype=np.float64)
        # Buses without supply have no counterpart; their row is never read.
        self._node = np.where(bus_energised, lookup, 0)
        self._feeding = _Sources.of(net, lookup)
        internal = net._ppc["internal"]
        self._solvable = len(internal.get("pq", ())) > 0
        if not self._solvable:
            # Only sources are left, for instance with every transformer out: their voltages are what there is.
            self._source_bus_pu = np.where(bus_energised, np.nan_to_num(net.res_bus["vm_pu"].to_numpy()), 0.0)
            return
        self._base_mva = float(internal["baseMVA"])
        self._sources, self._nodes = internal["ref"], internal["pq"]
        voltage = internal["V"]
        matrix = internal["Ybus"].tocsr()
        self._matrix = matrix
        try:
            self._factors = splu(matrix[self._nodes][:, self._nodes].tocsc())
        except RuntimeError as error:
            raise PowerFlowError(f"the net's admittances have no solution: {error}") from error
        self._source_voltage = voltage[self._sources]
        self._infeed = matrix[self._nodes][:, self._sources] @ self._source_voltage
        # What is no load but takes or feeds constant power, for instance static generators.
        self._static_mva = internal["bus"][:, _PD].real + 1j * internal["bus"][:, _QD].real
        branch = internal["branch"]
        self._from, self._to = branch[:, _F_BUS].real.astype(np.intp), branch[:, _T_BUS].real.astype(np.intp)
        self._matrix_from, self._matrix_to = internal["Yf"], internal["Yt"]
        self._branch_in_service = internal["branch_is"].astype(bool)
        tables = net._pd2ppc_lookups["branch"]
        self._line_span, self._trafo_span = tables.get("line", (0, 0)), tables.get("trafo", (0, 0))
        self._base_kv = internal["bus"][:, _BASE_KV].real

    def _demand_mva(self, p_mw: Floats, q_mvar: Floats) -> NDArray[np.complex128]:
        alive = self._bus_energised[self._load_rows]
        nodes = self._node[self._load_rows[alive]]
        buses = len(self._static_mva)
        active = np.bincount(nodes, weights=p_mw[alive], minlength=buses)
        reactive = np.bincount(nodes, weights=q_mvar[alive], minlength=buses)
        return np.asarray(self._static_mva + active + 1j * reactive)

    def solve(self, p_mw: Floats, q_mvar: Floats) -> Flow:
        """Power flow for the loads of `net.load` (by row). Raises PowerFlowError when it does not converge."""
        if not self._solvable:
            trafos, alive = np.zeros(len(self._trafo)), self._bus_energised[self._load_rows]
            taken = np.zeros(self._feeding.nodes, dtype=np.complex128)
            np.add.at(taken, self._node[self._load_rows[alive]], (p_mw + 1j * q_mvar)[alive] * 1e6)
            return Flow(_on_phases(self._source_bus_pu), trafos, trafos, trafos, 0.0, self._feeding.share(taken))
        demand = self._demand_mva(p_mw, q_mvar) / self._base_mva
        voltage = np.empty(len(demand), dtype=np.complex128)
        voltage[self._sources] = self._source_voltage
        voltage[self._nodes] = self._iterate(-demand[self._nodes])
        source = np.zeros(len(demand), dtype=np.complex128)
        source[self._sources] = (
            voltage[self._sources] * np.conj(self._matrix[self._sources] @ voltage) + demand[self._sources]
        )
        branch_from = voltage[self._from] * np.conj(self._matrix_from @ voltage)
        branch_to = voltage[self._to] * np.conj(self._matrix_to @ voltage)
        losses_w = self._by_branch((branch_from + branch_to).real) * self._base_mva * 1e6
        active_w = self._by_branch(branch_from.real) * self._base_mva * 1e6
        return Flow(
            bus_voltage_pu=_on_phases(np.where(self._bus_energised, voltage[self._node], 0.0)),
            trafo_loading_percent=self._loading(branch_from, branch_to, np.abs(voltage)),
            trafo_active_power_w=active_w[slice(*self._trafo_span)],
            trafo_losses_w=losses_w[slice(*self._trafo_span)],
            line_losses_w=float(losses_w[slice(*self._line_span)].sum()),
            source_va=self._feeding.share(source * self._base_mva * 1e6),
        )

    def _iterate(self, injected: NDArray[np.complex128]) -> NDArray[np.complex128]:
        voltage: NDArray[np.complex128] = self._factors.solve(-self._infeed)
        tolerance = TOLERANCE_MVA / self._base_mva
        # Beyond what the net can carry the voltages run away: that ends in the error below, not in warnings.
        with np.errstate(all="ignore"):
            for _ in range(MAX_ITERATIONS):
                current = np.conj(injected / voltage)
                voltage = self._factors.solve(current - self._infeed)
                # The new voltages with the currents of the old ones: what they miss of the demand is the mismatch.
                if np.max(np.abs(voltage * np.conj(current) - injected)) < tolerance:
                    return voltage
        raise PowerFlowError(
            f"no power flow within {MAX_ITERATIONS} iterations for a demand of "
            f"{-injected.real.sum() * self._base_mva * 1e3:.1f} kW"
        )

    def _by_branch(self, values: Floats) -> Floats:
        result = np.zeros(len(self._branch_in_service))
        result[self._branch_in_service] = values
        return result

    def _loading(self, branch_from: Any, branch_to: Any, voltage_pu: Floats) -> Floats:
        """Rated by current, as pandapower does by default."""
        trafos = slice(*self._trafo_span)
        percent = [
            self._by_branch(np.abs(power) * self._base_mva / (voltage_pu[node] * self._base_kv[node]))[trafos]
            * rated_kv
            for power, node, rated_kv in (
                (branch_from, self._from, self._trafo[:, 0]),
                (branch_to, self._to, self._trafo[:, 1]),
            )
        ]
        return np.asarray(np.maximum(*percent) / self._rated_mva * 100.0)


def _on_phases(voltage: NDArray[Any]) -> NDArray[np.complex128]:
    return np.asarray(voltage[:, np.newaxis] * _TURN)
