"""A low-voltage island with each of its four conductors: for states in which one of them is broken.

Every bus has a node for L1, L2, L3 and the neutral; voltages are against earth. What loads and sources put in goes
from a phase node to a neutral node: admittances enter as MᵀYM with M = [I₃ | −1]. Where conductors are coupled equally
and their currents sum to zero, the couplings cancel: each phase is Z₁ alone, the neutral Z_N = (Z₀ − Z₁) / 3, and with
healthy conductors the island is the three-wire model. Where earth electrodes carry a share of the return, the sum is
not zero, and the coupling counts (`cable_ohm`).

A load that has a source's phase and a neutral to the star point takes constant power. On a phase without source, or
with a neutral that floats, constant power has no meaning: there it is the impedance that takes it at nominal voltage,
and what would feed in is off, as anti-islanding (VDE-AR-N 4105, 5.7) demands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csc_array
from scipy.sparse.linalg import splu

from grid.topology import joined

Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

CONDUCTORS = 4
NEUTRAL = 3
"""Column of the neutral; before it L1, L2, L3."""

TOLERANCE_VA = 1e-8
MAX_ITERATIONS = 200
_LEAK_S = 1e-9
"""What holds a conductor that hangs on no source: its insulation."""


class NoSolutionError(RuntimeError):
    """The island cannot carry its loads, or is singular."""


@dataclass(frozen=True, slots=True, eq=False)
class Island:
    """Buses 0 … n − 1, b branches, k links; impedances in ohm. A link has none: a fuse, a switch, a joint.

    The star point of the source is the neutral of the bus `source`, and lies at earth.
    """

    buses: int
    branch_from: Ints
    branch_to: Ints
    branch_ohm: Complexes
    """(b, 4, 4)"""
    branch_closed: Bools
    """(b, 4) by conductor."""
    link_from: Ints
    link_to: Ints
    link_closed: Bools
    """(k, 4) by conductor."""
    source: int
    source_ohm: Complexes
    """(3, 3) of the transformer, with what lies behind it."""
    electrode_bus: Ints
    """(e,) buses whose neutral has an earth electrode."""
    electrode_ohm: Floats
    """(e,)"""


@dataclass(frozen=True, slots=True, eq=False)
class Loads:
    """m loads, each between a phase (0 … 2) and the neutral of a bus."""

    bus: Ints
    phase: Ints
    power_va: Complexes
    """+ import."""
    nominal_v: Floats


@dataclass(frozen=True, slots=True, eq=False)
class IslandFlow:
    """Voltages (buses, 4) against earth; of the m loads their voltage (phase to neutral) and the power they take."""

    voltage_v: Complexes
    load_v: Complexes
    load_va: Complexes
    source_va: Complexes
    """(3,) what the source gives by phase, at its terminals."""
    source_a: Complexes
    """(3,) into the island."""


def cable_ohm(positive: Complexes, zero: Complexes, mutual: Complexes | complex = 0.0) -> Complexes:
    """(b, 4, 4) of cables with the sequence impedances (b,), whose return is a fourth conductor.

    `mutual`: the coupling of any two conductors by the earth's field, which matters with electrodes only. Where Z₀ − Z₁
    is no impedance (some data have it 0 or negative) the neutral is taken to be like a phase.
    """
    neutral = (zero - positive) / 3.0
    neutral = np.where(neutral.real > 0.0, neutral, positive)
    result = np.zeros((len(positive), CONDUCTORS, CONDUCTORS), dtype=np.complex128)
    for conductor in range(NEUTRAL):
        result[:, conductor, conductor] = positive
    result[:, NEUTRAL, NEUTRAL] = neutral
    result += np.broadcast_to(np.asarray(mutual, dtype=np.complex128), len(positive))[:, np.newaxis, np.newaxis]
    return result


def earth_return_ohm_per_km(frequency_hz: float, *, spacing_m: float = 0.025, soil_ohm_m: float = 100.0) -> complex:
    """What two conductors with earth return have in common, by Carson's series cut after its first terms.

    R = π² f · 10⁻⁷ Ω/m, X = 2π f · 2 · 10⁻⁷ · ln(D/d) Ω/m with D = 658 √(ρ/f) m. Spacing and soil are the lab's choice.
    """
    depth_m = 658.0 * np.sqrt(soil_ohm_m / frequency_hz)
    return complex(np.pi**2 * frequency_hz * 1e-4, 2 * np.pi * frequency_hz * 2e-4 * np.log(depth_m / spacing_m))


def sequence_ohm(positive: complex, zero: complex) -> Complexes:
    """(3, 3) by phase of an element with these sequence impedances."""
    result: Complexes = np.full((3, 3), (zero - positive) / 3.0, dtype=np.complex128) + np.eye(3) * positive
    return result


class FourWire:
    """An island in one state of its conductors."""

    def __init__(self, island: Island) -> None:
        self._island = island
        self.node = _nodes(island)
        """(buses, 4) the node of each conductor: those that a closed link joins are one."""
        self._count = int(self.node.max()) + 1
        branch, conductor = np.nonzero(island.branch_closed)
        start, end = self.node[island.branch_from[branch], conductor], self.node[island.branch_to[branch], conductor]
        part = joined(self._count, start, end)
        self._part = part
        source = part[self.node[island.source]]
        self._live = np.array([part == source[phase] for phase in range(NEUTRAL)])
        earthed = np.append(part[self.node[island.electrode_bus, NEUTRAL]], source[NEUTRAL])
        self._earthed = np.isin(part, earthed)
        self._returned = part == source[NEUTRAL]
        self._star = int(self.node[island.source, NEUTRAL])
        # The star point is the earth of all voltages, and no unknown.
        self._unknown = np.delete(np.arange(self._count), self._star)
        self._row = np.full(self._count, -1, dtype=np.intp)
        self._row[self._unknown] = np.arange(self._count - 1)
        self._fixed = self._fixed_matrix()

    def live(self, bus: Ints, phase: Ints) -> Bools:
        """(m,) which phases of buses hang on the source."""
        return np.asarray(self._live[phase, self.node[bus, phase]])

    def earthed(self, bus: Ints) -> Bools:
        """(m,) whose neutral leads to the star point or an electrode."""
        return np.asarray(self._earthed[self.node[bus, NEUTRAL]])

    def returned(self, bus: Ints) -> Bools:
        """(m,) whose neutral leads to the star point: earth alone carries no customer's current."""
        return np.asarray(self._returned[self.node[bus, NEUTRAL]])

    def floating(self, bus: Ints) -> Ints:
        """(m,) a number for each neutral: the same where neutrals hang together."""
        return np.asarray(self._part[self.node[bus, NEUTRAL]])

    def solve(self, emf_v: Complexes, loads: Loads) -> IslandFlow:
        """Voltages and powers behind the source's open-circuit voltages (3,). Raises NoSolutionError."""
        island, node = self._island, self.node
        phase_node, neutral_node = node[loads.bus, loads.phase], node[loads.bus, NEUTRAL]
        steady = self.live(loads.bus, loads.phase) & self.returned(loads.bus)
        taken = np.where(loads.power_va.real >= 0.0, loads.power_va, 0.0)
        admittance = np.where(steady, 0.0, np.conj(taken) / loads.nominal_v**2)
        constant = np.where(steady, loads.power_va, 0.0)
        factors = self._factors(phase_node, neutral_node, admittance)
        inject = np.zeros(self._count, dtype=np.complex128)
        source = node[island.source, :NEUTRAL]
        inject[source] += np.linalg.solve(island.source_ohm, emf_v)
        voltage, current = np.zeros(self._count, dtype=np.complex128), np.zeros(len(constant), dtype=np.complex128)

        def voltages() -> Complexes:
            drawn = inject.copy()
            np.subtract.at(drawn, phase_node, current)
            np.add.at(drawn, neutral_node, current)
            voltage[self._unknown] = factors.solve(drawn[self._unknown])
            return np.asarray(voltage[phase_node] - voltage[neutral_node])

        across = voltages()
        # Beyond what the island can carry the voltages run away: that ends in the error below, not in warnings.
        with np.errstate(all="ignore"):
            for _ in range(MAX_ITERATIONS):
                current = np.conj(np.divide(constant, across, out=np.zeros_like(across), where=constant != 0))
                across = voltages()
                if np.abs(across * np.conj(current) - constant).max(initial=0.0) < TOLERANCE_VA:
                    break
            else:
                raise NoSolutionError(
                    f"no power flow within {MAX_ITERATIONS} iterations for {constant.real.sum() / 1e3:.1f} kW"
                )
        flowing: Complexes = np.linalg.solve(island.source_ohm, emf_v - voltage[source]).astype(np.complex128)
        return IslandFlow(
            voltage_v=voltage[node],
            load_v=across,
            load_va=across * np.conj(current + admittance * across),
            source_va=voltage[source] * np.conj(flowing),
            source_a=flowing,
        )

    def _fixed_matrix(self) -> coo_array:
        island, node = self._island, self.node
        rows: list[Ints] = []
        columns: list[Ints] = []
        values: list[Complexes] = []

        def add(at: Ints, to: Ints, value: NDArray[Any]) -> None:
            rows.append(at)
            columns.append(to)
            values.append(np.asarray(value, dtype=np.complex128))

        admittance = _admittances(island.branch_ohm, island.branch_closed)
        start, end = node[island.branch_from], node[island.branch_to]
        for one in range(CONDUCTORS):
            for other in range(CONDUCTORS):
                y = admittance[:, one, other]
                for first, second, sign in ((start, start, 1), (end, end, 1), (start, end, -1), (end, start, -1)):
                    add(first[:, one], second[:, other], sign * y)
        source = node[island.source, :NEUTRAL]
        inverse = np.linalg.inv(island.source_ohm)
        add(np.repeat(source, NEUTRAL), np.tile(source, NEUTRAL), inverse.ravel())
        electrodes = node[island.electrode_bus, NEUTRAL]
        add(electrodes, electrodes, 1.0 / island.electrode_ohm)
        loose = np.flatnonzero(~(self._live.any(axis=0) | self._earthed))
        add(loose, loose, np.full(len(loose), _LEAK_S))
        size = (self._count, self._count)
        return coo_array((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=size)

    def _factors(self, phase_node: Ints, neutral_node: Ints, admittance: Complexes) -> Any:
        fixed = self._fixed
        rows = np.concatenate([fixed.coords[0], phase_node, neutral_node, phase_node, neutral_node])
        columns = np.concatenate([fixed.coords[1], phase_node, neutral_node, neutral_node, phase_node])
        values = np.concatenate([fixed.data, admittance, admittance, -admittance, -admittance])
        inside = (rows != self._star) & (columns != self._star)
        size = self._count - 1
        matrix = csc_array((values[inside], (self._row[rows[inside]], self._row[columns[inside]])), shape=(size, size))
        try:
            return splu(matrix)
        except RuntimeError as error:
            raise NoSolutionError(f"the island's admittances have no solution: {error}") from error


def _nodes(island: Island) -> Ints:
    link, conductor = np.nonzero(island.link_closed)
    start, end = (ends[link] * CONDUCTORS + conductor for ends in (island.link_from, island.link_to))
    return joined(island.buses * CONDUCTORS, start, end).reshape(island.buses, CONDUCTORS)


def _admittances(ohm: Complexes, closed: Bools) -> Complexes:
    """(b, 4, 4) with zeros for open conductors, which carry no current."""
    result = np.zeros_like(ohm)
    for state in np.unique(closed, axis=0):
        which, intact = (closed == state).all(axis=1), np.flatnonzero(state)
        if len(intact):
            grid = np.ix_(which, intact, intact)
            result[grid] = np.linalg.inv(ohm[grid])
    return result
