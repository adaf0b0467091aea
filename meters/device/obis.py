"""What a meter records and shows, by OBIS code C.D.E (IEC 62056-61), for wires that name it so. Pure.

Powers have a code for either direction. The time of the maximum demand is attribute 5, capture time, of the extended
register 1.6.0 (DLMS blue book); it is in epoch seconds here, and a wire writes it as it writes times.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter

from meters.device.quantities import PHASES, QUADRANT_NAMES
from meters.device.records import IntervalRecord

REGISTERS_WH = ("1.8.0", "2.8.0")
REGISTERS_VARH = ("5.8.0", "6.8.0", "7.8.0", "8.8.0")
ENERGIES_WH = ("1.29.0", "2.29.0", "21.29.0", "41.29.0", "61.29.0", "22.29.0", "42.29.0", "62.29.0")
ENERGIES_VARH = ("5.29.0", "6.29.0", "7.29.0", "8.29.0")
POWERS_W = ("1.7.0", "2.7.0", "21.7.0", "22.7.0", "41.7.0", "42.7.0", "61.7.0", "62.7.0")
POWERS_VAR = ("23.7.0", "24.7.0", "43.7.0", "44.7.0", "63.7.0", "64.7.0")
FACTORS = ("33.7.0", "53.7.0", "73.7.0")
VOLTAGES_V = ("32.7.0", "52.7.0", "72.7.0")
CURRENTS_A = ("31.7.0", "51.7.0", "71.7.0")
DEMAND_W, DEMAND_AT = "1.6.0", "1.6.0.5"
STATUS = "96.10.1"

COLUMNS = (
    *REGISTERS_WH,
    *REGISTERS_VARH,
    *ENERGIES_WH,
    *ENERGIES_VARH,
    *POWERS_W,
    *POWERS_VAR,
    *FACTORS,
    *VOLTAGES_V,
    *CURRENTS_A,
    DEMAND_W,
    DEMAND_AT,
    STATUS,
)
"""Of an interval's `values`."""

REGISTERS = (
    *REGISTERS_WH,
    *REGISTERS_VARH,
    *POWERS_W,
    *POWERS_VAR,
    *FACTORS,
    *VOLTAGES_V,
    *CURRENTS_A,
    DEMAND_W,
    DEMAND_AT,
)
"""Of what is `shown` at an instant."""


def _fields(first: str, last: str) -> slice:
    return slice(IntervalRecord._fields.index(first), IntervalRecord._fields.index(last) + 1)


_registers = itemgetter(_fields("import_register_wh", "export_register_wh"))
_reactive_registers = itemgetter(_fields("reactive_q1_register_varh", "reactive_q4_register_varh"))
_energies = itemgetter(_fields("import_wh", "export_l3_wh"))
_reactive_energies = itemgetter(_fields("reactive_q1_varh", "reactive_q4_varh"))
_powers = itemgetter(_fields("active_power_w", "reactive_power_l3_var"))
_factors = itemgetter(_fields("power_factor_l1_permille", "power_factor_l3_permille"))
_voltages = itemgetter(_fields("voltage_l1_dv", "voltage_l3_dv"))
_currents = itemgetter(_fields("current_l1_ma", "current_l3_ma"))
_demand_and_status = itemgetter(_fields("max_demand_import_w", "status"))


def shown(quantities: Mapping[str, int | float]) -> tuple[int | float, ...]:
    """What a meter shows at an instant, in the order of `REGISTERS`."""
    powers = (
        "active_power_w",
        *(f"active_power_l{phase}_w" for phase in PHASES),
        *(f"reactive_power_l{phase}_var" for phase in PHASES),
    )
    return (
        quantities["import_wh"],
        quantities["export_wh"],
        *(quantities[name] for name in QUADRANT_NAMES),
        *(way for name in powers for way in (max(quantities[name], 0), max(-quantities[name], 0))),
        *(quantities[f"power_factor_l{phase}"] for phase in PHASES),
        *(quantities[f"voltage_l{phase}_v"] for phase in PHASES),
        *(quantities[f"current_l{phase}_a"] for phase in PHASES),
        quantities["max_demand_import_w"],
        quantities["max_demand_at_s"],
    )


def values(record: IntervalRecord) -> tuple[int | float, ...]:
    """The interval's values in the order of `COLUMNS`: voltages with one decimal, currents and factors with three."""
    return (
        *_registers(record),
        *_reactive_registers(record),
        *_energies(record),
        *_reactive_energies(record),
        *[way for power in _powers(record) for way in ((power, 0) if power > 0 else (0, -power))],
        *[factor / 1000 for factor in _factors(record)],
        *[voltage / 10 for voltage in _voltages(record)],
        *[current / 1000 for current in _currents(record)],
        *_demand_and_status(record),
    )
