"""The metrics of an interval and of the registers, by OBIS code (IEC 62056-61): docs/wire-sparkplug.md."""

from __future__ import annotations

from collections.abc import Mapping

from meters.carriers.sparkplug.payload import MetricSpec
from meters.carriers.sparkplug.schema import DataType
from meters.device.records import IntervalRecord

_ENERGIES = (
    "1.8.0", "2.8.0", "1.29.0", "2.29.0", "21.29.0", "41.29.0", "61.29.0", "22.29.0", "42.29.0", "62.29.0",
)  # fmt: skip

INTERVAL_METRICS = (
    *(MetricSpec(f"Interval/{obis}", DataType.INT64, "Wh") for obis in _ENERGIES),
    *(MetricSpec(f"Interval/{obis}", DataType.INT64, "W") for obis in ("1.7.0", "2.7.0")),
    *(MetricSpec(f"Interval/{obis}", DataType.FLOAT, "V") for obis in ("32.7.0", "52.7.0", "72.7.0")),
    MetricSpec("Interval/96.10.1", DataType.UINT32),
)

REGISTER_METRICS = (
    *(MetricSpec(f"Register/{obis}", DataType.INT64, "Wh") for obis in ("1.8.0", "2.8.0")),
    *(MetricSpec(f"Register/{obis}", DataType.INT64, "W") for obis in ("1.7.0", "2.7.0")),
    *(MetricSpec(f"Register/{obis}", DataType.FLOAT, "V") for obis in ("32.7.0", "52.7.0", "72.7.0")),
)


def shown(quantities: Mapping[str, int | float]) -> tuple[int | float, ...]:
    """What the meter shows, in the order of `REGISTER_METRICS`."""
    power_w = quantities["active_power_w"]
    return (
        quantities["import_wh"],
        quantities["export_wh"],
        max(power_w, 0),
        max(-power_w, 0),
        *(quantities[f"voltage_l{phase}_v"] for phase in (1, 2, 3)),
    )


def values(record: IntervalRecord) -> tuple[int | float, ...]:
    """The values of an interval in the order of `INTERVAL_METRICS`."""
    power_w = record.active_power_w
    return (
        record.import_register_wh,
        record.export_register_wh,
        record.import_wh,
        record.export_wh,
        record.import_l1_wh,
        record.import_l2_wh,
        record.import_l3_wh,
        record.export_l1_wh,
        record.export_l2_wh,
        record.export_l3_wh,
        max(power_w, 0),
        max(-power_w, 0),
        record.voltage_l1_dv / 10,
        record.voltage_l2_dv / 10,
        record.voltage_l3_dv / 10,
        record.status,
    )
