"""Physical frames for tests, from what matters to them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from grid.world import QUADRANTS, WorldFrame

Floats = NDArray[np.float64]


def frame_of(
    sequence: int,
    time_s: int,
    energised: NDArray[np.bool_],
    *,
    active_power_w: Floats,
    voltage_v: Floats,
    import_wh: Floats | None = None,
    export_wh: Floats | None = None,
    closed: NDArray[np.bool_] | None = None,
) -> WorldFrame:
    """`energised` is (n,), for all three phases, or (n, 3); no reactive power, phases 120 degrees apart."""
    zero = np.zeros_like(active_power_w)
    lit = energised if energised.ndim == 2 else np.repeat(energised[:, np.newaxis], 3, axis=1)
    return WorldFrame(
        sequence=sequence,
        time_s=time_s,
        phase_energised=lit.copy(),
        import_wh=zero if import_wh is None else import_wh,
        export_wh=zero if export_wh is None else export_wh,
        reactive_varh=np.zeros((QUADRANTS, *zero.shape)),
        active_power_w=active_power_w,
        reactive_power_var=zero,
        voltage_v=voltage_v,
        voltage_angle_rad=np.where(lit, np.radians([0.0, -120.0, 120.0]), 0.0),
        breaker_closed=np.ones(len(lit), dtype=bool) if closed is None else closed.copy(),
    )
