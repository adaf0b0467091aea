"""Export of the durable memory: the journal that a run's verdict compares with truth and store."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from meters.device.memory import EVENT_COLUMNS, Memory
from meters.device.quantities import ENERGY_NAMES, LIMITED_NAMES, PHASES, QUADRANT_NAMES
from meters.errors import MemoryFailedError, MemoryFullError

Batch = TypeVar("Batch")

_BATCH = 100_000
_INSTANT = pa.timestamp("us", tz="UTC")
SHOWN = {
    **{f"voltage_l{phase}_v": (f"voltage_l{phase}_dv", 10) for phase in PHASES},
    **{f"current_l{phase}_a": (f"current_l{phase}_ma", 1000) for phase in PHASES},
    **{f"power_factor_l{phase}": (f"power_factor_l{phase}_permille", 1000) for phase in PHASES},
}
"""Columns of INTERVALS that a record has in whole parts: in which field, and how many parts make a unit."""
POWERS = tuple(
    f"{kind}_power_l{phase}_{unit}" for kind, unit in (("active", "w"), ("reactive", "var")) for phase in PHASES
)
REACTIVE_REGISTERS = tuple(name.replace("_varh", "_register_varh") for name in QUADRANT_NAMES)
ALLOWED = tuple(name.replace("_wh", "_allowed_wh").replace("_varh", "_allowed_varh") for name in LIMITED_NAMES)

INTERVALS = pa.schema(
    [
        ("serial", pa.string()),
        ("usage_point", pa.string()),
        ("interval_start", _INSTANT),
        ("interval_length_s", pa.int32()),
        *((name, pa.int64()) for name in (*ENERGY_NAMES, *QUADRANT_NAMES)),
        *((name, pa.int64()) for name in ("import_register_wh", "export_register_wh", *REACTIVE_REGISTERS)),
        *((name, pa.int64()) for name in ("active_power_w", *POWERS)),
        *((name, pa.float64()) for name in SHOWN),
        ("max_demand_import_w", pa.int64()),
        ("max_demand_at", _INSTANT),
        ("status", pa.int32()),
        *((name, pa.float64()) for name in ALLOWED),
        *((name, pa.float64()) for name in ("window_start_s", "window_end_s", "recorded_at_s")),
    ]
)
"""`interval_start` and `max_demand_at` are by the meter's clock. `window_*_s` and `recorded_at_s` (true epoch seconds)
and `*_allowed_*` are what the twin knows and the meter does not. The latter: by how much an interval's energy may be
wrong by the meter's class at the loads that there were (meters/device/classes.py), without the register's steps."""

EVENTS = pa.schema(
    [
        ("serial", pa.string()),
        ("usage_point", pa.string()),
        ("sequence", pa.int64()),
        ("code", pa.string()),
        ("device_time", _INSTANT),
        ("true_time_s", pa.float64()),
        ("detail", pa.string()),
    ]
)


def write_journal(
    memory: Memory, serials: list[str], points: list[str], directory: Path, shard: str, interval_length_s: int
) -> None:
    """Write `<shard>.parquet` and `<shard>_events.parquet` into `directory`, creating it. Raises MemoryFailedError.

    :param points: usage points, by meter as the serials are.
    """

    def named(meter: np.ndarray) -> dict[str, pa.Array]:
        indices = pa.array(meter.astype(np.int32))
        return {"serial": pa.array(serials).take(indices), "usage_point": pa.array(points).take(indices)}

    def intervals(records: NDArray[np.void]) -> dict[str, Any]:
        table: dict[str, Any] = named(records["meter"])
        table["interval_start"] = _instants(records["interval_start_s"])
        table["interval_length_s"] = np.full(len(records), interval_length_s)
        table["max_demand_at"] = _instants(records["max_demand_at_s"])
        for name, (whole, parts) in SHOWN.items():
            table[name] = records[whole] / parts
        for name in INTERVALS.names:
            if name not in table:
                table[name] = records[name].astype(INTERVALS.field(name).type.to_pandas_dtype())
        return table

    def events(rows: list[tuple[Any, ...]]) -> dict[str, Any]:
        columns = dict(zip(EVENT_COLUMNS, zip(*rows, strict=True), strict=True))
        table: dict[str, Any] = named(np.array(columns["meter"]))
        table["device_time"] = _instants(np.array(columns["device_time_s"], dtype=np.float64))
        table.update((name, list(columns[name])) for name in ("sequence", "code", "true_time_s", "detail"))
        return table

    with _writing_to(directory):
        _write(directory / f"{shard}.parquet", INTERVALS, memory.all_intervals(_BATCH), intervals)
        _write(directory / f"{shard}_events.parquet", EVENTS, memory.all_events(_BATCH), events)


def write_tables(directory: Path, tables: Mapping[str, pa.Table]) -> None:
    """Write each table as `<name>.parquet` into `directory`, creating it. Raises MemoryFailedError."""
    with _writing_to(directory):
        for name, table in tables.items():
            partial = directory / f"{name}.partial"
            pq.write_table(table, partial, compression="zstd")
            partial.replace(directory / f"{name}.parquet")


@contextmanager
def _writing_to(directory: Path) -> Iterator[None]:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        kind = MemoryFullError if error.errno in (errno.ENOSPC, errno.EDQUOT) else MemoryFailedError
        raise kind(f"{directory}: the journal cannot be written: {error}") from error


def _write(
    path: Path,
    schema: pa.Schema,
    batches: Iterable[Batch],
    columns_of: Callable[[Batch], dict[str, Any]],
) -> None:
    partial = path.with_suffix(".partial")
    with pq.ParquetWriter(partial, schema, compression="zstd") as writer:
        for batch in batches:
            columns = columns_of(batch)
            writer.write_table(pa.table([pa.array(columns[name]) for name in schema.names], schema=schema))
    partial.replace(path)


def _instants(epoch_s: np.ndarray) -> pa.Array:
    return pa.array((epoch_s * 1_000_000).astype(np.int64), pa.int64()).cast(_INSTANT)
