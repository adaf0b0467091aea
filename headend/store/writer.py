"""From a batch of decoded messages to committed rows: binary COPY into a stage, INSERT … ON CONFLICT, one transaction.

An identical row is nothing new, whatever its revision: at-least-once delivery repeats old messages. A different value
for a stored interval becomes its next revision.
"""

from dataclasses import dataclass

import psycopg

from headend.drivers import ABSENT, READING_COUNTERS, READING_MEASURES
from headend.store import register_rows, side_rows
from headend.store.batch import RECOVERED, REPORTED, Batch
from headend.store.database import Connection
from headend.store.staging import REVISED, STAGE_TYPES, copy_stream, starts_s

__all__ = ["RECOVERED", "REPORTED", "Batch", "Written", "clear", "prepare", "write"]

MOST_REVISIONS = 32
"""Of one interval, after its first value. What a meter says of it beyond is only counted, until it repeats itself."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a committed batch came to."""

    inserted: int
    revisions: int
    duplicates: int
    too_many: int = 0
    """Further values of intervals that have MOST_REVISIONS."""
    refused: int = 0
    """Rows that the database does not take (headend/store/commit.py)."""

    def __add__(self, other: "Written") -> "Written":
        return Written(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


_VALUES = (*READING_COUNTERS, *READING_MEASURES)
_KEY = ("meter_id", "interval_start", "interval_length_s")
_CORRECTIONS = ("import_correction_wh", "export_correction_wh")
"""Of a revision: its difference to the value that was current before (migration 0006)."""

_REVISION_TYPES = {"revision": "integer", **dict.fromkeys(_CORRECTIONS, "bigint")}
CREATE_STAGE = (
    "CREATE TEMPORARY TABLE stage_reading ("
    + ", ".join(f"{name} {sql_type} NOT NULL" for name, _, sql_type in STAGE_TYPES)
    + ") ON COMMIT DELETE ROWS; CREATE TEMPORARY TABLE stage_revision (LIKE stage_reading, "
    + ", ".join(f"{name} {sql_type}" for name, sql_type in _REVISION_TYPES.items())
    + ") ON COMMIT DELETE ROWS"
)
_COPY = f"COPY stage_reading ({', '.join(name for name, _, _ in STAGE_TYPES)}) FROM STDIN (FORMAT binary)"


_COLUMNS = {"max_demand_at_s": "max_demand_at"}
"""Channels whose column has another name, since it is an instant."""


def _forms() -> dict[str, str]:
    """What a staged value becomes where its column is of another type (migration 0026)."""
    short = [name for name in READING_COUNTERS if name.startswith(("active_", "reactive_", "max_demand_", "status"))]
    return {
        **{name: "{}::integer" for name in short if "_register_" not in name},
        **dict.fromkeys(_COLUMNS, "to_timestamp({})"),
    }


_FORMS = _forms()


def _value_sql(name: str, *, nullable: bool, staged: str = "s") -> str:
    """The staged value as interval_reading has it; sentinels are looked for only in a batch that has some."""
    if not nullable:
        value = f"{staged}.{name}"
    elif name in READING_COUNTERS:
        value = f"nullif({staged}.{name}, {ABSENT})"
    else:
        value = f"nullif({staged}.{name}, 'NaN')"
    return _FORMS.get(name, "{}").format(value)


# ruff: noqa: S608 - the statements are put together from the constants of this module alone


def _column(name: str) -> str:
    return _COLUMNS.get(name, name)


def _insert_sql(source: str, revision: str, quality: str, *, nullable: bool, corrects: bool = False) -> str:
    values = ", ".join(_value_sql(name, nullable=nullable) for name in _VALUES)
    targets = (*_KEY, *map(_column, _VALUES), *(_CORRECTIONS if corrects else ()))
    corrections = "".join(f", s.{name}" for name in _CORRECTIONS) if corrects else ""
    return (
        f"INSERT INTO interval_reading ({', '.join(targets)}, origin, device_time, received_at, committed_at,"
        f" revision, quality) SELECT {', '.join(f's.{name}' for name in _KEY)}, {values}{corrections}, s.origin,"
        f" s.interval_start + s.interval_length_s * interval '1 second', s.received_at,"
        f" to_timestamp(%(committed)s), {revision}, {quality} FROM {source} s ON CONFLICT DO NOTHING"
    )


_INSERT_FIRST = {
    nullable: _insert_sql("(SELECT * FROM stage_reading ORDER BY n)", "0", "s.quality", nullable=nullable)
    for nullable in (False, True)
}


def _same_key(staged: str) -> str:
    """With the batch's bounds as constants: so the planner opens the chunks of these days alone."""
    bounds = "r.interval_start BETWEEN to_timestamp(%(first)s) AND to_timestamp(%(last)s)"
    return " AND ".join([*(f"r.{name} = {staged}.{name}" for name in _KEY), bounds])


_SAME_VALUES = (
    f"({', '.join(f'r.{_column(name)}' for name in _VALUES)}) IS NOT DISTINCT FROM"
    f" ({', '.join(_value_sql(name, nullable=True, staged='d') for name in _VALUES)})"
)
_KEY_LIST = ", ".join(_KEY)


def _correction(name: str) -> str:
    value = f"coalesce(nullif(d.{name}, {ABSENT}), 0)"
    return f"{value} - lag({value}, 1, coalesce(k.{name}, 0)) OVER (PARTITION BY {_key_of('d')} ORDER BY d.n)"


def _key_of(row: str) -> str:
    return ", ".join(f"{row}.{name}" for name in _KEY)


# New values of known intervals, numbered in the order of arrival; of several equal ones the first counts. They are
# collected before any is inserted: a statement that looks for what it has just written itself visits all of that anew
# for each row.
_STAGE_REVISIONS = (
    f"WITH d AS MATERIALIZED (SELECT DISTINCT ON ({_KEY_LIST}, {', '.join(_VALUES)}) * FROM stage_reading"
    f" ORDER BY {_KEY_LIST}, {', '.join(_VALUES)}, n),"
    f" k AS MATERIALIZED (SELECT {_key_of('w')}, r.* FROM (SELECT DISTINCT {_KEY_LIST} FROM d) w"
    " CROSS JOIN LATERAL (SELECT r.revision, r.import_wh, r.export_wh FROM interval_reading r"
    f" WHERE {_same_key('w')} ORDER BY r.revision DESC LIMIT 1) r)"
    " INSERT INTO stage_revision SELECT d.*,"
    f" k.revision + row_number() OVER (PARTITION BY {_key_of('d')} ORDER BY d.n),"
    f" {_correction('import_wh')}, {_correction('export_wh')}"
    f" FROM d JOIN k USING ({_KEY_LIST})"
    f" WHERE NOT EXISTS (SELECT FROM interval_reading r WHERE {_same_key('d')} AND {_SAME_VALUES})"
)
_INSERT_REVISIONS = _insert_sql(
    f"(SELECT * FROM stage_revision WHERE revision <= {MOST_REVISIONS} ORDER BY n)",
    "s.revision",
    str(REVISED),
    nullable=True,
    corrects=True,
)
_FIND_TOO_MANY = (
    "SELECT e.serial, e.device_group, min(to_char(s.interval_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')),"
    " count(*) FROM stage_revision s JOIN end_device e ON e.id = s.meter_id"
    f" WHERE s.revision > {MOST_REVISIONS} GROUP BY e.serial, e.device_group"
)


async def prepare(connection: Connection) -> None:
    """Make a new connection ready for `write`."""
    await connection.execute(CREATE_STAGE)


async def clear(connection: Connection) -> None:
    """Between two batches of one transaction."""
    await connection.execute("TRUNCATE stage_reading, stage_revision")


async def write(connection: Connection, batch: Batch, *, committed_s: float) -> Written:
    """Write a batch inside the caller's transaction; `committed_s`: the head-end's clock. Idempotent."""
    written = Written(0, 0, 0)
    if batch.readings or batch.derived:
        written = await _write_readings(connection, batch, committed_s)
    await register_rows.write(connection, batch, committed_s=committed_s)
    await side_rows.write(connection, batch, committed_s=committed_s)
    return written


async def _write_readings(connection: Connection, batch: Batch, committed_s: float) -> Written:
    cursor = connection.cursor()
    await _stage(cursor, batch)
    nullable = batch.has_absent or bool(batch.derived)
    await cursor.execute(_INSERT_FIRST[nullable], {"committed": committed_s})
    inserted = cursor.rowcount
    if inserted == batch.rows:
        return Written(inserted, 0, 0)
    # Two writers must not take the same revision number. First rows need no lock: their key guards them.
    await cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('amilab-revision:' || current_schema, 0))")
    bounds = dict(zip(("first", "last"), starts_s(batch), strict=True))
    # Not prepared: a plan that is kept knows no bounds.
    await cursor.execute(_STAGE_REVISIONS, bounds, prepare=False)
    new = cursor.rowcount
    revisions = 0
    if new:
        await cursor.execute(_INSERT_REVISIONS, {"committed": committed_s})
        revisions = cursor.rowcount
    if new > revisions:
        await _tell_too_many(cursor, committed_s)
    return Written(inserted, revisions, batch.rows - inserted - new, new - revisions)


async def _tell_too_many(cursor: psycopg.AsyncCursor[tuple[object, ...]], committed_s: float) -> None:
    told = Batch()
    for serial, group, start, count in await (await cursor.execute(_FIND_TOO_MANY)).fetchall():
        told.drop(
            f"interval/{group}/{serial}",
            "too_many_revisions",
            committed_s,
            b"",
            f"more than {MOST_REVISIONS} revisions of one interval, that of {start} UTC for one",
            copies=int(str(count)),
        )
    await side_rows.write(cursor.connection, told, committed_s=committed_s)


async def _stage(cursor: psycopg.AsyncCursor[tuple[object, ...]], batch: Batch) -> None:
    async with cursor.copy(_COPY) as copy:
        await copy.write(copy_stream(batch))
