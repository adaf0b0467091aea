"""Positions from a net's GeoJSON: longitude and latitude, WGS 84 degrees. What is none is left out, whatever it is.

Coordinates are for maps and for the sun. Nets carry them in metres of some projection, as `nan`, as broken JSON, or as
other shapes than a point and a line: none of that may stop a run.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from grid.wording import counted

Position = tuple[float, float]


def column(table: Any) -> list[object]:
    """What a table of a net has of each row: GeoJSON as text or objects, or nothing."""
    return table["geo"].tolist() if "geo" in table else [None] * len(table)


def is_given(geo: object) -> bool:
    """Whether the net says anything at all."""
    return isinstance(geo, dict) or (isinstance(geo, str) and geo.strip() not in ("", "null"))


def point(geo: object) -> Position | None:
    """The position of a GeoJSON Point, as text or as an object; None for all else."""
    shape = _shape(geo)
    return _position(shape.get("coordinates")) if shape.get("type", "Point") == "Point" else None


def courses(geo: object) -> list[list[Position]]:
    """The courses of a LineString, or of each part of a MultiLineString; none where a position is wrong."""
    shape = _shape(geo)
    coordinates = shape.get("coordinates")
    parts = coordinates if shape.get("type") == "MultiLineString" else [coordinates]
    found = [_course(part) for part in parts] if isinstance(parts, list) else []
    return [course for course in found if course] if all(found) else []


def unusable(points: Iterable[object], lines: Iterable[object]) -> str:
    """A sentence on what has coordinates that no map can use; empty where there is none."""
    buses = [geo for geo in points if is_given(geo)]
    lost = sum(point(geo) is None for geo in buses)
    astray = sum(is_given(geo) and not courses(geo) for geo in lines)
    counts = [
        counted(count, noun, plural)
        for count, noun, plural in ((lost, "bus", "buses"), (astray, "line", "lines"))
        if count
    ]
    if not counts:
        return ""
    verb = "has" if lost + astray == 1 else "have"
    outcome = "no map" if lost and lost == len(buses) else "left out of maps"
    return f"{' and '.join(counts)} {verb} coordinates that are not longitude and latitude: {outcome}"


def _shape(geo: object) -> dict[str, Any]:
    if isinstance(geo, str):
        try:
            geo = orjson.loads(geo)
        except ValueError:
            return {}
    return geo if isinstance(geo, dict) else {}


def _position(value: object) -> Position | None:
    if not isinstance(value, list | tuple) or len(value) < 2:
        return None
    longitude, latitude = value[:2]
    if any(isinstance(each, bool) or not isinstance(each, int | float) for each in (longitude, latitude)):
        return None
    # Comparisons are false for nan.
    if not (abs(longitude) <= 180 and abs(latitude) <= 90):
        return None
    return float(longitude), float(latitude)


def _course(value: object) -> list[Position]:
    if not isinstance(value, list | tuple) or len(value) < 2:
        return []
    positions = [_position(each) for each in value]
    found = [position for position in positions if position is not None]
    return found if len(found) == len(positions) else []
