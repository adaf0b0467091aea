"""The values that load-test meters report: made up, the same for the same meter and interval. Pure.

So whoever judges a run knows what the database must have, without being told value by value.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from meters.vendors.rl_dsp import Row

Whole = TypeVar("Whole", int, NDArray[np.int64])
_REGISTER_WH = 48_000_000
_LEAST_WH = 60
_SPAN_WH = 900


def import_wh(meter: Whole, number: Whole) -> Whole:
    """Energy imported in an interval, Wh."""
    return (meter * 7919 + number * 104_729) % _SPAN_WH + _LEAST_WH


def row(meter: int, number: int) -> Row:
    """One interval's values in the order of `meters.vendors.rl_dsp.COLUMNS`."""
    energy_wh = import_wh(meter, number)
    third_wh = energy_wh // 3
    register_wh = _REGISTER_WH + (meter % 1000) * 1000 + number * _LEAST_WH
    volts = 228.0 + (meter + number) % 50 / 10
    return (
        register_wh, 0, energy_wh, 0,
        third_wh, third_wh, third_wh, 0, 0, 0,
        energy_wh * 4, 0, volts, volts, volts, 0,
    )  # fmt: skip
