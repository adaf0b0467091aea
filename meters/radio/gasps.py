"""Last gasps: what meters say that have no supply any more, to neighbours that still have it.

A gasp goes out in a slot of slotted ALOHA (Abramson, 1975). It is heard by a neighbour in which no other gasp of the
same outage is in the same slot. The neighbour relays it over its route. The super-capacitor pays for a few repetitions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meters.device.draws import Purpose, uniform
from meters.radio.frames import Frames
from meters.radio.hops import LEAST_OF_WAIT, Way, cross
from meters.radio.links import Links
from meters.radio.parameters import MeshParameters
from meters.radio.passage import Cause, Passage


@dataclass(frozen=True, slots=True)
class Ears:
    """Who may hear a gasp.

    `one_way` (e,): the share of transmissions of each link's child that its parent hears. `runs` (n + 1,): who has
    supply; the collector is the last. `dark_since_s` (n,). `spoiled` (n + 1,): whoever has supply, and would relay more
    if nobody were jammed.
    """

    links: Links
    one_way: NDArray[np.float64]
    runs: NDArray[np.bool_]
    dark_since_s: NDArray[np.float64]
    spoiled: NDArray[np.bool_]


def say(
    ears: Ears,
    way: Way,
    frames: Frames,
    keys: NDArray[np.uint64],
    until_s: NDArray[np.float64],
    parameters: MeshParameters,
) -> Passage:
    """What becomes of frames whose senders have no supply; `until_s` (m,): when their super-capacitors are empty."""
    m = len(frames)
    passage = Passage.of(m)
    chance, clear, relay = _chances(ears, way, frames.rows, parameters)
    said_s = frames.sent_s.copy()
    heard_s = np.full(m, np.inf)
    lost_by = np.where(chance > 0, int(Cause.RADIO), int(Cause.DARK)).astype(np.uint8)
    for attempt in range(parameters.gasp_transmissions):
        if attempt:
            said_s = said_s + uniform(keys, Purpose.GASP_WAIT, attempt, LEAST_OF_WAIT, 1.0) * parameters.gasp_wait_s
        unheard = np.isinf(heard_s)
        lost_by[unheard & (chance > 0) & (said_s >= until_s)] = int(Cause.ENERGY)
        says = unheard & (said_s < until_s)
        # Who has no neighbour with supply does not know that, and says it as often as others.
        passage.attempts[says] += 1
        able = says & (chance > 0)
        drawn = uniform(keys, Purpose.GASP, attempt)
        collided = able & (drawn >= chance * clear) & (drawn < chance)
        lost_by[collided] = int(Cause.COLLISION)
        lost_by[able & (drawn >= chance)] = int(Cause.RADIO)
        through = able & (drawn < chance * clear)
        heard_s[through] = said_s[through] + parameters.gasp_slot_s
    jammed = _spoiled_near(ears)[frames.rows] & np.isin(lost_by, (int(Cause.RADIO), int(Cause.DARK)))
    passage.cause[:] = np.where(jammed, np.uint8(Cause.JAMMED), lost_by)
    heard = np.flatnonzero(np.isfinite(heard_s))
    if len(heard):
        _relay(passage, way, frames, keys, heard, heard_s, relay, parameters)
    return passage


def _relay(
    passage: Passage,
    way: Way,
    frames: Frames,
    keys: NDArray[np.uint64],
    heard: NDArray[np.intp],
    heard_s: NDArray[np.float64],
    relay: NDArray[np.intp],
    parameters: MeshParameters,
) -> None:
    """On the neighbour's way; who is heard by the collector itself has arrived."""
    collector = len(way.hops)
    itself = heard[relay[heard] == collector]
    passage.arrives_s[itself] = heard_s[itself]
    passage.hops[itself] = 1
    passage.cause[itself] = int(Cause.ON_TIME)
    others = heard[relay[heard] != collector]
    onward = frames.part(others).at(relay[others], heard_s[others])
    carried = cross(way, onward, keys[others], parameters)
    passage.arrives_s[others] = carried.arrives_s
    passage.again_s[others] = carried.again_s
    passage.cause[others] = carried.cause
    passage.hops[others] = np.minimum(carried.hops.astype(np.int64) + 1, 255)
    passage.attempts[others] = np.minimum(carried.attempts.astype(np.int64) + passage.attempts[others], 255)


def _chances(
    ears: Ears, way: Way, rows: NDArray[np.intp], parameters: MeshParameters
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
    """Of each sender (m,), in this order:

    the chance that a neighbour hears one transmission, the share of it that collisions leave, and the neighbour that
    most likely hears it (n: the collector).
    """
    links, collector = ears.links, len(way.hops)
    listens = ears.runs & np.append(way.hops > 0, True)
    crowd = _crowds(ears, parameters)
    wait_s = parameters.gasp_wait_s * (1.0 + LEAST_OF_WAIT) / 2.0
    every_s = parameters.gasp_window_s + wait_s * (parameters.gasp_transmissions - 1)
    load = crowd * parameters.gasp_transmissions * parameters.gasp_slot_s / every_s
    use = listens[links.parent] & ~ears.runs[links.child]
    missed = np.ones(collector + 1)
    missed_clear = np.ones(collector + 1)
    best = np.full(collector + 1, -1, dtype=np.intp)
    child, parent = links.child[use], links.parent[use]
    clear = ears.one_way[use] * np.exp(-load[use])
    np.multiply.at(missed, child, 1.0 - ears.one_way[use])
    np.multiply.at(missed_clear, child, 1.0 - clear)
    order = np.argsort(clear, kind="stable")
    best[child[order]] = parent[order]
    chance = 1.0 - missed[rows]
    left = np.divide(1.0 - missed_clear[rows], chance, out=np.zeros(len(rows)), where=chance > 0)
    return chance, left, best[rows]


def _spoiled_near(ears: Ears) -> NDArray[np.bool_]:
    """(n + 1,) who has a neighbour that would hear it, or could relay what it says, if nobody were jammed."""
    near = np.zeros(ears.links.nodes, dtype=bool)
    near[ears.links.child[ears.spoiled[ears.links.parent]]] = True
    return near


def _crowds(ears: Ears, parameters: MeshParameters) -> NDArray[np.float64]:
    """(e,) how many others of the outage of each link's child its parent hears."""
    links = ears.links
    gasping = ~ears.runs
    gasping[-1] = False
    since_s = np.append(ears.dark_since_s, 0.0)
    audible = gasping[links.child]
    crowd = np.zeros(len(links.child))
    for at_s in np.unique(since_s[gasping]):
        together = np.abs(since_s - at_s) <= parameters.gasp_window_s
        counts = np.bincount(links.parent[audible & together[links.child]], minlength=links.nodes)
        own = audible & (since_s == at_s)[links.child]
        crowd[own] = np.maximum(counts[links.parent[own]] - 1.0, 0.0)
    return crowd
