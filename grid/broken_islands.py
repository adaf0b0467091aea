"""The islands of a feeder in which a conductor is broken: solved with four wires, while the rest has three phases.

The rest of the feeder sees such an island as what it takes, by phase, at the low-voltage busbar of its transformer. The
island sees the rest as an open-circuit voltage E behind the transformer's impedance Z. Both are solved in turn,

    E ← V + Z·I        V: at the busbar, when the island takes S;  S, I: what the island takes behind E

until E stands still; then they agree on voltage and current at the busbar, whatever Z was taken to be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grid.conductors import Closed
from grid.electrical_model import ElectricalModel
from grid.feeder import Feeder
from grid.four_wire import (
    FourWire,
    Island,
    IslandFlow,
    Loads,
    NoSolutionError,
    cable_ohm,
    earth_return_ohm_per_km,
    sequence_ohm,
)
from grid.powerflow import Flow, PowerFlowError
from grid.world import PHASES

Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]
Complexes = NDArray[np.complex128]

_STANDING_V = 1e-6
_MOST_TURNS = 30
EARTH_COLUMN = "earth_ohm"
"""Of `net.bus`: an electrode that earths the neutral there, in ohm."""


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """What demands (k, 3) come to: powers, voltages in pu of nominal, and the losses of the islands' lines."""

    flow: Flow
    power_va: Complexes
    voltage_pu: Complexes
    """(k, 3); what the demands outside of islands have is for the flow to say: NaN."""
    losses_w: float


class BrokenIsland:
    """One island, with the rows of the demands in it: the n usage points first, then the bulk."""

    def __init__(
        self, feeder: Feeder, model: ElectricalModel, closed: Closed, number: int, bus: Ints, connected: Bools
    ) -> None:
        """`bus`: of all demands. `connected` (n, 3): the phases of usage points."""
        self._topology = topology = feeder.topology
        trafo = feeder.islands.fed_by[number]
        self.busbar = int(topology.trafo_lv[trafo])
        buses = np.flatnonzero(feeder.islands.of_bus == number)
        self._local = np.full(len(feeder.islands.of_bus), -1, dtype=np.intp)
        self._local[buses] = np.arange(len(buses))
        self.rows = np.flatnonzero(self._local[bus] >= 0)
        self.nominal_v = float(model.base_kv[self.busbar] * 1e3 / np.sqrt(3.0))
        base_ohm = model.base_kv[self.busbar] ** 2 / model.base_mva
        branch, ohm, branch_closed, electrodes = self._branches(feeder, model, closed, base_ohm)
        link, link_closed, at = self._links(closed, trafo, bus, len(buses))
        self.source_ohm = _transformer_ohm(model, model.lines + trafo) * base_ohm
        self.four = FourWire(
            Island(
                buses=len(buses) + len(link_closed),
                branch_from=self._local[topology.line_from[branch]],
                branch_to=self._local[topology.line_to[branch]],
                branch_ohm=ohm,
                branch_closed=branch_closed,
                link_from=link[:, 0],
                link_to=link[:, 1],
                link_closed=link_closed,
                source=len(buses),
                source_ohm=self.source_ohm,
                electrode_bus=self._local[electrodes],
                electrode_ohm=feeder.net.bus[EARTH_COLUMN].to_numpy(dtype=np.float64)[electrodes]
                if len(electrodes)
                else np.zeros(0),
            )
        )
        self._bus, self._phase = np.repeat(at, PHASES), np.tile(np.arange(PHASES), len(at))
        self.lit = self._supplied(connected)

    def _branches(
        self, feeder: Feeder, model: ElectricalModel, closed: Closed, base_ohm: float
    ) -> tuple[Ints, Complexes, Bools, Ints]:
        """Rows of the island's lines, their impedances, which conductors are closed at both ends; and electrodes."""
        topology, net = self._topology, feeder.net
        state = closed.line.copy()
        at_line = np.flatnonzero(topology.switch_kind == "l")
        np.logical_and.at(state, topology.switch_element[at_line], closed.switch[at_line])
        inside = (self._local[topology.line_from] >= 0) & (self._local[topology.line_to] >= 0) & state.any(axis=1)
        lines = np.flatnonzero(inside)
        electrodes = np.zeros(0, dtype=np.intp)
        if EARTH_COLUMN in net.bus:
            earth_ohm = net.bus[EARTH_COLUMN].to_numpy(dtype=np.float64)
            electrodes = np.flatnonzero((self._local >= 0) & (earth_ohm > 0))
        mutual = np.zeros(len(lines), dtype=np.complex128)
        if len(electrodes):
            per_km = earth_return_ohm_per_km(float(net.f_hz))
            mutual = per_km * net.line["length_km"].to_numpy(dtype=np.float64)[lines]
        positive = -base_ohm / model.admittance[lines, 1]
        zero = -base_ohm / model.zero_admittance[lines, 1]
        return lines, cable_ohm(positive, zero, mutual), state[lines], electrodes

    def _links(self, closed: Closed, trafo: int, bus: Ints, buses: int) -> tuple[Ints, Bools, Ints]:
        """Ends (k, 2) and conductors (k, 4) of what joins without impedance, and the local bus of each own demand.

        First the transformer's terminals with the busbar, then each service with a broken conductor with its bus.
        """
        topology = self._topology
        at_trafo = np.flatnonzero(
            (topology.switch_kind == "t") & (topology.switch_element == trafo) & (topology.switch_bus == self.busbar)
        )
        ends = [(buses, int(self._local[self.busbar]))]
        states = [closed.trafo[trafo] & closed.switch[at_trafo].all(axis=0)]
        at = self._local[bus[self.rows]]
        services = self.rows[self.rows < len(closed.service)]
        for place in np.flatnonzero(~closed.service[services].all(axis=1)).tolist():
            ends.append((int(at[place]), buses + len(ends)))
            states.append(closed.service[services[place]])
            at[place] = ends[-1][1]
        couplers = np.flatnonzero((topology.switch_kind == "b") & (self._local[topology.switch_bus] >= 0))
        for row in couplers.tolist():
            if closed.switch[row].any() and self._local[topology.switch_element[row]] >= 0:
                ends.append(
                    (int(self._local[topology.switch_bus[row]]), int(self._local[topology.switch_element[row]]))
                )
                states.append(closed.switch[row])
        return np.array(ends, dtype=np.intp), np.array(states), at

    def _supplied(self, connected: Bools) -> Bools:
        """(rows, 3) what has supply: a phase of the source, and a way back through a neutral.

        A neutral that floats is a way back to other phases: of those that hang on it there must be two.
        """
        live = self.four.live(self._bus, self._phase).reshape(-1, PHASES)
        at = self._bus[::PHASES]
        points = self.rows < len(connected)
        uses = live.copy()
        uses[points] &= connected[self.rows[points]]
        group = self.four.floating(at)
        returned = self.four.earthed(at)
        for each in np.unique(group[~returned]):
            members = group == each
            returned[members] = np.count_nonzero(uses[members].any(axis=0)) > 1
        return np.asarray(live & returned[:, np.newaxis])

    def solve(self, emf_v: Complexes, demand_va: Complexes) -> IslandFlow:
        """Behind these open-circuit voltages (3,), for all demands. Raises NoSolutionError."""
        own = demand_va[self.rows].ravel()
        return self.four.solve(emf_v, Loads(self._bus, self._phase, own, np.full(len(own), self.nominal_v)))


def broken_islands(
    feeder: Feeder, model: ElectricalModel, closed: Closed, bus: Ints, connected: Bools, energised: Bools
) -> list[BrokenIsland]:
    """The islands with supply in which a conductor is open alone. `energised` (buses,), through any conductor."""
    if not closed.broken:
        return []
    topology, islands = feeder.topology, feeder.islands
    hit: set[int] = set()
    for states, buses in (
        (closed.line, topology.line_from),
        (closed.trafo, topology.trafo_lv),
        (closed.switch, topology.switch_bus),
        (closed.service, feeder.bus_position),
    ):
        alone = states.any(axis=1) & ~states.all(axis=1)
        hit.update(islands.of_bus[buses[alone]].tolist())
    return [
        BrokenIsland(feeder, model, closed, number, bus, connected)
        for number in sorted(hit)
        if energised[topology.trafo_hv[islands.fed_by[number]]] and closed.trafo[islands.fed_by[number]].any()
    ]


def solve_with(
    islands: Sequence[BrokenIsland],
    power_flow: Callable[[Ints, Complexes], Flow],
    bus: Ints,
    demand_va: Complexes,
    alive: Bools,
) -> Taken:
    """The flow of the whole feeder for demands (k, 3) at rows of `net.bus`. Raises PowerFlowError."""
    voltage_pu = np.full(demand_va.shape, np.nan, dtype=np.complex128)
    if not islands:
        return Taken(power_flow(bus[alive], demand_va[alive]), demand_va, voltage_pu, 0.0)
    outside = alive.copy()
    for island in islands:
        outside[island.rows] = False
    busbars = np.array([island.busbar for island in islands], dtype=np.intp)
    at = np.concatenate((bus[outside], busbars))
    taken = np.zeros((len(islands), PHASES), dtype=np.complex128)
    amperes = np.zeros_like(taken)
    emf = np.zeros_like(taken)
    for _ in range(_MOST_TURNS):
        flow = power_flow(at, np.concatenate((demand_va[outside], taken)))
        found = [
            flow.bus_voltage_pu[island.busbar] * island.nominal_v + island.source_ohm @ amperes[number]
            for number, island in enumerate(islands)
        ]
        moved = float(np.abs(np.array(found) - emf).max(initial=0.0))
        emf = np.array(found)
        if moved < _STANDING_V:
            break
        try:
            inside = [island.solve(emf[number], demand_va) for number, island in enumerate(islands)]
        except NoSolutionError as error:
            raise PowerFlowError(f"a part with a broken conductor: {error}") from error
        taken = np.array([each.source_va for each in inside])
        amperes = np.array([each.source_a for each in inside])
    else:
        raise PowerFlowError(f"a part with a broken conductor and its transformer do not agree in {_MOST_TURNS} turns")
    power_va = demand_va.copy()
    for island, each in zip(islands, inside, strict=True):
        power_va[island.rows] = np.where(island.lit, each.load_va.reshape(-1, PHASES), 0.0)
        voltage_pu[island.rows] = np.where(island.lit, each.load_v.reshape(-1, PHASES) / island.nominal_v, 0.0)
    own_va = sum(complex(power_va[island.rows].sum()) for island in islands)
    return Taken(flow, power_va, voltage_pu, float((taken.sum() - own_va).real))


def _transformer_ohm(model: ElectricalModel, branch: int) -> Complexes:
    """(3, 3) in pu of the low-voltage side."""
    positive, zero = 1.0 / model.admittance[branch, 3], model.zero_admittance[branch, 3]
    return sequence_ohm(positive, 1.0 / zero if zero else positive)
