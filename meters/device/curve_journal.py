"""The journal of meters without a load profile: the curves of their registers, and what they counted in each interval
with supply.

They have no intervals of their own. Those of the journal are cut at the boundaries of the grid of intervals, at which a
reader reads; so nobody who reads, or does not, changes a row of it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from meters.device.curve import Curves, counted_wh, registers_table
from meters.device.journal import EVENTS, INTERVALS, write_tables

REGISTERS_DIRECTORY = "registers"
_ENERGIES = ("import_wh", "export_wh", *(f"{way}_l{phase}_wh" for way in ("import", "export") for phase in (1, 2, 3)))


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
    closing = curves.knots[curves.holding(meters, ends_s)[1]]
    before_wh, after_wh = counted_wh(curves.knots[opening[kept]], starts_s), counted_wh(closing, ends_s)
    display = curves.display.of(meters)
    delta_wh = display.unrolled(after_wh) - display.unrolled(before_wh)
    registers_wh = display.shown(after_wh)
    volts = np.rint(closing["voltage_v"].astype(np.float32).astype(np.float64) * 10) / 10
    of_meter = pa.array(meters.astype(np.int32))
    columns: dict[str, object] = {
        "serial": pa.array(serials, pa.string()).take(of_meter),
        "usage_point": pa.array(points, pa.string()).take(of_meter),
        "interval_start": pa.array((starts_s * 1e6).astype(np.int64)).cast(INTERVALS.field("interval_start").type),
        "interval_length_s": np.full(len(meters), length_s),
        **dict(zip(_ENERGIES, delta_wh.T, strict=True)),
        "import_register_wh": registers_wh[:, 0],
        "export_register_wh": registers_wh[:, 1],
        "active_power_w": np.rint(closing["active_power_w"].astype(np.float32)).astype(np.int64),
        **{f"voltage_l{phase}_v": volts[:, phase - 1] for phase in (1, 2, 3)},
        "status": pa.nulls(len(meters), pa.int32()),
        "window_start_s": starts_s,
        "window_end_s": ends_s,
        "recorded_at_s": ends_s,
    }
    arrays = [pa.array(columns[name], INTERVALS.field(name).type) for name in INTERVALS.names]
    return pa.table(arrays, schema=INTERVALS)
