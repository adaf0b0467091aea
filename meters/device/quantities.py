"""What a meter counts, and what it shows of itself at an instant, by name. The names carry the units."""

from __future__ import annotations

from itertools import product

PHASES = (1, 2, 3)
PHASE_NAMES = tuple(f"L{phase}" for phase in PHASES)
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


def _phases(first: str) -> slice:
    at = REGISTER_NAMES.index(first)
    return slice(at, at + len(PHASES))


LIMITED_NAMES = ("import_wh", "export_wh", *QUADRANT_NAMES)
"""The registers of which a class limits the error: `meters/device/classes.py`."""
LIMITS = len(LIMITED_NAMES)


class Place:
    """Where registers stand in arrays (…, CHANNELS), and in arrays (…, LIMITS) of what a class allows."""

    IMPORT, EXPORT = REGISTER_NAMES.index("import_wh"), REGISTER_NAMES.index("export_wh")
    IMPORT_PHASES, EXPORT_PHASES = (_phases(f"{way}_l1_wh") for way in _WAYS)
    QUADRANTS = slice(REGISTER_NAMES.index(QUADRANT_NAMES[0]), REGISTER_NAMES.index(QUADRANT_NAMES[-1]) + 1)
    REACTIVE_IMPORT_PHASES, REACTIVE_EXPORT_PHASES = (_phases(f"reactive_{way}_l1_varh") for way in _WAYS)
    APPARENT = REGISTER_NAMES.index("apparent_vah")
    LIMITED_IMPORT, LIMITED_EXPORT = LIMITED_NAMES.index("import_wh"), LIMITED_NAMES.index("export_wh")
    LIMITED_QUADRANTS = slice(LIMITED_NAMES.index(QUADRANT_NAMES[0]), LIMITED_NAMES.index(QUADRANT_NAMES[-1]) + 1)


_PER_PHASE = (
    ("voltage", "v"),
    ("current", "a"),
    ("active_power", "w"),
    ("reactive_power", "var"),
    ("apparent_power", "va"),
)

PAIRS = ((1, 2), (2, 3), (3, 1))
"""Phases between which there is a voltage."""

REACTIVE_TOTALS = (
    "reactive_import_varh",
    "reactive_export_varh",
    "reactive_total_varh",
    *(f"reactive_total_l{phase}_varh" for phase in PHASES),
)
"""Of the quadrants I and II (import), III and IV (export), and both; then both of each phase."""

CIRCUIT_NAMES = (
    "voltage_v",
    "voltage_ll_v",
    *(f"voltage_l{one}_l{other}_v" for one, other in PAIRS),
    "current_a",
    "current_sum_a",
    "neutral_current_a",
    "phase_angle_deg",
    *(f"phase_angle_l{phase}_deg" for phase in PHASES),
)
"""Means of voltages and currents, the sum of currents, and angles of the current behind its voltage."""

THD_NAMES = (
    *(f"voltage_thd_l{phase}_percent" for phase in PHASES),
    "voltage_thd_percent",
    *(f"current_thd_l{phase}_percent" for phase in PHASES),
    "current_thd_percent",
    *(f"voltage_thd_l{one}_l{other}_percent" for one, other in PAIRS),
    "voltage_thd_ll_percent",
)
"""Total harmonic distortion, and its means."""

DEMANDED = (
    "demand_w",
    "import_demand_w",
    "export_demand_w",
    "demand_va",
    "neutral_demand_a",
    *(f"demand_l{phase}_a" for phase in PHASES),
)
MAXIMA = tuple(f"max_{name}" for name in DEMANDED)
"""Means over the last demand period, and the highest since a reset: meters/device/demand.py."""

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
    *REACTIVE_TOTALS,
    *CIRCUIT_NAMES,
    *THD_NAMES,
    *DEMANDED,
    *MAXIMA,
    "charge_ah",
)
"""`total_*`: import and export, summed. Power factors are of active to apparent power, signed as the active power.

Two apparent powers of a meter are different where its phases are: `apparent_power_va` is the vector one, of the sums of
active and reactive power, and `power_factor` is by it. `demand_va` and `apparent_vah` are arithmetic: the apparent
powers of the phases, added.
"""
