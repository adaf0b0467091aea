"""The feeder's geography as a drawing plane: integers in tenths of a unit, north up, in true proportion."""

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab.report.meters import Meters

Ints = NDArray[np.int64]
GEOGRAPHY_FILE = "geography.json"
WIDTH, LOWEST, HIGHEST, MARGIN = 1080.0, 380.0, 720.0, 26.0
_METRES_PER_DEGREE = 111_320.0
_NICE = (1, 2, 5)


@dataclass(frozen=True, slots=True)
class Station:
    """A transformer. `rated_kva` is None where nobody says it."""

    name: str
    x: int
    y: int
    rated_kva: float | None


@dataclass(frozen=True, slots=True)
class Plane:
    """`xy` (meters, 2) in tenths, −1 for a meter without a position; `unmetered` (u, 2); `lines` are (k, 2) each.

    `scale_m` metres are `scale_units` units long.
    """

    width: float
    height: float
    xy: Ints
    transformers: tuple[str, ...]
    unmetered: Ints
    low_voltage: tuple[Ints, ...]
    medium_voltage: tuple[Ints, ...]
    stations: tuple[Station, ...]
    scale_m: float
    scale_units: float

    @property
    def placed(self) -> NDArray[np.bool_]:
        return self.xy[:, 0] >= 0


def read_plane(run_dir: Path, meters: Meters) -> Plane | None:
    """From geography.json, else from the meters' own coordinates; None where nobody knows where anything is."""
    path = run_dir / GEOGRAPHY_FILE
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    known: dict[str, dict[str, Any]] = document.get("usage_points", {})
    degrees = np.column_stack([meters.longitude, meters.latitude])
    transformers = list(meters.transformers)
    for row, point in enumerate(meters.usage_points):
        if point in known:
            degrees[row] = known[point]["position"]
            transformers[row] = known[point]["transformer"]
    metered = set(meters.usage_points)
    others = [entry["position"] for point, entry in known.items() if point not in metered]
    if not np.isfinite(degrees).all(axis=1).any():
        return None
    unmetered = np.array(others, dtype=np.float64).reshape(-1, 2)
    lines = document.get("lines", {})
    low, medium = ([np.array(course) for course in lines.get(f"{kind}_voltage", [])] for kind in ("low", "medium"))
    stations = document.get("transformers", {})
    station_degrees = np.array([entry["position"] for entry in stations.values()]).reshape(-1, 2)
    project = _Projection.around(np.vstack([degrees, unmetered, station_degrees]))
    places = project(station_degrees)
    return Plane(
        width=WIDTH,
        height=project.height,
        xy=_apart(project(degrees)),
        transformers=tuple(transformers),
        unmetered=project(unmetered),
        low_voltage=_courses(project, low),
        medium_voltage=_courses(project, medium),
        stations=tuple(
            Station(name, int(x), int(y), entry.get("rated_kva"))
            for (name, entry), (x, y) in zip(stations.items(), places.tolist(), strict=True)
        ),
        scale_m=project.scale_m,
        scale_units=project.scale_m / project.metres_per_unit,
    )


@dataclass(frozen=True, slots=True)
class _Projection:
    """Equirectangular about the middle; a feeder is small."""

    west: float
    north: float
    shrink: float
    metres_per_unit: float
    left: float
    top: float
    height: float

    @classmethod
    def around(cls, degrees: NDArray[np.float64]) -> "_Projection":
        west, south = np.nanmin(degrees, axis=0).tolist()
        east, north = np.nanmax(degrees, axis=0).tolist()
        shrink = math.cos(math.radians((south + north) / 2))
        across_m = max((east - west) * shrink * _METRES_PER_DEGREE, 1.0)
        down_m = max((north - south) * _METRES_PER_DEGREE, 1.0)
        inner = WIDTH - 2 * MARGIN
        height = min(max(inner * down_m / across_m + 2 * MARGIN, LOWEST), HIGHEST)
        metres_per_unit = max(across_m / inner, down_m / (height - 2 * MARGIN))
        left = (WIDTH - across_m / metres_per_unit) / 2
        top = (height - down_m / metres_per_unit) / 2
        return cls(west, north, shrink, metres_per_unit, left, top, round(height, 1))

    @property
    def scale_m(self) -> float:
        """A round length that is at most a sixth of the width."""
        most_m = WIDTH * self.metres_per_unit / 6
        magnitude = 10.0 ** math.floor(math.log10(most_m))
        return max(factor * magnitude for factor in _NICE if factor * magnitude <= most_m)

    def __call__(self, degrees: NDArray[np.float64]) -> Ints:
        """(n, 2) degrees → (n, 2) tenths of a unit; −1 where a position is not known."""
        x = self.left + (degrees[:, 0] - self.west) * self.shrink * _METRES_PER_DEGREE / self.metres_per_unit
        y = self.top + (self.north - degrees[:, 1]) * _METRES_PER_DEGREE / self.metres_per_unit
        tenths = np.column_stack([x, y]) * 10
        known = np.isfinite(tenths).all(axis=1, keepdims=True)
        return np.asarray(np.where(known, np.round(tenths), -1), dtype=np.int64)


def _apart(xy: Ints) -> Ints:
    """Those at one place in a small spiral around it, so that each can be seen."""
    same: dict[tuple[int, int], list[int]] = defaultdict(list)
    for row, (x, y) in enumerate(xy.tolist()):
        if x >= 0:
            same[x, y].append(row)
    moved = xy.copy()
    for rows in same.values():
        for number, row in enumerate(rows[1:], 1):
            angle, radius = number * 2.4, 38 * math.sqrt(number)
            moved[row] += np.round([radius * math.cos(angle), radius * math.sin(angle)]).astype(np.int64)
    return moved


def _courses(project: _Projection, degrees: Sequence[NDArray[np.float64]]) -> tuple[Ints, ...]:
    """Lines (k, 2) each, without positions that fall on the one before."""
    if not degrees:
        return ()
    lengths = [len(course) for course in degrees]
    begins = np.cumsum([0, *lengths[:-1]])
    xy = project(np.vstack(degrees))
    kept = np.append(True, (np.diff(xy, axis=0) != 0).any(axis=1))
    kept[begins] = True
    return tuple(np.split(xy[kept], np.cumsum(np.add.reduceat(kept, begins, dtype=np.int64))[:-1]))


def deltas(values: Sequence[int] | Ints) -> list[int]:
    """The first value, then each one's difference from the one before."""
    array = np.asarray(values, dtype=np.int64)
    return [int(value) for value in np.diff(array, prepend=0)]
