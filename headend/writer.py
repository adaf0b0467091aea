"""From a batch of decoded messages to committed rows: binary COPY into a stage, INSERT … ON CONFLICT, one transaction.

An identical row is nothing new, whatever its revision: at-least-once delivery repeats old messages. A different value
for a stored interval becomes its next revision.
"""

import uuid
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import psycopg
from numpy.typing import NDArray

from headend.database import Connection
from headend.drivers import ABSENT, READING_COUNTERS, READING_VOLTAGES

# A row of `Batch.counters`: these five, then READING_COUNTERS.
_ROW_HEAD = ("meter_id", "interval_start_s", "interval_length_s", "received_at_us", "origin")
_ROW_WIDTH = len(_ROW_HEAD) + len(READING_COUNTERS)
REPORTED, RECOVERED = 0, 1

# Epoch of PostgreSQL's binary timestamps, 2000-01-01, as Unix µs.
_POSTGRES_EPOCH_US = 946_684_800_000_000


@dataclass(slots=True)
class Batch:
    """What was received and is not yet committed. Hot values lie flat: no object per reading."""

    # Quoted: array takes no subscript at run time before Python 3.12.
    counters: "array[int]" = field(default_factory=lambda: array("q"))
    voltages: "array[float]" = field(default_factory=lambda: array("d"))
    has_absent: bool = False
    others: list[tuple[int, float, int, str, float, float]] = field(default_factory=list)
    events: list[tuple[int, int, str, float, str, float]] = field(default_factory=list)
    states: dict[int, tuple[int, bool, int | None, float | None, float]] = field(default_factory=dict)
    communications: dict[tuple[int, float], bool] = field(default_factory=dict)
    collectors: dict[tuple[str, str], tuple[bool, int | None, int | None, float | None, float]] = field(
        default_factory=dict
    )
    collector_supplies: dict[tuple[str, str], tuple[bool, float]] = field(default_factory=dict)
    dead_letters: list[tuple[uuid.UUID, float, str, bytes, str, str]] = field(default_factory=list)
    interruptions: list[tuple[int, float, float | None, float | None, float | None]] = field(default_factory=list)
    gaps: list[tuple[int, float, int, str, str, float]] = field(default_factory=list)
    finished_commands: list[tuple[str, str, str | None, float]] = field(default_factory=list)

    def add_reading(
        self,
        meter_id: int,
        start_s: int,
        length_s: int,
        received_us: int,
        origin: int,
        counters: tuple[int, ...],
        voltages: tuple[float, ...],
    ) -> None:
        """Append one row; `counters` and `voltages` are decoded, so they fit."""
        self.counters.extend((meter_id, start_s, length_s, received_us, origin, *counters))
        self.voltages.extend(voltages)

    @property
    def rows(self) -> int:
        """Interval rows."""
        return len(self.counters) // _ROW_WIDTH

    def __bool__(self) -> bool:
        return bool(
            self.counters
            or self.others
            or self.events
            or self.states
            or self.communications
            or self.collectors
            or self.collector_supplies
            or self.dead_letters
            or self.interruptions
            or self.gaps
            or self.finished_commands
        )


@dataclass(frozen=True, slots=True)
class Written:
    """What a committed batch came to."""

    inserted: int
    revisions: int
    duplicates: int


_STAGE_TYPES = (
    ("n", ">i4", "integer"),
    ("meter_id", ">i4", "integer"),
    ("interval_length_s", ">i4", "integer"),
    ("interval_start", ">i8", "timestamptz"),
    ("received_at", ">i8", "timestamptz"),
    ("origin", ">i2", "smallint"),
    *((name, ">i8", "bigint") for name in READING_COUNTERS),
    *((name, ">f8", "double precision") for name in READING_VOLTAGES),
)
_VALUES = (*READING_COUNTERS, *READING_VOLTAGES)
_KEY = ("meter_id", "interval_start", "interval_length_s")
_CORRECTIONS = ("import_correction_wh", "export_correction_wh")
"""Of a revision: its difference to the value that was current before (migration 0006)."""

CREATE_STAGE = (
    "CREATE TEMPORARY TABLE stage_reading ("
    + ", ".join(f"{name} {sql_type} NOT NULL" for name, _, sql_type in _STAGE_TYPES)
    + ") ON COMMIT DELETE ROWS"
)
_COPY = f"COPY stage_reading ({', '.join(name for name, _, _ in _STAGE_TYPES)}) FROM STDIN (FORMAT binary)"


def _value_sql(name: str, *, nullable: bool) -> str:
    """The staged value as interval_reading has it; sentinels are looked for only in a batch that has some."""
    if not nullable:
        value = f"s.{name}"
    elif name in READING_COUNTERS:
        value = f"nullif(s.{name}, {ABSENT})"
    else:
        value = f"nullif(s.{name}, 'NaN')"
    return f"{value}::integer" if name == "status" else value


# ruff: noqa: S608 - the statements are put together from the constants of this module alone


def _insert_sql(source: str, revision: str, quality: str, *, nullable: bool, corrects: bool = False) -> str:
    values = ", ".join(_value_sql(name, nullable=nullable) for name in _VALUES)
    targets = (*_KEY, *_VALUES, *(_CORRECTIONS if corrects else ()))
    corrections = "".join(f", s.{name}" for name in _CORRECTIONS) if corrects else ""
    return (
        f"INSERT INTO interval_reading ({', '.join(targets)}, origin, device_time, received_at, committed_at,"
        f" revision, quality) SELECT {', '.join(f's.{name}' for name in _KEY)}, {values}{corrections}, s.origin,"
        f" s.interval_start + s.interval_length_s * interval '1 second', s.received_at,"
        f" to_timestamp(%(committed)s), {revision}, {quality} FROM {source} s ON CONFLICT DO NOTHING"
    )


_INSERT_FIRST = {
    nullable: _insert_sql("(SELECT * FROM stage_reading ORDER BY n)", "0", "0", nullable=nullable)
    for nullable in (False, True)
}


def _same_key(staged: str) -> str:
    """With the batch's bounds as constants: so the planner opens the chunks of these days alone."""
    bounds = "r.interval_start BETWEEN to_timestamp(%(first)s) AND to_timestamp(%(last)s)"
    return " AND ".join([*(f"r.{name} = {staged}.{name}" for name in _KEY), bounds])


_SAME_VALUES = (
    f"({', '.join(f'r.{name}' for name in _VALUES)}) IS NOT DISTINCT FROM"
    f" ({', '.join(_value_sql(name, nullable=True) for name in _VALUES)})"
)
_KEY_LIST = ", ".join(_KEY)


def _correction(name: str) -> str:
    value = f"coalesce(nullif(d.{name}, {ABSENT}), 0)"
    stored = f"SELECT r.{name} FROM interval_reading r WHERE {_same_key('d')} ORDER BY r.revision DESC LIMIT 1"
    before = f"lag({value}, 1, coalesce(({stored}), 0)) OVER (PARTITION BY {_KEY_LIST} ORDER BY n)"
    return f"{value} - {before} AS {name.replace('_wh', '_correction_wh')}"


# Of several equal new values of one key the first counts; the rest are numbered in the order of arrival.
_NEW_VALUES = (
    f"(SELECT d.*, (SELECT max(r.revision) FROM interval_reading r WHERE {_same_key('d')})"
    f" + row_number() OVER (PARTITION BY {_KEY_LIST} ORDER BY n) AS next_revision,"
    f" {_correction('import_wh')}, {_correction('export_wh')}"
    f" FROM (SELECT DISTINCT ON ({_KEY_LIST}, {', '.join(_VALUES)}) s.* FROM stage_reading s"
    f" WHERE NOT EXISTS (SELECT FROM interval_reading r WHERE {_same_key('s')} AND {_SAME_VALUES})"
    f" ORDER BY {_KEY_LIST}, {', '.join(_VALUES)}, n) d)"
)
_INSERT_REVISIONS = _insert_sql(_NEW_VALUES, "s.next_revision", "2", nullable=True, corrects=True)


# A batch may hold gasp and restore of one loss, and either more than once. What says nothing new is not pending.
_LATEST = {
    "up_at": "greatest(i.up_at, excluded.up_at)",
    "gasp_received_at": "least(i.gasp_received_at, excluded.gasp_received_at)",
    "restore_received_at": "least(i.restore_received_at, excluded.restore_received_at)",
}
_INSERT_INTERRUPTIONS = (
    f"INSERT INTO interruption AS i (meter_id, down_at, {', '.join(_LATEST)})"
    " SELECT m, to_timestamp(d), to_timestamp(max(u)), to_timestamp(min(g)), to_timestamp(min(r))"
    " FROM unnest(%s::int[], %s::float8[], %s::float8[], %s::float8[], %s::float8[]) AS e (m, d, u, g, r)"
    " GROUP BY m, d ON CONFLICT (meter_id, down_at) DO UPDATE SET pending = true, "
    + ", ".join(f"{name} = {latest}" for name, latest in _LATEST.items())
    + f" WHERE ({', '.join(f'i.{name}' for name in _LATEST)}) IS DISTINCT FROM ({', '.join(_LATEST.values())})"
)


def _copy_dtype() -> np.dtype[np.void]:
    """A row of binary COPY: field count, then each field's length and value (PostgreSQL manual, COPY)."""
    fields: list[tuple[str, str]] = [("fields", ">i2")]
    for name, binary, _ in _STAGE_TYPES:
        fields += [(f"{name}_length", ">i4"), (name, binary)]
    return np.dtype(fields)


_COPY_DTYPE = _copy_dtype()
_COPY_HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_COPY_TRAILER = b"\xff\xff"


def copy_buffer(counters: "array[int]", voltages: "array[float]") -> bytes:
    """The whole binary COPY stream of a batch's rows."""
    values: NDArray[np.int64] = np.frombuffer(counters, dtype=np.int64).reshape(-1, _ROW_WIDTH)
    volts: NDArray[np.float64] = np.frombuffer(voltages, dtype=np.float64).reshape(-1, len(READING_VOLTAGES))
    rows = np.empty(len(values), dtype=_COPY_DTYPE)
    rows["fields"] = len(_STAGE_TYPES)
    for name, binary, _ in _STAGE_TYPES:
        rows[f"{name}_length"] = int(binary[2])
    rows["n"] = np.arange(len(values))
    rows["meter_id"] = values[:, 0]
    rows["interval_start"] = values[:, 1] * 1_000_000 - _POSTGRES_EPOCH_US
    rows["interval_length_s"] = values[:, 2]
    rows["received_at"] = values[:, 3] - _POSTGRES_EPOCH_US
    rows["origin"] = values[:, 4]
    for column, name in enumerate(READING_COUNTERS, start=len(_ROW_HEAD)):
        rows[name] = values[:, column]
    for column, name in enumerate(READING_VOLTAGES):
        rows[name] = volts[:, column]
    return b"".join((_COPY_HEADER, rows.tobytes(), _COPY_TRAILER))


async def prepare(connection: Connection) -> None:
    """Make a new connection ready for `write`."""
    await connection.execute(CREATE_STAGE)


async def write(connection: Connection, batch: Batch, *, committed_s: float) -> Written:
    """Write a batch inside the caller's transaction; `committed_s`: the head-end's clock. Idempotent."""
    written = await _write_readings(connection, batch, committed_s) if batch.counters else Written(0, 0, 0)
    if batch.others:
        await connection.execute(
            "INSERT INTO other_reading (meter_id, interval_start, interval_length_s, reading_type, value, received_at)"
            " SELECT m, to_timestamp(s), l, t, v, to_timestamp(r)"
            " FROM unnest(%s::int[], %s::float8[], %s::int[], %s::text[], %s::float8[], %s::float8[])"
            " AS o (m, s, l, t, v, r) ON CONFLICT DO NOTHING",
            _columns(batch.others),
        )
    if batch.events:
        await connection.execute(
            "INSERT INTO end_device_event (meter_id, sequence, code, device_time, detail, received_at, committed_at)"
            " SELECT m, n, c, to_timestamp(t), d::jsonb, to_timestamp(r), to_timestamp(%s)"
            " FROM unnest(%s::int[], %s::int8[], %s::text[], %s::float8[], %s::text[], %s::float8[])"
            " AS e (m, n, c, t, d, r) ON CONFLICT DO NOTHING",
            [committed_s, *_columns(batch.events)],
        )
    if batch.interruptions:
        await connection.execute(_INSERT_INTERRUPTIONS, _columns(batch.interruptions))
    if batch.states:
        await connection.execute(
            "INSERT INTO device_state (meter_id, online, boot, device_time, received_at)"
            " SELECT m, o, b, to_timestamp(t), to_timestamp(r)"
            " FROM unnest(%s::int[], %s::bool[], %s::int[], %s::float8[], %s::float8[]) AS s (m, o, b, t, r)"
            " ON CONFLICT (meter_id) DO UPDATE SET online = excluded.online,"
            " boot = coalesce(excluded.boot, device_state.boot),"
            " device_time = coalesce(excluded.device_time, device_state.device_time),"
            " received_at = excluded.received_at",
            _columns(list(batch.states.values())),
        )
    if batch.communications:
        await connection.execute(
            "INSERT INTO device_communication (meter_id, at, online) SELECT m, to_timestamp(a), o"
            " FROM unnest(%s::int[], %s::float8[], %s::bool[]) AS c (m, a, o)"
            " ON CONFLICT (meter_id, at) DO UPDATE SET online = excluded.online",
            _columns([(*key, online) for key, online in batch.communications.items()]),
        )
    if batch.collectors:
        await connection.execute(
            "INSERT INTO collector AS k (device_group, edge_node, online, bdseq, meters, born_at, changed_at)"
            " SELECT g, e, o, b, m, to_timestamp(t), to_timestamp(c)"
            " FROM unnest(%s::text[], %s::text[], %s::bool[], %s::int8[], %s::int[], %s::float8[], %s::float8[])"
            " AS c (g, e, o, b, m, t, c) ON CONFLICT (device_group, edge_node) DO UPDATE SET online = excluded.online,"
            " bdseq = coalesce(excluded.bdseq, k.bdseq), meters = coalesce(excluded.meters, k.meters),"
            " born_at = coalesce(excluded.born_at, k.born_at), changed_at = excluded.changed_at",
            _columns([(*key, *row) for key, row in batch.collectors.items()]),
        )
    if batch.collector_supplies:
        # Said in the session whose birth is there, in this batch or before.
        await connection.execute(
            "UPDATE collector AS k SET mains = m, mains_since = to_timestamp(s)"
            " FROM unnest(%s::text[], %s::text[], %s::bool[], %s::float8[]) AS c (g, e, m, s)"
            " WHERE k.device_group = g AND k.edge_node = e AND k.mains IS DISTINCT FROM m",
            _columns([(*key, *row) for key, row in batch.collector_supplies.items()]),
        )
    if batch.dead_letters:
        await connection.execute(
            "INSERT INTO dead_letter (id, received_at, topic, payload, reason, detail)"
            " SELECT i, to_timestamp(r), t, p, w, d"
            " FROM unnest(%s::uuid[], %s::float8[], %s::text[], %s::bytea[], %s::text[], %s::text[])"
            " AS l (i, r, t, p, w, d) ON CONFLICT DO NOTHING",
            _columns(batch.dead_letters),
        )
    if batch.gaps:
        await connection.execute(
            "INSERT INTO interval_gap (meter_id, interval_start, interval_length_s, reason, command_id, noted_at)"
            " SELECT m, to_timestamp(s), l, w, c, to_timestamp(n)"
            " FROM unnest(%s::int[], %s::float8[], %s::int[], %s::text[], %s::text[], %s::float8[])"
            " AS g (m, s, l, w, c, n) ON CONFLICT DO NOTHING",
            _columns(batch.gaps),
        )
    if batch.finished_commands:
        await connection.execute(
            "UPDATE command SET status = f.status, reason = f.reason, finished_at = to_timestamp(f.at)"
            " FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::float8[]) AS f (id, status, reason, at)"
            " WHERE command.id = f.id",
            _columns(batch.finished_commands),
        )
    return written


async def _write_readings(connection: Connection, batch: Batch, committed_s: float) -> Written:
    cursor = connection.cursor()
    await _stage(cursor, batch)
    await cursor.execute(_INSERT_FIRST[batch.has_absent], {"committed": committed_s})
    inserted = cursor.rowcount
    if inserted == batch.rows:
        return Written(inserted, 0, 0)
    # Two writers must not take the same revision number. First rows need no lock: their key guards them.
    await cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('amilab-revision:' || current_schema, 0))")
    starts_s = np.frombuffer(batch.counters, dtype=np.int64)[1::_ROW_WIDTH]
    bounds = {"first": int(starts_s.min()), "last": int(starts_s.max())}
    # Not prepared: a plan that is kept knows no bounds.
    await cursor.execute(_INSERT_REVISIONS, {"committed": committed_s, **bounds}, prepare=False)
    revisions = cursor.rowcount
    return Written(inserted, revisions, batch.rows - inserted - revisions)


async def _stage(cursor: psycopg.AsyncCursor[tuple[object, ...]], batch: Batch) -> None:
    async with cursor.copy(_COPY) as copy:
        await copy.write(copy_buffer(batch.counters, batch.voltages))


def _columns(rows: Sequence[tuple[object, ...]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]
