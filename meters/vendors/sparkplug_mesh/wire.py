"""The metrics of an interval and of the registers, by OBIS code (IEC 62056-61): docs/wire-sparkplug.md."""

from __future__ import annotations

from meters.carriers.sparkplug.payload import MetricSpec
from meters.carriers.sparkplug.schema import DataType
from meters.device.obis import ENERGIES_WH, POWERS_W, REGISTERS_WH, STATUS, VOLTAGES_V, shown, values

__all__ = ["INTERVAL_METRICS", "REGISTER_METRICS", "shown", "values"]

INTERVAL_METRICS = (
    *(MetricSpec(f"Interval/{obis}", DataType.INT64, "Wh") for obis in ENERGIES_WH),
    *(MetricSpec(f"Interval/{obis}", DataType.INT64, "W") for obis in POWERS_W),
    *(MetricSpec(f"Interval/{obis}", DataType.FLOAT, "V") for obis in VOLTAGES_V),
    MetricSpec(f"Interval/{STATUS}", DataType.UINT32),
)

REGISTER_METRICS = (
    *(MetricSpec(f"Register/{obis}", DataType.INT64, "Wh") for obis in REGISTERS_WH),
    *(MetricSpec(f"Register/{obis}", DataType.INT64, "W") for obis in POWERS_W),
    *(MetricSpec(f"Register/{obis}", DataType.FLOAT, "V") for obis in VOLTAGES_V),
)
