"""An RF mesh: the meters of one collector, who relay each other's frames as long as they have supply.

What has supply sends over its route, hop by hop and with repetitions. What has none says its last gasp to whoever
hears it and still has supply (meters/radio/gasps.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meters.device.draws import Purpose, derived
from meters.radio.frames import Frames
from meters.radio.gasps import Ears, say
from meters.radio.hops import Way, cross
from meters.radio.links import NO_PARENT, Routes, heard, near_links, paths, routes
from meters.radio.parameters import MeshParameters
from meters.radio.passage import Cause, Direction, Passage

NEVER_S = np.inf
_SHADOWS = 2.0
"""Standard deviations of shadowing up to which a link may be longer than without."""


@dataclass(frozen=True, slots=True)
class Jam:
    """Somebody disturbs receivers within `radius_m` of `centre_m`, so that this share of transmissions is not heard."""

    centre_m: tuple[float, float]
    radius_m: float
    strength: float = 1.0


class Mesh:
    """Row i of n is the meter at `positions_m[i]` with `keys[i]`; the collector is node n of the graph."""

    def __init__(
        self,
        positions_m: NDArray[np.float64],
        collector_position_m: NDArray[np.float64],
        keys: NDArray[np.uint64],
        parameters: MeshParameters,
    ) -> None:
        """`positions_m` (n, 2) metres east and north of any origin."""
        self._parameters = parameters
        self._n = len(keys)
        self._keys = keys
        self._positions_m = np.vstack([positions_m, collector_position_m])
        self._node_keys = np.append(keys, derived(keys[:1], Purpose.LINK_SHADOW, 0))
        self._links = near_links(
            self._positions_m,
            self._node_keys,
            self._margin_db,
            shadowing_db=parameters.shadowing_db,
            reach_m=self._reach_m(),
        )
        self._jams: tuple[Jam, ...] = ()
        self._lit = np.ones(self._n, dtype=bool)
        self._collector_lit = True
        self._dark_since_s = np.full(self._n, -NEVER_S)
        self._rerouted_s = np.full(self._n, -NEVER_S)
        self._routes: Routes | None = None
        self._weigh()
        self.supply(self._lit, collector_lit=True)

    @property
    def hops(self) -> NDArray[np.uint8]:
        """(n,) to the collector; 0 where there is no way."""
        return np.minimum(self._way.hops, 255).astype(np.uint8)

    @property
    def parent(self) -> NDArray[np.intp]:
        """(n,) the row that relays what each says; n: the collector hears it itself; -1: there is no way."""
        return self._way.parent[: self._n]

    @property
    def link_quality(self) -> NDArray[np.float64]:
        """(n,) the share of transmissions to its parent that is heard; 0 without one."""
        return self._way.through[: self._n]

    @property
    def signal_dbm(self) -> NDArray[np.float64]:
        """(n,) what its parent receives of it; NaN without one."""
        signal = np.full(self._n, np.nan)
        mine = np.flatnonzero(self._links.parent == self._way.parent[self._links.child])
        mine = mine[self._links.child[mine] < self._n]
        signal[self._links.child[mine]] = self._links.margin_db[mine] + self._parameters.sensitivity_dbm
        return signal

    def supply(
        self,
        lit: NDArray[np.bool_],
        collector_lit: bool = True,
        *,
        now_s: float = -NEVER_S,
        dark_since_s: NDArray[np.float64] | None = None,
    ) -> None:
        """Who has supply (n,), and whether the collector runs, on supply or battery. Routes follow.

        :param now_s: since when; those whose way has changed take some time to find the new one.
        :param dark_since_s: (n,) since when who has none has none: who lost it together gasps together. Without it,
            all of the dark do.
        """
        self._lit, self._collector_lit = lit.copy(), collector_lit
        self._dark_since_s = np.full(self._n, -NEVER_S) if dark_since_s is None else dark_since_s.copy()
        self._route(now_s)

    def jam(self, jams: Sequence[Jam], *, now_s: float = -NEVER_S) -> None:
        """These are in force now, and no others; routes avoid them."""
        self._jams = tuple(jams)
        self._weigh()
        self._route(now_s)

    def up(self, frames: Frames, *, until_s: NDArray[np.float64] | None = None) -> Passage:
        """To the collector.

        :param until_s: (m,) when the super-capacitor of each sender is empty, if it has no supply.
        """
        return self._carry(frames, Direction.UP, until_s)

    def down(self, frames: Frames) -> Passage:
        """From the collector to the meters."""
        return self._carry(frames, Direction.DOWN, None)

    def _carry(self, frames: Frames, direction: Direction, until_s: NDArray[np.float64] | None) -> Passage:
        keys = frames.keys(self._keys, direction)
        passage = cross(self._way, frames, keys, self._parameters)
        dark = ~self._lit[frames.rows]
        if dark.any():
            if direction is Direction.DOWN:
                passage = passage.lost(dark, Cause.DARK)
            else:
                ends_s = np.full(len(frames), NEVER_S) if until_s is None else until_s
                said = say(self._ears(), self._way, frames.part(dark), keys[dark], ends_s[dark], self._parameters)
                passage = passage.replaced(dark, said)
        if not self._collector_lit:
            passage = passage.lost(np.ones(len(frames), dtype=bool), Cause.COLLECTOR)
        return passage

    def _margin_db(
        self, child: NDArray[np.intp], parent: NDArray[np.intp], apart_m: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        p = self._parameters
        # A collector hangs outside.
        walls = np.where((child == self._n) | (parent == self._n), 0.5, 1.0)
        loss_db = p.loss_at_1_m_db + 10.0 * p.path_loss_exponent * np.log10(np.maximum(apart_m, 1.0))
        margin: NDArray[np.float64] = p.transmit_power_dbm - p.sensitivity_dbm - loss_db - walls * p.building_loss_db
        return margin

    def _reach_m(self) -> float:
        p = self._parameters
        spare_db = p.transmit_power_dbm - p.sensitivity_dbm - p.loss_at_1_m_db - p.building_loss_db / 2
        spare_db += _SHADOWS * p.shadowing_db
        return float(10.0 ** min(spare_db / (10.0 * p.path_loss_exponent), 6.0))

    def _weigh(self) -> None:
        """The share of transmissions that is heard on each link, as things are now."""
        success = heard(self._links.margin_db, self._parameters.fading_db)
        east, north = self._positions_m.T
        self._jammed = np.zeros(self._n + 1, dtype=bool)
        for jam in self._jams:
            within = np.hypot(east - jam.centre_m[0], north - jam.centre_m[1]) <= jam.radius_m
            self._jammed |= within
            success = np.where(within[self._links.parent], success * (1.0 - jam.strength), success)
        self._success = success

    def _route(self, now_s: float) -> None:
        links, before = self._links, self._routes
        runs = np.append(self._lit, self._collector_lit)
        usable = (self._success >= self._parameters.least_link_success) & runs[links.child] & runs[links.parent]
        found = routes(links, self._success, usable, self._n)
        if before is not None:
            moved = (found.parent != before.parent)[: self._n] & self._lit & (found.parent[: self._n] != NO_PARENT)
            self._rerouted_s[moved] = now_s
        self._routes = found
        self._way = Way(
            parent=found.parent,
            hops=found.hops[: self._n],
            through=found.through,
            shares=paths(found)[: self._n],
            jammed=self._jammed,
            rerouted_s=self._rerouted_s,
        )

    def _ears(self) -> Ears:
        return Ears(self._links, self._success, np.append(self._lit, self._collector_lit), self._dark_since_s)
