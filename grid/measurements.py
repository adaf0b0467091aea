"""What transformers measure at their low-voltage side, interval by interval, as a utility's SCADA would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grid.world import SECONDS_PER_HOUR

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class TransformerSample:
    """What holds from `time_s` until the next sample, by transformer. Power is + towards the low-voltage side."""

    time_s: int
    power_w: Floats
    loading_percent: Floats


@dataclass(frozen=True, slots=True, eq=False)
class TransformerInterval:
    """Net energy, and the highest loading, by transformer."""

    start_s: int
    energy_wh: Floats
    loading_percent: Floats


def intervals(
    samples: Sequence[TransformerSample], *, from_s: int, until_s: int, length_s: int
) -> list[TransformerInterval]:
    """The intervals that lie wholly in [from_s, until_s), on multiples of `length_s` since the epoch.

    `samples`, in the order of time, tell of everything up to `until_s`. Intervals that begin before the first one are
    left out.
    """
    found: list[TransformerInterval] = []
    if not samples:
        return found
    times = np.array([sample.time_s for sample in samples])
    first_s = max(from_s, samples[0].time_s)
    for start_s in range(-(-first_s // length_s) * length_s, until_s - length_s + 1, length_s):
        end_s = start_s + length_s
        begins = int(np.searchsorted(times, start_s, side="right")) - 1
        ends = int(np.searchsorted(times, end_s, side="left"))
        held = samples[begins:ends]
        edges = np.array([start_s, *times[begins + 1 : ends], end_s])
        hours = np.diff(edges) / SECONDS_PER_HOUR
        energy_wh = np.sum([s.power_w * h for s, h in zip(held, hours, strict=True)], axis=0)
        loading = np.max([sample.loading_percent for sample in held], axis=0)
        found.append(TransformerInterval(start_s, energy_wh, loading))
    return found
