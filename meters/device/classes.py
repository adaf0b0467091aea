"""What an accuracy class allows: limits of the percentage error by current and power factor. Pure.

After IEC 62053-21 (active energy, classes 1 and 2), 62053-22 (class 0.5 S) and 62053-23 (reactive energy, classes 2 and
3), for polyphase meters and balanced load. The standards themselves could not be read here. The limits of class 1 for
direct connection are as the tests of the public library metrology_insight (tests/table3_error_limits.rs) have them.
All other numbers are general knowledge of these standards: they are to be confirmed before anybody relies on them.

Currents are in parts of the reference current: the basic current Ib of a meter for direct connection, the rated current
In of one behind current transformers, whose bands begin lower and which starts at less.

The standards state points. Between them, and beyond them, it is amilab's own how they are joined:

- between power factors of 1, 0.5 and 0.25, linearly in the ratio of the other power to the measured one (tan phi for
  active energy), and beyond 0.25 in proportion to it, for what a meter's phase displacement does;
- at 0.25, active energy of class 2, of which no standard says anything, has the limit at 0.5 in that proportion;
- at low current, the limit at 0.25 is wider by what it is at 1;
- below the lowest current in inverse proportion to the current, as an error that is constant in W is seen;
- below the starting current a meter need not register at all: all of the energy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]

HALF, QUARTER = float(np.sqrt(3.0)), float(np.sqrt(15.0))
"""The other power to the measured one where the standards' second factor is 0.5, and 0.25."""
MOST_RATIO = 10.0
"""With more of the other power no meter's error is of interest: power factor 0.1."""


class Limits(NamedTuple):
    """In percent, at a factor of 1, 0.5 and 0.25; and at a factor of 1 where the current is low."""

    at_one: float
    half: float
    quarter: float
    low: float


class Bands(NamedTuple):
    """Parts of the reference current: where a meter starts, and `low` holds: from `least` to `low_below` at a factor of
    1, and up to `half_low_below` at 0.5. Each is one number, or (n, 1) of meters."""

    starting: Float | float
    least: Float | float
    low_below: Float | float
    half_low_below: Float | float


@dataclass(frozen=True, slots=True)
class AccuracyClass:
    """Of meters that are all of one class, whatever way each is connected."""

    limits: Limits
    bands: Bands

    def limit_percent(self, current: Float, ratio: Float) -> Float:
        """For currents, and the ratio of the other power to the measured one, both of one shape."""
        limits, bands = self.limits, self.bands
        ratio = np.minimum(np.abs(ratio), MOST_RATIO)
        low_percent = np.where(current < bands.half_low_below, limits.low - limits.at_one, 0.0)
        at_one = np.where(current < bands.low_below, limits.low, limits.at_one)
        at_half = np.where(current < bands.half_low_below, max(limits.low, limits.half), limits.half)
        at_quarter = limits.quarter + low_percent
        limit = np.where(
            ratio <= HALF,
            at_one + (at_half - at_one) * (ratio / HALF),
            at_half + (at_quarter - at_half) * ((ratio - HALF) / (QUARTER - HALF)),
        )
        limit = np.where(ratio > QUARTER, at_quarter * (ratio / QUARTER), limit)
        limit = limit * np.maximum(bands.least / np.maximum(current, 1e-12), 1.0)
        allowed: Float = np.minimum(np.where(current < bands.starting, 100.0, limit), 100.0)
        return allowed

    def load_share(self, current: Float) -> Float:
        """How much of the error at low load is there: 0 from `low_below` on, 1 at `least`, and more below."""
        bands = self.bands
        above = bands.low_below / np.maximum(current, bands.starting) - 1.0
        share: Float = np.maximum(above, 0.0) / (bands.low_below / bands.least - 1.0)
        return share

    def displacement(self, error_percent: float) -> float:
        """The most, in percent of the measured power for as much of the other, of a meter with such an error beside."""
        limits = self.limits
        return max(min((limits.half - error_percent) / HALF, (limits.quarter - error_percent) / QUARTER), 0.0)


class _Row(NamedTuple):
    limits: Limits
    direct: Bands
    transformer: Bands


_ACTIVE = {
    # Of transformer-operated meters alone; a direct one of that class is amilab's own, at five times the currents.
    0.5: _Row(Limits(0.5, 0.6, 1.0, 1.0), Bands(0.002, 0.05, 0.1, 0.2), Bands(0.001, 0.01, 0.05, 0.1)),
    1.0: _Row(Limits(1.0, 1.0, 3.5, 1.5), Bands(0.004, 0.05, 0.1, 0.2), Bands(0.002, 0.02, 0.05, 0.1)),
    2.0: _Row(Limits(2.0, 2.0, 2.0 * QUARTER / HALF, 2.5), Bands(0.005, 0.05, 0.1, 0.2), Bands(0.003, 0.02, 0.05, 0.1)),
}
_REACTIVE = {
    2.0: _Row(Limits(2.0, 2.0, 2.5, 2.5), Bands(0.005, 0.05, 0.1, 0.2), Bands(0.003, 0.02, 0.05, 0.1)),
    3.0: _Row(Limits(3.0, 3.0, 4.0, 4.0), Bands(0.01, 0.05, 0.1, 0.2), Bands(0.005, 0.02, 0.05, 0.1)),
}


def active_class(percent: float, behind_transformers: Bool | bool = False) -> AccuracyClass:
    """0.5 (that is 0.5 S), 1 or 2; another is like the nearest of these, in proportion.

    `behind_transformers`: of all meters, or (n, 1) of each.
    """
    return _like(_ACTIVE, percent, behind_transformers)


def reactive_class(percent: float, behind_transformers: Bool | bool = False) -> AccuracyClass:
    """2 or 3; another is like the nearest of these, in proportion."""
    return _like(_REACTIVE, percent, behind_transformers)


def _like(known: Mapping[float, _Row], percent: float, behind_transformers: Bool | bool) -> AccuracyClass:
    nearest = min(known, key=lambda each: abs(each - percent))
    row = known[nearest]
    limits = Limits(*(limit * percent / nearest for limit in row.limits))
    if np.ndim(behind_transformers) == 0:
        return AccuracyClass(limits, row.transformer if behind_transformers else row.direct)
    bands = (np.where(behind_transformers, of, on) for of, on in zip(row.transformer, row.direct, strict=True))
    return AccuracyClass(limits, Bands(*bands))
