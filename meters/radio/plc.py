"""A power-line carrier: the meters of one data concentrator, which polls one after another over the line itself.

The line is the medium: who has no supply can neither speak nor repeat, and there is no last gasp. The concentrator
has a battery. It reports the loss of its transformer for all its registered meters.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meters.device.draws import Purpose, derived, uniform
from meters.radio.frames import Frames
from meters.radio.links import Links, all_reached, heard, margin_of, near_links, routes
from meters.radio.parameters import PlcParameters
from meters.radio.passage import Cause, DeliveryClass, Direction, Passage

_HOUR_S, _DAY_HOURS = 3_600, 24
_TRIES = 64
_SHADOWS = 2.0
_LONG_AGO_S = -np.inf


class PowerLine:
    """Row i of n is the meter at `positions_m[i]` with `keys[i]`; all hang on the concentrator's transformer."""

    def __init__(
        self,
        positions_m: NDArray[np.float64],
        concentrator_position_m: NDArray[np.float64],
        keys: NDArray[np.uint64],
        parameters: PlcParameters,
        *,
        start_s: float,
        utc_offset_s: int = 0,
    ) -> None:
        """:param start_s: when registration begins, epoch seconds.
        :param utc_offset_s: of the local time by whose hours there is noise.
        """
        self._parameters = parameters
        self._keys = keys
        self._n = len(keys)
        self._utc_offset_s = utc_offset_s
        self._noise_db = np.array(parameters.noise_db_by_hour)
        self._fading_db = parameters.fading_db
        self._links = self._all_links(np.vstack([positions_m, concentrator_position_m]))
        late = uniform(keys, Purpose.LATE_REGISTRATION, 0) < parameters.late_share
        delay_s = uniform(keys, Purpose.REGISTRATION_DELAY, 0, 0.0, max(parameters.late_most_s, 1e-9))
        self._registered_from_s = np.where(late, start_s + delay_s, _LONG_AGO_S)
        self._availability = uniform(keys, Purpose.AVAILABILITY, 0, parameters.availability_least, 1.0)
        self._lit = np.ones(self._n, dtype=bool)
        self.supply(self._lit)

    @property
    def hops(self) -> NDArray[np.uint8]:
        """(n,) to the concentrator; 1: without a repeater, 0: there is no way."""
        return np.minimum(self._routes.hops[: self._n], 255).astype(np.uint8)

    @property
    def parent(self) -> NDArray[np.intp]:
        """(n,) the row that repeats what each says; n: the concentrator itself; -1: there is no way."""
        return self._routes.parent[: self._n]

    @property
    def link_quality(self) -> NDArray[np.float64]:
        """(n,) the share of transmissions to its parent that succeed at the noisiest hour."""
        return self._routes.through[: self._n]

    @property
    def cycle_s(self) -> float:
        """In which it polls all whom it reaches, once each."""
        return float(self._poll_s[self._routes.hops[: self._n] > 0].sum())

    def registered(self, now_s: float) -> NDArray[np.bool_]:
        """(n,) whom the concentrator knows at this instant, with supply or without."""
        known: NDArray[np.bool_] = self._registered_from_s <= now_s
        return known

    def outage_report_s(self, lost_s: float) -> float:
        """When the concentrator reports for all its registered meters that the transformer is without voltage."""
        return lost_s + self._parameters.outage_report_s

    def supply(self, lit: NDArray[np.bool_], concentrator_lit: bool = True, *, now_s: float = _LONG_AGO_S) -> None:
        """Who has supply (n,), and whether the concentrator runs. Who has got it back registers anew."""
        p = self._parameters
        back = lit & ~self._lit
        again_s = now_s + uniform(
            self._keys,
            Purpose.REGISTRATION_DELAY,
            int(now_s) if np.isfinite(now_s) else 1,
            p.rejoin_least_s,
            max(p.rejoin_most_s, p.rejoin_least_s + 1e-9),
        )
        self._registered_from_s = np.where(back, np.maximum(self._registered_from_s, again_s), self._registered_from_s)
        self._lit, self._concentrator_lit = lit.copy(), concentrator_lit
        runs = np.append(lit, concentrator_lit)
        awake = runs[self._links.child] & runs[self._links.parent]
        # Ways are to hold at the noisiest hour, too.
        noisy = heard(self._links.margin_db - self._noise_db.max(), p.fading_db) ** 2
        self._routes = routes(self._links, noisy, awake & (noisy >= p.least_link_success), self._n)
        self._noisy = np.sqrt(self._routes.shares[: self._n])
        hops = self._routes.hops[: self._n]
        self._poll_s = np.where(hops > 0, p.poll_first_s + p.poll_per_repeater_s * np.maximum(hops - 1, 0), 0.0)
        self._turn_s = np.cumsum(self._poll_s) - self._poll_s

    def up(self, frames: Frames) -> Passage:
        """To the concentrator, in the meter's turn; a last gasp never."""
        reading = frames.of_class(DeliveryClass.READ)
        cycle_s = max(self.cycle_s, self._parameters.poll_first_s)
        phase_s = self._turn_s[frames.rows]
        # A block begins with the first meter; what is not asked for waits for the turn in the endless round.
        turn_s = np.where(
            reading,
            frames.sent_s + phase_s,
            np.ceil((frames.sent_s - phase_s) / cycle_s) * cycle_s + phase_s,
        )
        again_s = np.where(reading, max(cycle_s, self._parameters.round_least_s), cycle_s)
        passage = self._polled(frames, turn_s, again_s, Direction.UP)
        return passage.lost(frames.of_class(DeliveryClass.GASP), Cause.DARK)

    def down(self, frames: Frames) -> Passage:
        """From the concentrator: ahead of all polls but the present one."""
        keys = frames.keys(self._keys, Direction.DOWN)
        present_s = float(self._poll_s.max(initial=self._parameters.poll_first_s))
        turn_s = frames.sent_s + uniform(keys, Purpose.POLL_TIME, 0, 0.0, present_s)
        wait_s = np.full(len(frames), present_s)
        return self._polled(frames, turn_s, wait_s, Direction.DOWN)

    def _polled(
        self, frames: Frames, turn_s: NDArray[np.float64], every_s: NDArray[np.float64], direction: Direction
    ) -> Passage:
        p = self._parameters
        keys = frames.keys(self._keys, direction)
        rows = frames.rows
        passage = Passage.of(len(frames))
        hops = self._routes.hops[rows]
        pieces = -(-np.maximum(frames.size_bytes, 1) // p.fragment_bytes)
        waiting = np.flatnonzero((hops > 0) & self._lit[rows])
        passage.cause[:] = int(Cause.DARK)
        passage.hops[:] = np.minimum(hops, 255)
        for turn in range(p.rounds):
            begins_s = turn_s[waiting] + turn * every_s[waiting]
            share = self._share(rows[waiting], begins_s) ** pieces[waiting]
            drawn = np.maximum(uniform(keys[waiting], Purpose.POLL, turn), 1e-300)
            missed = 1.0 - np.minimum(share, 1.0 - 1e-12)
            needed = 1 + np.floor(np.log(drawn) / np.log(np.maximum(missed, 1e-12)))
            known = self._registered_from_s[rows[waiting]] <= begins_s
            through = known & self._available(rows[waiting], begins_s) & (needed <= p.poll_tries)
            got = waiting[through]
            took_s = needed[through] * self._poll_s[rows[got]] * pieces[got]
            passage.arrives_s[got] = begins_s[through] + took_s
            passage.cause[got] = int(Cause.ON_TIME if turn == 0 else Cause.RADIO)
            used = np.where(through, needed, np.where(known, p.poll_tries, 0)).astype(np.int64)
            passage.attempts[waiting] = np.minimum(passage.attempts[waiting] + used, 255)
            waiting = waiting[~through]
        passage.cause[waiting] = int(Cause.RADIO)
        if not self._concentrator_lit:
            return passage.lost(np.ones(len(frames), dtype=bool), Cause.COLLECTOR)
        return passage

    def _available(self, rows: NDArray[np.intp], at_s: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether no neighbour's appliance keeps these meters from being heard at these instants."""
        spell = np.floor(at_s / self._parameters.spell_s).astype(np.int64)
        available: NDArray[np.bool_] = uniform(self._keys[rows], Purpose.SPELL, spell) < self._availability[rows]
        return available

    def _share(self, rows: NDArray[np.intp], at_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of polls of these meters that succeed, there and back over all repeaters, at these instants."""
        hour = (np.floor(at_s + self._utc_offset_s).astype(np.int64) // _HOUR_S) % _DAY_HOURS
        better_db = (self._noise_db.max() - self._noise_db)[hour][:, None]
        noisy = self._noisy[rows]
        one_way = np.where(noisy < 1.0, heard(margin_of(noisy, self._fading_db) + better_db, self._fading_db), 1.0)
        both: NDArray[np.float64] = np.prod(one_way, axis=1) ** 2
        return both

    def _all_links(self, positions_m: NDArray[np.float64]) -> Links:
        p = self._parameters
        spare_db = p.budget_db + _SHADOWS * p.shadowing_db
        links = near_links(
            positions_m,
            np.append(self._keys, derived(self._keys[:1], Purpose.LINK_SHADOW, 0)),
            lambda _child, _parent, apart_m: p.budget_db - p.attenuation_db_per_m * p.detour * apart_m,
            shadowing_db=p.shadowing_db,
            fading_db=p.fading_db,
            reach_m=max(spare_db, 0.0) / (p.attenuation_db_per_m * p.detour),
        )
        least_db = float(margin_of(np.array(np.sqrt(p.least_link_success)), p.fading_db)) + self._noise_db.max()
        given_db = max(p.repeater_margin_db, least_db + 1e-6)
        return all_reached(links, positions_m, self._n, least_margin_db=least_db, given_db=given_db)
