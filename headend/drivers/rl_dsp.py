"""Driver `rl-dsp`: JSON after VSE/AES RL-DSP CH 2024, with amilab's extension (docs/wire-rl-dsp.md).

Pure functions over bytes. Whatever the bytes are, the only exception is DecodeError.
"""

import math
from datetime import datetime
from functools import lru_cache
from operator import itemgetter
from typing import Any

import orjson

from headend.drivers import (
    ABSENT,
    DecodeError,
    DeviceState,
    Driver,
    EndDeviceEvent,
    MqttDecoders,
    ProfilePart,
    Reading,
)

INTERVAL_LENGTH_S = 900

# OBIS codes in the order of READING_COUNTERS, then READING_VOLTAGES (docs/wire-rl-dsp.md, table of reading types).
_COUNTERS = (
    "1.8.0",
    "2.8.0",
    "1.29.0",
    "2.29.0",
    "21.29.0",
    "41.29.0",
    "61.29.0",
    "22.29.0",
    "42.29.0",
    "62.29.0",
    "1.7.0",
    "2.7.0",
    "96.10.1",
)
_VOLTAGES = ("32.7.0", "52.7.0", "72.7.0")
_CANONICAL = frozenset(_COUNTERS + _VOLTAGES)
_INTERVAL_IMPORT = "1.29.0"
_STATUS = "96.10.1"

_values_of = itemgetter(*_COUNTERS, *_VOLTAGES)
_COUNTER_COUNT = len(_COUNTERS)
_USUAL_TYPES = (int,) * len(_COUNTERS) + (float,) * len(_VOLTAGES)
_new_reading = tuple.__new__
_USUAL_LENGTH = len(_CANONICAL) + 1

# No register of a house comes near; beyond it the sums of a report would overflow.
_MAX_COUNTER = 10**15
_MAX_STATUS = 2**31 - 1
_MAX_VOLTAGE_V = 1e6
_MAX_SEQUENCE = 2**63 - 1
_SUPPLY_EVENTS = frozenset(("last_gasp", "power_restore", "momentary"))
_MAX_TEXT = 128
_MAX_OTHERS = 64
# The largest answer that the wire allows; a bigger one is not from this profile.
_MAX_ROWS = 48
_MAX_PARTS = 10_000


def decode_reading(payload: bytes) -> Reading:
    """Decode a `ds` payload. The fast path is the usual shape; anything else is looked at key by key."""
    meter = _body(payload, "meter")
    end_s = _time_s(meter.get("ts"))
    if len(meter) == _USUAL_LENGTH:
        try:
            values = _values_of(meter)
        except KeyError:
            return _careful_reading(end_s, meter)
        counters = values[:_COUNTER_COUNT]
        voltages = values[_COUNTER_COUNT:]
        if (
            tuple(map(type, values)) == _USUAL_TYPES
            and min(values) >= 0
            and max(counters) <= _MAX_STATUS
            and max(voltages) <= _MAX_VOLTAGE_V
        ):
            # The constructor of a NamedTuple is Python; this is hot.
            return _new_reading(Reading, (end_s, counters, voltages, (), True))
    return _careful_reading(end_s, meter)


def _careful_reading(end_s: int, values: dict[str, Any]) -> Reading:
    if _INTERVAL_IMPORT not in values:
        raise DecodeError("missing_field", f"no interval energy {_INTERVAL_IMPORT}")
    counters = tuple(
        _integer(values[code], code, maximum=_MAX_STATUS if code == _STATUS else _MAX_COUNTER)
        if code in values
        else ABSENT
        for code in _COUNTERS
    )
    voltages = tuple(
        _number(values[code], code, minimum=0.0, maximum=_MAX_VOLTAGE_V) if code in values else math.nan
        for code in _VOLTAGES
    )
    others = tuple(
        (_text(code, "reading type"), _number(value, code))
        for code, value in values.items()
        if code not in _CANONICAL and code != "ts"
    )
    if len(others) > _MAX_OTHERS:
        raise DecodeError("bad_structure", f"{len(others)} unknown reading types in one reading")
    return Reading(end_s, counters, voltages, others, complete=values.keys() >= _CANONICAL)


def decode_event(payload: bytes) -> EndDeviceEvent:
    """Decode an `ev` payload. Codes that the document does not list are kept as they are."""
    event = _body(payload, "event")
    code = _text(event.get("code"), "code")
    detail = event.get("detail", {})
    if not isinstance(detail, dict):
        raise DecodeError("bad_structure", "detail is not an object")
    try:
        detail_json = orjson.dumps(detail)
    except TypeError as error:
        raise DecodeError("bad_value", f"detail: {error}") from error
    if b"\\u0000" in detail_json:
        raise DecodeError("bad_value", "detail holds a NUL character")
    refused = code == "command_refused"
    down_s, up_s = _interruption(code, detail)
    command = detail.get("command")
    reason = detail.get("reason")
    return EndDeviceEvent(
        device_time_s=_time_s(event.get("ts")),
        sequence=_integer(event.get("seq"), "seq", maximum=_MAX_SEQUENCE),
        code=code,
        detail_json=detail_json.decode(),
        refused_command=command if refused and isinstance(command, str) else None,
        refused_reason=_text(reason, "reason") if refused and reason is not None else None,
        restored=code == "power_restore",
        down_s=down_s,
        up_s=up_s,
    )


def _interruption(code: str, detail: dict[str, Any]) -> tuple[int | None, int | None]:
    """When supply was lost and when it came back, for the events that tell it."""
    if code not in _SUPPLY_EVENTS:
        return None, None
    down_s = _time_s(detail.get("down_at"))
    if code == "last_gasp":
        return down_s, None
    up_s = _time_s(detail.get("up_at"))
    if up_s < down_s:
        raise DecodeError("bad_value", "up_at is before down_at")
    return down_s, up_s


def decode_state(payload: bytes) -> DeviceState:
    """Decode an `st` payload."""
    state = _body(payload, "state")
    value = state.get("value")
    if value not in ("online", "offline"):
        raise DecodeError("bad_value", f"state is {value!r:.60}, not online or offline")
    return DeviceState(
        online=value == "online",
        device_time_s=_time_s(state["ts"]) if "ts" in state else None,
        boot=_integer(state["boot"], "boot", maximum=_MAX_STATUS) if "boot" in state else None,
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
    if not isinstance(rows, list) or len(rows) > _MAX_ROWS:
        raise DecodeError("bad_structure", f"rows is not a list of at most {_MAX_ROWS}")
    length_s = _integer(profile.get("interval_s"), "interval_s", minimum=1, maximum=86400)
    from_s, to_s = _time_s(profile.get("from")), _time_s(profile.get("to"))
    if from_s > to_s or from_s % length_s or to_s % length_s:
        raise DecodeError("bad_value", "from and to are not a range of whole intervals")
    parts = _integer(profile.get("parts"), "parts", minimum=1, maximum=_MAX_PARTS)
    readings = []
    for row in rows:
        if not isinstance(row, list) or len(row) != len(columns) + 1:
            raise DecodeError("bad_structure", "a row does not fit the columns")
        end_s = _time_s(row[0])
        if not from_s <= end_s - length_s < to_s:
            raise DecodeError("bad_value", "a row lies outside the covered range")
        present = {code: value for code, value in zip(columns, row[1:], strict=True) if value is not None}
        readings.append(_careful_reading(end_s, present))
    return ProfilePart(
        command_id=_text(profile.get("command"), "command"),
        device_time_s=_time_s(profile.get("ts")),
        from_s=from_s,
        to_s=to_s,
        part=_integer(profile.get("part"), "part", minimum=1, maximum=parts),
        parts=parts,
        interval_length_s=length_s,
        readings=readings,
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


def _time_s(value: object) -> int:
    if type(value) is not str:
        raise DecodeError("bad_time", "a time is missing or not a string")
    return _parse_time_s(value)


# All meters close the same interval at the same instant: most texts have been seen a moment ago.
@lru_cache(maxsize=4096)
def _parse_time_s(text: str) -> int:
    if len(text) > 40:
        raise DecodeError("bad_time", "a time is longer than 40 characters")
    try:
        moment = datetime.fromisoformat(text)
        if moment.utcoffset() is None:
            raise DecodeError("bad_time", f"{text!r} has no offset to UTC")
        time_s = moment.timestamp()
    except (ValueError, OverflowError) as error:
        raise DecodeError("bad_time", f"{text!r} is not an ISO 8601 time") from error
    if time_s != int(time_s):
        raise DecodeError("bad_time", f"{text!r} is not in whole seconds")
    return int(time_s)


def _integer(value: object, name: str, *, minimum: int = 0, maximum: int) -> int:
    if type(value) is not int or not minimum <= value <= maximum:
        raise DecodeError("bad_value", f"{name:.60} is not an integer from {minimum} to {maximum}")
    return value


def _number(value: object, name: str, *, minimum: float = -1e300, maximum: float = 1e300) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not minimum <= value <= maximum:
        raise DecodeError("bad_value", f"{name:.60} is not a number from {minimum:g} to {maximum:g}")
    return float(value)


def _text(value: object, name: str) -> str:
    if type(value) is not str or not 1 <= len(value) <= _MAX_TEXT or "\x00" in value:
        raise DecodeError("bad_value", f"{name:.60} is not a text of 1 to {_MAX_TEXT} characters")
    return value


DRIVER = Driver(
    vendor_profile="rl-dsp",
    protocol="mqtt",
    interval_length_s=INTERVAL_LENGTH_S,
    # A cellular meter: it reports each interval when it ends.
    report_every_s=INTERVAL_LENGTH_S,
    mqtt=MqttDecoders(decode_reading, decode_event, decode_state, decode_profile),
)
