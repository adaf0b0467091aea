"""A power flow for one switching state of a net without voltage-controlled generators: balanced, or with three phases.

The admittances Y are factorised once per switching state; after that only loads change, and each flow is a fixed-point
iteration (the implicit Z-bus method: T.-H. Chen et al., "Distribution system power flow analysis – a rigid approach",
IEEE Trans. Power Delivery 6(3), 1991, 1146–1152):

    Y_pp · v = conj(S / v) − Y_ps · v_s         p: load buses, s: sources

With **three phases** the loads of each phase draw their currents at the voltage of their phase, and the currents'
symmetrical components (Fortescue) meet lines and transformers that are alike in all phases. So the sequences are
coupled by the loads only: the positive and the negative one share a factorisation, and the zero sequence has its own,
of low voltage alone (`grid.zero_sequence`). A **balanced** flow is the positive sequence with all phases summed up.

Each solution starts from the no-load voltages, so it depends on the demand and the switching state only, not on what
was solved before: another state is another object. Tests hold it against pandapower, OpenDSS and power-grid-model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import splu

from grid.electrical_model import ElectricalModel
from grid.flow_kind import FlowKind
from grid.switched_net import SwitchedNet
from grid.world import PHASES

Floats = NDArray[np.float64]
Complex = NDArray[np.complex128]

TOLERANCE_MVA = 1e-10
"""Largest mismatch at any bus and phase: thousands of them must not add up to a watt."""
MAX_ITERATIONS = 60
_A = np.exp(2j * np.pi / 3)


class PowerFlowError(RuntimeError):
    """The power flow has no solution for this demand and switching state."""


@dataclass(frozen=True, slots=True, eq=False)
class Flow:
    """Rows as in the net's own tables; 0 for what has no supply."""

    bus_voltage_pu: Complex
    """(buses, 3) line to neutral of L1, L2, L3, over the nominal line-to-neutral voltage."""
    trafo_loading_percent: Floats
    """Of the phase and side with the largest current over its rating."""
    trafo_active_power_w: Floats
    """At the high-voltage side, + towards the low-voltage side."""
    trafo_losses_w: Floats
    trafo_low_side_va: Complex
    """(t, 3) active + j reactive by phase at the low-voltage side, + out of the transformer."""
    line_losses_w: float
    source_va: Complex
    """(s,) active + j reactive power of the net's external grids, + into the feeder."""


class PowerFlow:
    """Solves the net in one switching state. V₁′, V₂′ and V₀ are the columns of a node's voltages, in this order."""

    def __init__(self, model: ElectricalModel, net: SwitchedNet, kind: FlowKind) -> None:
        """Factorises. Raises PowerFlowError where that cannot be done."""
        self._model, self._net, self._kind = model, net, kind
        free, earthed = net.free, net.earthed
        matrix = net.matrix(net.admittance)
        self._source_rows = matrix[free:]
        self._positive = _factorised(matrix[:free, :free])
        self._infeed = matrix[:free, free:] @ net.source_voltage
        self._negative = self._positive
        if kind == "three-phase":
            if not net.alike:
                self._negative = _factorised(net.matrix(net.mirrored)[:free, :free])
            zero = net.matrix(net.zero_admittance, shunt=False)
            self._zero = _factorised(zero[:earthed, :earthed])
        self._no_load = np.zeros((len(net.turn), PHASES), dtype=np.complex128)
        self._no_load[:free, 0], self._no_load[free:, 0] = self._positive(-self._infeed), net.source_voltage

    def solve(self, bus: NDArray[np.intp], demand_va: Complex) -> Flow:
        """Power flow for demands (k, 3) by phase, + consumption, at these rows of `net.bus`, which have supply.

        Raises PowerFlowError when it does not converge.
        """
        net, base_va = self._net, self._model.base_mva * 1e6
        demand = _summed(net.node[bus], demand_va * (PHASES / base_va), len(net.turn))
        demand += (net.constant_mva / self._model.base_mva)[:, np.newaxis]
        # Of the node's nominal phase power, which is a third of the base.
        total = demand.mean(axis=1)
        if self._kind == "balanced":
            demand[:] = total[:, np.newaxis]
        taking = np.flatnonzero(demand[: net.free].any(axis=1))
        voltage = self._no_load.copy()
        # Beyond what the net can carry the voltages run away: that ends in the error below, not in warnings.
        with np.errstate(all="ignore"):
            step = self._balanced_step if self._kind == "balanced" else self._three_phase_step
            if not self._iterate(voltage, taking, demand[taking], step):
                kw = total.sum().real * base_va / 1e3
                raise PowerFlowError(f"no power flow within {MAX_ITERATIONS} iterations for a demand of {kw:.1f} kW")
        return self._flow(voltage, total[net.free :])

    def _iterate(self, voltage: Complex, taking: NDArray[np.intp], demand: Complex, step: _Step) -> bool:
        turn = self._net.turn[taking]
        phases = _phases(voltage[taking], turn)
        for _ in range(MAX_ITERATIONS):
            current = -np.conj(demand / phases)
            step(voltage, taking, _components(current, turn))
            phases = _phases(voltage[taking], turn)
            # The new voltages with the currents of the old ones: what they miss of the demand is the mismatch.
            missed = np.abs(phases * np.conj(current) + demand)
            if missed.max(initial=0.0) < TOLERANCE_MVA / self._model.base_mva:
                return True
        return False

    def _balanced_step(self, voltage: Complex, taking: NDArray[np.intp], current: Complex) -> None:
        """Put into `voltage` what these currents (taking, 3), by sequence, make of it."""
        right = -self._infeed
        right[taking] += current[:, 0]
        voltage[: self._net.free, 0] = self._positive(right)

    def _three_phase_step(self, voltage: Complex, taking: NDArray[np.intp], current: Complex) -> None:
        free, earthed = self._net.free, self._net.earthed
        self._balanced_step(voltage, taking, current)
        right = np.zeros((2, free), dtype=np.complex128)
        right[0, taking], right[1, taking] = current[:, 1], current[:, 2]
        voltage[:free, 1] = self._negative(right[0])
        voltage[:earthed, 2] = self._zero(right[1, :earthed])

    def _flow(self, voltage: Complex, at_sources: Complex) -> Flow:
        model, net = self._model, self._net
        scale = model.base_mva * 1e6
        first, second = self._branch_currents(voltage)
        into_first = (voltage[net.start] * np.conj(first)).sum(axis=1).real
        into_second = (voltage[net.end] * np.conj(second)).sum(axis=1).real
        lines, trafos = slice(0, model.lines), slice(model.lines, model.lines + model.trafos)
        losses_w = (into_first + into_second) * scale
        at_node = np.zeros(len(net.turn), dtype=np.complex128)
        at_node[net.free :] = net.source_voltage * np.conj(self._source_rows @ voltage[:, 0]) + at_sources
        turn = net.turn[net.end[trafos]]
        low_voltage, low_current = _phases(voltage[net.end[trafos]], turn), _phases(second[trafos], turn)
        high_current = _phases(first[trafos], net.turn[net.start[trafos]])
        return Flow(
            bus_voltage_pu=_phases(voltage, net.turn)[net.node],
            trafo_loading_percent=self._loading(high_current, low_current),
            trafo_active_power_w=into_first[trafos] * scale,
            trafo_losses_w=losses_w[trafos],
            trafo_low_side_va=-low_voltage * np.conj(low_current) * (scale / PHASES),
            line_losses_w=float(losses_w[lines].sum()),
            source_va=at_node[net.source_node] * net.source_part * scale,
        )

    def _branch_currents(self, voltage: Complex) -> tuple[Complex, Complex]:
        """(m, 3) each, by sequence: into the branches at their first and at their second ends."""
        net = self._net
        first, second = voltage[net.start], voltage[net.end]
        by_sequence = np.stack((net.admittance, net.mirrored, net.zero_admittance), axis=2)
        a, b, c, d = by_sequence.transpose(1, 0, 2)
        return a * first + b * second, c * first + d * second

    def _loading(self, high: Complex, low: Complex) -> Floats:
        """Rated by current, as pandapower does by default. (t, 3) currents by phase."""
        model, trafos = self._model, slice(self._model.lines, self._model.lines + self._model.trafos)
        base_kv = np.column_stack((model.base_kv[model.start[trafos]], model.base_kv[model.end[trafos]]))
        current = np.column_stack((np.abs(high).max(axis=1), np.abs(low).max(axis=1)))
        through_mva = current * model.base_mva / base_kv * model.trafo_rated_kv
        return np.asarray(through_mva.max(axis=1) / model.trafo_rated_mva * 100.0)


_Solver = Callable[[Complex], Complex]
_Step = Callable[[Complex, NDArray[np.intp], Complex], None]


def _factorised(matrix: Any) -> _Solver:
    if not matrix.shape[0]:
        # Only sources are left, for instance with every transformer out.
        return lambda right: right
    try:
        solve: _Solver = splu(matrix.tocsc()).solve
    except RuntimeError as error:
        raise PowerFlowError(f"the net's admittances have no solution: {error}") from error
    return solve


def _summed(node: NDArray[np.intp], values: Complex, nodes: int) -> Complex:
    total = np.empty((nodes, values.shape[1]), dtype=np.complex128)
    for column, part in enumerate(values.T):
        total[:, column].real = np.bincount(node, part.real, minlength=nodes)
        total[:, column].imag = np.bincount(node, part.imag, minlength=nodes)
    return total


def _phases(sequences: Complex, turn: Complex) -> Complex:
    """(k, 3) L1, L2, L3 of V₁′, V₂′ and V₀. Spelled out: a product of matrices would call a library with threads."""
    positive, negative, zero = sequences[:, 0] * turn, sequences[:, 1] * np.conj(turn), sequences[:, 2]
    return np.column_stack(
        (
            zero + positive + negative,
            zero + _A**2 * positive + _A * negative,
            zero + _A * positive + _A**2 * negative,
        )
    )


def _components(phases: Complex, turn: Complex) -> Complex:
    """(k, 3) the inverse of `_phases`."""
    first, second, third = phases.T
    positive = (first + _A * second + _A**2 * third) / PHASES
    negative = (first + _A**2 * second + _A * third) / PHASES
    zero = (first + second + third) / PHASES
    return np.column_stack((positive * np.conj(turn), negative * turn, zero))
