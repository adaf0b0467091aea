"""What meters are told of their network when they begin: plain values, which cross the lab's link as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from meters.radio.faults import NetworkFault
from meters.radio.parameters import NetworkParameters

Point = tuple[float, float]

_EARTH_M_PER_DEGREE = 111_320.0
BESIDE_M = 3.0


class NetworkSetup(BaseModel):
    """The network of some meters, in their order: those of a process, or of one shard.

    Which technology a meter is reached by, its carrier knows.

    `model_dump(mode="json")` and `model_validate` carry it over a link.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    parameters: NetworkParameters
    positions_m: tuple[Point, ...]
    """East and north of the origin that the whole fleet shares, per meter."""
    utc_offset_s: Annotated[int, Field(ge=-86_400, le=86_400)] = 0
    """Of local time, for noise by hour."""
    faults: tuple[NetworkFault, ...] = ()
    """Those that are known when it begins."""
    members: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    """The rows in the physical frames of all meters of a cell, those of other shards included."""

    def of(self, rows: Sequence[int]) -> NetworkSetup:
        """The same for these meters alone."""
        return self.model_copy(update={"positions_m": tuple(self.positions_m[row] for row in rows)})

    def positions(self) -> NDArray[np.float64]:
        """(n, 2)."""
        return np.array(self.positions_m, dtype=np.float64).reshape(-1, 2)


def metres(longitudes: Sequence[float], latitudes: Sequence[float]) -> NDArray[np.float64]:
    """(n, 2) east and north of the middle of these places, WGS 84 degrees; good for the extent of a feeder."""
    degrees = np.column_stack([longitudes, latitudes]).astype(np.float64)
    middle = degrees.mean(axis=0)
    metric: NDArray[np.float64] = (degrees - middle) * (np.cos(np.radians(middle[1])), 1.0) * _EARTH_M_PER_DEGREE
    return metric


def innermost(positions_m: NDArray[np.float64]) -> int:
    """Which of these meters (n, 2) is nearest to the middle of them."""
    return int(np.hypot(*(positions_m - positions_m.mean(axis=0)).T).argmin())


def station_place_m(positions_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where a collector of these meters (n, 2) is hung up: on a pole beside the innermost."""
    place: NDArray[np.float64] = positions_m[innermost(positions_m)] + BESIDE_M
    return place
