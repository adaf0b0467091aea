"""Durations, offsets and instants of a scenario: from what a person writes to whole seconds, and back for messages."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time

EARLIEST_S = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp())
"""Whatever a meter says of an earlier time, no head-end believes: its clock has lost the time."""
LATEST_S = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp())
"""Where the dates of meters' protocols end (a year of two digits, seconds of 32 bits)."""
SHORTEST_INTERVAL_S = 2
"""Meters wake up at whole seconds and their clocks are off by fractions of one."""
_DAY_S = 86_400
_UNIT_S = {"d": 86_400, "h": 3_600, "min": 60, "s": 1}
_DURATION = re.compile(r"(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})min)?(?:(\d{1,8})s)?", re.ASCII)
_OFFSET = re.compile(r"(\d{1,6}):([0-5]\d)(?::([0-5]\d))?", re.ASCII)
DURATION_PATTERN = r"^ *([0-9]+ *(d|h|min|s) *)+$"
"""For editors: what `parse_duration` takes, but for the order of units and its limits."""
OFFSET_PATTERN = r"^[0-9]{1,6}:[0-5][0-9](:[0-5][0-9])?$"
"""For editors: what `parse_offset` takes."""


def parse_duration(value: object) -> int:
    """Seconds of "24h", "45min", "40s", "1h30min", "2d". Raises ValueError, for a number without a unit as well."""
    match = _DURATION.fullmatch(value.replace(" ", "")) if isinstance(value, str) else None
    if match is None or not any(match.groups()):
        raise ValueError(f'{shown(value)} is not a duration; write for instance "24h", "45min", "40s" or "1h30min"')
    seconds = sum(int(count or 0) * unit for count, unit in zip(match.groups(), _UNIT_S.values(), strict=True))
    if seconds <= 0:
        raise ValueError(f"{shown(value)} is no time at all; a duration must be longer than 0 s")
    return seconds


def parse_interval(value: object) -> int:
    """Seconds of a capture period: a duration that divides a day, so that intervals begin at midnight UTC.

    Raises ValueError.
    """
    seconds = parse_duration(value)
    if seconds < SHORTEST_INTERVAL_S:
        raise ValueError(f"{shown(value)} is too short; the shortest interval is {SHORTEST_INTERVAL_S} s")
    if _DAY_S % seconds:
        raise ValueError(f'{shown(value)} does not divide a day; write for instance "15min", "1min" or "5s"')
    return seconds


def parse_offset(value: object) -> int:
    """Seconds of "06:10:00" or "30:15" (HH:MM[:SS] from the start, may exceed 24 h). Raises ValueError."""
    if isinstance(value, time) and value.microsecond == 0:  # TOML reads 06:10:00 without quotes as a time of day
        return value.hour * 3_600 + value.minute * 60 + value.second
    match = _OFFSET.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f'{shown(value)} is not an offset from the start; write HH:MM or HH:MM:SS, e.g. "06:10:00"')
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return hours * 3_600 + minutes * 60 + seconds


def parse_instant(value: object) -> int:
    """Epoch seconds of an ISO 8601 time with its offset from UTC. Raises ValueError."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{shown(value)} is not a time; write for instance 2026-01-15T00:00:00Z") from None
    if not isinstance(value, datetime):
        raise ValueError(f"{shown(value)} is not a time; write for instance 2026-01-15T00:00:00Z")
    if value.tzinfo is None:
        raise ValueError(f"{value.isoformat()} has no offset from UTC; write {value.isoformat()}Z if it is UTC")
    if value.microsecond:
        raise ValueError(f"{value.isoformat()} has fractions of a second; times are whole seconds")
    # A subtraction, since the first and the last hours of datetime have no timestamp in every offset.
    seconds = int((value - datetime.fromtimestamp(0, UTC)).total_seconds())
    if seconds < EARLIEST_S:
        raise ValueError(f"{value.isoformat()} is before 2000-01-01; meters that say so are not believed")
    if seconds >= LATEST_S:
        raise ValueError(f"{value.isoformat()} is not before 2100-01-01, where the dates of meters' protocols end")
    return seconds


def shown(value: object) -> str:
    """A value as a message shows it: on one line, and not too long of it. Dates and times as TOML writes them."""
    text = value.isoformat() if isinstance(value, date | time) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
