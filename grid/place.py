"""Which clocks and which sun a feeder has: its time zone by name, its position by its coordinates."""

from __future__ import annotations

import functools
import importlib.resources
import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from statistics import median
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from grid.calendar import Calendar
from grid.geo import Position

DEFAULT_ZONE = "Europe/Berlin"
"""Of a feeder that names none and lies around Germany, or nowhere: nets and profiles are German."""
_AROUND_GERMANY = ((2.0, 19.0), (43.0, 58.0))
"""Longitudes and latitudes in degrees; Central European Time is kept nearly everywhere in it."""
_UNSET = "Factory"
"""In the database, and a zone of nowhere: machines have it whose zone nobody has set."""
_FURTHEST_H = 3.5
"""No clock is further from its sun than the 3.1 hours of western China."""


class UnknownTimeZoneError(ValueError):
    """There is no time zone of this name."""


def calendar_of(positions: Sequence[Position | None], zone_name: str | None) -> tuple[Calendar, tuple[str, ...]]:
    """The calendar of a feeder with usage points at these places, and what has to be said about it.

    Raises UnknownTimeZoneError.
    """
    known = [position for position in positions if position is not None]
    centre = (median(x for x, _ in known), median(y for _, y in known)) if known else None
    notices: tuple[str, ...] = ()
    if zone_name is None:
        zone_name, notices = _zone_by_position(centre)
    zone = time_zone(zone_name)
    if centre is not None and _apart_h(centre, zone) > _FURTHEST_H:
        notices = (
            f"its coordinates ({_shown(centre)}) are not where {zone_name} is the time: "
            "the sun is that of the zone's principal town",
        )
        centre = None
    longitude, latitude = centre or principal_place(zone)
    return Calendar(zone, longitude, latitude), notices


def time_zone(name: str) -> ZoneInfo:
    """A zone of the IANA time zone database. Raises UnknownTimeZoneError."""
    if name not in _zones():
        raise UnknownTimeZoneError(f"there is no time zone {name!r}; names are those of IANA, such as {DEFAULT_ZONE}")
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise UnknownTimeZoneError(f"the time zone {name!r} cannot be read: {error}") from error


def principal_place(zone: ZoneInfo) -> Position:
    """Longitude and latitude of the zone's principal town; without one, its meridian, north of the equator."""
    return _towns().get(zone.key) or (15.0 * _standard_offset_h(zone), 50.0)


def _zone_by_position(centre: Position | None) -> tuple[str, tuple[str, ...]]:
    if centre is None or all(low <= at <= high for at, (low, high) in zip(centre, _AROUND_GERMANY, strict=True)):
        return DEFAULT_ZONE, ()
    hours = math.floor(centre[0] / 15.0 + 0.5)
    # In these names, as in POSIX, what lies east of Greenwich is negative.
    name = f"Etc/GMT{-hours:+d}" if hours else "Etc/GMT"
    return name, (
        f"its clocks are taken to show UTC{hours:+d} all year, by its coordinates ({_shown(centre)}): "
        "name its zone as time_zone in the scenario's [feeder]",
    )


def _shown(position: Position) -> str:
    return f"longitude {position[0]:.2f}, latitude {position[1]:.2f}"


def _apart_h(position: Position, zone: ZoneInfo) -> float:
    hours = abs(position[0] / 15.0 - _standard_offset_h(zone)) % 24.0
    return min(hours, 24.0 - hours)


def _standard_offset_h(zone: ZoneInfo) -> float:
    instants = [datetime(2026, month, 1, tzinfo=UTC).astimezone(zone) for month in (1, 7)]
    offsets = [(instant.utcoffset() or timedelta()) - (instant.dst() or timedelta()) for instant in instants]
    return min(offsets).total_seconds() / 3600.0


@functools.cache
def _zones() -> frozenset[str]:
    """Those of the database itself: machines have a `localtime` besides, which is another on each of them."""
    names = (importlib.resources.files("tzdata") / "zones").read_text(encoding="utf-8").split()
    return frozenset(names) - {_UNSET}


@functools.cache
def _towns() -> dict[str, Position]:
    table = (importlib.resources.files("tzdata") / "zoneinfo" / "zone.tab").read_text(encoding="utf-8")
    rows = (line.split("\t") for line in table.splitlines() if line and not line.startswith("#"))
    return {row[2]: _position(row[1]) for row in rows}


def _position(text: str) -> Position:
    """ISO 6709: latitude, then longitude, in degrees, minutes and sometimes seconds."""
    latitude, longitude = re.findall(r"[+-]\d+", text)
    return _degrees(longitude, 3), _degrees(latitude, 2)


def _degrees(text: str, width: int) -> float:
    sign, digits = text[0], text[1:]
    parts = (digits[:width], digits[width : width + 2], digits[width + 2 :])
    degrees, minutes, seconds = (int(part or 0) for part in parts)
    value = degrees + minutes / 60.0 + seconds / 3600.0
    return -value if sign == "-" else value
