"""Eastron SDM630: what a block of input registers says (docs/wire-sdm630.md). Sans-IO."""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from headend.drivers import DecodeError

FIRST_REGISTER = 0x0000
REGISTERS = 76
"""Registers of one read, from `FIRST_REGISTER`: voltages, powers and energies of one moment."""

ROLL_OVER_WH = 100_000_000

_VOLTAGES = (0x0000, 0x0002, 0x0004)
_ACTIVE_POWER = 0x0034
_IMPORT, _EXPORT = 0x0048, 0x004A
_MAX_VOLTAGE_V = 1_000.0
_MAX_POWER_W = 10_000_000.0


@dataclass(frozen=True, slots=True)
class Registers:
    """One poll: energies in whole Wh, power in whole W (import positive), voltages to a tenth of a volt."""

    import_wh: int
    export_wh: int
    active_power_w: int
    voltages_v: tuple[float, float, float]


def decode(registers: Sequence[int]) -> Registers:
    """Raises DecodeError for a block that no such meter shows."""
    if len(registers) != REGISTERS:
        raise DecodeError("bad_structure", f"{len(registers)} registers instead of {REGISTERS}")
    values = struct.unpack(f">{REGISTERS // 2}f", struct.pack(f">{REGISTERS}H", *registers))

    def value(address: int, name: str, least: float, most: float) -> float:
        found: float = values[address // 2]
        if not math.isfinite(found) or not least <= found <= most:
            raise DecodeError("bad_value", f"{name} at 0x{address:04X} is {found:g}, not from {least:g} to {most:g}")
        return found

    def energy_wh(address: int, name: str) -> int:
        return round(value(address, name, 0.0, ROLL_OVER_WH / 1000) * 1000) % ROLL_OVER_WH

    return Registers(
        import_wh=energy_wh(_IMPORT, "imported energy"),
        export_wh=energy_wh(_EXPORT, "exported energy"),
        active_power_w=round(value(_ACTIVE_POWER, "active power", -_MAX_POWER_W, _MAX_POWER_W)),
        voltages_v=tuple(  # type: ignore[arg-type]  # three of them
            round(value(address, f"voltage L{phase}", 0.0, _MAX_VOLTAGE_V), 1)
            for phase, address in enumerate(_VOLTAGES, start=1)
        ),
    )
