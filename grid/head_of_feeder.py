"""What flows at the head of the feeder: through each source that feeds it, interval by interval."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from grid.world import SECONDS_PER_HOUR

Floats = NDArray[np.float64]


def energies(times_s: NDArray[np.int64], power: Floats, bounds_s: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """(imported, exported), each (b − 1, s), between `bounds_s` (b,), of `power` (f, s) in W or var.

    Each row of `power` holds from its instant in `times_s` (f,) until the next; no bound is before the first.
    """
    hours = np.diff(times_s)[:, np.newaxis] / SECONDS_PER_HOUR
    at = np.searchsorted(times_s, bounds_s, side="right") - 1
    since_h = (bounds_s - times_s[at])[:, np.newaxis] / SECONDS_PER_HOUR
    found = []
    for flowing in (np.maximum(power, 0.0), np.maximum(-power, 0.0)):
        before = np.concatenate([np.zeros((1, flowing.shape[1])), np.cumsum(flowing[:-1] * hours, axis=0)])
        found.append(np.diff(before[at] + flowing[at] * since_h, axis=0))
    return found[0], found[1]


def source_intervals(
    sources: tuple[str, ...],
    times_s: NDArray[np.int64],
    power_va: NDArray[np.complex128],
    *,
    interval_length_s: int,
    until_s: int,
) -> pa.Table:
    """Energy of each source in each whole interval from the first instant to `until_s`, + import into the feeder.

    `power_va` (f, s) holds from `times_s` (f,) on.
    """
    first = -(-int(times_s[0]) // interval_length_s)
    bounds_s = np.arange(first, max(until_s // interval_length_s, first) + 1, dtype=np.int64) * interval_length_s
    active, reactive = (energies(times_s, part, bounds_s) for part in (power_va.real, power_va.imag))
    starts_s, count = bounds_s[:-1], len(sources)
    return pa.table(
        {
            "source": pa.array(list(sources) * len(starts_s), pa.string()).dictionary_encode(),
            "interval_start": pa.array(np.repeat(starts_s, count) * 1_000_000, pa.int64()).cast(
                pa.timestamp("us", tz="UTC")
            ),
            "interval_length_s": np.full(len(starts_s) * count, interval_length_s, dtype=np.int32),
            "import_wh": active[0].ravel(),
            "export_wh": active[1].ravel(),
            "import_varh": reactive[0].ravel(),
            "export_varh": reactive[1].ravel(),
        }
    )
