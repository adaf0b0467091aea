"""Eastron SDM630: the table of input registers, and how values become registers. Pure (docs/wire-sdm630.md).

A value is an IEEE 754 float32 in two registers, most significant word first. What the table does not have reads as
zero, since clients read in blocks.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

ADDRESSES = {
    "voltage_l1_v": 0x0000, "voltage_l2_v": 0x0002, "voltage_l3_v": 0x0004,
    "current_l1_a": 0x0006, "current_l2_a": 0x0008, "current_l3_a": 0x000A,
    "active_power_l1_w": 0x000C, "active_power_l2_w": 0x000E, "active_power_l3_w": 0x0010,
    "active_power_w": 0x0034, "reactive_power_var": 0x003C, "power_factor": 0x003E, "frequency_hz": 0x0046,
    "import_kwh": 0x0048, "export_kwh": 0x004A, "total_kwh": 0x0156,
    "import_l1_kwh": 0x015A, "import_l2_kwh": 0x015C, "import_l3_kwh": 0x015E,
    "export_l1_kwh": 0x0160, "export_l2_kwh": 0x0162, "export_l3_kwh": 0x0164,
    "total_l1_kwh": 0x0166, "total_l2_kwh": 0x0168, "total_l3_kwh": 0x016A,
}  # fmt: skip
"""First register of each value, 0-based (Eastron SDM630Modbus protocol, as sdm_modbus and mbmd have it)."""

REGISTERS = 0x017E
"""Registers that can be read, from 0."""

READ_LIMIT = 80
"""Most registers in one request."""

READ_INPUT_REGISTERS = 4


def registers_of(values: Mapping[str, float]) -> list[int]:
    """All registers of a meter that shows `values` (names of `ADDRESSES`; absent ones are zero)."""
    floats = np.zeros(REGISTERS // 2, dtype=">f4")
    for name, value in values.items():
        floats[ADDRESSES[name] // 2] = value
    words: NDArray[np.uint16] = np.frombuffer(floats.tobytes(), dtype=">u2").astype(np.uint16)
    registers: list[int] = words.tolist()
    return registers


def shown_wh(energy_wh: NDArray[np.int64]) -> NDArray[np.int64]:
    """What a reader makes of energy registers, in whole Wh: the wire has float32 kWh.

    That rounds the last Wh before the roll-over up to what a reader takes for 0.
    """
    shown: NDArray[np.int64] = np.rint((energy_wh / 1000).astype(np.float32).astype(np.float64) * 1000).astype(np.int64)
    return shown
