"""Sparkplug B payloads: bytes to values, and commands to bytes. Pure; of any bytes only DecodeError comes."""

import math
from collections.abc import Iterable
from typing import NamedTuple

from google.protobuf.message import DecodeError as NotProtobuf

from headend.drivers import DecodeError
from headend.links.sparkplug.schema import PayloadMessage

# Data types (specification 3.0, section 6.4.16).
_SIGNED_BITS = {1: 8, 2: 16, 3: 32, 4: 64}
_UNSIGNED_BITS = {5: 8, 6: 16, 7: 32, 8: 64, 13: 64}
_FLOATS = frozenset((9, 10))
_BOOLEAN = 11
_TEXTS = frozenset((12, 14, 15))
_KNOWN = range(1, 35)
_KINDS = {
    **dict.fromkeys((*_SIGNED_BITS, *_UNSIGNED_BITS), ("int_value", "long_value")),
    **dict.fromkeys(_FLOATS, ("float_value", "double_value")),
    **dict.fromkeys(_TEXTS, ("string_value",)),
    _BOOLEAN: ("boolean_value",),
}

#: A metric's value; None where it is null, bytes for what is not looked into (data sets, files, templates, arrays).
Value = int | float | bool | str | bytes | None


# The constructor of a NamedTuple is Python; this is hot.
_new = tuple.__new__


class Metric(NamedTuple):
    """A metric as it lies in the payload. `kind`: which member of the one-of `raw` is, None for a null."""

    name: str
    alias: int | None
    time_ms: int | None
    datatype: int | None
    kind: str | None
    raw: int | float | bool | str | bytes | None


class Payload(NamedTuple):
    """A decoded payload. `seq` is absent in NDEATH and in commands."""

    time_ms: int | None
    seq: int | None
    metrics: list[Metric]


def decode_payload(data: bytes) -> Payload:
    """Take a payload apart. Raises DecodeError: not_protobuf."""
    message = PayloadMessage()
    try:
        message.ParseFromString(data)
    except NotProtobuf as error:
        raise DecodeError("not_protobuf", str(error)) from error
    metrics = []
    for metric in message.metrics:
        # Only a zero needs asking whether it is there: asking costs three times as much as reading.
        kind = None if metric.is_null else metric.WhichOneof("value")
        name, raw = metric.name, None if kind is None else getattr(metric, kind)
        # The library gives the bytes of a text that is not UTF-8.
        if type(name) is bytes or (kind == "string_value" and type(raw) is bytes):
            raise DecodeError("not_protobuf", "a text is not UTF-8")
        metrics.append(
            _new(
                Metric,
                (
                    name,
                    metric.alias or (0 if metric.HasField("alias") else None),
                    metric.timestamp or (0 if metric.HasField("timestamp") else None),
                    metric.datatype or None,
                    kind,
                    raw,
                ),
            )
        )
    return Payload(
        message.timestamp if message.HasField("timestamp") else None,
        message.seq if message.HasField("seq") else None,
        metrics,
    )


def value_of(metric: Metric, datatype: int) -> Value:
    """A metric's value as the data type that its birth gave it. Raises DecodeError: bad_value."""
    kind, raw = metric.kind, metric.raw
    if kind is None:
        return None
    wanted = _KINDS.get(datatype)
    if wanted is None:
        if datatype not in _KNOWN:
            raise DecodeError("bad_value", f"data type {datatype} is unknown")
        return raw if isinstance(raw, bytes) else None
    if kind not in wanted:
        raise DecodeError("bad_value", f"{kind} does not fit data type {datatype}")
    if type(raw) is int and raw >> 7:
        return _integer(raw, 32 if kind == "int_value" else 64, datatype)
    return raw


def _integer(raw: int, carrier_bits: int, datatype: int) -> int:
    """Signed integers travel as two's complement, of their own width or of the carrier's."""
    unsigned_bits = _UNSIGNED_BITS.get(datatype)
    if unsigned_bits is not None:
        if raw >> unsigned_bits:
            raise DecodeError("bad_value", f"{raw} has more than {unsigned_bits} bits")
        return raw
    bits = _SIGNED_BITS[datatype]
    if not raw >> (bits - 1):
        return raw
    for width in {bits, max(bits, carrier_bits)}:
        value = raw - (1 << width)
        if -(1 << (bits - 1)) <= value < 0:
            return value
    raise DecodeError("bad_value", f"{raw} has more than {bits} bits")


def number_of(value: Value) -> float | None:
    """A value as a finite number; None if it is none."""
    if isinstance(value, bool | int | float) and math.isfinite(value):
        return float(value)
    return None


def encode_command(metrics: Iterable[tuple[str | int, bool | str]], *, time_ms: int) -> bytes:
    """The payload of an NCMD or a DCMD, without seq: (alias, or name where the birth gave none; value) each.

    The data type stands in the birth alone (6.4.6).
    """
    message = PayloadMessage(timestamp=time_ms)
    for key, value in metrics:
        metric = message.metrics.add(timestamp=time_ms)
        if isinstance(key, int):
            metric.alias = key
        else:
            metric.name = key
        if isinstance(value, bool):
            metric.boolean_value = value
        else:
            metric.string_value = value
    return bytes(message.SerializeToString())
