"""Canonical channels by OBIS code C.D.E (IEC 62056-61), for wires that name values so (docs/wire-rl-dsp.md)."""

import math
from collections.abc import Mapping
from operator import sub
from typing import Any

from headend.drivers.checks import (
    MAX_COUNTER,
    MAX_CURRENT_A,
    MAX_STATUS,
    MAX_VOLTAGE_V,
    integer,
    number,
)
from headend.drivers.records import ABSENT, PHASES, READING_COUNTERS, READING_MEASURES

_QUADRANTS = (1, 2, 3, 4)


def _of_phase(code: int, phase: int) -> int:
    """The C of a quantity of L1, in another phase."""
    return code + 20 * (phase - 1)


#: When the demand period ended that 1.6.0 is of: attribute 5 (capture time) of an extended register. In epoch seconds
#: here; a wire's own form of it is each driver's business.
DEMAND_AT = "1.6.0.5"

#: The bits of the status are those of StatusFlag.
OBIS = {
    "import_register_wh": "1.8.0",
    "export_register_wh": "2.8.0",
    **{f"reactive_q{quadrant}_register_varh": f"{4 + quadrant}.8.0" for quadrant in _QUADRANTS},
    "import_wh": "1.29.0",
    "export_wh": "2.29.0",
    **{f"import_l{phase}_wh": f"{_of_phase(21, phase)}.29.0" for phase in PHASES},
    **{f"export_l{phase}_wh": f"{_of_phase(22, phase)}.29.0" for phase in PHASES},
    **{f"reactive_q{quadrant}_varh": f"{4 + quadrant}.29.0" for quadrant in _QUADRANTS},
    "import_power_w": "1.7.0",
    "export_power_w": "2.7.0",
    "max_demand_import_w": "1.6.0",
    "max_demand_at_s": DEMAND_AT,
    "status": "96.10.1",
    **{f"voltage_l{phase}_v": f"{_of_phase(32, phase)}.7.0" for phase in PHASES},
    **{f"current_l{phase}_a": f"{_of_phase(31, phase)}.7.0" for phase in PHASES},
    **{f"power_factor_l{phase}": f"{_of_phase(33, phase)}.7.0" for phase in PHASES},
}
#: What is net here, and on the wire a code for each direction.
NET = {
    **{f"active_power_l{phase}_w": (f"{_of_phase(21, phase)}.7.0", f"{_of_phase(22, phase)}.7.0") for phase in PHASES},
    **{
        f"reactive_power_l{phase}_var": (f"{_of_phase(23, phase)}.7.0", f"{_of_phase(24, phase)}.7.0")
        for phase in PHASES
    },
}
#: Codes on the wire, of the counters and of what is measured, each in the order of the fields of a Reading.
COUNTERS = tuple(code for name in READING_COUNTERS for code in (NET[name] if name in NET else (OBIS[name],)))
MEASURES = tuple(OBIS[name] for name in READING_MEASURES)
#: Codes of what a meter shows at an instant: not those of an interval, nor its status.
SHOWN = tuple(code for code in COUNTERS + MEASURES if not code.endswith(".29.0") and code != OBIS["status"])
VOLTAGES = tuple(OBIS[f"voltage_l{phase}_v"] for phase in PHASES)
#: Where among COUNTERS the pairs of NET stand.
NET_FROM, NET_TO = COUNTERS.index(NET["active_power_l1_w"][0]), COUNTERS.index(NET["reactive_power_l3_var"][1]) + 1

_FACTORS_FROM = len(COUNTERS) + READING_MEASURES.index("power_factor_l1")
_USUAL_TYPES = (int,) * len(COUNTERS) + (float,) * len(MEASURES)

_FACTORS = frozenset(OBIS[f"power_factor_l{phase}"] for phase in PHASES)
_MOST = (
    dict.fromkeys(VOLTAGES, MAX_VOLTAGE_V)
    | {OBIS[f"current_l{phase}_a"]: MAX_CURRENT_A for phase in PHASES}
    | dict.fromkeys(_FACTORS, 1.0)
)


def are_usual(values: tuple[Any, ...]) -> bool:
    """Whether values (n,), in the order of COUNTERS and MEASURES, are all there, of the usual types and ranges.

    Nearly all are, and one by one they cost more to look at than all else. What is not may be right all the same.
    """
    measured, factors = values[len(COUNTERS) :], values[_FACTORS_FROM:]
    return (
        tuple(map(type, values)) == _USUAL_TYPES
        and min(values[:_FACTORS_FROM]) >= 0
        and max(values[: len(COUNTERS)]) <= MAX_STATUS
        and max(measured) <= MAX_VOLTAGE_V
        and min(factors) >= -1.0
        and max(factors) <= 1.0
        # A NaN is below and above nothing.
        and not math.isnan(sum(measured))
    )


def net(counters: tuple[int, ...]) -> tuple[int, ...]:
    """The counters of a Reading (n,) from those on the wire, in the order of COUNTERS, all of which are there."""
    pairs = counters[NET_FROM:NET_TO]
    return counters[:NET_FROM] + tuple(map(sub, pairs[::2], pairs[1::2])) + counters[NET_TO:]


def counters_from(values: Mapping[str, object]) -> tuple[int, ...]:
    """The counters of a Reading by code; ABSENT for what is not there. Raises DecodeError."""
    return tuple(
        _net_counter(values, *NET[name]) if name in NET else _counter(values, OBIS[name], ABSENT)
        for name in READING_COUNTERS
    )


def measures_from(values: Mapping[str, object]) -> tuple[float, ...]:
    """What is measured, of a Reading, by code; NaN for what is not there. Raises DecodeError."""
    return tuple(measure(values[code], code) if code in values else math.nan for code in MEASURES)


def measure(value: object, code: str) -> float:
    """Of the range that the quantity has. Raises DecodeError."""
    return number(value, code, minimum=-1.0 if code in _FACTORS else 0.0, maximum=_MOST[code])


def _net_counter(values: Mapping[str, object], taken: str, given: str) -> int:
    if taken not in values and given not in values:
        return ABSENT
    return _counter(values, taken, 0) - _counter(values, given, 0)


def _counter(values: Mapping[str, object], code: str, absent: int) -> int:
    if code not in values:
        return absent
    return integer(values[code], code, maximum=MAX_STATUS if code == OBIS["status"] else MAX_COUNTER)
