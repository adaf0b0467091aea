"""`stored` from a query of somebody's PostgreSQL, which can do nothing there but read.

The query is prepared by itself before it is run: that takes one whole statement, and no second one behind it. Only then
is it run, as a subquery, in a read-only transaction that is rolled back. What that still leaves to a query stands in
docs/external-head-end.md.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from psycopg import generators
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from lab.services.database_session import session
from lab.verdict.conform import conform
from lab.verdict.tables import STORED, Column, Kind, TableError, empty

DEFAULT_QUERY = "SELECT * FROM stored_reading"
_BLOCK_BYTES = 4 << 20
# Whoever locks or computes for ever must not keep a run from its verdict for ever.
_LIMITS = ("lock_timeout=30s", "statement_timeout=30min")
_NOT_UTF8 = (psycopg.errors.CharacterNotInRepertoire, psycopg.errors.UntranslatableCharacter)
_ENDED = re.compile(r";(?:[\s;]|--[^\n]*(?:\n|$)|/\*(?:[^*]|\*(?!/))*\*/)*$")

# type oids of pg_type.dat; other types (an enum, a domain) come as text
_INTEGERS = {20: "bigint", 21: "smallint", 23: "integer"}
_NUMBERS = {**_INTEGERS, 700: "real", 701: "double precision", 1700: "numeric"}
_TIMESTAMPTZ = 1184
_NAIVE = {1114: "timestamp without time zone", 1082: "date"}


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


def query_is_ready(database_url: str, query: str = DEFAULT_QUERY) -> bool:
    """Whether the columns of `query` will do; False if a relation that it reads is not there, or not yet.

    Raises:
        TableError: as stored_from_postgres.
    """
    try:
        with _reading(database_url) as connection:
            _understand(connection, query)
    except TableError as error:
        if isinstance(error.__cause__, psycopg.errors.UndefinedTable):
            return False
        raise
    return True


@contextmanager
def _reading(database_url: str) -> Iterator[psycopg.Connection]:
    """A connection in one snapshot that can only read, and whose transaction is never committed."""
    try:
        with psycopg.connect(
            session(database_url, *_LIMITS, read_only=True), autocommit=True, connect_timeout=10
        ) as connection:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            try:
                yield connection
            finally:
                # Whatever happened: nothing of it may stay. Closing does that.
                connection.close()
    except (psycopg.Error, pa.ArrowException) as error:
        said = str(error).strip()
        if isinstance(error, _NOT_UTF8) or (isinstance(error, pa.ArrowException) and "UTF8" in said):
            said = (
                "it gives text that is not UTF-8, as a database of the encoding SQL_ASCII may; "
                "select such a column as convert_from(convert(serial::bytea, 'LATIN1', 'UTF8'), 'UTF8'), or as it is"
            )
        raise TableError([f"stored: the database cannot be read: {said}"]) from error


@contextmanager
def _batches(database_url: str, query: str, start_s: float | None, end_s: float | None) -> Iterator[Iterator[pa.Table]]:
    with _reading(database_url) as connection:
        statement, columns = _understand(connection, query)
        selected = ", ".join(_expression(column, oid) for column, oid in columns)
        bounds = [f"interval_start >= to_timestamp({start_s:.6f})"] if start_s is not None else []
        bounds += [f"interval_start < to_timestamp({end_s:.6f})"] if end_s is not None else []
        where = f" WHERE {' AND '.join(bounds)}" if bounds else ""
        # On lines of its own: it may end in a comment.
        copy = f"COPY (SELECT {selected} FROM (\n{statement}\n) AS stored{where}) TO STDOUT (FORMAT csv)"  # noqa: S608
        yield _tables(_CopyFile(connection, copy), columns)


def _understand(connection: psycopg.Connection, query: str) -> tuple[str, list[tuple[Column, int]]]:
    """The query as one statement that can stand in brackets, and its known columns with their types (oids).

    Nothing is run. Raises psycopg.Error, and TableError with every fault of the columns.
    """
    statement = _one_statement(connection, query)
    return statement, _checked(_columns(connection, statement))


def _one_statement(connection: psycopg.Connection, query: str) -> str:
    """`query` without the semicolon, and the comments behind it, that it may end with. Raises psycopg.Error."""
    ended = _ENDED.search(query)
    if ended is not None:
        try:
            connection.execute("SAVEPOINT whole")
            _prepare_query(connection, query[: ended.start()])
        except psycopg.errors.SyntaxError:
            # The semicolon is in a string or in a comment: what is before it is no statement.
            connection.execute("ROLLBACK TO SAVEPOINT whole")
        else:
            return query[: ended.start()]
    _prepare_query(connection, query)
    return query


def _prepare_query(connection: psycopg.Connection, statement: str) -> None:
    """What is a statement in brackets, and a whole one by itself too, is a query, and its brackets are its own."""
    _prepare(connection, f"SELECT * FROM (\n{statement}\n) AS stored")  # noqa: S608 - the query is the user's own
    _prepare(connection, statement)


def _prepare(connection: psycopg.Connection, statement: str) -> None:
    """Parse one statement; PostgreSQL refuses to prepare more than one. Raises psycopg.Error."""
    connection.pgconn.send_prepare(b"", statement.encode())
    _result(connection)


def _columns(connection: psycopg.Connection, statement: str) -> list[tuple[str, int]]:
    """Name and type (oid) of each column."""
    _prepare(connection, statement)
    connection.pgconn.send_describe_prepared(b"")
    result = _result(connection)
    names = [result.fname(column) or b"" for column in range(result.nfields)]
    return [(name.decode(errors="replace"), result.ftype(column)) for column, name in enumerate(names)]


def _result(connection: psycopg.Connection) -> PGresult:
    """Of what was sent by the extended protocol. Raises psycopg.Error."""
    result: PGresult
    (result,) = connection.wait(generators.execute(connection.pgconn))
    if result.status == ExecStatus.FATAL_ERROR:
        raise psycopg.errors.error_from_result(result, connection.info.encoding)
    return result


def _checked(found: list[tuple[str, int]]) -> list[tuple[Column, int]]:
    """The known columns of the query; their types are checked before a row is read."""
    names = [name for name, _ in found]
    oids = dict(found)
    faults = [
        f"stored.{column.name} occurs {names.count(column.name)} times"
        for column in STORED.columns
        if names.count(column.name) > 1
    ]
    columns = [(column, oids[column.name]) for column in STORED.columns if column.name in oids]
    if not set(STORED.one_of) & set(names):
        faults.append(f"stored has none of the columns {' or '.join(STORED.one_of)}: give at least one")
    faults += [f"stored.{c.name} is missing" for c in STORED.columns if c.required and c.name not in oids]
    for column, oid in columns:
        where = f"stored.{column.name}"
        if column.kind is Kind.TIME and oid in _NAIVE:
            faults.append(
                f"{where} is {_NAIVE[oid]} and has no time zone: select it AT TIME ZONE 'UTC' (or wherever it is from)"
            )
        elif column.kind is Kind.TIME and oid != _TIMESTAMPTZ:
            faults.append(f"{where} has the type with oid {oid}, expected timestamp with time zone")
        elif column.kind in (Kind.INTEGER, Kind.NUMBER) and oid not in _NUMBERS:
            faults.append(f"{where} has the type with oid {oid}, expected a number: cast it")
    if faults:
        raise TableError(faults)
    return columns


def _expression(column: Column, oid: int) -> str:
    """The column in a form that does not depend on the server's date style, and that needs no parsing of dates."""
    match column.kind:
        case Kind.TIME:
            return f"(extract(epoch FROM {column.name}) * 1000000)::bigint"
        case Kind.INTEGER if oid in _INTEGERS:
            return f"{column.name}::bigint"
        case Kind.INTEGER | Kind.NUMBER:
            return f"{column.name}::double precision"
        case _:
            return f"{column.name}::text"


def _wire(column: Column, oid: int) -> pa.DataType:
    """What `_expression` is read as."""
    if column.kind is Kind.TIME:
        return pa.int64()
    if column.kind is Kind.INTEGER and oid not in _INTEGERS:
        return pa.float64()
    return column.kind.value


class _CopyFile(io.RawIOBase):
    """The rows of a COPY … TO STDOUT as a file that can be read in blocks."""

    def __init__(self, connection: psycopg.Connection, statement: str) -> None:
        self._connection = connection
        self._ended = False
        self._left = b""
        # By the extended protocol, as everything else: it has one statement.
        connection.pgconn.send_query_params(statement.encode(), None)
        _result(connection)

    def readable(self) -> bool:
        return True

    def at_end(self) -> bool:
        """Whether nothing is left to read; Arrow refuses a file without a row."""
        if not self._left and not self._ended:
            self._left = self._row()
        return not self._left

    def read(self, size: int = -1) -> bytes:
        parts, gathered = [self._left], len(self._left)
        while not self._ended and (size < 0 or gathered < size):
            row = self._row()
            parts.append(row)
            gathered += len(row)
        data = b"".join(parts)
        if size < 0:
            self._left = b""
            return data
        self._left = data[size:]
        return data[:size]

    def _row(self) -> bytes:
        row = self._connection.wait(generators.copy_from(self._connection.pgconn))
        if isinstance(row, memoryview):
            return bytes(row)
        self._ended = True
        return b""


def _tables(file: _CopyFile, columns: list[tuple[Column, int]]) -> Iterator[pa.Table]:
    if file.at_end():
        return
    wire = {column.name: _wire(column, oid) for column, oid in columns}
    reader = pa_csv.open_csv(
        pa.PythonFile(file, mode="r"),
        read_options=pa_csv.ReadOptions(column_names=list(wire), block_size=_BLOCK_BYTES, use_threads=False),
        convert_options=pa_csv.ConvertOptions(
            column_types=wire, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    )
    for batch in reader:
        table = pa.table(batch)
        for column, _ in columns:
            if column.kind is Kind.TIME:
                at = table.column_names.index(column.name)
                table = table.set_column(at, column.name, table[column.name].cast(column.kind.value))
        yield conform(table, STORED)
