"""Export of the durable memory: the journal that a run's verdict compares with truth and store."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from meters.device.memory import EVENT_COLUMNS, INTERVAL_COLUMNS, Memory
from meters.errors import MemoryFailedError, MemoryFullError

_BATCH = 100_000
_INSTANT = pa.timestamp("us", tz="UTC")
_ENERGIES = tuple(name for name in INTERVAL_COLUMNS if name.startswith(("import_l", "export_l")))

INTERVALS = pa.schema(
    [
        ("serial", pa.string()),
        ("usage_point", pa.string()),
        ("interval_start", _INSTANT),
        ("interval_length_s", pa.int32()),
        *((name, pa.int64()) for name in ("import_wh", "export_wh", *_ENERGIES)),
        *((name, pa.int64()) for name in ("import_register_wh", "export_register_wh", "active_power_w")),
        *((f"voltage_l{phase}_v", pa.float64()) for phase in (1, 2, 3)),
        ("status", pa.int32()),
        *((name, pa.float64()) for name in ("window_start_s", "window_end_s", "recorded_at_s")),
    ]
)
"""`interval_start` is nominal, by the meter's clock. `window_*_s` and `recorded_at_s` are true epoch seconds: what the
twin knows and the meter does not."""

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

    def intervals(rows: list[tuple[Any, ...]]) -> dict[str, Any]:
        columns = dict(zip(INTERVAL_COLUMNS, np.array(rows, dtype=np.float64).T, strict=True))
        table: dict[str, Any] = named(columns["meter"])
        table["interval_start"] = _instants(columns["interval_start_s"])
        table["interval_length_s"] = np.full(len(rows), interval_length_s)
        for phase in (1, 2, 3):
            table[f"voltage_l{phase}_v"] = columns[f"voltage_l{phase}_dv"] / 10
        for name in INTERVALS.names:
            if name not in table:
                table[name] = columns[name].astype(INTERVALS.field(name).type.to_pandas_dtype())
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
    batches: Iterable[list[tuple[Any, ...]]],
    columns_of: Callable[[list[tuple[Any, ...]]], dict[str, Any]],
) -> None:
    partial = path.with_suffix(".partial")
    with pq.ParquetWriter(partial, schema, compression="zstd") as writer:
        for rows in batches:
            columns = columns_of(rows)
            writer.write_table(pa.table([pa.array(columns[name]) for name in schema.names], schema=schema))
    partial.replace(path)


def _instants(epoch_s: np.ndarray) -> pa.Array:
    return pa.array((epoch_s * 1_000_000).astype(np.int64), pa.int64()).cast(_INSTANT)
