"""The map's still part: who and what is where. Meters go by serial and usage point; there are no names or addresses.

Positions are whole decimetres east and south of a corner, in true proportion. A feeder without coordinates is drawn as
a scheme: a block for each transformer.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid.world import PHASE_NAMES
from lab.fleet.plan import FleetPlan
from lab.lockstep.link import Body
from lab.verdict.network_model import Network

Degrees = NDArray[np.float64]
_DECIMETRES_PER_DEGREE = 1_113_200.0
_APART_DM = 100.0
"""Between two meters of a scheme."""


@dataclass(frozen=True, slots=True)
class MapScene:
    """The document that the page is given, and what the lab itself needs of it: meters are in the fleet's order."""

    document: dict[str, Any]
    serials: tuple[str, ...]
    usage_points: tuple[str, ...]
    nominal_v: NDArray[np.float64]
    """Line to neutral, of each meter's usage point."""
    connected: NDArray[np.bool_]
    """(n, 3) the phases that each has; none where the network does not say."""


def map_scene(plan: FleetPlan, grid: Body, description: Body, network: Network) -> MapScene:
    """:param grid: what it answered to `init`; `description`: to `describe`."""
    meters = plan.fleet.meters
    points = [meter.usage_point for meter in meters]
    geography: dict[str, Any] | None = description["geography"]
    degrees, scheme = _positions(points, [place.transformer for place in plan.places], geography)
    # Beside a scheme positions mean nothing.
    others = {} if scheme or geography is None else geography
    metered = set(points)
    bare = [at["position"] for name, at in others.get("usage_points", {}).items() if name not in metered]
    stations: Mapping[str, Any] = others.get("transformers", {})
    lines: Mapping[str, Sequence[Any]] = others.get("lines", {})
    place = _Projection(degrees, scheme)
    xy = place(degrees)
    transformers = sorted({each.transformer for each in plan.places} | set(stations))
    number = {name: index for index, name in enumerate(transformers)}
    transformer = np.array([number[each.transformer] for each in plan.places])
    document = {
        "feeder": grid["name"],
        "scheme": scheme,
        "serials": [meter.serial for meter in meters],
        "usage_points": points,
        "vendors": sorted({meter.profile.name for meter in meters}),
        "vendor": _indices(meter.profile.name for meter in meters),
        "relay": [meter.profile.capabilities.has_relay for meter in meters],
        "x": xy[:, 0].tolist(),
        "y": xy[:, 1].tolist(),
        "phases": [", ".join(sorted(network.phases.get(point, ()))) for point in points],
        "transformer": transformer.tolist(),
        "section": [_above(network, point, "section") for point in points],
        "transformers": [
            {
                "name": name,
                **_station(place, stations.get(name), xy[transformer == at]),
            }
            for at, name in enumerate(transformers)
        ],
        "collectors": [
            {"name": name, "meters": rows, "x": int(xy[rows, 0].mean()), "y": int(xy[rows, 1].mean())}
            for name, rows in plan.fleet.carriers.items()
            if meters[rows[0]].profile.capabilities.needs_collector
        ],
        "bare": place(np.array(bare, dtype=np.float64).reshape(-1, 2)).ravel().tolist(),
        "low_voltage": _courses(place, lines.get("low_voltage", ())),
        "medium_voltage": _courses(place, lines.get("medium_voltage", ())),
    }
    nominal_v = np.array(description["nominal_voltage_v"], dtype=np.float64)[plan.rows]
    connected = np.array([[phase in network.phases.get(point, ()) for phase in PHASE_NAMES] for point in points])
    return MapScene(document, tuple(meter.serial for meter in meters), tuple(points), nominal_v, connected)


class _Projection:
    """Degrees to decimetres: equirectangular about the middle, which is exact enough for a feeder."""

    def __init__(self, degrees: Degrees, scheme: bool) -> None:
        west, north = degrees[:, 0].min(), degrees[:, 1].max()
        middle = math.radians(float(degrees[:, 1].mean()))
        self._corner = np.array([west, north])
        scale = (1.0, -1.0) if scheme else (_DECIMETRES_PER_DEGREE * math.cos(middle), -_DECIMETRES_PER_DEGREE)
        self._scale = np.array(scale)

    def __call__(self, degrees: Degrees) -> NDArray[np.int64]:
        decimetres: NDArray[np.int64] = np.rint((degrees - self._corner) * self._scale).astype(np.int64)
        return decimetres


def _positions(
    points: Sequence[str], transformers: Sequence[str], geography: Mapping[str, Any] | None
) -> tuple[Degrees, bool]:
    """Where each meter is, and whether that is only a scheme."""
    known: Mapping[str, Any] = (geography or {}).get("usage_points", {})
    if not all(point in known for point in points):
        return _scheme(transformers), True
    return np.array([known[point]["position"] for point in points], dtype=np.float64), False


def _scheme(transformers: Sequence[str]) -> Degrees:
    members: dict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(transformers):
        members[name].append(row)
    side = max(math.ceil(math.sqrt(len(rows))) for rows in members.values())
    across = math.ceil(math.sqrt(len(members)))
    places = np.zeros((len(transformers), 2))
    for block, name in enumerate(sorted(members)):
        for at, row in enumerate(members[name]):
            east = (block % across) * (side + 2) + at % side
            south = (block // across) * (side + 2) + at // side
            places[row] = (east * _APART_DM, -south * _APART_DM)
    return places


def _station(place: _Projection, known: Mapping[str, Any] | None, customers: NDArray[np.int64]) -> dict[str, Any]:
    if known is not None and known.get("position"):
        x, y = place(np.array([known["position"]], dtype=np.float64))[0]
    elif len(customers):
        x, y = customers.mean(axis=0)
    else:
        return {"x": None, "y": None, "rated_kva": None}
    return {"x": int(x), "y": int(y), "rated_kva": None if known is None else known.get("rated_kva")}


def _courses(place: _Projection, courses: Iterable[Any]) -> list[list[int]]:
    return [place(np.array(course, dtype=np.float64)).ravel().tolist() for course in courses]


def _indices(names: Iterable[str]) -> list[int]:
    listed = list(names)
    number = {name: index for index, name in enumerate(sorted(set(listed)))}
    return [number[name] for name in listed]


def _above(network: Network, point: str, kind: str) -> str | None:
    """The id of the next device of this kind on the way from a usage point to the source."""
    at = network.feeding.get(point)
    while at is not None and not at.startswith(f"{kind}:"):
        at = network.parents.get(at)
    return None if at is None else at.partition(":")[2]
