"""The wire of `rl-dsp`: JSON after VSE/AES RL-DSP CH 2024, with amilab's extension (docs/wire-rl-dsp.md).

Pure functions over bytes. Whatever the bytes are, the only exception is DecodeError.
"""

from operator import itemgetter
from typing import Any

import orjson

from headend.drivers import (
    CommandAnswer,
    DecodeError,
    DeviceState,
    EndDeviceEvent,
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
    number,
    text,
)
from headend.drivers.event_log import end_device_event
from headend.drivers.iso8601 import time_s
from headend.drivers.obis import COUNTERS, DEMAND_AT, MEASURES, OBIS, are_usual, counters_from, measures_from, net

_CANONICAL = frozenset(COUNTERS + MEASURES)
_INTERVAL_IMPORT = OBIS["import_wh"]

_values_of = itemgetter(*COUNTERS, *MEASURES)
_COUNTER_COUNT = len(COUNTERS)
_new_reading = tuple.__new__
_NOTHING_ELSE = ((), True)
_USUAL_LENGTH = len(_CANONICAL) + 1

_MAX_OTHERS = 64


def decode_reading(payload: bytes) -> Reading:
    """Decode a `ds` payload. The fast path is the usual shape; anything else is looked at key by key."""
    meter = _body(payload, "meter")
    end_s = time_s(meter.get("ts"))
    _read_demand_time(meter)
    if len(meter) == _USUAL_LENGTH:
        try:
            values = _values_of(meter)
        except KeyError:
            return _careful_reading(end_s, meter)
        if are_usual(values):
            counters, measures = net(values[:_COUNTER_COUNT]), values[_COUNTER_COUNT:]
            # The constructor of a NamedTuple is Python, and unpacking goes by way of a list; this is hot.
            return _new_reading(Reading, (end_s,) + counters + measures + _NOTHING_ELSE)  # noqa: RUF005
    return _careful_reading(end_s, meter)


def _careful_reading(end_s: int, values: dict[str, Any]) -> Reading:
    if _INTERVAL_IMPORT not in values:
        raise DecodeError("missing_field", f"no interval energy {_INTERVAL_IMPORT}")
    counters, measures = counters_from(values), measures_from(values)
    others = tuple(
        (text(code, "reading type"), number(value, code))
        for code, value in values.items()
        if code not in _CANONICAL and code != "ts"
    )
    if len(others) > _MAX_OTHERS:
        raise DecodeError("bad_structure", f"{len(others)} unknown reading types in one reading")
    return Reading._make((end_s, *counters, *measures, others, values.keys() >= _CANONICAL))


def _read_demand_time(values: dict[str, Any]) -> None:
    """On this wire it is a text as all times are."""
    if DEMAND_AT in values:
        values[DEMAND_AT] = time_s(values[DEMAND_AT])


def decode_event(payload: bytes) -> EndDeviceEvent:
    """Decode an `ev` payload. Codes that the document does not list are kept as they are."""
    event = _body(payload, "event")
    return end_device_event(
        device_time_s=time_s(event.get("ts")),
        sequence=event.get("seq"),
        code=event.get("code"),
        detail=event.get("detail", {}),
    )


def decode_state(payload: bytes) -> DeviceState:
    """Decode an `st` payload."""
    state = _body(payload, "state")
    value = state.get("value")
    if value not in ("online", "offline"):
        raise DecodeError("bad_value", f"state is {value!r:.60}, not online or offline")
    return DeviceState(
        online=value == "online",
        device_time_s=time_s(state["ts"]) if "ts" in state else None,
        boot=integer(state["boot"], "boot", maximum=MAX_STATUS) if "boot" in state else None,
    )


def decode_profile(payload: bytes) -> ProfilePart:
    """Decode an `lp` payload: one part of the answer to `load_profile.read`."""
    profile = _body(payload, "profile")
    columns = profile.get("columns")
    if not isinstance(columns, list) or not all(isinstance(column, str) for column in columns):
        raise DecodeError("bad_structure", "columns is not a list of reading types")
    if len(set(columns)) != len(columns):
        raise DecodeError("bad_structure", "a column occurs twice")
    rows = profile.get("rows")
    if not isinstance(rows, list) or len(rows) > MAX_ROWS:
        raise DecodeError("bad_structure", f"rows is not a list of at most {MAX_ROWS}")
    length_s = integer(profile.get("interval_s"), "interval_s", minimum=1, maximum=86400)
    from_s, to_s = covered_range(time_s(profile.get("from")), time_s(profile.get("to")), length_s)
    parts = integer(profile.get("parts"), "parts", minimum=1, maximum=MAX_PARTS)
    readings = []
    for row in rows:
        if not isinstance(row, list) or len(row) != len(columns) + 1:
            raise DecodeError("bad_structure", "a row does not fit the columns")
        end_s = time_s(row[0])
        if not from_s <= end_s - length_s < to_s:
            raise DecodeError("bad_value", "a row lies outside the covered range")
        present = {code: value for code, value in zip(columns, row[1:], strict=True) if value is not None}
        _read_demand_time(present)
        readings.append(_careful_reading(end_s, present))
    return ProfilePart(
        command_id=text(profile.get("command"), "command"),
        device_time_s=time_s(profile.get("ts")),
        from_s=from_s,
        to_s=to_s,
        part=integer(profile.get("part"), "part", minimum=1, maximum=parts),
        parts=parts,
        interval_length_s=length_s,
        readings=readings,
    )


def decode_answer(payload: bytes) -> CommandAnswer:
    """Decode an `an` payload: the answer to any other command."""
    answer = _body(payload, "answer")
    values = answer.get("values")
    if values is not None and type(values) is not dict:
        raise DecodeError("bad_structure", "values is not an object")
    if values is not None:
        _read_demand_time(values)
    return command_answer(
        command=answer.get("command"),
        device_time_s=time_s(answer.get("ts")),
        state=answer.get("state"),
        reason=answer.get("reason"),
        values=values,
    )


def _body(payload: bytes, key: str) -> dict[str, Any]:
    try:
        message = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise DecodeError("not_json", str(error)) from error
    if type(message) is not dict:
        raise DecodeError("bad_structure", "the payload is not a JSON object")
    body = message.get(key)
    if type(body) is not dict:
        raise DecodeError("bad_structure", f'no object "{key}"')
    return body
