"""The meters on the line behind a gateway: what comes back from a unit for a request's PDU. Sans-IO.

MODBUS Application Protocol V1.1b3: a function that the meter does not have is refused before a quantity, and that
before an address. A request whose length is not what its own words say is an illegal value (section 7).
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping
from typing import Protocol

from meters.carriers.modbus.entries import Refusal, Setting
from meters.carriers.modbus.register_map import RegisterMap

READS = (3, 4)
WRITE_ONE, WRITE_MANY = 6, 16
DIAGNOSTICS = 8
_ECHO = b"\x00\x00"
"""The sub-function "return query data"."""
_ERROR = 0x80
_READ = struct.Struct(">BHH")
_WRITE_MANY = struct.Struct(">BHHB")
_HEAD = struct.Struct(">BB")
_MOST_WRITTEN = 123


class Meters(Protocol):
    """Those on one line."""

    def at(self, unit: int) -> Collection[int]:
        """Who has this address now, and answers: several if they were given the same."""

    def shown(self, meter: int) -> Mapping[str, float] | None:
        """What a meter shows at the present instant, by name; None: it falls silent."""

    def settings(self, meter: int, *, of_lock: bool) -> Mapping[str, float]:
        """What stands in its holding registers; `of_lock`: the lock is among those that are read."""

    def write(self, meter: int, setting: Setting, number: float) -> Refusal | None:
        """A master writes a setting."""


class Line:
    """Answers for the `meters` of a line, which all have the same register map."""

    def __init__(self, meters: Meters, registers: RegisterMap) -> None:
        self._meters = meters
        self._registers = registers
        self._lock = next((each.address for each in registers.setting if each.role == "lock"), None)

    def answer(self, unit: int, pdu: bytes) -> bytes | None:
        """The PDU that comes back; None where no answer could be told from another (function code 0, or above 127)."""
        if not pdu or not 0 < pdu[0] < _ERROR:
            return None
        meters = self._meters.at(unit)
        # Two that answer at once are noise on the line.
        if len(meters) != 1:
            return _refused(pdu, Refusal.TARGET_FAILED)
        (meter,) = meters
        function = pdu[0]
        if function not in self._registers.functions:
            return _refused(pdu, Refusal.ILLEGAL_FUNCTION)
        if function in READS:
            return self._show(meter, pdu)
        if function == DIAGNOSTICS:
            return _echoed(pdu)
        return self._write_one(meter, pdu) if function == WRITE_ONE else self._write_many(meter, pdu)

    def _show(self, meter: int, pdu: bytes) -> bytes:
        if len(pdu) != _READ.size:
            return _refused(pdu, Refusal.ILLEGAL_VALUE)
        function, address, count = _READ.unpack(pdu)
        refusal = self._registers.refusal(function, address, count)
        if refusal is not None:
            return _refused(pdu, refusal)
        if self._registers.are_settings(function, address, count):
            of_lock = self._lock is not None and address <= self._lock < address + count
            values: Mapping[str, float] | None = self._meters.settings(meter, of_lock=of_lock)
        else:
            values = self._meters.shown(meter)
        if values is None:
            return _refused(pdu, Refusal.TARGET_FAILED)
        return _HEAD.pack(function, 2 * count) + self._registers.answer(values, function, address, count)

    def _write_one(self, meter: int, pdu: bytes) -> bytes:
        if len(pdu) != _READ.size:
            return _refused(pdu, Refusal.ILLEGAL_VALUE)
        _, address, _ = _READ.unpack(pdu)
        refusal = self._write(meter, address, pdu[3:])
        return pdu if refusal is None else _refused(pdu, refusal)

    def _write_many(self, meter: int, pdu: bytes) -> bytes:
        if len(pdu) < _WRITE_MANY.size:
            return _refused(pdu, Refusal.ILLEGAL_VALUE)
        _, address, count, size = _WRITE_MANY.unpack_from(pdu)
        data = pdu[_WRITE_MANY.size :]
        if not 0 < count <= _MOST_WRITTEN or size != 2 * count or len(data) != size:
            return _refused(pdu, Refusal.ILLEGAL_VALUE)
        refusal = self._write(meter, address, data)
        return pdu[: _READ.size] if refusal is None else _refused(pdu, refusal)

    def _write(self, meter: int, address: int, data: bytes) -> Refusal | None:
        """Exactly one setting, as a whole: a meter takes one in a message."""
        setting = self._registers.setting_at(address)
        if setting is None or setting.size != len(data):
            return Refusal.ILLEGAL_ADDRESS
        (number,) = setting.format.unpack(self._registers.ordered(data))
        return self._meters.write(meter, setting, float(number))


def _echoed(pdu: bytes) -> bytes:
    """Diagnostics: of all sub-functions a meter has the one that returns the request."""
    if len(pdu) < 3:
        return _refused(pdu, Refusal.ILLEGAL_VALUE)
    return pdu if pdu[1:3] == _ECHO else _refused(pdu, Refusal.ILLEGAL_FUNCTION)


def _refused(pdu: bytes, refusal: Refusal) -> bytes:
    return bytes((pdu[0] | _ERROR, refusal))
