"""The requests in a stream of Modbus TCP, whatever pieces it comes in. Sans-IO.

MODBUS Messaging on TCP/IP Implementation Guide V1.0b, 3.1.3: transaction, protocol (0), length of the rest, unit.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

LONGEST_FRAME = 260
"""The header and the longest PDU (MODBUS Application Protocol V1.1b3, 4.1)."""

_HEADER = struct.Struct(">HHH")
_ANSWER = struct.Struct(">HHHB")
_MODBUS = 0


class Request(NamedTuple):
    """A frame: `pdu` is function code and data, and may be empty."""

    transaction: int
    unit: int
    pdu: bytes


class FramingError(Exception):
    """What comes is no Modbus TCP, and nobody can know where the next frame would begin."""


class Requests:
    """Takes bytes, gives requests in their order. It holds what it was fed and has not given yet."""

    def __init__(self) -> None:
        self._data = b""
        self._at = 0

    def feed(self, data: bytes) -> None:
        """More of the stream."""
        self._data = self._data[self._at :] + data
        self._at = 0

    def take(self) -> Request | None:
        """The next request, or None: it is not whole yet. A frame of another protocol is passed over.

        Raises FramingError.
        """
        while len(self._data) >= self._at + _HEADER.size:
            transaction, protocol, length = _HEADER.unpack_from(self._data, self._at)
            if not 0 < length <= LONGEST_FRAME - _HEADER.size:
                raise FramingError(f"a frame of {length} bytes")
            begins = self._at + _HEADER.size
            if len(self._data) < begins + length:
                return None
            self._at = begins + length
            # The guide has what is not Modbus discarded.
            if protocol == _MODBUS:
                return Request(transaction, self._data[begins], self._data[begins + 1 : self._at])
        return None


def answered(request: Request, pdu: bytes) -> bytes:
    """The frame that answers `request` with `pdu`."""
    return _ANSWER.pack(request.transaction, _MODBUS, len(pdu) + 1, request.unit) + pdu
