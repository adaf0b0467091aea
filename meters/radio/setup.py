"""What a shard is told of its network when it begins: plain values, which cross the lab's link as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from meters.radio.parameters import NetworkParameters

Technology = Literal["mesh", "plc", "cellular"]
Point = tuple[float, float]

_EARTH_M_PER_DEGREE = 111_320.0
_BESIDE_M = 3.0


class NetworkSetup(BaseModel):
    """The network of a shard's meters, in the order of its entries.

    `model_dump(mode="json")` and `model_validate` carry it over a link.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    technology: Technology
    parameters: NetworkParameters
    positions_m: tuple[Point, ...]
    """East and north of the origin that the whole fleet shares, per meter."""
    stations_m: dict[str, Point] = Field(default_factory=dict)
    """Where collectors stand whose place is known, by name; others stand beside their innermost meter."""
    utc_offset_s: Annotated[int, Field(ge=-86_400, le=86_400)] = 0
    """Of local time, for noise by hour."""
    members: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    """The rows in the physical frames of all meters of a cell, those of other shards included."""

    def positions(self) -> NDArray[np.float64]:
        """(n, 2)."""
        return np.array(self.positions_m, dtype=np.float64).reshape(-1, 2)


def metres(longitudes: Sequence[float], latitudes: Sequence[float]) -> NDArray[np.float64]:
    """(n, 2) east and north of the middle of these places, WGS 84 degrees; good for the extent of a feeder."""
    degrees = np.column_stack([longitudes, latitudes]).astype(np.float64)
    middle = degrees.mean(axis=0)
    metric: NDArray[np.float64] = (degrees - middle) * (np.cos(np.radians(middle[1])), 1.0) * _EARTH_M_PER_DEGREE
    return metric


def station_place_m(positions_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where a collector of these meters (n, 2) is hung up: on a pole beside the one nearest to the middle of them."""
    away_m = np.hypot(*(positions_m - positions_m.mean(axis=0)).T)
    place: NDArray[np.float64] = positions_m[int(away_m.argmin())] + _BESIDE_M
    return place
