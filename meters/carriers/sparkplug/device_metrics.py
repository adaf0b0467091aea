"""The metrics of a meter behind a collector, and the messages about it: docs/wire-sparkplug.md. Pure.

What a meter's interval and registers are made of is its vendor's (`IntervalWire`). Aliases count up from the meter's
first one (`first_alias`), so an alias is a position.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from meters.carriers.sparkplug.payload import (
    COMMAND,
    MS,
    VALUE_FIELD,
    Answer,
    Closed,
    MetricSpec,
    declare,
    serialised,
)
from meters.carriers.sparkplug.schema import DataType, Payload
from meters.device.records import CommandAnswer, IntervalRecord


class IntervalWire(Protocol):
    """What a vendor's `wire.py` has for a meter behind a collector. Pure."""

    INTERVAL_METRICS: tuple[MetricSpec, ...]
    """The metrics of an interval."""

    def values(self, record: IntervalRecord) -> Sequence[int | float]:
        """Their values, in that order."""
        ...

    REGISTER_METRICS: tuple[MetricSpec, ...]
    """The metrics of an on-demand read."""

    def shown(self, quantities: Mapping[str, int | float]) -> Sequence[int | float]:
        """Their values, in that order, of what the meter shows (meters/device/quantities.py)."""
        ...


REQUIRED = ("INTERVAL_METRICS", "values", "REGISTER_METRICS", "shown")
_LENGTH = MetricSpec("Interval/Length", DataType.UINT32, "s")
_OTHERS = (
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
    MetricSpec("Answer/State", DataType.STRING),
    MetricSpec("Answer/Reason", DataType.STRING),
)
_KNOWN = ("Interval/Length", "Meter/Boot")
"""What a birth says whatever the meter has reported."""
_INTERVAL = 1
"""Place of the first metric of an interval."""


class DeviceMetrics:
    """The metrics of a meter behind a collector, and the messages about it."""

    def __init__(self, wire: IntervalWire) -> None:
        self.specs = (_LENGTH, *wire.INTERVAL_METRICS, *_OTHERS, *wire.REGISTER_METRICS)
        """In the order of their aliases."""
        self._wire = wire
        self._width = len(wire.INTERVAL_METRICS)
        self._fields = tuple(VALUE_FIELD[spec.datatype] for spec in self.specs)
        self._value_fields = self._fields[_INTERVAL : _INTERVAL + self._width]
        self._place = {spec.name: place for place, spec in enumerate(self.specs)}
        self.command_place = self._place[COMMAND]
        self._blanks: dict[tuple[int, bool], tuple[Any, list[Any]]] = {}
        self._declarations: dict[tuple[tuple[int, ...], bool], tuple[Any, list[Any]]] = {}

    def birth(
        self, now_s: int, seq: int, first_alias: int, *, interval_length_s: int, boot: int, last: Closed | None
    ) -> bytes:
        """DBIRTH. `last` is the last interval that the meter has reported."""
        known = dict(zip(_KNOWN, (interval_length_s, boot), strict=True))
        stated: list[tuple[int, int | float | None]] = [(now_s, known.get(spec.name)) for spec in self.specs]
        if last is not None:
            values = self._wire.values(last.record)
            stated[_INTERVAL : _INTERVAL + self._width] = [(last.end_s, value) for value in values]
        # What is not historical stands in the order of its time (5.20), whatever the meter's clock shows.
        places = tuple(sorted(range(len(stated)), key=lambda place: stated[place][0]))
        template, metrics = self._declaration(places, bare=last is None)
        template.timestamp = now_s * MS
        template.seq = seq
        for place, metric in zip(places, metrics, strict=True):
            time_s, value = stated[place]
            metric.alias = first_alias + place
            metric.timestamp = time_s * MS
            if value is not None:
                setattr(metric, self._fields[place], value)
        return serialised(template)

    def intervals(
        self, now_s: int, seq: int, first_alias: int, intervals: Sequence[Closed], *, historical: bool
    ) -> bytes:
        """DDATA with up to `INTERVALS_PER_MESSAGE` intervals, by rising end."""
        # Filling in a message that is there takes half the time of making one: this is what a collector does all day.
        template, metrics = self._blank(len(intervals), historical)
        template.timestamp = now_s * MS
        template.seq = seq
        self._fill(metrics, first_alias, intervals)
        return serialised(template)

    def event(
        self,
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
        payload = Payload(timestamp=now_s * MS, seq=seq)
        values = {"Event/Sequence": sequence, "Event/Code": code, "Event/Detail": detail}
        self._report(payload, first_alias, device_time_s, values, historical=historical)
        return serialised(payload)

    def boot(self, now_s: int, seq: int, first_alias: int, boot: int) -> bytes:
        """DDATA: the meter's communication processor has started again."""
        payload = Payload(timestamp=now_s * MS, seq=seq)
        self._report(payload, first_alias, now_s, {"Meter/Boot": boot}, historical=False)
        return serialised(payload)

    def answer(
        self,
        now_s: int,
        seq: int,
        first_alias: int,
        answer: Answer,
        intervals: Sequence[Closed],
        *,
        part: int,
        parts: int,
    ) -> bytes:
        """DDATA with part `part` of `parts`, counted from 1: up to `INTERVALS_PER_PART` intervals."""
        payload = Payload(timestamp=now_s * MS, seq=seq)
        values = {
            "Answer/Command": answer.command_id,
            "Answer/From": answer.from_s * MS,
            "Answer/To": answer.to_s * MS,
            "Answer/Part": part,
            "Answer/Parts": parts,
        }
        self._report(payload, first_alias, answer.device_time_s, values, historical=False)
        metrics = [payload.metrics.add(is_historical=True) for _ in range(len(intervals) * self._width)]
        self._fill(metrics, first_alias, intervals)
        return serialised(payload)

    def command_answer(self, now_s: int, seq: int, first_alias: int, answer: CommandAnswer) -> bytes:
        """DDATA with the answer to any other command."""
        payload = Payload(timestamp=now_s * MS, seq=seq)
        values: dict[str, Any] = {"Answer/Command": answer.command_id}
        if answer.fault is None:
            values["Answer/State"] = "completed"
        else:
            values |= {"Answer/State": "failed", "Answer/Reason": answer.fault}
        if answer.quantities is not None:
            names = (spec.name for spec in self._wire.REGISTER_METRICS)
            values |= zip(names, self._wire.shown(answer.quantities), strict=True)
        self._report(payload, first_alias, answer.device_time_s, values, historical=False)
        return serialised(payload)

    def _report(self, payload: Any, first_alias: int, time_s: int, values: dict[str, Any], *, historical: bool) -> None:
        for name, value in values.items():
            place = self._place[name]
            metric = payload.metrics.add(alias=first_alias + place, timestamp=time_s * MS)
            if historical:
                metric.is_historical = True
            setattr(metric, VALUE_FIELD[self.specs[place].datatype], value)

    def _declaration(self, places: tuple[int, ...], *, bare: bool) -> tuple[Any, list[Any]]:
        """A DBIRTH with the metrics in the order of `places`, to be filled in; `bare`: without an interval."""
        found = self._declarations.get((places, bare))
        if found is not None:
            return found
        payload = Payload()
        metrics = []
        for place in places:
            spec = self.specs[place]
            in_interval = _INTERVAL <= place < _INTERVAL + self._width
            has_value = spec.name in _KNOWN or (in_interval and not bare)
            metrics.append(declare(payload, spec, 0, 0 if has_value else None))
            if spec.unit is not None:
                metrics[-1].properties.keys.append("engUnit")
                metrics[-1].properties.values.add(type=DataType.STRING, string_value=spec.unit)
        self._declarations[places, bare] = payload, metrics
        return payload, metrics

    def _blank(self, intervals: int, historical: bool) -> tuple[Any, list[Any]]:
        """A message with the metrics of so many intervals, to be filled in."""
        found = self._blanks.get((intervals, historical))
        if found is not None:
            return found
        payload = Payload()
        metrics = []
        for _ in range(intervals * self._width):
            metrics.append(payload.metrics.add())
            if historical:
                metrics[-1].is_historical = True
        self._blanks[intervals, historical] = payload, metrics
        return payload, metrics

    def _fill(self, metrics: Iterable[Any], first_alias: int, intervals: Sequence[Closed]) -> None:
        aliases = range(first_alias + _INTERVAL, first_alias + _INTERVAL + self._width)
        following = iter(metrics)
        for end_s, record in intervals:
            timestamp, values = end_s * MS, self._wire.values(record)
            for alias, field, value, metric in zip(aliases, self._value_fields, values, following, strict=False):
                metric.alias = alias
                metric.timestamp = timestamp
                if field == "long_value":
                    metric.long_value = value
                elif field == "float_value":
                    metric.float_value = value
                else:
                    metric.int_value = value
