"""How fast an image of firmware spreads to the meters of one medium: as a rate, not block by block.

The head-end sends all blocks of the image to everybody at once, as Itron has it (US 8024724): who relays says each
block once, and what somebody has missed is said again. Blocks take a share of the medium's time, no more. Events and
commands go ahead of all blocks but the one on the air; reads share what is left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meters.device.draws import Purpose, uniform
from meters.radio.links import Booleans, Floats, Indices, Links
from meters.radio.parameters import FirmwareParameters
from meters.radio.passage import Cause

_BITS = 8.0
_DONE_BYTES = 0.5


@dataclass(frozen=True, slots=True)
class Pace:
    """Of n meters, bytes a second: `gained_bytes_s`, what they get of an image; `sent_bytes_s`, what is sent for that.

    `held_by` (n,): the Cause by which a meter that lacks something gets nothing; ON_TIME where it gets some.
    """

    gained_bytes_s: Floats
    sent_bytes_s: Floats
    held_by: NDArray[np.uint8]

    @classmethod
    def of(cls, sent_bytes_s: Floats, weakest: Floats, held_by: NDArray[np.uint8]) -> Pace:
        """`weakest` (n,): the share of transmissions that succeed on the worst hop of each meter's way."""
        flows = held_by == Cause.ON_TIME
        return cls(np.where(flows, sent_bytes_s * weakest, 0.0), np.where(flows, sent_bytes_s, 0.0), held_by)

    @property
    def flows(self) -> bool:
        """Whether anything is on the air."""
        return bool((self.gained_bytes_s > 0).any())


def flood_bytes_s(links: Links, parent: Indices, root: int, lacking: Booleans, bps: float, share: float) -> float:
    """Bytes a second at which new blocks may leave the root, so that nowhere more than `share` of the time is taken.

    Whoever is on the way of a meter that lacks some says each block once; in a place those take turns that are heard
    there. Losses are not in it: they slow down who has them.

    :param parent: (k,) the next of each node towards `root`; -1 where there is none.
    :param lacking: (k,) who is to get blocks, and has a way.
    """
    speaks = np.zeros(links.nodes, dtype=bool)
    at = np.where(lacking & (parent >= 0), parent, -1)
    while (going := at >= 0).any():
        speaks[at[going]] = True
        at = np.where(going & (at != root), parent[at], -1)
    heard = np.bincount(links.child, weights=speaks[links.parent], minlength=links.nodes) + speaks
    return bps / _BITS * share / max(float(heard.max(initial=1.0)), 1.0)


@dataclass(slots=True)
class Spread:
    """One image of `size_bytes` on its way to n meters: what each had of it at `at_s` (n,), and how it goes on."""

    size_bytes: float
    had_bytes: Floats
    at_s: Floats
    sent_bytes: Floats
    pace: Pace

    @classmethod
    def begun(cls, size_bytes: float, had_bytes: Floats, at_s: Floats) -> Spread:
        """Nothing goes on yet. Both arrays (n,) are written to. Before an `at_s` to come there is nothing to be had."""
        nothing = np.zeros(len(had_bytes))
        return cls(size_bytes, had_bytes, at_s, had_bytes.copy(), Pace(nothing, nothing, np.zeros(0, dtype=np.uint8)))

    @property
    def lacking(self) -> Booleans:
        """(n,) who has not got all of it."""
        lacking: Booleans = self.had_bytes < self.size_bytes - _DONE_BYTES
        return lacking

    @property
    def next_s(self) -> float:
        """When the next meter has all of it if nothing changes; inf: none will."""
        flowing = self.lacking & (self.pace.gained_bytes_s > 0)
        if not flowing.any():
            return np.inf
        left_s = (self.size_bytes - self.had_bytes[flowing]) / self.pace.gained_bytes_s[flowing]
        return float((self.at_s[flowing] + left_s).min())

    def run(self, now_s: float) -> Indices:
        """Until now at the same pace. Returns who has got all of it since then."""
        lacked = self.lacking
        for_s = np.maximum(now_s - self.at_s, 0.0)
        self.sent_bytes += np.where(lacked, self.pace.sent_bytes_s, 0.0) * for_s
        gained = np.where(lacked, self.pace.gained_bytes_s, 0.0) * for_s
        self.had_bytes[:] = np.minimum(self.had_bytes + gained, self.size_bytes)
        self.at_s[:] = np.maximum(self.at_s, now_s)
        return np.flatnonzero(lacked & ~self.lacking)


def restart_s(keys: NDArray[np.uint64], had_s: float, wave_s: int, parameters: FirmwareParameters) -> Floats:
    """When meters (m,) that have had the whole image since `had_s` restart with it. `wave_s` tells images apart."""
    least_s, most_s = parameters.restart_least_s, parameters.restart_most_s
    waits_s = uniform(keys, Purpose.IMAGE_RESTART, wave_s, least_s, max(most_s, least_s + 1e-9))
    due_s: Floats = had_s + waits_s
    return due_s
