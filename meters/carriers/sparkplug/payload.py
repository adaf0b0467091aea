"""Payloads that a collector sends, and those that it is sent: docs/wire-sparkplug.md. Pure: values in, bytes out.

A *row of values* is one interval's numbers in the order of `meters.vendors.rl_dsp.COLUMNS`, as everywhere. A meter's
metrics are `DEVICE_METRICS`; their aliases count up from the meter's first one (`first_alias`), so an alias is a
position.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

from meters.carriers.sparkplug.schema import DataType, Payload
from meters.vendors.rl_dsp import COLUMNS, Row

BD_SEQ = "bdSeq"
REBIRTH = "Node Control/Rebirth"
FENCE = "Node Control/Fence"
COMMAND = "Device Control/Command"
MAINS = "Power/Mains"
"""Whether a collector has supply; without, it runs on its battery."""

INTERVALS_PER_MESSAGE = 128
"""Each takes at most 440 bytes, so that a message stays below 60 kB."""
INTERVALS_PER_PART = 48
"""Most intervals in one part of an answer."""

_MS = 1000
_SIGNED_64 = (1 << 64) - 1


class MetricSpec(NamedTuple):
    """A metric as a birth declares it."""

    name: str
    datatype: DataType
    unit: str | None = None


def _of_interval(obis: str) -> MetricSpec:
    quantity = obis.split(".")[1]
    if obis == "96.10.1":
        return MetricSpec(f"Interval/{obis}", DataType.UINT32)
    if quantity == "7":
        voltage = int(obis.split(".")[0]) % 20 == 12
        return MetricSpec(f"Interval/{obis}", *((DataType.FLOAT, "V") if voltage else (DataType.INT64, "W")))
    return MetricSpec(f"Interval/{obis}", DataType.INT64, "Wh")


DEVICE_METRICS = (
    MetricSpec("Interval/Length", DataType.UINT32, "s"),
    *(_of_interval(obis) for obis in COLUMNS),
    MetricSpec("Event/Sequence", DataType.INT64),
    MetricSpec("Event/Code", DataType.STRING),
    MetricSpec("Event/Detail", DataType.STRING),
    MetricSpec("Meter/Boot", DataType.UINT32),
    MetricSpec(COMMAND, DataType.STRING),
    MetricSpec("Answer/Command", DataType.STRING),
    MetricSpec("Answer/From", DataType.DATE_TIME),
    MetricSpec("Answer/To", DataType.DATE_TIME),
    MetricSpec("Answer/Part", DataType.UINT32),
    MetricSpec("Answer/Parts", DataType.UINT32),
)
_PLACE = {spec.name: place for place, spec in enumerate(DEVICE_METRICS)}
_INTERVAL = _PLACE["Interval/1.8.0"]
_VALUE_FIELD = {
    DataType.INT64: "long_value",
    DataType.UINT64: "long_value",
    DataType.DATE_TIME: "long_value",
    DataType.UINT32: "int_value",
    DataType.FLOAT: "float_value",
    DataType.BOOLEAN: "boolean_value",
    DataType.STRING: "string_value",
}
_INTERVAL_FIELDS = tuple(_VALUE_FIELD[spec.datatype] for spec in DEVICE_METRICS[_INTERVAL : _INTERVAL + len(COLUMNS)])


class Closed(NamedTuple):
    """An interval that ended when the meter's clock showed `end_s`."""

    end_s: int
    row: Row


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


def encode_death(now_s: int, bd_seq: int) -> bytes:
    """NDEATH, for the will too: it has no `seq`."""
    payload = Payload(timestamp=now_s * _MS)
    _declare(payload, MetricSpec(BD_SEQ, DataType.UINT64), now_s, bd_seq)
    return _bytes(payload)


def encode_node_birth(now_s: int, bd_seq: int, meters: int, *, mains: bool, mains_alias: int) -> bytes:
    """NBIRTH: its `seq` is 0."""
    payload = Payload(timestamp=now_s * _MS, seq=0)
    for spec, value in (
        (MetricSpec(BD_SEQ, DataType.UINT64), bd_seq),
        (MetricSpec(REBIRTH, DataType.BOOLEAN), False),
        (MetricSpec(FENCE, DataType.STRING), ""),
        (MetricSpec("Properties/Meters", DataType.UINT32), meters),
    ):
        _declare(payload, spec, now_s, value)
    _declare(payload, MetricSpec(MAINS, DataType.BOOLEAN), now_s, mains).alias = mains_alias
    return _bytes(payload)


def encode_node_data(now_s: int, seq: int, *, mains: bool, mains_alias: int) -> bytes:
    """NDATA: the collector has lost its supply, or has it back."""
    payload = Payload(timestamp=now_s * _MS, seq=seq)
    payload.metrics.add(alias=mains_alias, timestamp=now_s * _MS, boolean_value=mains)
    return _bytes(payload)


def encode_birth(
    now_s: int, seq: int, first_alias: int, *, interval_length_s: int, boot: int, last: Closed | None
) -> bytes:
    """DBIRTH. `last` is the last interval that the meter has reported."""
    payload = Payload(timestamp=now_s * _MS, seq=seq)
    known: dict[str, int | float] = {"Interval/Length": interval_length_s, "Meter/Boot": boot}
    of_interval = {} if last is None else {f"Interval/{obis}": v for obis, v in zip(COLUMNS, last.row, strict=True)}
    for place, spec in enumerate(DEVICE_METRICS):
        if last is not None and spec.name in of_interval:
            metric = _declare(payload, spec, last.end_s, of_interval[spec.name])
        else:
            metric = _declare(payload, spec, now_s, known.get(spec.name))
        metric.alias = first_alias + place
        if spec.unit is not None:
            metric.properties.keys.append("engUnit")
            metric.properties.values.add(type=DataType.STRING, string_value=spec.unit)
    return _bytes(payload)


def encode_ddeath(now_s: int, seq: int) -> bytes:
    """DDEATH: the collector cannot reach the meter."""
    return _bytes(Payload(timestamp=now_s * _MS, seq=seq))


def encode_intervals(now_s: int, seq: int, first_alias: int, intervals: Sequence[Closed], *, historical: bool) -> bytes:
    """DDATA with up to `INTERVALS_PER_MESSAGE` intervals, by rising end."""
    # Filling in a message that is there takes half the time of making one: this is what a collector does all day.
    template, metrics = _blank(len(intervals), historical)
    template.timestamp = now_s * _MS
    template.seq = seq
    _fill(metrics, first_alias, intervals)
    return _bytes(template)


def encode_event(
    now_s: int,
    seq: int,
    first_alias: int,
    *,
    device_time_s: int,
    sequence: int,
    code: str,
    detail: str,
    historical: bool,
) -> bytes:
    """DDATA with one event. `detail` is a JSON object."""
    payload = Payload(timestamp=now_s * _MS, seq=seq)
    values = {"Event/Sequence": sequence, "Event/Code": code, "Event/Detail": detail}
    _report(payload, first_alias, device_time_s, values, historical=historical)
    return _bytes(payload)


def encode_boot(now_s: int, seq: int, first_alias: int, boot: int) -> bytes:
    """DDATA: the meter's communication processor has started again."""
    payload = Payload(timestamp=now_s * _MS, seq=seq)
    _report(payload, first_alias, now_s, {"Meter/Boot": boot}, historical=False)
    return _bytes(payload)


def encode_answer(
    now_s: int, seq: int, first_alias: int, answer: Answer, intervals: Sequence[Closed], *, part: int, parts: int
) -> bytes:
    """DDATA with part `part` of `parts`, counted from 1: up to `INTERVALS_PER_PART` intervals."""
    payload = Payload(timestamp=now_s * _MS, seq=seq)
    values = {
        "Answer/Command": answer.command_id,
        "Answer/From": answer.from_s * _MS,
        "Answer/To": answer.to_s * _MS,
        "Answer/Part": part,
        "Answer/Parts": parts,
    }
    _report(payload, first_alias, answer.device_time_s, values, historical=False)
    metrics = [payload.metrics.add(is_historical=True) for _ in range(len(intervals) * len(COLUMNS))]
    _fill(metrics, first_alias, intervals)
    return _bytes(payload)


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


def _declare(payload: Any, spec: MetricSpec, time_s: int, value: object) -> Any:
    metric = payload.metrics.add(name=spec.name, timestamp=time_s * _MS, datatype=int(spec.datatype))
    if value is None:
        metric.is_null = True
    else:
        setattr(metric, _VALUE_FIELD[spec.datatype], value)
    return metric


def _report(payload: Any, first_alias: int, time_s: int, values: dict[str, Any], *, historical: bool) -> None:
    for name, value in values.items():
        place = _PLACE[name]
        metric = payload.metrics.add(alias=first_alias + place, timestamp=time_s * _MS)
        if historical:
            metric.is_historical = True
        setattr(metric, _VALUE_FIELD[DEVICE_METRICS[place].datatype], value)


@lru_cache(maxsize=256)
def _blank(intervals: int, historical: bool) -> tuple[Any, list[Any]]:
    """A message with the metrics of so many intervals, to be filled in."""
    payload = Payload()
    metrics = []
    for _ in range(intervals * len(COLUMNS)):
        metrics.append(payload.metrics.add())
        if historical:
            metrics[-1].is_historical = True
    return payload, metrics


def _fill(metrics: Iterable[Any], first_alias: int, intervals: Sequence[Closed]) -> None:
    aliases = range(first_alias + _INTERVAL, first_alias + _INTERVAL + len(COLUMNS))
    following = iter(metrics)
    for end_s, row in intervals:
        timestamp = end_s * _MS
        for alias, field, value, metric in zip(aliases, _INTERVAL_FIELDS, row, following, strict=False):
            metric.alias = alias
            metric.timestamp = timestamp
            if field == "long_value":
                metric.long_value = value
            elif field == "float_value":
                metric.float_value = value
            else:
                metric.int_value = value


def _bytes(payload: Any) -> bytes:
    data: bytes = payload.SerializeToString()
    return data
