"""Frames on their way over the hops of a route, with repetitions on each hop and from end to end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meters.device.draws import Purpose, uniform
from meters.radio.frames import Frames, pieces_of
from meters.radio.parameters import MeshParameters
from meters.radio.passage import Cause, DeliveryClass, Passage

_HOPS = 64
"""Counters of draws: more hops than any route has."""
_SURE = 1.0 - 1e-12
LEAST_OF_WAIT = 0.5
"""Who says something again waits for between this share and all of what its parameter says. An assumption of amilab's,
as the next."""
LEAST_OF_HEALING = 0.2
"""Of `end_to_end_wait_s`, by which frames over a route that heals are late."""


@dataclass(frozen=True, slots=True)
class Way:
    """The routes of n stations to the collector, which is node n.

    `hops` (n,), 0: there is none. `shares` (n, h) of transmissions that succeed, hop by hop, 1 behind the last.
    `jammed` (n,): somebody on the way is disturbed. `cut_off` (n,): there would be a way if nobody were.
    `rerouted_s` (n,): when the way has changed last. `bulk`: the share of the time that blocks of an image take.
    """

    hops: NDArray[np.intp]
    shares: NDArray[np.float64]
    jammed: NDArray[np.bool_]
    cut_off: NDArray[np.bool_]
    rerouted_s: NDArray[np.float64]
    bulk: float = 0.0


def cross(way: Way, frames: Frames, keys: NDArray[np.uint64], parameters: MeshParameters) -> Passage:
    """What becomes of frames of stations that have supply, from end to end; `keys` (m,) are those of the frames."""
    m = len(frames)
    reading = frames.of_class(DeliveryClass.READ)
    rows = frames.rows
    hops = way.hops[rows]
    passage = Passage.of(m)
    # Blocks of an image take turns with reads; anything else waits for the block on the air at most.
    stretch = np.where(reading, 1.0 / (1.0 - way.bulk), 1.0)
    block_s = parameters.fragment_bytes * 8.0 / parameters.bit_rate_bps
    behind_s = np.where(reading, 0.0, way.bulk * block_s / 2.0)
    leaves_s = np.where(reading, frames.sent_s + rows * parameters.read_spacing_s * stretch, frames.sent_s)
    healing = frames.sent_s < way.rerouted_s[rows] + parameters.heal_s
    leaves_s = (
        leaves_s
        + healing * uniform(keys, Purpose.SWITCH_DELAY, 0, LEAST_OF_HEALING, 1.0) * parameters.end_to_end_wait_s
    )
    waits_s = np.where(reading, parameters.read_wait_s, parameters.end_to_end_wait_s)
    waiting = np.flatnonzero(hops > 0)
    attempts = np.zeros(m, dtype=np.int64)
    for attempt in range(parameters.end_to_end_tries):
        if not len(waiting):
            break
        gone, took_s, used = _attempt(
            way.shares[rows[waiting]], hops[waiting], frames.size_bytes[waiting], keys[waiting], attempt, parameters
        )
        took_s = took_s * stretch[waiting] + used * behind_s[waiting]
        attempts[waiting] += used
        through = waiting[~gone]
        passage.arrives_s[through] = leaves_s[through] + took_s[~gone]
        passage.cause[through] = int(Cause.ON_TIME if attempt == 0 else Cause.RADIO)
        if attempt == 0 and way.bulk:
            passage.cause[through[reading[through]]] = int(Cause.BULK)
        waiting = waiting[gone]
        backoff_s = (
            waits_s[waiting] * 2.0**attempt * uniform(keys[waiting], Purpose.RETRY_DELAY, attempt, LEAST_OF_WAIT, 1.0)
        )
        leaves_s[waiting] += took_s[gone] + backoff_s
    passage.cause[waiting] = int(Cause.RADIO)
    passage.cause[hops == 0] = int(Cause.DARK)
    disturbed = way.cut_off[rows] | way.jammed[rows] & (passage.cause == int(Cause.RADIO))
    passage.cause[disturbed] = int(Cause.JAMMED)
    passage.cause[passage.arrives & healing & ~way.jammed[rows]] = int(Cause.DARK)
    passage.hops[:] = np.minimum(hops, 255)
    passage.attempts[:] = np.minimum(attempts, 255)
    _say_again(passage, way.shares[rows], waits_s, keys, parameters)
    return passage


def _attempt(
    shares: NDArray[np.float64],
    hops: NDArray[np.intp],
    size_bytes: NDArray[np.int64],
    keys: NDArray[np.uint64],
    attempt: int,
    parameters: MeshParameters,
) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.int64]]:
    """Of m frames: whether they are lost on the way, the seconds that took, and the transmissions."""
    most = parameters.hop_transmissions
    pieces = pieces_of(size_bytes, parameters.fragment_bytes)
    counters = attempt * _HOPS + np.arange(shares.shape[1])
    each = np.broadcast_to(keys[:, None], shares.shape)
    drawn = uniform(each, Purpose.HOP, np.broadcast_to(counters, shares.shape))
    # Of several pieces the worst decides: the least of so many uniform numbers.
    worst = 1.0 - (1.0 - drawn) ** (1.0 / pieces[:, None])
    missed = 1.0 - np.minimum(shares, _SURE)
    needed = 1 + np.floor(np.log(np.maximum(worst, 1e-300)) / np.log(missed)).astype(np.int64)
    on_way = np.arange(shares.shape[1]) < hops[:, None]
    fails = on_way & (needed > most)
    gone: NDArray[np.bool_] = np.asarray(fails.any(axis=1))
    stops = np.where(gone, fails.argmax(axis=1), hops - 1)
    travelled = on_way & (np.arange(shares.shape[1]) <= stops[:, None])
    used = np.where(travelled, np.minimum(needed, most), 0)
    latency_s = uniform(
        each,
        Purpose.HOP_DELAY,
        np.broadcast_to(counters, shares.shape),
        parameters.hop_latency_least_s,
        parameters.hop_latency_most_s,
    )
    air_s = np.minimum(size_bytes, parameters.fragment_bytes) * 8.0 / parameters.bit_rate_bps
    took_s = ((used + (used > 0) * (pieces[:, None] - 1)) * (latency_s + air_s[:, None])).sum(axis=1)
    return gone, took_s, used.sum(axis=1) + (pieces - 1) * (stops + 1)


def _say_again(
    passage: Passage,
    shares: NDArray[np.float64],
    waits_s: NDArray[np.float64],
    keys: NDArray[np.uint64],
    parameters: MeshParameters,
) -> None:
    """Who hears no acknowledgement from end to end says it again, and it arrives twice."""
    back = np.prod(1.0 - (1.0 - shares) ** parameters.hop_transmissions, axis=1)
    unheard = passage.arrives & (uniform(keys, Purpose.ACKNOWLEDGED, 0) > back)
    again_s = passage.arrives_s + waits_s * uniform(keys, Purpose.ACKNOWLEDGED, 1, LEAST_OF_WAIT, 1.0)
    passage.again_s[unheard] = again_s[unheard]
