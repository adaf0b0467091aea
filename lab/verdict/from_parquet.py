"""`stored` from a parquet file, as pandas, Polars, DuckDB, Arrow or Spark write them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lab.verdict.conform import conform, unread
from lab.verdict.tables import STORED, Kind, TableError

_SPARK = b"org.apache.spark.version"
Tell = Callable[[str], object]


def stored_from_parquet(path: Path, *, rows_at_most: int | None = None, tell: Tell = lambda _: None) -> pa.Table:
    """As stored_from_csv.

    Raises:
        TableError: with every fault of the file.
    """
    label = f"stored ({path.name})"
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            known = [name for name in STORED.column_names() if name in names]
            if rows_at_most is None:
                table = file.read(columns=known)
            else:
                batches = islice(file.iter_batches(rows_at_most, columns=known), 1)
                table = pa.Table.from_batches(batches, pa.schema([file.schema_arrow.field(name) for name in known]))
            table = _spark_instants(table, file)
    except FileNotFoundError as error:
        raise TableError([f"{label}: {path} does not exist"]) from error
    except (OSError, pa.ArrowException) as error:
        raise TableError([f"{label}: {path} cannot be read as parquet: {error}"]) from error
    if ignored := unread(names, STORED):
        tell(f"{path.name} has columns that are not read: {', '.join(ignored)}")
    return conform(table, STORED, label=label, beside=names)


def _spark_instants(table: pa.Table, file: pq.ParquetFile) -> pa.Table:
    """Spark writes instants in a form that has no place for a time zone, and means UTC; others who do may not."""
    if _SPARK not in (file.metadata.metadata or {}):
        return table
    forms = {file.schema.column(at).name: file.schema.column(at).physical_type for at in range(len(file.schema))}
    for at, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type) and field.type.tz is None and forms.get(field.name) == "INT96":
            table = table.set_column(at, field.name, table[field.name].cast(pa.timestamp(field.type.unit, "UTC")))
    return table


def within(table: pa.Table, *, start_s: float, end_s: float) -> pa.Table:
    """The rows with start_s <= interval_start < end_s (epoch seconds)."""
    start, end = (pa.scalar(round(time_s * 1e6), pa.int64()).cast(Kind.TIME.value) for time_s in (start_s, end_s))
    starts = table["interval_start"]
    return table.filter(pc.and_(pc.greater_equal(starts, start), pc.less(starts, end)))
