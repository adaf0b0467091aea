"""A power-line carrier: the meters of one data concentrator, which polls one after another over the line itself.

The line is the medium: who has no supply can neither speak nor repeat, and there is no last gasp. The concentrator
has a battery. It reports the loss of its transformer for all its registered meters.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meters.device.draws import Purpose, derived, uniform
from meters.radio.firmware import Pace
from meters.radio.frames import Frames, pieces_of
from meters.radio.links import (
    FARTHEST_SHADOWS,
    Floats,
    Indices,
    Links,
    all_reached,
    heard,
    margin_of,
    near_links,
    routes,
)
from meters.radio.parameters import PlcParameters
from meters.radio.passage import Cause, DeliveryClass, Direction, Passage

_HOUR_S, _DAY_HOURS = 3_600, 24
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
        # Ways are to hold at the noisiest hour, too.
        self._success = heard(self._links.margin_db - self._noise_db.max(), parameters.fading_db) ** 2
        self._holds = self._success >= parameters.least_link_success
        late = uniform(keys, Purpose.LATE_REGISTRATION, 0) < parameters.late_share
        delay_s = uniform(keys, Purpose.REGISTRATION_DELAY, 0, 0.0, max(parameters.late_most_s, 1e-9))
        self._registered_from_s = np.where(late, start_s + delay_s, _LONG_AGO_S)
        self._availability = uniform(keys, Purpose.AVAILABILITY, 0, parameters.availability_least, 1.0)
        self._lit = np.ones(self._n, dtype=bool)
        self._bulk = 0.0
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
        self._routes = routes(self._links, self._success, awake & self._holds, self._n)
        self._by_hour = self._shares_by_hour()
        hops = self._routes.hops[: self._n]
        self._poll_s = np.where(hops > 0, p.poll_first_s + p.poll_per_repeater_s * np.maximum(hops - 1, 0), 0.0)
        self._turn_s = np.cumsum(self._poll_s) - self._poll_s

    def share_with_bulk(self, share: float) -> None:
        """Blocks of an image take this share of the time from now on, between polls."""
        self._bulk = share

    def image_pace(self, lacking: NDArray[np.bool_], share: float) -> Pace:
        """How fast those who lack something of an image (n,) get it, if it may have this share of the time.

        All hear a block at once. It takes as long as a poll of the one of them that is behind the most repeaters.
        """
        p, n = self._parameters, self._n
        held_by = np.where(self._lit & (self._routes.hops[:n] > 0), np.uint8(Cause.ON_TIME), np.uint8(Cause.DARK))
        if not self._concentrator_lit:
            held_by[:] = Cause.COLLECTOR
        block_s = float(self._poll_s.max(initial=p.poll_first_s, where=lacking & (held_by == Cause.ON_TIME)))
        weakest = self._routes.shares[:n].min(axis=1)
        return Pace.of(np.full(n, p.fragment_bytes / block_s * share), weakest, held_by)

    @property
    def _stretch(self) -> float:
        """By how much longer polls take that wait for blocks of an image in between."""
        return 1.0 / (1.0 - self._bulk)

    def up(self, frames: Frames) -> Passage:
        """To the concentrator, in the meter's turn; from a meter without supply never."""
        reading = frames.of_class(DeliveryClass.READ)
        passage = Passage.of(len(frames))
        if reading.any():
            passage = passage.replaced(reading, self._blocks(frames.part(reading)))
        if not reading.all():
            passage = passage.replaced(~reading, self._in_turn(frames.part(~reading)))
        return passage.lost(not self._concentrator_lit, Cause.COLLECTOR)

    def down(self, frames: Frames) -> Passage:
        """From the concentrator: ahead of all polls but the present one."""
        keys = frames.keys(self._keys, Direction.DOWN)
        # The present poll, or the present block of an image.
        present_s = float(self._poll_s.max(initial=self._parameters.poll_first_s))
        turn_s = frames.sent_s + uniform(keys, Purpose.POLL_TIME, 0, 0.0, present_s)
        passage = self._asked(frames, turn_s, present_s, Direction.DOWN)
        return passage.lost(not self._concentrator_lit, Cause.COLLECTOR)

    def _in_turn(self, frames: Frames) -> Passage:
        """What is not asked for waits for the meter's turn in the endless round."""
        cycle_s = max(self.cycle_s, self._parameters.poll_first_s) * self._stretch
        phase_s = self._turn_s[frames.rows] * self._stretch
        turn_s = np.ceil((frames.sent_s - phase_s) / cycle_s) * cycle_s + phase_s
        return self._asked(frames, turn_s, cycle_s, Direction.UP)

    def _asked(self, frames: Frames, turn_s: Floats, every_s: float, direction: Direction) -> Passage:
        """Each frame by itself, in its turn (m,) and those after it, which come every so often."""
        p = self._parameters
        keys, rows = frames.keys(self._keys, direction), frames.rows
        passage = self._silent(rows)
        pieces = pieces_of(frames.size_bytes, p.fragment_bytes)
        waiting = np.flatnonzero(passage.cause != int(Cause.DARK))
        for turn in range(p.rounds):
            if not len(waiting):
                break
            begins_s = turn_s[waiting] + turn * every_s
            needed, known = self._polls(rows[waiting], keys[waiting], begins_s, pieces[waiting], turn)
            through = needed <= p.poll_tries
            got = waiting[through]
            passage.arrives_s[got] = begins_s[through] + needed[through] * self._poll_s[rows[got]] * pieces[got]
            passage.cause[got] = int(Cause.ON_TIME if turn == 0 else Cause.RADIO)
            _count(passage, waiting, np.where(known, np.minimum(needed, p.poll_tries), 0))
            waiting = waiting[~through]
        passage.cause[waiting[passage.attempts[waiting] == 0]] = int(Cause.REGISTRATION)
        return passage

    def _blocks(self, frames: Frames) -> Passage:
        """Reads: those of one instant are one block, which begins with the first meter."""
        passage = Passage.of(len(frames))
        pieces = pieces_of(frames.size_bytes, self._parameters.fragment_bytes)
        for sent_s, each in np.unique(np.column_stack([frames.sent_s, pieces]), axis=0).tolist():
            mine = (frames.sent_s == sent_s) & (pieces == each)
            block = self._block(sent_s, int(each))
            rows = frames.rows[mine]
            for name in ("arrives_s", "cause", "hops", "attempts"):
                getattr(passage, name)[mine] = getattr(block, name)[rows]
        return passage

    def _block(self, sent_s: float, pieces: int) -> Passage:
        """What becomes of a read of all meters (n,), whoever is asked about: each waits for those before it."""
        p = self._parameters
        rows = np.arange(self._n)
        passage = self._silent(rows)
        keys = derived(self._keys, Purpose.FRAME, int(sent_s * 1_000))
        waiting = np.flatnonzero(passage.cause != int(Cause.DARK))
        free_s = sent_s
        for turn in range(p.rounds):
            if not len(waiting):
                break
            begins_s = max(free_s, sent_s + turn * p.round_least_s)
            each = np.full(len(waiting), pieces)
            nominal_s = begins_s + (np.cumsum(self._poll_s[waiting]) - self._poll_s[waiting]) * self._stretch
            needed, known = self._polls(waiting, keys[waiting], nominal_s, each, turn)
            through = needed <= p.poll_tries
            # Who does not answer costs its polls, and its turn is over.
            takes_s = np.where(through, needed * pieces, p.poll_tries * known) * self._poll_s[waiting]
            ends_s = begins_s + np.cumsum(takes_s) * self._stretch
            free_s = float(ends_s[-1])
            passage.arrives_s[waiting[through]] = ends_s[through]
            usual = Cause.BULK if self._bulk else Cause.ON_TIME
            passage.cause[waiting[through]] = int(usual if turn == 0 else Cause.RADIO)
            _count(passage, waiting, np.where(known, np.minimum(needed, p.poll_tries), 0))
            waiting = waiting[~through]
        passage.cause[waiting[passage.attempts[waiting] == 0]] = int(Cause.REGISTRATION)
        return passage

    def _silent(self, rows: Indices) -> Passage:
        """Of these meters nothing has arrived yet; from those that cannot speak nothing will."""
        passage = Passage.of(len(rows))
        hops = self._routes.hops[rows]
        passage.hops[:] = np.minimum(hops, 255)
        passage.cause[:] = np.where((hops > 0) & self._lit[rows], np.uint8(Cause.RADIO), np.uint8(Cause.DARK))
        return passage

    def _polls(
        self, rows: Indices, keys: NDArray[np.uint64], at_s: Floats, pieces: NDArray[np.int64], turn: int
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """How many polls (m,) it takes until one succeeds, inf where none will; and who is registered."""
        share = self._share(rows, at_s) ** pieces
        missed = np.clip(1.0 - share, 1e-12, 1.0 - 1e-12)
        drawn = np.maximum(uniform(keys, Purpose.POLL, turn), 1e-300)
        known = self._registered_from_s[rows] <= at_s
        needed = np.where(known & self._available(rows, at_s), 1 + np.floor(np.log(drawn) / np.log(missed)), np.inf)
        return needed, known

    def _available(self, rows: NDArray[np.intp], at_s: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether no neighbour's appliance keeps these meters from being heard at these instants."""
        spell = np.floor(at_s / self._parameters.spell_s).astype(np.int64)
        available: NDArray[np.bool_] = uniform(self._keys[rows], Purpose.SPELL, spell) < self._availability[rows]
        return available

    def _share(self, rows: Indices, at_s: Floats) -> Floats:
        """Of polls of these meters that succeed, there and back over all repeaters, at these instants."""
        hour = (np.floor(at_s + self._utc_offset_s).astype(np.int64) // _HOUR_S) % _DAY_HOURS
        share: Floats = self._by_hour[hour, rows]
        return share

    def _shares_by_hour(self) -> Floats:
        """(24, n) of polls that succeed at each hour's level."""
        noisiest = np.sqrt(self._routes.shares[: self._n])
        margin_db = margin_of(noisiest, self._fading_db) + self._noise_db.max() - self._noise_db[:, None, None]
        both: Floats = np.prod(np.where(noisiest < 1.0, heard(margin_db, self._fading_db), 1.0), axis=2) ** 2
        return both

    def _all_links(self, positions_m: NDArray[np.float64]) -> Links:
        p = self._parameters
        spare_db = p.budget_db + FARTHEST_SHADOWS * p.shadowing_db
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


def _count(passage: Passage, at: Indices, polls: Floats) -> None:
    passage.attempts[at] = np.minimum(passage.attempts[at] + polls.astype(np.int64), 255)
