"""Payload B read byte by byte, from the encoding of protocol buffers and the numbers in the Sparkplug specification.

Deliberately without a protobuf library and without anything of `meters`: what the tests of both sides may compare with.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

INT64, UINT32, UINT64, FLOAT, BOOLEAN, STRING, DATE_TIME = 4, 7, 8, 9, 11, 12, 13


@dataclass
class Metric:
    name: str | None = None
    alias: int | None = None
    timestamp_ms: int | None = None
    datatype: int | None = None
    historical: bool = False
    null: bool = False
    properties: dict[str, Any] = field(default_factory=dict)
    value: Any = None


@dataclass
class Payload:
    timestamp_ms: int | None = None
    seq: int | None = None
    metrics: list[Metric] = field(default_factory=list)

    def by_name(self) -> dict[str | None, Metric]:
        return {metric.name: metric for metric in self.metrics}


def read(data: bytes) -> Payload:
    payload = Payload()
    for number, value in fields(data):
        if number == 1:
            payload.timestamp_ms = value
        elif number == 2:
            payload.metrics.append(_metric(value))
        elif number == 3:
            payload.seq = value
        else:
            raise AssertionError(f"field {number} in a payload")
    return payload


def _metric(data: bytes) -> Metric:
    metric = Metric()
    seen = []
    for number, value in fields(data):
        match number:
            case 1:
                metric.name = value.decode()
            case 2:
                metric.alias = value
            case 3:
                metric.timestamp_ms = value
            case 4:
                metric.datatype = value
            case 5:
                metric.historical = bool(value)
            case 7:
                metric.null = bool(value)
            case 9:
                metric.properties = _properties(value)
            case 10 | 11:
                metric.value = value
            case 12:
                (metric.value,) = struct.unpack("<f", value)
            case 14:
                metric.value = bool(value)
            case 15:
                metric.value = value.decode()
            case _:
                raise AssertionError(f"field {number} in a metric")
        seen.append(number)
    assert len(seen) == len(set(seen))
    assert sum(number >= 10 for number in seen) == (0 if metric.null else 1)
    return metric


def _properties(data: bytes) -> dict[str, Any]:
    keys, values = [], []
    for number, value in fields(data):
        if number == 1:
            keys.append(value.decode())
        elif number == 2:
            parts = dict(fields(value))
            assert parts[1] == STRING
            values.append(parts[8].decode())
        else:
            raise AssertionError(f"field {number} in a property set")
    return dict(zip(keys, values, strict=True))


def fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """(number, value) of each field of a message: an int for a varint, else bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value: Any
            value, at = _varint(data, at)
        elif kind == 1:
            value, at = data[at : at + 8], at + 8
        elif kind == 2:
            length, at = _varint(data, at)
            value, at = data[at : at + length], at + length
        elif kind == 5:
            value, at = data[at : at + 4], at + 4
        else:
            raise AssertionError(f"wire type {kind}")
        assert at <= len(data)
        yield number, value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def write(metrics: list[tuple[str | None, int | None, Any]]) -> bytes:
    """A command: (name, alias, value) each; the value is a bool or a str."""
    out = b""
    for name, alias, value in metrics:
        body = b""
        if name is not None:
            body += _string(1, name)
        if alias is not None:
            body += b"\x10" + _to_varint(alias)
        if isinstance(value, bool):
            body += bytes([14 << 3, value])
        elif isinstance(value, str):
            body += _string(15, value)
        else:
            body += b"\x38\x01"
        out += b"\x12" + _to_varint(len(body)) + body
    return b"\x08\x01" + out


def _string(number: int, text: str) -> bytes:
    data = text.encode()
    return _to_varint(number << 3 | 2) + _to_varint(len(data)) + data


def _to_varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
