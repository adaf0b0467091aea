"""`stored` from somebody's head-end: a PostgreSQL query, a CSV file, a parquet file. All three give the same table.

A table needs `usage_point` or `serial`, `interval_start`, `interval_length_s`, `import_wh`; the other columns of
`tables.STORED` are compared or used where they are present, and any further ones are ignored. Without `quality` every
row is actual, without `origin` none is recovered; without `committed_at` nobody can say what was late, so
reads.success_rate fails. Times are instants: a naive one is refused.
"""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from lab.verdict.tables import STORED, Column, Kind, TableError, conform, empty, read_parquet

DEFAULT_QUERY = "SELECT * FROM stored_reading"
_BLOCK_BYTES = 4 << 20

# type oids of pg_type.dat; other types (an enum, a domain) come as text
_INTEGERS = {20: "bigint", 21: "smallint", 23: "integer"}
_NUMBERS = {**_INTEGERS, 700: "real", 701: "double precision", 1700: "numeric"}
_TIMESTAMPTZ = 1184
_NAIVE = {1114: "timestamp without time zone", 1082: "date"}


def stored_from_parquet(path: Path) -> pa.Table:
    """Raises TableError with every fault of the file."""
    return read_parquet(path, STORED, label=f"stored ({path.name})")


def stored_from_csv(path: Path, *, delimiter: str = ",") -> pa.Table:
    """UTF-8 with a header; an empty cell is null; times in ISO 8601 with an offset.

    Raises:
        TableError: with every fault of the file.
    """
    label = f"stored ({path.name})"
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = next(csv.reader(file, delimiter=delimiter), [])
        if not header:
            raise TableError([f"{label}: {path} is empty, expected a header line"])
        if repeated := sorted({n for n in header if header.count(n) > 1} & set(STORED.column_names())):
            raise TableError([f"{label}.{name} occurs more than once in the header" for name in repeated])
        known = [column for column in STORED.columns if column.name in header]
        try:
            table = _parse_csv(path, delimiter, {c.name: c.kind.value for c in known})
        except pa.ArrowInvalid:
            # once more as text: Arrow stops at the first bad cell, the user wants to hear of every bad column
            table = _parse_csv(path, delimiter, {c.name: pa.string() for c in known})
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException) as error:
        raise TableError([f"{label}: {path} cannot be read as CSV: {error}"]) from error
    return conform(table, STORED, label=label, from_text=True)


def _parse_csv(path: Path, delimiter: str, types: dict[str, pa.DataType]) -> pa.Table:
    return pa_csv.read_csv(
        path,
        parse_options=pa_csv.ParseOptions(delimiter=delimiter),
        convert_options=_conversion(types),
    )


def _conversion(types: dict[str, pa.DataType]) -> pa_csv.ConvertOptions:
    return pa_csv.ConvertOptions(
        column_types=types,
        include_columns=list(types),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )


def stored_from_postgres(
    database_url: str, *, query: str = DEFAULT_QUERY, start_s: float | None = None, end_s: float | None = None
) -> pa.Table:
    """The rows of `query`, those with start_s <= interval_start < end_s (epoch seconds) if given, in memory.

    Raises:
        TableError: with every fault of the query's columns, or what the database said.
    """
    with _batches(database_url, query, start_s, end_s) as batches:
        tables = list(batches)
    return pa.concat_tables(tables) if tables else empty(STORED)


def export_stored(
    database_url: str,
    path: Path,
    *,
    query: str = DEFAULT_QUERY,
    start_s: float | None = None,
    end_s: float | None = None,
) -> int:
    """Streams the rows of `query` to a parquet file, a few megabytes at a time; returns how many there were.

    Raises:
        TableError: as stored_from_postgres. The file is then incomplete and is removed.
    """
    rows = 0
    writer: pq.ParquetWriter | None = None
    try:
        with _batches(database_url, query, start_s, end_s) as batches:
            for table in batches:
                writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
                writer.write_table(table)
                rows += len(table)
    except TableError:
        if writer is not None:
            writer.close()
            path.unlink()
        raise
    if writer is None:
        pq.write_table(empty(STORED), path)
    else:
        writer.close()
    return rows


def within(table: pa.Table, *, start_s: float, end_s: float) -> pa.Table:
    """The rows with start_s <= interval_start < end_s (epoch seconds)."""
    start, end = (pa.scalar(round(time_s * 1e6), pa.int64()).cast(Kind.TIME.value) for time_s in (start_s, end_s))
    starts = table["interval_start"]
    return table.filter(pc.and_(pc.greater_equal(starts, start), pc.less(starts, end)))


def query_is_ready(database_url: str, query: str = DEFAULT_QUERY) -> bool:
    """Whether the columns of `query` will do; False if a relation that it reads is not there, or not yet.

    Raises:
        TableError: as stored_from_postgres.
    """
    try:
        with _reading(database_url) as cursor:
            _columns_of(cursor, _inner(query))
    except TableError as error:
        if isinstance(error.__cause__, psycopg.errors.UndefinedTable):
            return False
        raise
    return True


def _inner(query: str) -> str:
    return query.strip().rstrip(";")


@contextmanager
def _reading(database_url: str) -> Iterator[psycopg.Cursor]:
    """A cursor in one snapshot, which can only read."""
    try:
        with psycopg.connect(database_url, autocommit=False) as connection, connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield cursor
    except (psycopg.Error, pa.ArrowException) as error:
        raise TableError([f"stored: the database cannot be read: {str(error).strip()}"]) from error


@contextmanager
def _batches(database_url: str, query: str, start_s: float | None, end_s: float | None) -> Iterator[Iterator[pa.Table]]:
    inner = _inner(query)
    with _reading(database_url) as cursor:
        columns = _columns_of(cursor, inner)
        selected = ", ".join(_expression(c) for c in columns)
        bounds = [f"interval_start >= to_timestamp({start_s:.6f})"] if start_s is not None else []
        bounds += [f"interval_start < to_timestamp({end_s:.6f})"] if end_s is not None else []
        where = f" WHERE {' AND '.join(bounds)}" if bounds else ""
        copy = f"COPY (SELECT {selected} FROM ({inner}) AS stored{where}) TO STDOUT (FORMAT csv)"  # noqa: S608 - the query is the user's own
        with cursor.copy(copy.encode()) as rows:
            yield _tables(_CopyFile(rows), columns)


def _columns_of(cursor: psycopg.Cursor, inner: str) -> list[Column]:
    cursor.execute(f"SELECT * FROM ({inner}) AS stored LIMIT 0".encode())  # noqa: S608 - the query is the user's own
    return _checked({d.name: d.type_code for d in cursor.description or ()})


def _checked(found: dict[str, int]) -> list[Column]:
    """The known columns of the query; their types are checked before a row is read."""
    faults = []
    columns = [c for c in STORED.columns if c.name in found]
    if not set(STORED.one_of) & set(found):
        faults.append(f"stored has none of the columns {' or '.join(STORED.one_of)}: give at least one")
    faults += [f"stored.{c.name} is missing" for c in STORED.columns if c.required and c.name not in found]
    for column in columns:
        where, oid = f"stored.{column.name}", found[column.name]
        if column.kind is Kind.TIME and oid in _NAIVE:
            faults.append(
                f"{where} is {_NAIVE[oid]} and has no time zone: select it AT TIME ZONE 'UTC' (or wherever it is from)"
            )
        elif column.kind is Kind.TIME and oid != _TIMESTAMPTZ:
            faults.append(f"{where} has the type with oid {oid}, expected timestamp with time zone")
        elif column.kind is Kind.INTEGER and oid not in _INTEGERS:
            faults.append(f"{where} is {_NUMBERS.get(oid, f'of type oid {oid}')}, expected an integer: cast it")
        elif column.kind is Kind.NUMBER and oid not in _NUMBERS:
            faults.append(f"{where} has the type with oid {oid}, expected a number: cast it")
    if faults:
        raise TableError(faults)
    return columns


def _expression(column: Column) -> str:
    """The column in a form that does not depend on the server's date style, and that needs no parsing of dates."""
    match column.kind:
        case Kind.TIME:
            return f"(extract(epoch FROM {column.name}) * 1000000)::bigint"
        case Kind.NUMBER:
            return f"{column.name}::double precision"
        case Kind.INTEGER:
            return f"{column.name}::bigint"
        case _:
            return f"{column.name}::text"


class _CopyFile(io.RawIOBase):
    """COPY's rows as a file that can be read in blocks."""

    def __init__(self, copy: psycopg.Copy) -> None:
        self._copy = copy
        self._ended = False
        self._left = b""

    def readable(self) -> bool:
        return True

    def at_end(self) -> bool:
        """Whether nothing is left to read; Arrow refuses a file without a row."""
        if not self._left and not self._ended:
            self._left = bytes(self._copy.read())
            self._ended = not self._left
        return not self._left

    def read(self, size: int = -1) -> bytes:
        parts, gathered = [self._left], len(self._left)
        while not self._ended and (size < 0 or gathered < size):
            row = self._copy.read()
            if not row:
                self._ended = True
            parts.append(bytes(row))
            gathered += len(row)
        data = b"".join(parts)
        if size < 0:
            self._left = b""
            return data
        self._left = data[size:]
        return data[:size]


def _tables(file: _CopyFile, columns: list[Column]) -> Iterator[pa.Table]:
    if file.at_end():
        return
    wire = {c.name: pa.int64() if c.kind is Kind.TIME else c.kind.value for c in columns}
    reader = pa_csv.open_csv(
        pa.PythonFile(file, mode="r"),
        read_options=pa_csv.ReadOptions(column_names=list(wire), block_size=_BLOCK_BYTES, use_threads=False),
        convert_options=_conversion(wire),
    )
    for batch in reader:
        table = pa.table(batch)
        for column in columns:
            if column.kind is Kind.TIME:
                at = table.column_names.index(column.name)
                table = table.set_column(at, column.name, table[column.name].cast(column.kind.value))
        yield conform(table, STORED)
