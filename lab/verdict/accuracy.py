"""Did each meter measure what flowed? Journal against physical energy, over the window that the meter integrated.

The physical energy of a usage point is piecewise linear between frames, so its value at any instant is exact; the
meter's class applies to the energy, wider at low load and low power factor as the standard has it
(meters/device/classes.py), and two register steps are granted for the reading at either end of the window.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lab.verdict.keys import Int, codes_of, micros, numbers

Float = NDArray[np.float64]
REGISTER_STEPS_GRANTED = 2


class CumulativeEnergy:
    """Cumulative energy per usage point as a function of time, from the frames.

    Before a usage point's first frame it is the first frame's. After its last frame the last power holds, by its sign.
    """

    def __init__(self, points: Int, times_us: Int, import_wh: Float, export_wh: Float, power_w: Float) -> None:
        self._origin_us = int(times_us.min()) if len(times_us) else 0
        self._span_us = int(times_us.max()) - self._origin_us + 1 if len(times_us) else 1
        keys = points * self._span_us + (times_us - self._origin_us)
        order = np.argsort(keys, kind="stable")
        self._keys, self._points, self._times_us = keys[order], points[order], times_us[order]
        self._energy = {"import": import_wh[order], "export": export_wh[order]}
        power = power_w[order]
        self._power_w = {"import": np.maximum(power, 0.0), "export": np.maximum(-power, 0.0)}

    def at(self, points: Int, time_s: Float) -> tuple[Float, Float]:
        """Import and export in Wh, each (m,), of usage point codes (m,) at epoch seconds (m,). NaN where not known."""
        unknown = np.full(len(points), np.nan)
        if not len(self._keys):
            return unknown, unknown.copy()
        sane = np.isfinite(time_s)
        offset_us = np.round(np.where(sane, time_s, 0.0) * 1e6).astype(np.int64) - self._origin_us
        clipped = np.clip(offset_us, 0, self._span_us - 1)
        left = np.maximum(np.searchsorted(self._keys, points * self._span_us + clipped, side="right") - 1, 0)
        # a query before the point's own first frame lands on its predecessor in the sorted order
        first = np.minimum(np.searchsorted(self._points, points), len(self._keys) - 1)
        left = np.maximum(left, first)
        known = sane & (self._points[left] == points)
        right = np.minimum(left + 1, len(self._keys) - 1)
        inner = self._points[right] == points
        width_us = np.where(inner, self._times_us[right] - self._times_us[left], 0)
        since_us = np.maximum(offset_us + self._origin_us - self._times_us[left], 0)
        share = np.divide(since_us, width_us, out=np.zeros(len(points)), where=width_us > 0)
        results = []
        for direction in ("import", "export"):
            energy = self._energy[direction]
            between = energy[left] + share * (energy[right] - energy[left])
            beyond = energy[left] + self._power_w[direction][left] * since_us / 3.6e9
            results.append(np.where(known, np.where(width_us > 0, between, beyond), np.nan))
        return results[0], results[1]


def cumulative_energy(frames: pa.Table, known: dict[str, int]) -> CumulativeEnergy:
    """From a frames table that conforms to `tables.FRAMES`; usage points are numbered by `known`."""
    return CumulativeEnergy(
        codes_of(frames["usage_point"], known),
        micros(frames["time"]),
        numbers(frames["import_wh"]),
        numbers(frames["export_wh"]),
        numbers(frames["active_power_w"]),
    )


@dataclass(frozen=True, slots=True)
class Deviations:
    """Journal against truth, one entry per journal row; NaN if unknowable. `largest_error_wh` is that of import and
    export; the others are of the one that uses more of what its class allows."""

    largest_error_wh: Float
    error_wh: Float
    truth_wh: Float
    journal_wh: Float
    exported: NDArray[np.bool_]
    violates: NDArray[np.bool_]


def deviations(
    energy: CumulativeEnergy,
    *,
    points: Int,
    window_start_s: Float,
    window_end_s: Float,
    import_wh: Float,
    export_wh: Float,
    class_percent: Float,
    allowed_wh: Float,
    step_wh: Float,
) -> Deviations:
    """All arrays (m,). An error that is not known to be within the class violates it.

    `allowed_wh` (2, m): what the class allows of import and export at the loads that there were; NaN where nobody says,
    and the class's percentage of the energy is taken.
    """
    opening, closing = energy.at(points, window_start_s), energy.at(points, window_end_s)
    truth = np.stack([end - start for start, end in zip(opening, closing, strict=True)])
    journal = np.stack([import_wh, export_wh])
    error = np.abs(journal - truth)
    # 1e-6 Wh: float64 cumulative energies of GWh resolve no better
    of_class = np.where(np.isnan(allowed_wh), class_percent / 100.0 * np.abs(truth), allowed_wh)
    allowed = of_class + REGISTER_STEPS_GRANTED * step_wh + 1e-6
    within = error <= allowed
    excess = np.where(np.isnan(error), np.inf, error) - np.where(np.isnan(allowed), 0.0, allowed)
    worse = np.argmax(excess, axis=0)
    pick = (worse, np.arange(len(points)))
    return Deviations(
        np.maximum(error[0], error[1]),
        error[pick],
        truth[pick],
        journal[pick],
        worse == 1,
        np.logical_not(np.all(within, axis=0)),
    )
