"""Sags and swells: a phase whose voltage leaves the band around the nominal one, told when it is back.

    WITHIN --below the sag threshold--> SAG --above it and the hysteresis, or no voltage--> WITHIN (voltage_sag)
           --above the swell threshold--> SWELL --below it less the hysteresis, or no voltage--> WITHIN (voltage_swell)

A phase without voltage is interrupted, which is another event. The meter sees the voltages of the physical frames: what
is shorter than these is not there to be seen.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meters.device.facts import Facts
from meters.device.state import ShardState, field

_WITHIN, _SAG, _SWELL = 0, 1, 2


class Excursion(NamedTuple):
    """Of one phase, 0 to 2: its lowest or highest voltage, and since when, in true epoch seconds."""

    row: int
    phase: int
    swell: bool
    extreme_v: float
    from_s: float


class VoltageWatch:
    """Behind the fields `voltage_state`, `voltage_since_s` and `voltage_extreme_v` of a shard's state."""

    def __init__(self, state: ShardState, facts: Facts) -> None:
        nominal_v = facts.nominal_voltage_v
        self._sag_v = facts.sag_threshold_share * nominal_v
        self._swell_v = facts.swell_threshold_share * nominal_v
        self._hysteresis_v = facts.voltage_hysteresis_share * nominal_v
        self._state = field(state, "voltage_state")
        self._since_s = field(state, "voltage_since_s")
        self._extreme_v = field(state, "voltage_extreme_v")

    def adopt(self, voltage_v: NDArray[np.float64], now_s: int) -> list[Excursion]:
        """Measured voltages (n, 3) from `now_s` on; returns what has ended with that."""
        there = voltage_v > 0.0
        sagging, swelling = self._state == _SAG, self._state == _SWELL
        over = (sagging & (~there | (voltage_v >= self._sag_v + self._hysteresis_v))) | (
            swelling & (~there | (voltage_v <= self._swell_v - self._hysteresis_v))
        )
        ended = [
            Excursion(row, phase, bool(swelling[row, phase]), *self._kept(row, phase))
            for row, phase in np.argwhere(over).tolist()
        ]
        self._state[over] = _WITHIN
        sagging, swelling = sagging & ~over, swelling & ~over
        free = there & (self._state == _WITHIN)
        for kind, begins in ((_SAG, free & (voltage_v < self._sag_v)), (_SWELL, free & (voltage_v > self._swell_v))):
            self._state[begins] = kind
            self._since_s[begins] = now_s
            self._extreme_v[begins] = voltage_v[begins]
        self._extreme_v[sagging] = np.minimum(self._extreme_v, voltage_v)[sagging]
        self._extreme_v[swelling] = np.maximum(self._extreme_v, voltage_v)[swelling]
        return ended

    def _kept(self, row: int, phase: int) -> tuple[float, float]:
        return float(self._extreme_v[row, phase]), float(self._since_s[row, phase])
