"""Canonical channels by OBIS code C.D.E (IEC 62056-61), for wires that name values so (docs/wire-rl-dsp.md)."""

from headend.drivers.records import READING_COUNTERS, READING_VOLTAGES

#: The bits of the status are those of StatusFlag.
OBIS = {
    "import_register_wh": "1.8.0",
    "export_register_wh": "2.8.0",
    "import_wh": "1.29.0",
    "export_wh": "2.29.0",
    "import_l1_wh": "21.29.0",
    "import_l2_wh": "41.29.0",
    "import_l3_wh": "61.29.0",
    "export_l1_wh": "22.29.0",
    "export_l2_wh": "42.29.0",
    "export_l3_wh": "62.29.0",
    "import_power_w": "1.7.0",
    "export_power_w": "2.7.0",
    "status": "96.10.1",
    "voltage_l1_v": "32.7.0",
    "voltage_l2_v": "52.7.0",
    "voltage_l3_v": "72.7.0",
}
COUNTERS = tuple(OBIS[name] for name in READING_COUNTERS)
VOLTAGES = tuple(OBIS[name] for name in READING_VOLTAGES)
