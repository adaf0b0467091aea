"""The metrics of an interval and of the registers, by OBIS code (IEC 62056-61): docs/wire-sparkplug.md."""

from __future__ import annotations

from collections.abc import Mapping

from meters.carriers.sparkplug.payload import MS, MetricSpec
from meters.carriers.sparkplug.schema import DataType
from meters.device import obis
from meters.device.records import IntervalRecord

_UNITS = {
    **dict.fromkeys((*obis.REGISTERS_WH, *obis.ENERGIES_WH), (DataType.INT64, "Wh")),
    **dict.fromkeys((*obis.REGISTERS_VARH, *obis.ENERGIES_VARH), (DataType.INT64, "varh")),
    **dict.fromkeys((*obis.POWERS_W, obis.DEMAND_W), (DataType.INT64, "W")),
    **dict.fromkeys(obis.POWERS_VAR, (DataType.INT64, "var")),
    **dict.fromkeys(obis.FACTORS, (DataType.FLOAT, None)),
    **dict.fromkeys(obis.VOLTAGES_V, (DataType.FLOAT, "V")),
    **dict.fromkeys(obis.CURRENTS_A, (DataType.FLOAT, "A")),
    obis.DEMAND_AT: (DataType.DATE_TIME, None),
    obis.STATUS: (DataType.UINT32, None),
}
_AT, _AT_SHOWN = obis.COLUMNS.index(obis.DEMAND_AT), obis.REGISTERS.index(obis.DEMAND_AT)

INTERVAL_METRICS = tuple(MetricSpec(f"Interval/{code}", *_UNITS[code]) for code in obis.COLUMNS)
REGISTER_METRICS = tuple(MetricSpec(f"Register/{code}", *_UNITS[code]) for code in obis.REGISTERS)


def values(record: IntervalRecord) -> list[int | float]:
    """Of an interval, in the order of INTERVAL_METRICS."""
    found = list(obis.values(record))
    found[_AT] *= MS
    return found


def shown(quantities: Mapping[str, int | float]) -> list[int | float]:
    """Of an instant, in the order of REGISTER_METRICS."""
    found = list(obis.shown(quantities))
    found[_AT_SHOWN] *= MS
    return found
