"""Who is near whom: usage points divided into areas of limited size, for collectors and gateways. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Place:
    """Where a usage point is: WGS 84 degrees, None where the feeder has no coordinates, and its transformer."""

    longitude: float | None
    latitude: float | None
    transformer: str


def areas(places: Sequence[Place], capacity: int, *, within_transformer: bool = False) -> list[list[int]]:
    """Indices of `places`, in areas of near ones with at most `capacity` each; none larger than need be.

    Points without coordinates are near those of their transformer that stand beside them in the list. With
    `within_transformer` no area has points of two transformers.
    """
    if not within_transformer:
        return _divided(list(range(len(places))), places, capacity)
    by_transformer: defaultdict[str, list[int]] = defaultdict(list)
    for index, place in enumerate(places):
        by_transformer[place.transformer].append(index)
    return [area for members in by_transformer.values() for area in _divided(members, places, capacity)]


def _divided(members: list[int], places: Sequence[Place], capacity: int) -> list[list[int]]:
    parts = -(-len(members) // capacity)
    if parts <= 1:
        return [members] if members else []
    ordered = _along_the_longer_side(members, places)
    first = parts // 2
    # Both halves get members in proportion to their parts, so all areas end up of nearly one size.
    cut = round(len(ordered) * first / parts)
    return _divided(ordered[:cut], places, capacity) + _divided(ordered[cut:], places, capacity)


def _along_the_longer_side(members: list[int], places: Sequence[Place]) -> list[int]:
    located = [(places[index].longitude, places[index].latitude) for index in members]
    if any(longitude is None or latitude is None for longitude, latitude in located):
        return sorted(members, key=lambda index: (places[index].transformer, index))
    degrees: NDArray[np.float64] = np.array(located, dtype=np.float64)
    # A degree of longitude is shorter than one of latitude.
    metric = degrees * (np.cos(np.radians(degrees[:, 1].mean())), 1.0)
    axis = int(np.argmax(np.ptp(metric, axis=0)))
    return [members[at] for at in np.lexsort((np.array(members), metric[:, axis]))]
