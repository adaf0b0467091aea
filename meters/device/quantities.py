"""What a meter shows of itself at an instant, by name. The names carry the units; energies are registers in Wh."""

from __future__ import annotations

PHASES = (1, 2, 3)
REGISTER_NAMES = ("import_wh", "export_wh", *(f"{way}_l{phase}_wh" for way in ("import", "export") for phase in PHASES))
"""The registers in the order of CHANNELS (meters/device/state.py)."""

QUANTITIES = (
    "active_power_w",
    "reactive_power_var",
    "apparent_power_va",
    "power_factor",
    "frequency_hz",
    *(
        f"{quantity}_l{phase}_{unit}"
        for quantity, unit in (
            ("voltage", "v"),
            ("current", "a"),
            ("active_power", "w"),
            ("reactive_power", "var"),
            ("apparent_power", "va"),
        )
        for phase in PHASES
    ),
    *(f"power_factor_l{phase}" for phase in PHASES),
    *REGISTER_NAMES,
    "total_wh",
    *(f"total_l{phase}_wh" for phase in PHASES),
)
"""`total_*`: import and export, summed. Power factors are of active to apparent power, signed as the active power."""
