"""Did each meter measure what flowed? Journal against physical energy, over the window that the meter integrated.

The physical energy of a usage point is piecewise linear between frames, so its value at any instant is exact; the
meter's class applies to the energy, wider at low load and low power factor as the standard has it
(meters/device/classes.py), and two register steps are granted for the reading at either end of the window.
Reactive energy has a class of its own and is judged quadrant by quadrant.
"""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lab.verdict.keys import Int, codes_of, micros, numbers
from lab.verdict.tables import QUADRANTS

Float = NDArray[np.float64]
REGISTER_STEPS_GRANTED = 2
_US_PER_H = 3600.0 * 1e6


class CumulativeEnergy:
    """Cumulative energies per usage point as functions of time, from the frames, by name of the channel.

    Before a usage point's first frame they are the first frame's. After its last frame the last powers hold.
    """

    def __init__(self, points: Int, times_us: Int, rates: Mapping[str, Float], counted: Mapping[str, Float]) -> None:
        """`rates` [W, var], from 0 up: what each channel advances by until the next frame; `counted` [Wh, varh]: what
        it has counted by then, where the frames say it. Elsewhere it is the sum of the frames before."""
        self._origin_us = int(times_us.min()) if len(times_us) else 0
        self._span_us = int(times_us.max()) - self._origin_us + 1 if len(times_us) else 1
        keys = points * self._span_us + (times_us - self._origin_us)
        order = np.argsort(keys, kind="stable")
        self._keys, self._points, self._times_us = keys[order], points[order], times_us[order]
        self._rates = {name: rate[order] for name, rate in rates.items()}
        self._energy = {
            name: counted[name][order] if name in counted else self._summed(rate) for name, rate in self._rates.items()
        }

    @property
    def channels(self) -> tuple[str, ...]:
        return tuple(self._rates)

    def of(self, channels: Sequence[str]) -> Self:
        """The same with these channels alone, in this order."""
        chosen = copy(self)
        chosen._rates = {name: self._rates[name] for name in channels}
        return chosen

    def _summed(self, rate: Float) -> Float:
        """From each usage point's first frame on."""
        if not len(rate):
            return rate
        same = self._points[1:] == self._points[:-1]
        hours = np.where(same, np.diff(self._times_us), 0) / _US_PER_H
        running = np.concatenate([[0.0], np.cumsum(rate[:-1] * hours)])
        first = np.append(True, ~same)
        begins = np.maximum.accumulate(np.where(first, np.arange(len(rate)), 0))
        summed: Float = running - running[begins]
        return summed

    def at(self, points: Int, time_s: Float) -> Float:
        """Of all channels (k, m) in their order, of usage point codes (m,) at epoch seconds (m,). NaN: not known."""
        result = np.full((len(self._rates), len(points)), np.nan)
        if not len(self._keys):
            return result
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
        for row, (name, rate) in enumerate(self._rates.items()):
            energy = self._energy[name]
            between = energy[left] + share * (energy[right] - energy[left])
            beyond = energy[left] + rate[left] * since_us / _US_PER_H
            result[row] = np.where(known, np.where(width_us > 0, between, beyond), np.nan)
        return result


def cumulative_energy(frames: pa.Table, known: dict[str, int]) -> CumulativeEnergy:
    """From a frames table that conforms to `tables.FRAMES`; usage points are numbered by `known`.

    Its channels are import_wh, export_wh and, where the frames have reactive power, the four quadrants.
    """
    power_w = numbers(frames["active_power_w"])
    rates = {"import_wh": np.maximum(power_w, 0.0), "export_wh": np.maximum(-power_w, 0.0)}
    if "reactive_power_var" in frames.column_names:
        rates |= _by_quadrant(power_w, numbers(frames["reactive_power_var"]))
    counted = {name: numbers(frames[name]) for name in ("import_wh", "export_wh")}
    return CumulativeEnergy(codes_of(frames["usage_point"], known), micros(frames["time"]), rates, counted)


def _by_quadrant(power_w: Float, reactive_var: Float) -> dict[str, Float]:
    """Reactive power (n,) where it counts, by the signs of both: ++, -+, --, +- (IEC 62053-23, annex C)."""
    takes, reactive_in = power_w >= 0.0, reactive_var >= 0.0
    quadrants = (takes & reactive_in, ~takes & reactive_in, ~takes & ~reactive_in, takes & ~reactive_in)
    return {name: np.abs(reactive_var) * where for name, where in zip(QUADRANTS.split(), quadrants, strict=True)}


@dataclass(frozen=True, slots=True)
class Deviations:
    """Journal against truth, one entry per journal row; NaN if unknowable. `largest_error_wh` is that of import and
    export; the others are of the channel that uses most of what its class allows, whose place is `channel`."""

    largest_error_wh: Float
    error_wh: Float
    truth_wh: Float
    journal_wh: Float
    channel: Int
    violates: NDArray[np.bool_]


def deviations(
    energy: CumulativeEnergy,
    *,
    points: Int,
    window_start_s: Float,
    window_end_s: Float,
    journal_wh: Float,
    class_percent: Float,
    allowed_wh: Float,
    step_wh: Float,
) -> Deviations:
    """Of the channels of `energy` (k), the first two of which are import and export, and journal rows (m).

    `journal_wh`, `class_percent`, `allowed_wh`, `step_wh` are (k, m); `allowed_wh`: what the class allows of each
    energy at the loads that there were; NaN where nobody says, and the class's percentage of the energy is taken. An
    error that is not known to be within the class violates it.
    """
    truth = energy.at(points, window_end_s) - energy.at(points, window_start_s)
    error = np.abs(journal_wh - truth)
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
        journal_wh[pick],
        worse,
        np.logical_not(np.all(within, axis=0)),
    )
