"""Low-voltage islands: what hangs together at low voltage in the normal state, and the transformer that feeds it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grid.topology import Topology, joined

Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]

NO_ISLAND = -1


@dataclass(frozen=True, slots=True, eq=False)
class Islands:
    """`of_bus` (buses,): the island of each bus, NO_ISLAND above low voltage."""

    of_bus: Ints
    fed_by: dict[int, int]
    """Island → row of its transformer, for islands that one transformer feeds, and nothing else."""

    @classmethod
    def of(cls, topology: Topology, low_voltage: Bools) -> Islands:
        """`low_voltage` (buses,)."""
        line, trafo = topology.closed_branches(
            topology.line_in_service, topology.trafo_in_service, topology.switch_closed
        )
        coupler = (topology.switch_kind == "b") & topology.switch_closed
        start = np.concatenate((topology.line_from[line], topology.switch_bus[coupler]))
        end = np.concatenate((topology.line_to[line], topology.switch_element[coupler]))
        low = low_voltage[start] & low_voltage[end]
        of_bus = np.where(low_voltage, joined(len(low_voltage), start[low], end[low]), NO_ISLAND)
        feeding: dict[int, list[int]] = {}
        for row in np.flatnonzero(trafo).tolist():
            feeding.setdefault(int(of_bus[topology.trafo_lv[row]]), []).append(row)
            if low_voltage[topology.trafo_hv[row]]:
                # Between two low voltages: neither side has one source alone.
                feeding.setdefault(int(of_bus[topology.trafo_hv[row]]), []).append(-1)
        for bus in topology.sources.tolist():
            feeding.setdefault(int(of_bus[bus]), []).append(-1)
        alone = {
            island: rows[0]
            for island, rows in feeding.items()
            if island != NO_ISLAND and len(rows) == 1 and rows[0] >= 0 and not low_voltage[topology.trafo_hv[rows[0]]]
        }
        return cls(np.asarray(of_bus), alone)

    def breakable(self, buses: Ints) -> bool:
        """Whether conductors at these buses can be open one by one: a transformer of its own feeds their island."""
        return all(int(island) in self.fed_by for island in self.of_bus[buses])
