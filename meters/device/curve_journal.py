"""The journal of meters without a load profile: the curves of their registers, and what they counted in each interval
with supply.

They have no intervals of their own. Those of the journal are cut at the boundaries of the grid of intervals, at which a
reader reads; so nobody who reads, or does not, changes a row of it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from meters.device.curve import (
    MOMENTARY_NAMES,
    Curves,
    Display,
    allowed_wh,
    counted_wh,
    momentary,
    registers_table,
)
from meters.device.journal import ALLOWED, EVENTS, INTERVALS, REACTIVE_REGISTERS, SHOWN, write_tables
from meters.device.quantities import ENERGY_NAMES, QUADRANT_NAMES, REGISTER_NAMES
from meters.device.records import ALLOWED_DECIMALS

Float = NDArray[np.float64]

REGISTERS_DIRECTORY = "registers"


def write_curves(
    curves: Curves,
    serials: list[str],
    points: list[str],
    directory: Path,
    shard: str,
    *,
    interval_length_s: int,
    until_s: int,
) -> None:
    """Write `<shard>.parquet`, an empty `<shard>_events.parquet` and `registers/<shard>.parquet` into `directory`.

    :param points: usage points, by meter as the serials are.

    Raises MemoryFailedError.
    """
    intervals = _intervals(curves, serials, points, interval_length_s, until_s)
    write_tables(directory, {shard: intervals, f"{shard}_events": EVENTS.empty_table()})
    write_tables(directory / REGISTERS_DIRECTORY, {shard: registers_table(curves, serials, points)})


def _intervals(curves: Curves, serials: list[str], points: list[str], length_s: int, until_s: int) -> pa.Table:
    if not len(curves.knots):
        return INTERVALS.empty_table()
    first_s = -(-int(curves.knots["from_s"].min()) // length_s) * length_s
    grid_s = np.arange(first_s, until_s - length_s + 1, length_s, dtype=np.float64)
    meters, starts_s = np.repeat(np.arange(len(serials)), len(grid_s)), np.tile(grid_s, len(serials))
    begun, opening = curves.holding(meters, starts_s)
    supplied = curves.supplied_s(meters, starts_s + length_s) > curves.supplied_s(meters, starts_s)
    kept = begun & supplied
    meters, starts_s = meters[kept], starts_s[kept]
    ends_s = starts_s + length_s
    opened, closing = curves.knots[opening[kept]], curves.knots[curves.holding(meters, ends_s)[1]]
    before_wh, after_wh = counted_wh(opened, starts_s), counted_wh(closing, ends_s)
    allowed = np.round(allowed_wh(closing, ends_s) - allowed_wh(opened, starts_s), ALLOWED_DECIMALS)
    display = curves.display.of(meters)
    delta_wh = display.unrolled(after_wh) - display.unrolled(before_wh)
    registers_wh = display.shown(after_wh)
    of_meter = pa.array(meters.astype(np.int32))
    columns: dict[str, object] = {
        "serial": pa.array(serials, pa.string()).take(of_meter),
        "usage_point": pa.array(points, pa.string()).take(of_meter),
        "interval_start": pa.array((starts_s * 1e6).astype(np.int64)).cast(INTERVALS.field("interval_start").type),
        "interval_length_s": np.full(len(meters), length_s),
        **{name: delta_wh[:, REGISTER_NAMES.index(name)] for name in (*ENERGY_NAMES, *QUADRANT_NAMES)},
        "import_register_wh": registers_wh[:, 0],
        "export_register_wh": registers_wh[:, 1],
        **{
            name: registers_wh[:, REGISTER_NAMES.index(register)]
            for name, register in zip(REACTIVE_REGISTERS, QUADRANT_NAMES, strict=True)
        },
        **_as_read(momentary(closing), display),
        "max_demand_import_w": pa.nulls(len(meters), pa.int64()),
        "max_demand_at": pa.nulls(len(meters), INTERVALS.field("max_demand_at").type),
        **dict(zip(ALLOWED, allowed.T, strict=True)),
        "status": pa.nulls(len(meters), pa.int32()),
        "window_start_s": starts_s,
        "window_end_s": ends_s,
        "recorded_at_s": ends_s,
    }
    arrays = [pa.array(columns[name], INTERVALS.field(name).type) for name in INTERVALS.names]
    return pa.table(arrays, schema=INTERVALS)


def _as_read(measured: Float, display: Display) -> dict[str, Float]:
    """What a reader makes of what meters measure, (m, MOMENTARY), by its column: in the steps of records."""
    columns = {}
    for name, values in zip(MOMENTARY_NAMES, measured.T, strict=True):
        _, parts = SHOWN.get(name, (name, 1))
        columns[name] = np.rint(display.as_sent(name, values) * parts) / parts
    return columns
