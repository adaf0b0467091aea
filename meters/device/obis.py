"""What a meter records and shows, by OBIS code C.D.E (IEC 62056-61), for wires that name it so. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from meters.device.records import IntervalRecord

REGISTERS_WH = ("1.8.0", "2.8.0")
ENERGIES_WH = (
    *REGISTERS_WH,
    *("1.29.0", "2.29.0", "21.29.0", "41.29.0", "61.29.0", "22.29.0", "42.29.0", "62.29.0"),
)
POWERS_W = ("1.7.0", "2.7.0")
VOLTAGES_V = ("32.7.0", "52.7.0", "72.7.0")
STATUS = "96.10.1"

COLUMNS = (*ENERGIES_WH, *POWERS_W, *VOLTAGES_V, STATUS)
"""Of an interval's `values`."""

REGISTERS = (*REGISTERS_WH, *POWERS_W, *VOLTAGES_V)
"""Of what is `shown` at an instant."""


def shown(quantities: Mapping[str, int | float]) -> tuple[int | float, ...]:
    """What a meter shows at an instant, in the order of `REGISTERS`."""
    power_w = quantities["active_power_w"]
    return (
        quantities["import_wh"],
        quantities["export_wh"],
        max(power_w, 0),
        max(-power_w, 0),
        *(quantities[f"voltage_l{phase}_v"] for phase in (1, 2, 3)),
    )


def values(record: IntervalRecord) -> tuple[int | float, ...]:
    """The interval's values in the order of `COLUMNS`: Wh, W, V with one decimal, and the profile status."""
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
