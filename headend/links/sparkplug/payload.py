"""Sparkplug B payloads: bytes to values, and commands to bytes. Pure; of any bytes only DecodeError comes."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

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
#: Which of them carries a type by the specification (6.4.1).
_USUAL_KIND = {
    **{datatype: kinds[0] for datatype, kinds in _KINDS.items()},
    **dict.fromkeys((4, 8, 13), "long_value"),
    10: "double_value",
}
#: An integer of so many bits is what it seems to be.
_PLAIN_BITS = {**{datatype: bits - 1 for datatype, bits in _SIGNED_BITS.items()}, **_UNSIGNED_BITS}

#: A metric's value; None where it is null, bytes for what is not looked into (data sets, files, templates, arrays).
Value = int | float | bool | str | bytes | None

#: As the library has it (headend/links/sparkplug/schema.py).
Metric = Any


class Payload(NamedTuple):
    """A decoded payload. `seq` is absent in NDEATH and in commands.

    Each look into a metric has its price, and blocks of intervals have thousands: nothing is copied out beforehand.
    """

    time_ms: int | None
    seq: int | None
    metrics: Sequence[Metric]


def decode_payload(data: bytes) -> Payload:
    """Take a payload apart. Raises DecodeError: not_protobuf."""
    message = PayloadMessage()
    try:
        message.ParseFromString(data)
    except NotProtobuf as error:
        raise DecodeError("not_protobuf", str(error)) from error
    return Payload(
        message.timestamp if message.HasField("timestamp") else None,
        message.seq if message.HasField("seq") else None,
        message.metrics,
    )


# Only a zero needs asking whether it is there: asking costs more than reading.


def alias_of(metric: Metric) -> int | None:
    """A metric's alias, if it has one."""
    return metric.alias or (0 if metric.HasField("alias") else None)


def time_ms_of(metric: Metric) -> int | None:
    """A metric's timestamp, if it has one."""
    return metric.timestamp or (0 if metric.HasField("timestamp") else None)


def raw_of(metric: Metric) -> Value:
    """A metric's value as it lies in the payload, whatever its data type."""
    kind = None if metric.is_null else metric.WhichOneof("value")
    return None if kind is None else getattr(metric, kind)


def value_of(metric: Metric, datatype: int) -> Value:
    """A metric's value as the data type that its birth gave it. Raises DecodeError: bad_value."""
    if metric.is_null:
        return None
    kind = _USUAL_KIND.get(datatype)
    raw: Value = None if kind is None else getattr(metric, kind)
    if not raw and (kind is None or not metric.HasField(kind)):
        kind = _other_kind(metric, datatype)
        if kind is None:
            return None
        raw = getattr(metric, kind)
    if type(raw) is int and raw >> _PLAIN_BITS[datatype]:
        return _integer(raw, 32 if kind == "int_value" else 64, datatype)
    return raw


def _other_kind(metric: Metric, datatype: int) -> str | None:
    """How the value lies in the payload if not as usual; None if there is none, or none that is looked into."""
    kind: str | None = metric.WhichOneof("value")
    if kind is None:
        return None
    wanted = _KINDS.get(datatype)
    if wanted is None:
        if datatype not in _KNOWN:
            raise DecodeError("bad_value", f"data type {datatype} is unknown")
        return kind if isinstance(getattr(metric, kind), bytes) else None
    if kind not in wanted:
        raise DecodeError("bad_value", f"{kind} does not fit data type {datatype}")
    return kind


def _integer(raw: int, carrier_bits: int, datatype: int) -> int:
    """Signed integers travel as two's complement, of their own width or of the carrier's."""
    unsigned_bits = _UNSIGNED_BITS.get(datatype)
    if unsigned_bits is not None:
        raise DecodeError("bad_value", f"{raw} has more than {unsigned_bits} bits")
    bits = _SIGNED_BITS[datatype]
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
