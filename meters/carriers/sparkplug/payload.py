"""Payloads that a collector sends, and those that it is sent: docs/wire-sparkplug.md. Pure: values in, bytes out.

Those about a meter are in meters/carriers/sparkplug/device_metrics.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

from meters.carriers.sparkplug.schema import DataType, Payload
from meters.device.records import IntervalRecord

BD_SEQ = "bdSeq"
REBIRTH = "Node Control/Rebirth"
COMMAND = "Device Control/Command"
MAINS = "Power/Mains"
"""Whether a collector has supply; without, it runs on its battery."""

INTERVALS_PER_MESSAGE = 48
"""Each takes at most 1,250 bytes, so that a message stays below 60 kB."""
INTERVALS_PER_PART = 48
"""Most intervals in one part of an answer."""

MS = 1000


class MetricSpec(NamedTuple):
    """A metric as a birth declares it."""

    name: str
    datatype: DataType
    unit: str | None = None


VALUE_FIELD = {
    DataType.INT64: "long_value",
    DataType.UINT64: "long_value",
    DataType.DATE_TIME: "long_value",
    DataType.UINT32: "int_value",
    DataType.FLOAT: "float_value",
    DataType.BOOLEAN: "boolean_value",
    DataType.STRING: "string_value",
}


class Closed(NamedTuple):
    """An interval that ended when the meter's clock showed `end_s`."""

    end_s: int
    record: IntervalRecord


@dataclass(frozen=True, slots=True)
class Answer:
    """What all parts of an answer say."""

    command_id: str
    device_time_s: int
    from_s: int
    to_s: int


class Written(NamedTuple):
    """A metric that a command writes. It has a name or an alias; the value is None where it is null or of no use."""

    name: str | None
    alias: int | None
    value: bool | int | float | str | None


_BD_SEQ = MetricSpec(BD_SEQ, DataType.INT64)


def encode_death(now_s: int, bd_seq: int) -> bytes:
    """NDEATH, for the will too: it has no `seq`, and no aliases, as there may be no birth before it."""
    payload = Payload(timestamp=now_s * MS)
    declare(payload, _BD_SEQ, now_s, bd_seq)
    return serialised(payload)


def encode_node_birth(now_s: int, bd_seq: int, meters: int, *, mains: bool, first_alias: int) -> bytes:
    """NBIRTH: its `seq` is 0. All metrics have an alias but the one that hosts must be able to write without."""
    payload = Payload(timestamp=now_s * MS, seq=0)
    declare(payload, MetricSpec(REBIRTH, DataType.BOOLEAN), now_s, False)
    with_alias: tuple[tuple[MetricSpec, object], ...] = (
        (MetricSpec(MAINS, DataType.BOOLEAN), mains),
        (_BD_SEQ, bd_seq),
        (MetricSpec("Properties/Meters", DataType.UINT32), meters),
    )
    for alias, (spec, value) in enumerate(with_alias, start=first_alias):
        declare(payload, spec, now_s, value).alias = alias
    return serialised(payload)


def encode_node_data(now_s: int, seq: int, *, mains: bool, first_alias: int) -> bytes:
    """NDATA: the collector has lost its supply, or has it back."""
    payload = Payload(timestamp=now_s * MS, seq=seq)
    payload.metrics.add(alias=first_alias, timestamp=now_s * MS, boolean_value=mains)
    return serialised(payload)


def encode_ddeath(now_s: int, seq: int) -> bytes:
    """DDEATH: the collector cannot reach the meter."""
    return serialised(Payload(timestamp=now_s * MS, seq=seq))


def decode_command(payload: bytes) -> list[Written]:
    """What an NCMD or DCMD writes. Raises ValueError if it is no payload of Sparkplug."""
    try:
        message = Payload.FromString(payload)
    except DecodeError as error:
        raise ValueError("not a payload of Sparkplug B") from error
    return [_written(metric) for metric in message.metrics]


def in_parts(intervals: Sequence[Closed], size: int) -> list[Sequence[Closed]]:
    """The intervals in pieces of up to `size`; none at all are one empty piece."""
    return [intervals[start : start + size] for start in range(0, max(1, len(intervals)), size)]


def _written(metric: Any) -> Written:
    field = metric.WhichOneof("value")
    value = None if field is None or field == "bytes_value" or metric.is_null else getattr(metric, field)
    return Written(
        metric.name if metric.HasField("name") else None, metric.alias if metric.HasField("alias") else None, value
    )


def declare(payload: Any, spec: MetricSpec, time_s: int, value: object) -> Any:
    metric = payload.metrics.add(name=spec.name, timestamp=time_s * MS, datatype=int(spec.datatype))
    if value is None:
        metric.is_null = True
    else:
        setattr(metric, VALUE_FIELD[spec.datatype], value)
    return metric


def serialised(payload: Any) -> bytes:
    data: bytes = payload.SerializeToString()
    return data
