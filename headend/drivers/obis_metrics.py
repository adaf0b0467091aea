"""Metrics of a meter behind a collector, named by OBIS code (docs/wire-sparkplug.md, metrics of a meter).

Named values in, records out; which alias had which name is the session's business. Only DecodeError is raised.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from headend.drivers import (
    CommandAnswer,
    DecodeError,
    DeviceReport,
    EndDeviceEvent,
    NamedValue,
    ProfilePart,
    Reading,
)
from headend.drivers.answers import command_answer
from headend.drivers.checks import (
    MAX_PARTS,
    MAX_ROWS,
    MAX_STATUS,
    covered_range,
    integer,
    text,
)
from headend.drivers.event_log import end_device_event
from headend.drivers.obis import (
    COUNTERS,
    DEMAND_AT,
    MEASURES,
    SHOWN,
    are_usual,
    counters_from,
    measures_from,
    net,
)

_MAX_LENGTH_S = 86_400
_MAX_TIME_MS = 2**53
_DECIMALS = 3

_SLOTS = {f"Interval/{code}": slot for slot, code in enumerate(COUNTERS + MEASURES)}
_IMPORT = _SLOTS["Interval/1.29.0"]
_DEMAND_AT = COUNTERS.index(DEMAND_AT)
_COUNTER_COUNT = len(COUNTERS)
_LENGTH, _BOOT = "Interval/Length", "Meter/Boot"
_SEQUENCE, _CODE, _DETAIL = "Event/Sequence", "Event/Code", "Event/Detail"
_COMMAND, _FROM, _TO, _PART, _PARTS = "Answer/Command", "Answer/From", "Answer/To", "Answer/Part", "Answer/Parts"
_STATE, _REASON = "Answer/State", "Answer/Reason"
_REGISTERS = {f"Register/{code}": code for code in SHOWN}
_SINGLE = frozenset(
    (_LENGTH, _BOOT, _SEQUENCE, _CODE, _DETAIL, _COMMAND, _FROM, _TO, _PART, _PARTS, _STATE, _REASON, *_REGISTERS)
)
_CONTROL = ("Device Control/", "Node Control/", "Properties/")

#: By slot; of any type until it was looked at.
_Row = list[Any]


def decode_report(values: Iterable[NamedValue], length_s: int, *, birth: bool) -> DeviceReport:
    """What the metrics of a DBIRTH or DDATA say. `length_s`: the capture period, unless they tell another.

    Of a birth, only intervals, capture period and start count are news. Metrics of other makes are kept by name as long
    as they are numbers.
    """
    rows: dict[int | None, _Row] = {}
    single: dict[str, NamedValue] = {}
    others: list[tuple[str, float, float]] = []
    for item in values:
        name, time_ms, value = item
        slot = _SLOTS.get(name)
        if slot is not None:
            row = rows.get(time_ms)
            if row is None:
                row = rows[time_ms] = [None] * len(_SLOTS)
            if row[slot] is not None:
                raise DecodeError("bad_structure", f"{name} is given twice for one instant")
            row[slot] = value
        elif name in _SINGLE:
            if single.setdefault(name, item) is not item:
                raise DecodeError("bad_structure", f"{name} is given twice")
        elif value is not None and not name.startswith(_CONTROL):
            _keep(others, item)
    told = single.get(_LENGTH)
    if told is not None and told.value is not None:
        length_s = integer(told.value, _LENGTH, minimum=1, maximum=_MAX_LENGTH_S)
    readings = [_reading(time_ms, row) for time_ms, row in rows.items() if row.count(None) < len(row)]
    boot = single.get(_BOOT)
    return DeviceReport(
        interval_length_s=length_s,
        readings=readings,
        event=None if birth else _event(single),
        answer=None if birth else _command_answer(single) or _answer(single, readings, length_s),
        others=others,
        boot=None
        if boot is None or boot.value is None
        else (integer(boot.value, _BOOT, maximum=MAX_STATUS), _time_s(boot.time_ms)),
    )


def _reading(time_ms: int | None, row: _Row) -> Reading:
    if time_ms is None or time_ms % 1000:
        raise DecodeError("bad_time", f"an interval ends at {time_ms} ms, which is not a whole second")
    end_s = _time_s(time_ms)
    if row[_IMPORT] is None:
        raise DecodeError("missing_field", "no interval energy Interval/1.29.0")
    if row[_DEMAND_AT] is not None:
        row[_DEMAND_AT] = integer(row[_DEMAND_AT], f"Interval/{DEMAND_AT}", maximum=_MAX_TIME_MS) // 1000
    values = tuple(row)
    if are_usual(values):
        counters, measures = net(values[:_COUNTER_COUNT]), values[_COUNTER_COUNT:]
    else:
        present = {code: value for code, value in zip(COUNTERS + MEASURES, row, strict=True) if value is not None}
        counters, measures = counters_from(present), measures_from(present)
    # A float32 of up to three decimals.
    rounded = [round(value, _DECIMALS) for value in measures]
    return Reading._make((end_s, *counters, *rounded, (), None not in row))


def _event(single: dict[str, NamedValue]) -> EndDeviceEvent | None:
    sequence, code, detail = (single.get(name) for name in (_SEQUENCE, _CODE, _DETAIL))
    if sequence is None and code is None and detail is None:
        return None
    if sequence is None or code is None:
        raise DecodeError("missing_field", "an event without its sequence number or its code")
    try:
        fields = orjson.loads(str(detail.value)) if detail is not None and detail.value is not None else {}
    except orjson.JSONDecodeError as error:
        raise DecodeError("not_json", f"{_DETAIL}: {error}") from error
    return end_device_event(
        device_time_s=_time_s(sequence.time_ms), sequence=sequence.value, code=code.value, detail=fields
    )


def _command_answer(single: dict[str, NamedValue]) -> CommandAnswer | None:
    """The answer to a command that asks for no load profile."""
    state = single.get(_STATE)
    if state is None:
        return None
    command, reason = single.get(_COMMAND), single.get(_REASON)
    if command is None:
        raise DecodeError("missing_field", f"an answer without {_COMMAND}")
    values = {
        code: single[name].value
        for name, code in _REGISTERS.items()
        if name in single and single[name].value is not None
    }
    if DEMAND_AT in values:
        values[DEMAND_AT] = integer(values[DEMAND_AT], f"Register/{DEMAND_AT}", maximum=_MAX_TIME_MS) // 1000
    return command_answer(
        command=command.value,
        device_time_s=_time_s(command.time_ms),
        state=state.value,
        reason=None if reason is None else reason.value,
        values=values or None,
    )


def _answer(single: dict[str, NamedValue], readings: Sequence[Reading], length_s: int) -> ProfilePart | None:
    fields = [single.get(name) for name in (_COMMAND, _FROM, _TO, _PART, _PARTS)]
    if not any(fields):
        return None
    if len(readings) > MAX_ROWS:
        raise DecodeError("bad_structure", f"more than {MAX_ROWS} intervals in one part")
    command, first, end, part, parts = (None if item is None else item.value for item in fields)
    from_s, to_s = covered_range(_answer_s(first, _FROM), _answer_s(end, _TO), length_s)
    if not all(from_s <= reading.end_s - length_s < to_s for reading in readings):
        raise DecodeError("bad_value", "an interval lies outside the covered range")
    count = integer(parts, _PARTS, minimum=1, maximum=MAX_PARTS)
    return ProfilePart(
        command_id=text(command, _COMMAND),
        device_time_s=_time_s(single[_COMMAND].time_ms),
        from_s=from_s,
        to_s=to_s,
        part=integer(part, _PART, minimum=1, maximum=count),
        parts=count,
        interval_length_s=length_s,
        readings=list(readings),
    )


def _answer_s(value: object, name: str) -> int:
    time_ms = integer(value, name, maximum=_MAX_TIME_MS)
    if time_ms % 1000:
        raise DecodeError("bad_time", f"{name} is not in whole seconds")
    return time_ms // 1000


def _time_s(time_ms: int | None) -> int:
    if time_ms is None or time_ms > _MAX_TIME_MS:
        raise DecodeError("bad_time", "a metric has no time, or none that there is")
    return time_ms // 1000


def _keep(others: list[tuple[str, float, float]], item: NamedValue) -> None:
    name, time_ms, value = item
    if isinstance(value, int | float) and math.isfinite(value):
        if time_ms is None or time_ms > _MAX_TIME_MS:
            raise DecodeError("bad_time", f"{name:.60} has no time, or none that there is")
        others.append((text(name, "the name of a metric"), time_ms / 1000, float(value)))
