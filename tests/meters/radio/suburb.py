"""A suburb of meters to try media on, and counts of what arrives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meters.device.draws import meter_keys
from meters.radio.firmware import Spread
from meters.radio.frames import Frames
from meters.radio.mesh import Mesh
from meters.radio.parameters import NetworkParameters, load_parameters
from meters.radio.passage import DeliveryClass, Passage
from meters.radio.plc import PowerLine

START_S = 1_768_435_200
"""Midnight UTC."""
PLOT_M = 25.0
HOLD_UP_S = 90.0
QUALIFYING_S = 45.0


def keys_of(count: int, seed: int) -> NDArray[np.uint64]:
    return meter_keys(seed, [f"AMI{number:08d}" for number in range(count)])


def plots(count: int, seed: int) -> NDArray[np.float64]:
    """(count, 2) houses on plots of 25 m, each somewhere on its plot; the middle is the origin."""
    side = int(np.ceil(np.sqrt(count)))
    corner = np.stack(np.divmod(np.arange(count), side), axis=1) - side / 2
    return PLOT_M * (corner + np.random.default_rng(seed).uniform(0.2, 0.8, (count, 2)))


def mesh_of(count: int, seed: int, parameters: NetworkParameters | None = None) -> Mesh:
    """With its collector in the middle."""
    chosen = (parameters or load_parameters()).mesh
    return Mesh(plots(count, seed), np.zeros(2), keys_of(count, seed), chosen)


def had_after_s(medium: Mesh | PowerLine, size_bytes: float, share: float | None = None) -> NDArray[np.float64]:
    """(n,) when each meter has all of an image, inf where never, as long as nothing else changes."""
    n = len(medium.hops)
    spread = Spread.begun(size_bytes, np.zeros(n), np.zeros(n))
    had_s = np.full(n, np.inf)
    while True:
        spread.pace = medium.image_pace(spread.lacking, share or load_parameters().firmware.airtime_share)
        next_s = spread.next_s
        if not np.isfinite(next_s):
            return had_s
        had_s[spread.run(next_s)] = next_s


@dataclass(frozen=True)
class Outage:
    """`dark`: the rows without supply, the innermost first; `passage`: what became of their last gasps."""

    dark: NDArray[np.intp]
    passage: Passage

    @property
    def delivered(self) -> int:
        return int(self.passage.arrives.sum())


def outage(
    mesh: Mesh,
    positions_m: NDArray[np.float64],
    size: int,
    seed: int,
    *,
    about: int = 1,
    hold_up_s: float = HOLD_UP_S,
    crowd: NDArray[np.intp] | None = None,
    long_ago: bool = False,
) -> Outage:
    """The `size` meters nearest to one that is drawn by seed lose supply at once, and gasp.

    :param crowd: who is dark besides; with `long_ago` since an hour before, else since the same instant.
    """
    count = len(positions_m)
    centre = positions_m[np.random.default_rng([seed, about]).integers(count)]
    dark = np.argsort(np.hypot(*(positions_m - centre).T))[:size]
    lit = np.ones(count, dtype=bool)
    since_s = np.full(count, float(START_S))
    if crowd is not None:
        lit[crowd] = False
        since_s[crowd] -= 3_600.0 * long_ago
    lit[dark] = False
    since_s[dark] = START_S
    mesh.supply(lit, now_s=START_S, dark_since_s=since_s)
    said_s = START_S + QUALIFYING_S + np.random.default_rng([seed, about, 1]).uniform(0, 10, size)
    frames = Frames.of(dark, np.ceil(said_s), DeliveryClass.GASP, about)
    return Outage(dark, mesh.up(frames, until_s=np.full(size, START_S + hold_up_s)))
