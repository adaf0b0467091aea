"""The meters on the line behind a gateway: what comes back from a unit for a request's PDU. Sans-IO.

MODBUS Application Protocol V1.1b3: a function that the meter does not have is refused before a quantity, and that
before an address. A request whose length is not what its own words say is an illegal value (section 7).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from meters.carriers.modbus.register_map import Image, Refusal, RegisterMap

Read = Callable[[int], Image | None]
"""All registers of a meter at the present instant, or None if it does not answer."""

READS = (3, 4)
DIAGNOSTICS = 8
_ECHO = b"\x00\x00"
"""The sub-function "return query data"."""
_ERROR = 0x80
_READ = struct.Struct(">BHH")
_HEAD = struct.Struct(">BB")


class Line:
    """Answers for `units` (unit identifier → meter), which all have the same register map."""

    def __init__(self, units: Mapping[int, int], registers: RegisterMap, read: Read) -> None:
        self._units = dict(units)
        self._registers = registers
        self._read = read

    def answer(self, unit: int, pdu: bytes) -> bytes | None:
        """The PDU that comes back; None where no answer could be told from another (function code 0, or above 127)."""
        if not pdu or not 0 < pdu[0] < _ERROR:
            return None
        meter = self._units.get(unit)
        image = None if meter is None else self._read(meter)
        if image is None:
            return _refused(pdu, Refusal.TARGET_FAILED)
        function = pdu[0]
        if function not in self._registers.functions:
            return _refused(pdu, Refusal.ILLEGAL_FUNCTION)
        if function in READS:
            return self._show(image, pdu)
        return _echoed(pdu)

    def _show(self, image: Image, pdu: bytes) -> bytes:
        if len(pdu) != _READ.size:
            return _refused(pdu, Refusal.ILLEGAL_VALUE)
        function, address, count = _READ.unpack(pdu)
        refusal = self._registers.refusal(function, address, count)
        if refusal is not None:
            return _refused(pdu, refusal)
        return _HEAD.pack(function, 2 * count) + self._registers.answer(image, function, address, count)


def _echoed(pdu: bytes) -> bytes:
    """Diagnostics: of all sub-functions a meter has the one that returns the request."""
    if len(pdu) < 3:
        return _refused(pdu, Refusal.ILLEGAL_VALUE)
    return pdu if pdu[1:3] == _ECHO else _refused(pdu, Refusal.ILLEGAL_FUNCTION)


def _refused(pdu: bytes, refusal: Refusal) -> bytes:
    return bytes((pdu[0] | _ERROR, refusal))
