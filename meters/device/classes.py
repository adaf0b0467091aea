"""What an accuracy class allows: limits of the percentage error by current and power factor. Pure.

After IEC 62053-21 (active energy, classes 1 and 2), 62053-22 (class 0.5 S) and 62053-23 (reactive energy, classes 2 and
3), for polyphase meters and balanced load. The numbers are general knowledge of these standards: they could not be read
here, so they are to be confirmed before anybody relies on them. Currents are in parts of the reference current: the
basic current Ib, or the rated current In behind transformers.

The standards state points. Between them, and beyond them, it is amilab's own how they are joined:

- between power factors, linearly in the ratio of the other power to the measured one (tan phi for active energy);
- beyond a power factor of 0.5 in proportion to that ratio, for what a meter's phase displacement does; for reactive
  energy that is wider than the standard is said to be at 0.25;
- below the lowest current in inverse proportion to the current, as an error that is constant in W is seen;
- below the starting current a meter need not register at all: all of the energy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

HALF = float(np.sqrt(3.0))
"""The other power to the measured one where the standards' second factor is 0.5."""
MOST_RATIO = 10.0
"""With more of the other power no meter's error is of interest: power factor 0.1."""


@dataclass(frozen=True, slots=True)
class AccuracyClass:
    """Limits in percent; currents in parts of the reference current.

    `low`: from `least` to `low_below`, at unity factor. Up to `half_low_below`, `low` holds at factor 0.5 as well.
    """

    percent: float
    half: float
    low: float
    starting: float
    least: float
    low_below: float
    half_low_below: float

    def limit_percent(self, current: Float, ratio: Float) -> Float:
        """For currents, and the ratio of the other power to the measured one, both of one shape."""
        ratio = np.minimum(np.abs(ratio), MOST_RATIO) / HALF
        at_one = np.where(current < self.low_below, self.low, self.percent)
        at_half = np.where(current < self.half_low_below, max(self.low, self.half), self.half)
        limit = np.where(ratio > 1.0, at_half * ratio, at_one + (at_half - at_one) * ratio)
        limit = limit * np.maximum(self.least / np.maximum(current, 1e-12), 1.0)
        allowed: Float = np.minimum(np.where(current < self.starting, 100.0, limit), 100.0)
        return allowed

    def load_share(self, current: Float) -> Float:
        """How much of the error at low load is there: 0 from `low_below` on, 1 at `least`, and more below."""
        above = self.low_below / np.maximum(current, self.starting) - 1.0
        share: Float = np.maximum(above, 0.0) / (self.low_below / self.least - 1.0)
        return share


_ACTIVE = {
    # percent: half, low, starting, least, low_below, half_low_below
    0.5: (0.6, 1.0, 0.001, 0.01, 0.05, 0.1),
    1.0: (1.0, 1.5, 0.004, 0.05, 0.1, 0.2),
    2.0: (2.0, 2.5, 0.005, 0.05, 0.1, 0.2),
}
_REACTIVE = {
    2.0: (2.0, 2.5, 0.005, 0.05, 0.1, 0.2),
    3.0: (3.0, 4.0, 0.01, 0.05, 0.1, 0.2),
}
ACTIVE_CLASSES, REACTIVE_CLASSES = tuple(_ACTIVE), tuple(_REACTIVE)


def active_class(percent: float) -> AccuracyClass:
    """0.5 (that is 0.5 S), 1 or 2; another is like the nearest of these, in proportion."""
    return _like(_ACTIVE, percent)


def reactive_class(percent: float) -> AccuracyClass:
    """2 or 3; another is like the nearest of these, in proportion."""
    return _like(_REACTIVE, percent)


def _like(known: Mapping[float, tuple[float, ...]], percent: float) -> AccuracyClass:
    nearest = min(known, key=lambda each: abs(each - percent))
    half, low, *currents = known[nearest]
    return AccuracyClass(percent, half * percent / nearest, low * percent / nearest, *currents)
