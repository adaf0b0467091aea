"""What a meter counts, and what it shows of itself at an instant, by name. The names carry the units."""

from __future__ import annotations

from itertools import product

PHASES = (1, 2, 3)
_WAYS = ("import", "export")

ENERGY_NAMES = ("import_wh", "export_wh", *(f"{way}_l{phase}_wh" for way, phase in product(_WAYS, PHASES)))
QUADRANT_NAMES = tuple(f"reactive_q{quadrant}_varh" for quadrant in (1, 2, 3, 4))
"""Totals, each by the quadrant that the sums over the phases are in at each instant (IEC 62053-23, annex C)."""

REGISTER_NAMES = (
    *ENERGY_NAMES,
    *QUADRANT_NAMES,
    *(f"reactive_{way}_l{phase}_varh" for way, phase in product(_WAYS, PHASES)),
    "apparent_vah",
)
"""The registers, in the order in which arrays have them: (…, CHANNELS)."""
CHANNELS = len(REGISTER_NAMES)

LIMITED_NAMES = ("import_wh", "export_wh", *QUADRANT_NAMES)
"""The registers of which a class limits the error: `meters/device/classes.py`."""
LIMITS = len(LIMITED_NAMES)

_PER_PHASE = (
    ("voltage", "v"),
    ("current", "a"),
    ("active_power", "w"),
    ("reactive_power", "var"),
    ("apparent_power", "va"),
)

QUANTITIES = (
    "active_power_w",
    "reactive_power_var",
    "apparent_power_va",
    "power_factor",
    "frequency_hz",
    *(f"{quantity}_l{phase}_{unit}" for (quantity, unit), phase in product(_PER_PHASE, PHASES)),
    *(f"power_factor_l{phase}" for phase in PHASES),
    *REGISTER_NAMES,
    "total_wh",
    *(f"total_l{phase}_wh" for phase in PHASES),
)
"""`total_*`: import and export, summed. Power factors are of active to apparent power, signed as the active power."""
