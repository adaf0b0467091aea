"""How each meter reaches the head-end, as the map draws it: by the model of the network that the meters obey.

The model is pure, by seed: the same places and keys give the same routes here as in the processes of the meters. Nobody
has to ask these.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid.world import WorldFrame
from lab.fleet.plan import FleetPlan
from meters.device.draws import meter_keys
from meters.device.facts import CollectedFacts
from meters.radio.cellular import Cells
from meters.radio.faults import NetworkFault, NetworkFaults
from meters.radio.medium import make_medium
from meters.radio.mesh import Jam, Mesh
from meters.radio.plc import PowerLine
from meters.radio.setup import NetworkSetup, innermost, station_place_m

NO_WAY, TO_COLLECTOR, OWN, WIRED = -1, -2, -3, -4
"""In place of a neighbour's number: there is no way; its collector hears it; it has a modem; it is wired."""


@dataclass(slots=True)
class _Area:
    """A collector and its meters; the first row is the one on whose supply it hangs."""

    rows: NDArray[np.intp]
    name: str
    place_m: NDArray[np.float64]
    medium: Mesh | PowerLine
    battery_s: float
    lit: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    runs: bool = True
    jams: Sequence[Jam] = field(default_factory=list)
    dark_since_s: float | None = None


class Routes:
    """Of the fleet's meters, in its order. What is asked for is computed then, for the newest frame."""

    def __init__(self, plan: FleetPlan, setup: NetworkSetup, *, seed: int, start_s: int) -> None:
        """:param setup: of everybody, the customers' meters first."""
        meters = plan.fleet.meters
        self._rows = np.asarray(plan.rows, dtype=np.intp)
        self._lock = threading.Lock()
        keys = meter_keys(seed, [meter.serial for meter in meters])
        positions_m = setup.positions()[: len(meters)]
        self._areas = []
        self._parent = np.full(len(meters), WIRED, dtype=np.int64)
        for name, members in plan.fleet.carriers.items():
            facts = meters[members[0]].profile.facts
            if not isinstance(facts, CollectedFacts):
                continue
            rows = np.asarray(members, dtype=np.intp)
            first = innermost(positions_m[rows])
            rows = np.concatenate([rows[first : first + 1], np.delete(rows, first)])
            place_m = station_place_m(positions_m[rows])
            medium = make_medium(
                setup, positions_m[rows], place_m, keys[rows], by_power_line=facts.by_power_line, start_s=start_s
            )
            self._areas.append(_Area(rows, name, place_m, medium, facts.collector_battery_s))
        own = np.array([not meter.address for meter in meters], dtype=bool)
        self._parent[own] = OWN
        self._own = np.flatnonzero(own)
        self._cells = Cells(positions_m[own], keys[own], setup.parameters.cellular)
        self._cell = np.full(len(meters), None, dtype=object)
        self._cell[own] = self._cells.cell
        self._coupling_db = np.full(len(meters), np.nan)
        self._coupling_db[own] = self._cells.coupling_loss_db
        self._lit = np.ones(len(meters), dtype=bool)
        self._now_s = float(start_s)

    def see_frame(self, frame: bytes) -> None:
        """Who has supply from now on; collectors run on for as long as their batteries last."""
        world = WorldFrame.from_bytes(frame)
        self._lit, self._now_s = world.energised[self._rows], float(world.time_s)
        for area in self._areas:
            if self._lit[area.rows[0]]:
                area.dark_since_s = None
            elif area.dark_since_s is None:
                area.dark_since_s = self._now_s

    def document(
        self, now_s: float, faults: Iterable[NetworkFault] = (), *, dead: Collection[str] = (), as_planned: bool
    ) -> dict[str, Any]:
        """Of each meter: `parent`, the number of the neighbour that relays it, or a constant of this module; `hops`;
        `through`, the per cent of transmissions to its parent that succeed. `signal_dbm` at the parent, `coupling_db`
        to its cell, and `cell` are null where there is none.

        :param faults: what disturbs the network at some time.
        :param dead: collectors whose hardware has failed.
        :param as_planned: with supply for all and no fault. Routes would tell who is dark.
        """
        with self._lock:
            self._now_s = max(self._now_s, now_s)
            return self._document(NetworkFaults(() if as_planned else faults), () if as_planned else dead, as_planned)

    def _document(self, faults: NetworkFaults, dead: Collection[str], as_planned: bool) -> dict[str, Any]:
        count = len(self._rows)
        parent, hops = self._parent.copy(), np.zeros(count, dtype=np.int64)
        through, signal = np.zeros(count, dtype=np.int64), np.full(count, np.nan)
        for area in self._areas:
            lit = np.ones(len(area.rows), dtype=bool) if as_planned else self._lit[area.rows]
            since_s = None if as_planned else area.dark_since_s
            powered = since_s is None or self._now_s - since_s < area.battery_s
            self._supply(area, lit, runs=powered and area.name not in dead)
            self._jam(area, faults.jams(area.name, area.place_m, self._now_s))
            near = area.medium.parent
            hears = near == len(area.rows)
            relayed = (near >= 0) & ~hears
            parent[area.rows] = np.where(hears, TO_COLLECTOR, NO_WAY)
            parent[area.rows[relayed]] = area.rows[near[relayed]]
            hops[area.rows] = area.medium.hops
            through[area.rows] = np.rint(area.medium.link_quality * 100)
            if isinstance(area.medium, Mesh):
                signal[area.rows] = area.medium.signal_dbm
        self._cells.disturb(faults.of_cells(self._now_s))
        parent[self._own[~self._cells.in_service]] = NO_WAY
        return {
            "parent": parent.tolist(),
            "hops": hops.tolist(),
            "through": through.tolist(),
            "signal_dbm": _whole(signal),
            "coupling_db": _whole(self._coupling_db),
            "cell": self._cell.tolist(),
        }

    def _supply(self, area: _Area, lit: NDArray[np.bool_], *, runs: bool) -> None:
        if runs == area.runs and np.array_equal(lit, area.lit):
            return
        area.lit, area.runs = lit, runs
        if isinstance(area.medium, Mesh):
            area.medium.supply(lit, runs)
        else:
            area.medium.supply(lit, runs, now_s=self._now_s)

    @staticmethod
    def _jam(area: _Area, jams: Sequence[Jam]) -> None:
        if isinstance(area.medium, Mesh) and jams != area.jams:
            area.jams = jams
            area.medium.jam(jams)


def _whole(values: NDArray[np.float64]) -> Sequence[int | None]:
    return [None if np.isnan(value) else round(value) for value in values.tolist()]
