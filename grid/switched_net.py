"""One switching state of a net as nodes and admittance matrices: what a power flow factorises.

Buses that closed switches join are one node. The phase shifts of transformers leave the matrices: with an angle θ for
each node, V₁ = exp(jθ)·V₁′ and V₂ = exp(−jθ)·V₂′ obey the same equations, so both sequences share one factorisation.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array

from grid.electrical_model import ElectricalModel
from grid.topology import Topology, joined

Bools = NDArray[np.bool_]
Complex = NDArray[np.complex128]
Ints = NDArray[np.intp]

_SAME_ANGLE_RAD = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class SwitchedNet:
    """`free` nodes come first, the nodes with a source behind them; the first `earthed` nodes are of low voltage.

    Branches as in `ElectricalModel`; those that carry nothing have admittances of 0.
    """

    node: Ints
    """(buses,); 0 for a bus without supply, whose values nobody may use."""
    free: int
    earthed: int
    source_voltage: Complex
    """V₁′ of the nodes with a source."""
    source_node: Ints
    """(s,) of each source; any node where it feeds nothing."""
    source_part: NDArray[np.float64]
    """(s,) of what is fed in at its node: sources at one node feed alike."""
    turn: Complex
    """(nodes,) exp(jθ)."""
    start: Ints
    """(m,) node."""
    end: Ints
    admittance: Complex
    """(m, 4) of V₁′; of V₂′ where `alike`, else `mirrored`."""
    mirrored: Complex
    alike: bool
    """False where the shifts around a mesh do not cancel: then the two sequences need matrices of their own."""
    zero_admittance: Complex
    shunt: Complex
    """(nodes,)"""
    constant_mva: Complex
    """(nodes,)"""

    @classmethod
    def of(
        cls, model: ElectricalModel, topology: Topology, energised: Bools, line: Bools, trafo: Bools, switch: Bools
    ) -> SwitchedNet:
        """`energised` (buses,), the other flags as `Topology.energised_buses` takes them."""
        at_start, at_end = _connected_ends(model, topology, energised, line, trafo, switch)
        label = _joined(model, topology, energised, switch)
        feeding = model.source_in_service & energised[model.source_bus]
        sources = model.source_bus[feeding]
        node, free, earthed, held = _numbered(label, energised, model.low_voltage, sources)
        count = free + len(held)
        start, end = np.where(at_start, node[model.start], 0), np.where(at_end, node[model.end], 0)
        both = at_start & at_end
        angle, residual = _angles(model.shift_rad, start, end, both, count, held)
        alike = bool(np.abs(residual).max(initial=0.0) < _SAME_ANGLE_RAD)
        own = _reduced(model.admittance, at_start, at_end)
        turn = np.exp(1j * np.where(both, residual, 0.0)) if not alike else np.ones(len(residual))
        turn_of_node = np.exp(1j * angle)
        volts = np.zeros(count, dtype=np.complex128)
        volts[node[sources]] = model.source_voltage[feeding]
        source_node = np.where(feeding, node[model.source_bus], 0)
        at_node = np.bincount(source_node[feeding], minlength=count)
        return cls(
            node=np.where(energised, node, 0),
            free=free,
            earthed=earthed,
            source_voltage=(volts * np.conj(turn_of_node))[free:],
            source_node=source_node,
            source_part=feeding / np.maximum(at_node[source_node], 1),
            turn=turn_of_node,
            start=start,
            end=end,
            admittance=_turned(own, turn),
            mirrored=_turned(own, np.conj(turn)),
            alike=alike,
            zero_admittance=_reduced(model.zero_admittance, at_start, at_end),
            shunt=_summed(model.shunt, node, energised, count),
            constant_mva=_summed(model.constant_mva, node, energised, count),
        )

    def matrix(self, admittance: Complex, *, shunt: bool = True) -> Any:
        """(nodes, nodes) sparse, of these branch admittances."""
        rows = np.concatenate((self.start, self.start, self.end, self.end, np.arange(len(self.turn))))
        columns = np.concatenate((self.start, self.end, self.start, self.end, np.arange(len(self.turn))))
        values = np.concatenate((*admittance.T, self.shunt if shunt else np.zeros_like(self.shunt)))
        kept = values != 0
        count = len(self.turn)
        return coo_array((values[kept], (rows[kept], columns[kept])), shape=(count, count)).tocsr()


def _connected_ends(
    model: ElectricalModel, topology: Topology, energised: Bools, line: Bools, trafo: Bools, switch: Bools
) -> tuple[Bools, Bools]:
    """(m,) which ends of the branches are connected to a bus with supply."""
    kind, element, bus = topology.switch_kind, topology.switch_element, topology.switch_bus
    opened = ~switch
    at_trafo = trafo.copy()
    at_trafo[element[(kind == "t") & opened]] = False
    # A transformer with one end at a dead bus out of service is switched off as a whole, as pandapower has it.
    at_trafo &= energised[topology.trafo_hv] & energised[topology.trafo_lv]
    ends = []
    for line_bus in (topology.line_from, topology.line_to):
        closed = line & energised[line_bus]
        cut = np.flatnonzero((kind == "l") & opened)
        here = cut[bus[cut] == line_bus[element[cut]]]
        closed[element[here]] = False
        ends.append(closed)
    impedant = np.abs(model.admittance[model.lines + model.trafos :, 0]) > 0
    at_switch = impedant & switch & energised[topology.switch_bus]
    at_switch[at_switch] = energised[element[at_switch]]
    return np.concatenate((ends[0], at_trafo, at_switch)), np.concatenate((ends[1], at_trafo, at_switch))


def _joined(model: ElectricalModel, topology: Topology, energised: Bools, switch: Bools) -> Ints:
    """(buses,) labels, the same for those that closed switches without impedance join."""
    ideal = np.abs(model.admittance[model.lines + model.trafos :, 0]) == 0
    joins = np.flatnonzero((topology.switch_kind == "b") & switch & ideal)
    first, second = topology.switch_bus[joins], topology.switch_element[joins]
    alive = energised[first] & energised[second]
    count = len(energised)
    return joined(count, first[alive], second[alive]) if alive.any() else np.arange(count)


def _numbered(label: Ints, energised: Bools, low: Bools, sources: Ints) -> tuple[Ints, int, int, Ints]:
    """(node of each bus, how many are free, how many of those are of low voltage, the nodes with a source)."""
    held = np.unique(label[sources])
    rank = np.full(int(label.max(initial=-1)) + 1, 3, dtype=np.int8)
    rank[label[energised & ~low]] = 1
    rank[label[energised & low]] = 0
    rank[held] = 2
    order = np.argsort(rank, kind="stable")
    counts = np.bincount(rank, minlength=4)
    number = np.empty(len(rank), dtype=np.intp)
    number[order] = np.arange(len(rank))
    free = int(counts[0] + counts[1])
    return np.where(energised, number[label], 0), free, int(counts[0]), np.arange(free, free + int(counts[2]))


def _angles(
    shift: NDArray[np.float64], start: Ints, end: Ints, both: Bools, count: int, held: Ints
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """θ of each node, and what is left of each branch's shift (m,) once the nodes' angles are taken out of it."""
    shifting = both & (np.abs(shift) > _SAME_ANGLE_RAD)
    plain = both & ~shifting
    region = joined(count, start[plain], end[plain])
    beside: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for branch in np.flatnonzero(shifting):
        first, second, angle = int(region[start[branch]]), int(region[end[branch]]), float(shift[branch])
        beside[first].append((second, -angle))
        beside[second].append((first, angle))
    found: dict[int, float] = {}
    for root in held:
        found.setdefault(int(region[root]), 0.0)
        waiting = [int(region[root])]
        while waiting:
            here = waiting.pop()
            for there, angle in beside[here]:
                if there not in found:
                    found[there] = found[here] + angle
                    waiting.append(there)
    theta = np.zeros(int(region.max(initial=-1)) + 1)
    theta[list(found)] = list(found.values())
    of_node = theta[region]
    left = np.where(both, shift - (of_node[start] - of_node[end]), 0.0)
    return of_node, np.angle(np.exp(1j * left))


def _reduced(admittance: Complex, at_start: Bools, at_end: Bools) -> Complex:
    """What is left of branches with an open end: seen from the other one, with the open one's voltage eliminated."""
    kept = np.where((at_start & at_end)[:, np.newaxis], admittance, 0.0)
    for column, other, alone in ((0, 3, at_start & ~at_end), (3, 0, at_end & ~at_start)):
        own, far = admittance[alone, column], admittance[alone, other]
        through = admittance[alone, 1] * admittance[alone, 2]
        kept[alone, column] = own - np.divide(through, far, out=np.zeros_like(far), where=far != 0)
    return kept


def _turned(admittance: Complex, turn: NDArray[Any]) -> Complex:
    return np.asarray(admittance * np.column_stack((np.ones_like(turn), turn, np.conj(turn), np.ones_like(turn))))


def _summed(values: Complex, node: Ints, energised: Bools, count: int) -> Complex:
    total = np.zeros(count, dtype=np.complex128)
    np.add.at(total, node[energised], values[energised])
    return total
