"""What every driver asks of decoded values before the head-end believes them. Raises only DecodeError."""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache

import orjson

from headend.drivers import DecodeError, EndDeviceEvent

# No register of a house comes near; beyond it the sums of a report would overflow.
MAX_COUNTER = 10**15
MAX_STATUS = 2**31 - 1
MAX_VOLTAGE_V = 1e6
MAX_SEQUENCE = 2**63 - 1
MAX_TEXT = 128
MAX_PARTS = 10_000
#: The largest part of an answer that the wire documents allow.
MAX_ROWS = 48
_SUPPLY_EVENTS = frozenset(("last_gasp", "power_restore", "momentary"))


def integer(value: object, name: str, *, minimum: int = 0, maximum: int) -> int:
    """An integer of the range; a Boolean is none."""
    if type(value) is not int or not minimum <= value <= maximum:
        raise DecodeError("bad_value", f"{name:.60} is not an integer from {minimum} to {maximum}")
    return value


def number(value: object, name: str, *, minimum: float = -1e300, maximum: float = 1e300) -> float:
    """A number of the range, not NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not minimum <= value <= maximum:
        raise DecodeError("bad_value", f"{name:.60} is not a number from {minimum:g} to {maximum:g}")
    return float(value)


def text(value: object, name: str) -> str:
    """A text that a database takes, not empty."""
    if type(value) is not str or not 1 <= len(value) <= MAX_TEXT or "\x00" in value:
        raise DecodeError("bad_value", f"{name:.60} is not a text of 1 to {MAX_TEXT} characters")
    return value


def time_s(value: object) -> int:
    """Epoch s of an ISO 8601 text with an offset, in whole seconds."""
    if type(value) is not str:
        raise DecodeError("bad_time", "a time is missing or not a string")
    return _parse_time_s(value)


# All meters close the same interval at the same instant: most texts have been seen a moment ago.
@lru_cache(maxsize=4096)
def _parse_time_s(value: str) -> int:
    if len(value) > 40:
        raise DecodeError("bad_time", "a time is longer than 40 characters")
    try:
        moment = datetime.fromisoformat(value)
        if moment.utcoffset() is None:
            raise DecodeError("bad_time", f"{value!r} has no offset to UTC")
        moment_s = moment.timestamp()
    except (ValueError, OverflowError) as error:
        raise DecodeError("bad_time", f"{value!r} is not an ISO 8601 time") from error
    if moment_s != int(moment_s):
        raise DecodeError("bad_time", f"{value!r} is not in whole seconds")
    return int(moment_s)


def covered_range(from_s: int, to_s: int, length_s: int) -> tuple[int, int]:
    """The range of an answer, which is one of whole intervals."""
    if from_s > to_s or from_s % length_s or to_s % length_s:
        raise DecodeError("bad_value", "from and to are not a range of whole intervals")
    return from_s, to_s


def end_device_event(*, device_time_s: int, sequence: object, code: object, detail: object) -> EndDeviceEvent:
    """An event as docs/wire-rl-dsp.md defines it, whatever carried it. Unlisted codes are kept as they are."""
    name = text(code, "code")
    if not isinstance(detail, dict):
        raise DecodeError("bad_structure", "detail is not an object")
    try:
        detail_json = orjson.dumps(detail)
    except TypeError as error:
        raise DecodeError("bad_value", f"detail: {error}") from error
    if b"\\u0000" in detail_json:
        raise DecodeError("bad_value", "detail holds a NUL character")
    refused = name == "command_refused"
    down_s, up_s = _interruption(name, detail)
    command = detail.get("command")
    reason = detail.get("reason")
    return EndDeviceEvent(
        device_time_s=device_time_s,
        sequence=integer(sequence, "the sequence number", maximum=MAX_SEQUENCE),
        code=name,
        detail_json=detail_json.decode(),
        refused_command=command if refused and isinstance(command, str) else None,
        refused_reason=text(reason, "reason") if refused and reason is not None else None,
        restored=name == "power_restore",
        down_s=down_s,
        up_s=up_s,
    )


def _interruption(code: str, detail: Mapping[str, object]) -> tuple[int | None, int | None]:
    """When supply was lost and when it came back, for the events that tell it."""
    if code not in _SUPPLY_EVENTS:
        return None, None
    down_s = time_s(detail.get("down_at"))
    if code == "last_gasp":
        return down_s, None
    up_s = time_s(detail.get("up_at"))
    if up_s < down_s:
        raise DecodeError("bad_value", "up_at is before down_at")
    return down_s, up_s
