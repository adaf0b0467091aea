"""What lies between a collector and its meters: a radio mesh or a power line."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meters.radio.mesh import Mesh
from meters.radio.plc import PowerLine
from meters.radio.setup import NetworkSetup


def make_medium(
    setup: NetworkSetup,
    positions_m: NDArray[np.float64],
    collector_m: NDArray[np.float64],
    keys: NDArray[np.uint64],
    *,
    by_power_line: bool,
    start_s: int,
) -> Mesh | PowerLine:
    """That of meters at `positions_m` (n, 2) with `keys` (n,), whose collector stands at `collector_m` (2,).

    :param start_s: when the run begins [epoch s].
    """
    if not by_power_line:
        return Mesh(positions_m, collector_m, keys, setup.parameters.mesh)
    return PowerLine(
        positions_m, collector_m, keys, setup.parameters.plc, start_s=start_s, utc_offset_s=setup.utc_offset_s
    )
