"""Sparkplug B payloads by hand: an encoder and a decoder of the protocol-buffer wire format that are nobody else's.

Written from the message definitions of the Sparkplug specification 3.0 (section 6.4) and from the description of the
protocol-buffer encoding, without generated code, so that a mistake in either side's use of a library is seen.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

UINT32, INT64, UINT64, FLOAT, BOOLEAN, STRING, DATE_TIME = 7, 4, 8, 9, 11, 12, 13
"""Data types (6.4.16) that docs/wire-sparkplug.md uses."""

_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5
_VALUE_FIELDS = {UINT32: 10, INT64: 11, UINT64: 11, DATE_TIME: 11, FLOAT: 12, BOOLEAN: 14, STRING: 15}

Value = int | float | bool | str | bytes | None


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. A `value` of None with `is_null` is a null; without it the metric has no value field at all."""

    name: str | None = None
    alias: int | None = None
    timestamp_ms: int | None = None
    datatype: int | None = None
    value: Value = None
    is_null: bool = False
    is_historical: bool = False
    value_field: int | None = None
    """Number of the field that carried the value."""
    properties: dict[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Payload:
    timestamp_ms: int | None
    seq: int | None
    metrics: tuple[Metric, ...] = ()

    def named(self, name: str) -> Metric:
        (metric,) = [metric for metric in self.metrics if metric.name == name]
        return metric

    @property
    def names(self) -> list[str | None]:
        return [metric.name for metric in self.metrics]


def decode(data: bytes) -> Payload:
    """Raises ValueError for what is no Sparkplug B payload, fields that the specification does not know included."""
    timestamp_ms, seq, metrics = None, None, []
    for number, value in _fields(data):
        match number, value:
            case 1, int():
                timestamp_ms = value
            case 2, bytes():
                metrics.append(_metric(value))
            case 3, int():
                seq = value
            case _:
                raise ValueError(f"payload has field {number} of an unexpected kind")
    return Payload(timestamp_ms, seq, tuple(metrics))


def encode(payload: Payload) -> bytes:
    parts = []
    if payload.timestamp_ms is not None:
        parts.append(_field(1, payload.timestamp_ms))
    parts += [_field(2, _encoded(metric)) for metric in payload.metrics]
    if payload.seq is not None:
        parts.append(_field(3, payload.seq))
    return b"".join(parts)


def _metric(data: bytes) -> Metric:
    fields = dict(_fields(data))
    name, alias, timestamp_ms, datatype = fields.get(1), fields.get(2), fields.get(3), fields.get(4)
    numbers = sorted(fields.keys() & set(range(10, 20)))
    if len(numbers) > 1:
        raise ValueError(f"metric {name!r} has {len(numbers)} values")
    value_field = numbers[0] if numbers else None
    value = _value(fields[value_field], value_field, datatype) if value_field is not None else None
    if unknown := fields.keys() - set(range(1, 20)):
        raise ValueError(f"metric {name!r} has the unknown fields {sorted(unknown)}")
    properties = fields.get(9, b"")
    if not isinstance(properties, bytes):
        raise ValueError(f"metric {name!r} has properties that are no message")
    return Metric(
        name=None if name is None else _text(name),
        alias=_number(alias),
        timestamp_ms=_number(timestamp_ms),
        datatype=_number(datatype),
        value=value,
        is_null=bool(fields.get(7, 0)),
        is_historical=bool(fields.get(5, 0)),
        value_field=value_field,
        properties=_properties(properties),
    )


def _value(raw: int | bytes, number: int, datatype: object) -> Value:
    match number, raw:
        case 10 | 11, int():
            # Signed integers are two's complement in an unsigned field (6.4.16).
            return raw - 2**64 if datatype == INT64 and raw >= 2**63 else raw
        case 12, bytes() if len(raw) == 4:
            return float(struct.unpack("<f", raw)[0])
        case 13, bytes() if len(raw) == 8:
            return float(struct.unpack("<d", raw)[0])
        case 14, int():
            return bool(raw)
        case 15, bytes():
            return raw.decode()
        case 16, bytes():
            return raw
    raise ValueError(f"a value in field {number} of an unexpected kind")


def _properties(data: bytes) -> dict[str, Value]:
    """PropertySet: parallel lists of keys and values, each with its type; strings alone are read here."""
    keys: list[str] = []
    values: list[Value] = []
    for number, raw in _fields(data):
        if number == 1:
            keys.append(_text(raw))
        elif number == 2 and isinstance(raw, bytes):
            inner = dict(_fields(raw))
            if inner.get(1) != STRING:
                raise ValueError(f"a property has the type {inner.get(1)!r}")
            values.append(_text(inner[8]) if 8 in inner else None)
        else:
            raise ValueError(f"property set has field {number} of an unexpected kind")
    return dict(zip(keys, values, strict=True))


def _encoded(metric: Metric) -> bytes:
    parts = []
    if metric.name is not None:
        parts.append(_field(1, metric.name.encode()))
    for number, value in ((2, metric.alias), (3, metric.timestamp_ms), (4, metric.datatype)):
        if value is not None:
            parts.append(_field(number, value))
    if metric.is_historical:
        parts.append(_field(5, 1))
    if metric.is_null:
        parts.append(_field(7, 1))
    if metric.value is not None:
        assert metric.value_field is not None or metric.datatype is not None
        number = metric.value_field or _VALUE_FIELDS[metric.datatype or 0]
        if number == 12:
            parts.append(_varint(number << 3 | _FIXED_32) + struct.pack("<f", metric.value))
        elif isinstance(metric.value, str):
            parts.append(_field(number, metric.value.encode()))
        else:
            parts.append(_field(number, int(metric.value) % 2**64))
    return b"".join(parts)


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(field number, varint as int or the rest as bytes), in their order."""
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _read_varint(data, at)
            yield number, value
            continue
        if kind == _BYTES:
            length, at = _read_varint(data, at)
        elif kind in (_FIXED_64, _FIXED_32):
            length = 8 if kind == _FIXED_64 else 4
        else:
            raise ValueError(f"field {number} has the wire type {kind}")
        if at + length > len(data):
            raise ValueError(f"field {number} ends beyond the message")
        yield number, data[at : at + length]
        at += length


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        if at == len(data) or shift > 63:
            raise ValueError("a number does not end")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def _field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, bytes):
        return _varint(number << 3 | _BYTES) + _varint(len(value)) + value
    return _varint(number << 3 | _VARINT) + _varint(value)


def _text(raw: int | bytes) -> str:
    if isinstance(raw, int):
        raise ValueError("a number where text belongs")
    return raw.decode()


def _number(raw: int | bytes | None) -> int | None:
    if isinstance(raw, bytes):
        raise ValueError("bytes where a number belongs")
    return raw


def intervals(metrics: Sequence[Metric], names: dict[int, str]) -> list[tuple[int, dict[str, Value]]]:
    """The intervals of a message, (timestamp in ms, {name: value}), by what `names` calls the aliases."""
    found: list[tuple[int, dict[str, Value]]] = []
    for metric in metrics:
        assert metric.alias is not None
        name = names[metric.alias]
        if not name.startswith("Interval/") or name == "Interval/Length":
            continue
        assert metric.timestamp_ms is not None
        if not found or found[-1][0] != metric.timestamp_ms:
            found.append((metric.timestamp_ms, {}))
        assert name not in found[-1][1], f"{name} twice in one interval"
        found[-1][1][name] = metric.value
    return found
