"""Instants as texts in ISO 8601, for the drivers whose wire has them. Raises only DecodeError."""

from datetime import datetime
from functools import lru_cache

from headend.drivers.records import DecodeError


def time_s(value: object) -> int:
    """Epoch s of an ISO 8601 text with an offset, in whole seconds."""
    if type(value) is not str:
        raise DecodeError("bad_time", "a time is missing or not a string")
    return _parse_time_s(value)


def instant_s(value: object) -> float:
    """Epoch s of an ISO 8601 text with an offset, fractions of a second included."""
    if type(value) is not str:
        raise DecodeError("bad_time", "a time is missing or not a string")
    return _instant_s(value)


# All meters close the same interval at the same instant: most texts have been seen a moment ago.
@lru_cache(maxsize=4096)
def _parse_time_s(value: str) -> int:
    moment_s = _instant_s(value)
    if moment_s != int(moment_s):
        raise DecodeError("bad_time", f"{value!r} is not in whole seconds")
    return int(moment_s)


def _instant_s(value: str) -> float:
    if len(value) > 40:
        raise DecodeError("bad_time", "a time is longer than 40 characters")
    try:
        moment = datetime.fromisoformat(value)
        if moment.utcoffset() is None:
            raise DecodeError("bad_time", f"{value!r} has no offset to UTC")
        return moment.timestamp()
    except (ValueError, OverflowError) as error:
        raise DecodeError("bad_time", f"{value!r} is not an ISO 8601 time") from error
