"""What a shard of meters must remember to go on after its process was killed: one record per meter, in one array.

`Clocks`, `Metrology`, `Supplies` and `Fleet` each work on views of some of the fields, and `Memory` keeps the whole.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from meters.device.quantities import CHANNELS, LIMITS

METER_STATE = np.dtype(
    [
        # The clock: device time = true time + clock_offset_s + drift * (true time - clock_anchor_s).
        ("clock_anchor_s", "<f8"),
        ("clock_offset_s", "<f8"),
        ("clock_invalid", "?"),
        # The open interval: number of its end on the meter's grid of intervals, and what it has seen so far.
        ("boundary", "<i8"),
        ("first_boundary", "<i8"),
        ("boundary_due_s", "<f8"),
        ("window_start_s", "<f8"),
        ("supplied_s", "<f8"),
        ("supply_mark_s", "<f8"),
        ("status", "u1"),
        # What has been counted up to `counted_at_s`, not yet cut to whole steps, before the roll-over; and by how much
        # a meter of its class may have been wrong about it. Names: meters/device/quantities.py.
        ("counted_at_s", "<f8"),
        ("counted", "<f8", (CHANNELS,)),
        ("allowed", "<f8", (LIMITS,)),
        # The same at the start of the open interval, registers in whole steps.
        ("registers", "<i8", (CHANNELS,)),
        ("allowed_before", "<f8", (LIMITS,)),
        # The highest demand of the billing period that began in the month `demand_month`, counted from January 1970.
        ("max_demand_import_w", "<f8"),
        ("max_demand_at_s", "<i8"),
        ("demand_month", "<i4"),
        # Of each phase, whether its voltage is out of its band, since when, and how far it went.
        ("voltage_state", "u1", (3,)),
        ("voltage_since_s", "<f8", (3,)),
        ("voltage_extreme_v", "<f8", (3,)),
        # Supply and what follows from its loss.
        ("energised", "?"),
        ("phase", "u1"),
        ("down_at_s", "<f8"),
        ("up_at_s", "<f8"),
        ("supply_due_s", "<f8"),
        ("boots", "<i4"),
        # Its phases: voltage now, and ever; a loss that was told; since when, and when it is to be told.
        ("phase_lit", "?", (3,)),
        ("phase_seen", "?", (3,)),
        ("phase_told", "?", (3,)),
        ("phase_down_at_s", "<f8", (3,)),
        ("phase_due_s", "<f8", (3,)),
        # Firmware: the start of the wave whose image it gets or has, how much of it by when, when it is to restart with
        # it, and whether it does so now.
        ("image_of_s", "<i8"),
        ("image_bytes", "<f8"),
        ("image_at_s", "<f8"),
        ("image_restart_due_s", "<f8"),
        ("upgrading", "?"),
        # The relay; closed in a meter that was never asked to open it.
        ("relay_open", "?"),
        # The uplink, its events and its commands.
        ("uplink_lost_at_s", "<f8"),
        ("uplink_close_due_s", "<f8"),
        ("event_sequence", "<i8"),
        ("pushed_sequence", "<i8"),
        ("command_counter", "<i8"),
        # Behind a collector: number of the last interval's end that was reported or had no record, and the start of the
        # last interval that was reported.
        ("reported_boundary", "<i8"),
        ("last_reported_s", "<i8"),
    ]
)

NEVER_S = np.inf
"""Due time of a timer that does not run."""

ShardState = NDArray[np.void]
"""(n,) of `METER_STATE`."""

Rows = NDArray[np.intp]
"""Indices of meters within the shard."""

NO_ROWS: Rows = np.empty(0, dtype=np.intp)


def field(state: ShardState, name: str) -> NDArray[Any]:
    """View of one field of all meters; writing to it changes the state."""
    view: NDArray[Any] = state[name]
    return view
