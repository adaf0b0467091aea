"""An RF mesh: the meters of one collector, who relay each other's frames as long as they have supply.

What has supply sends over its route, hop by hop and with repetitions (meters/radio/hops.py). What has none says its
last gasp to whoever hears it and still has supply (meters/radio/gasps.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from meters.device.draws import Purpose, derived
from meters.radio.firmware import Pace, flood_bytes_s
from meters.radio.frames import Frames
from meters.radio.gasps import Ears, say
from meters.radio.hops import Way, cross
from meters.radio.links import (
    FARTHEST_SHADOWS,
    Booleans,
    Floats,
    Indices,
    Links,
    Routes,
    all_reached,
    heard,
    margin_of,
    near_links,
    on_the_way,
    routes,
)
from meters.radio.parameters import MeshParameters
from meters.radio.passage import Cause, Direction, Passage

_LONG_AGO_S = -np.inf


@dataclass(frozen=True, slots=True)
class Jam:
    """Somebody disturbs who is within `radius_m` of `centre_m`: this share of what is sent there is not heard."""

    centre_m: tuple[float, float]
    radius_m: float
    strength: float = 1.0


class Mesh:
    """Row i of n is the meter at `positions_m[i]` with `keys[i]`; the collector is node n of the graph."""

    def __init__(
        self,
        positions_m: Floats,
        collector_position_m: Floats,
        keys: NDArray[np.uint64],
        parameters: MeshParameters,
    ) -> None:
        """`positions_m` (n, 2), the collector's (2,): metres east and north of any origin."""
        self._parameters = parameters
        self._n = len(keys)
        self._keys = keys
        self._positions_m = np.vstack([positions_m, collector_position_m])
        self._links = self._all_links()
        self._clear = heard(self._links.margin_db, parameters.fading_db)
        self._jams: tuple[Jam, ...] = ()
        self._bulk = 0.0
        self._way: Way
        self._lit: Booleans = np.ones(self._n, dtype=bool)
        self._collector_lit = True
        self._dark_since_s = np.zeros(self._n)
        self._rerouted_s = np.full(self._n, _LONG_AGO_S)
        self._routes = self._route()

    @property
    def hops(self) -> NDArray[np.uint8]:
        """(n,) to the collector; 0 where there is no way."""
        return np.minimum(self._routes.hops[: self._n], 255).astype(np.uint8)

    @property
    def parent(self) -> Indices:
        """(n,) the row that relays what each says; n: the collector hears it itself; -1: there is no way."""
        return self._routes.parent[: self._n]

    @property
    def link_quality(self) -> Floats:
        """(n,) the share of transmissions to its parent that succeed; 0 without one."""
        return self._routes.through[: self._n]

    @property
    def signal_dbm(self) -> Floats:
        """(n,) what its parent receives of it; NaN without one."""
        links = self._links
        used = np.flatnonzero((links.parent == self._routes.parent[links.child]) & (links.child < self._n))
        signal = np.full(self._n, np.nan)
        signal[links.child[used]] = links.margin_db[used] + self._parameters.sensitivity_dbm
        return signal

    def supply(
        self,
        lit: Booleans,
        collector_lit: bool = True,
        *,
        now_s: float = _LONG_AGO_S,
        dark_since_s: Floats | None = None,
    ) -> None:
        """Who has supply (n,), and whether the collector runs, on supply or battery. Routes follow.

        :param now_s: since when. Whose way has changed takes some time to find the new one.
        :param dark_since_s: (n,) since when who has no supply has none: who lost it together gasps together. Without
            it, all of them do.
        """
        self._lit, self._collector_lit = lit.copy(), collector_lit
        self._dark_since_s = np.zeros(self._n) if dark_since_s is None else dark_since_s.copy()
        self._reroute(now_s)

    def jam(self, jams: Sequence[Jam], *, now_s: float = _LONG_AGO_S) -> None:
        """These are in force now, and no others; routes avoid them."""
        self._jams = tuple(jams)
        self._reroute(now_s)

    def share_with_bulk(self, share: float) -> None:
        """Blocks of an image take this share of the time from now on."""
        self._bulk = share
        self._way = replace(self._way, bulk=share)

    def image_pace(self, lacking: Booleans, share: float) -> Pace:
        """How fast those who lack something of an image (n,) get it, if it may have this share of the time."""
        n, found = self._n, self._routes
        awake = self._lit & (found.hops[:n] > 0)
        held_by = np.where(awake, np.uint8(Cause.ON_TIME), np.uint8(Cause.DARK))
        held_by[self._lit & self._way.cut_off] = Cause.JAMMED
        if not self._collector_lit:
            held_by[:] = Cause.COLLECTOR
        getting = np.append(lacking & (held_by == Cause.ON_TIME), False)
        sent_bytes_s = flood_bytes_s(self._links, found.parent, n, getting, self._parameters.bit_rate_bps, share)
        return Pace.of(np.full(n, sent_bytes_s), found.shares[:n].min(axis=1), held_by)

    def up(self, frames: Frames, *, until_s: Floats | None = None) -> Passage:
        """To the collector.

        :param until_s: (m,) when the super-capacitor of each sender is empty, if it has no supply.
        """
        keys = frames.keys(self._keys, Direction.UP)
        passage = self._cross(frames, keys)
        dark = ~self._lit[frames.rows]
        if dark.any():
            ends_s = np.full(len(frames), np.inf) if until_s is None else until_s
            said = say(self._ears, self._way, frames.part(dark), keys[dark], ends_s[dark], self._parameters)
            passage = passage.replaced(dark, said)
        return passage.lost(not self._collector_lit, Cause.COLLECTOR)

    def down(self, frames: Frames) -> Passage:
        """From the collector to the meters."""
        passage = self._cross(frames, frames.keys(self._keys, Direction.DOWN))
        return passage.lost(~self._lit[frames.rows], Cause.DARK).lost(not self._collector_lit, Cause.COLLECTOR)

    def _cross(self, frames: Frames, keys: NDArray[np.uint64]) -> Passage:
        return cross(self._way, frames, keys, self._parameters)

    def _all_links(self) -> Links:
        """Without any disturbance. Each meter has a way at first: installers see to that."""
        p = self._parameters
        keys = np.append(self._keys, derived(self._keys[:1], Purpose.LINK_SHADOW, 0))
        links = near_links(
            self._positions_m,
            keys,
            self._margin_db,
            shadowing_db=p.shadowing_db,
            fading_db=p.fading_db,
            reach_m=self._reach_m(),
        )
        least_db = margin_of(np.array(np.sqrt(p.least_link_success)), p.fading_db)
        given_db = max(p.antenna_margin_db, float(least_db) + 1e-6)
        return all_reached(
            links,
            self._positions_m,
            self._n,
            least_margin_db=float(least_db),
            given_db=given_db,
            reach=p.antenna_reach,
        )

    def _margin_db(self, child: Indices, parent: Indices, apart_m: Floats) -> Floats:
        p = self._parameters
        # A collector hangs outside.
        walls = np.where((child == self._n) | (parent == self._n), 1.0, 2.0)
        loss_db = p.loss_at_1_m_db + 10.0 * p.path_loss_exponent * np.log10(np.maximum(apart_m, 1.0))
        margin: Floats = p.transmit_power_dbm - p.sensitivity_dbm - loss_db - walls * p.building_loss_db
        return margin

    def _reach_m(self) -> float:
        p = self._parameters
        spare_db = p.transmit_power_dbm - p.sensitivity_dbm - p.loss_at_1_m_db - p.building_loss_db
        decades = (spare_db + FARTHEST_SHADOWS * p.shadowing_db) / (10.0 * p.path_loss_exponent)
        return float(10.0 ** min(max(decades, 0.0), 6.0))

    def _reroute(self, now_s: float) -> None:
        before, self._routes = self._routes, self._route()
        moved = on_the_way(self._routes, self._n, self._routes.parent != before.parent)
        self._rerouted_s[moved[: self._n] & self._lit] = now_s

    def _route(self) -> Routes:
        n, least = self._n, 1.0 / self._parameters.most_link_etx
        links, deaf, clear = self._links, self._deafness(), self._clear
        one_way = clear * (1.0 - deaf[links.parent])
        # An acknowledgement has to come back.
        success = one_way * clear * (1.0 - deaf[links.child])
        runs = np.append(self._lit, self._collector_lit)
        awake = runs[links.child] & runs[links.parent]
        found = routes(links, success, awake & (success >= least), n, strong=self._parameters.least_link_success)
        cut_off = found.hops == 0
        if deaf.any():
            cut_off &= routes(links, clear**2, awake & (clear**2 >= least), n).hops > 0
        else:
            cut_off[:] = False
        touched = on_the_way(found, n, deaf > 0)
        self._way = Way(found.hops[:n], found.shares[:n], touched[:n], cut_off[:n], self._rerouted_s, self._bulk)
        self._ears = Ears(links, one_way, runs, self._dark_since_s, runs & ((deaf > 0) | cut_off))
        return found

    def _deafness(self) -> Floats:
        """(n + 1,) the share of transmissions that each does not hear, since it is jammed."""
        east, north = self._positions_m.T
        hears = np.ones(self._n + 1)
        for jam in self._jams:
            within = np.hypot(east - jam.centre_m[0], north - jam.centre_m[1]) <= jam.radius_m
            hears[within] *= 1.0 - jam.strength
        return 1.0 - hears
