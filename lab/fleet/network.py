"""Where the meters of a fleet stand for their communications network, and what else it is told of them. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from lab.fleet.geography import Place
from lab.fleet.shipment import ShippedMeter
from meters.device.draws import meter_keys
from meters.radio.cellular import Cells
from meters.radio.parameters import load_parameters
from meters.radio.setup import NetworkSetup, metres

APART_M, STATIONS_APART_M = 30.0, 300.0
"""Of meters along their transformer, and of transformers, where there are no coordinates: assumptions of amilab's."""


def network_setup(
    places: Sequence[Place], overrides: Mapping[str, Mapping[str, Any]], *, time_zone: str, start_s: int
) -> NetworkSetup:
    """The network of meters at these places. Local hours are those of the time zone at the start.

    :raises ValueError: `overrides` of parameters are none.
    """
    offset = datetime.fromtimestamp(start_s, UTC).astimezone(ZoneInfo(time_zone)).utcoffset()
    assert offset is not None, "of an aware time"
    return NetworkSetup(
        parameters=load_parameters(overrides),
        positions_m=tuple((float(east), float(north)) for east, north in positions_m(places)),
        utc_offset_s=round(offset.total_seconds()),
    )


def with_cells(
    setup: NetworkSetup, meters: Sequence[ShippedMeter], rows: Sequence[int], *, seed: int
) -> tuple[NetworkSetup, list[str]]:
    """The same with the members of each cell; and by meter its cell, empty for whoever has no modem of its own.

    :param rows: of the meters in the physical frames.
    """
    own = [row for row, meter in enumerate(meters) if not meter.address]
    cells = [""] * len(meters)
    members: defaultdict[str, list[int]] = defaultdict(list)
    if own:
        keys = meter_keys(seed, [meters[row].serial for row in own])
        found = Cells(setup.of(own).positions(), keys, setup.parameters.cellular).cell
        for row, cell in zip(own, found, strict=True):
            cells[row] = cell
            members[cell].append(rows[row])
    return setup.model_copy(update={"members": {name: tuple(each) for name, each in members.items()}}), cells


def positions_m(places: Sequence[Place]) -> NDArray[np.float64]:
    """(n, 2) metres east and north of the middle of those that have coordinates.

    Others stand in a row for each transformer, south of all that are somewhere.
    """
    found = np.zeros((len(places), 2))
    located = [row for row, place in enumerate(places) if place.longitude is not None and place.latitude is not None]
    if located:
        degrees = np.array([(places[row].longitude, places[row].latitude) for row in located], dtype=np.float64)
        found[located] = metres(degrees[:, 0].tolist(), degrees[:, 1].tolist())
    south_m = found[:, 1].min(initial=0.0)
    of_transformer: defaultdict[str, list[int]] = defaultdict(list)
    for row in sorted(set(range(len(places))).difference(located)):
        of_transformer[places[row].transformer].append(row)
    for number, rows in enumerate(of_transformer.values(), start=1):
        found[rows, 0] = np.arange(len(rows)) * APART_M
        found[rows, 1] = south_m - number * STATIONS_APART_M
    return found
