"""What else our head-end knows that explains a verdict, taken from its database before that goes away.

`dead_letters.parquet`: received_at, topic, reason, detail, payload_bytes, payload_head (the first 64 bytes).
`communication.parquet`: serial, usage_point, at, online: each change of a meter's communication state.
`polls.parquet`: serial, outcome, exception_code, polls, first_at, last_at: what became of polls.
`implausible.parquet`: serial, interval_start, interval_length_s, reason of what cannot be true.
`events.parquet`: serial, sequence, code, device_time, received_at, committed_at, detail of every end-device event.
`phase_events.parquet`: usage_point, serial, code, phase, down_at, up_at, received_at of those on lost phases.
`figures.json`: the head-end's own figures over the judged window (docs/database.md, Figures), as its dashboards show
them: `reads` and `latency`, a row of `read_figure` and `read_latency` for all (vendor_profile null) and for each
vendor, `polls` by vendor, and `reliability` by day.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from psycopg import sql

from lab.errors import UserError
from lab.headends.files import (
    COMMUNICATION_FILE,
    DEAD_LETTERS_FILE,
    FIGURES_FILE,
    IMPLAUSIBLE_FILE,
    POLLS_FILE,
)
from lab.headends.store import Database
from lab.services.database_session import session
from lab.verdict.detected import export_detected
from lab.verdict.from_postgres import export_stored
from lab.verdict.phase_losses import LOSS, RESTORED
from lab.verdict.tables import DETECTED_FILE, EVENTS_FILE, PHASE_EVENTS_FILE, TableError

DEAD_LETTERS_AT_MOST = 100_000
"""The rest is counted in the verdict."""

_TIME = pa.timestamp("us", tz="UTC")
DEAD_LETTERS = pa.schema(
    [
        ("received_at", _TIME),
        ("topic", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("payload_bytes", pa.int64()),
        ("payload_head", pa.binary()),
    ]
)
EVENTS = pa.schema(
    [
        ("serial", pa.string()),
        ("sequence", pa.int64()),
        ("code", pa.string()),
        ("device_time", _TIME),
        ("received_at", _TIME),
        ("committed_at", _TIME),
        ("detail", pa.string()),
    ]
)
PHASE_EVENTS = pa.schema(
    [
        ("usage_point", pa.string()),
        ("serial", pa.string()),
        ("code", pa.string()),
        ("received_at", _TIME),
        ("phase", pa.string()),
        ("down_at", _TIME),
        ("up_at", _TIME),
    ]
)
COMMUNICATION = pa.schema(
    [("serial", pa.string()), ("usage_point", pa.string()), ("at", _TIME), ("online", pa.bool_())]
)
POLLS = pa.schema(
    [
        ("serial", pa.string()),
        ("outcome", pa.string()),
        ("exception_code", pa.int16()),
        ("polls", pa.int64()),
        ("first_at", _TIME),
        ("last_at", _TIME),
    ]
)
IMPLAUSIBLE = pa.schema(
    [("serial", pa.string()), ("interval_start", _TIME), ("interval_length_s", pa.int64()), ("reason", pa.string())]
)
_DEAD_LETTER_QUERY = sql.SQL(
    "SELECT received_at, topic, reason, detail, length(payload), substring(payload FROM 1 FOR 64)"
    " FROM {schema}.dead_letter ORDER BY received_at, id LIMIT {most}"
)
# With what is known of the registers of polled meters alone: when they were read at either end, and reactive energy.
_STORED_QUERY = sql.SQL(
    "SELECT s.*, opened.read_at AS window_start, closed.read_at AS window_end,"
    " closed.reactive_import_register_varh, closed.reactive_export_register_varh FROM {schema}.stored_reading s"
    " JOIN {schema}.end_device d USING (serial)"
    " LEFT JOIN {schema}.register_reading opened ON opened.meter_id = d.id AND opened.boundary = s.interval_start"
    " AND NOT opened.interpolated"
    " LEFT JOIN {schema}.register_reading closed ON closed.meter_id = d.id"
    " AND closed.boundary = s.interval_start + s.interval_length_s * interval '1 second'"
    " AND NOT closed.interpolated"
)
_EVENT_QUERY = sql.SQL(
    "SELECT d.serial, e.sequence, e.code, e.device_time, e.received_at, e.committed_at, e.detail::text"
    " FROM {schema}.end_device_event e JOIN {schema}.end_device d ON d.id = e.meter_id"
    " ORDER BY e.received_at, d.serial, e.sequence"
)
_PHASE_EVENT_QUERY = sql.SQL(
    "SELECT d.usage_point, d.serial, e.code, e.received_at, e.detail ->> 'phase', e.detail ->> 'down_at',"
    " e.detail ->> 'up_at' FROM {schema}.end_device_event e JOIN {schema}.end_device d ON d.id = e.meter_id"
    " WHERE e.code = ANY({codes}) ORDER BY e.received_at, d.serial, e.sequence"
)
_COMMUNICATION_QUERY = sql.SQL(
    "SELECT serial, usage_point, at, online FROM {schema}.communication_history ORDER BY at, serial"
)
_IMPLAUSIBLE_QUERY = sql.SQL(
    "SELECT d.serial, i.interval_start, i.interval_length_s, i.reason"
    " FROM {schema}.implausible_interval i JOIN {schema}.end_device d ON d.id = i.meter_id ORDER BY 1, 2"
)
_POLL_QUERY = sql.SQL(
    "SELECT d.serial, o.outcome, o.exception_code, count(*), min(o.boundary), max(o.boundary)"
    " FROM {schema}.poll_outcome o JOIN {schema}.end_device d ON d.id = o.meter_id GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
)
_FIGURE_QUERIES = {
    "reads": sql.SQL(
        "SELECT * FROM {schema}.read_figure(%(begins)s, %(ends)s)"
        " UNION ALL SELECT * FROM {schema}.read_figure(%(begins)s, %(ends)s, NULL, true) ORDER BY vendor_profile"
    ),
    "latency": sql.SQL(
        "SELECT * FROM {schema}.read_latency(%(begins)s, %(ends)s)"
        " UNION ALL SELECT * FROM {schema}.read_latency(%(begins)s, %(ends)s, NULL, true) ORDER BY vendor_profile"
    ),
    "polls": sql.SQL(
        "SELECT vendor_profile, sum(answered) AS answered, sum(refused) AS refused, sum(unanswered) AS unanswered"
        " FROM {schema}.poll_result WHERE boundary > %(begins)s AND boundary <= %(ends)s GROUP BY 1 ORDER BY 1"
    ),
    "reliability": sql.SQL(
        "SELECT * FROM {schema}.reliability_indices"
        " WHERE day BETWEEN (%(begins)s AT TIME ZONE 'UTC')::date AND (%(ends)s AT TIME ZONE 'UTC')::date ORDER BY day"
    ),
}


def export_figures(
    connection: psycopg.Connection[tuple[object, ...]], schema: str, directory: Path, *, start_s: float, end_s: float
) -> None:
    """Write figures.json to `directory`, over the intervals that begin in [start_s, end_s). Raises psycopg.Error."""
    window = {"begins": datetime.fromtimestamp(start_s, UTC), "ends": datetime.fromtimestamp(end_s, UTC)}
    # The relations name each other without a schema.
    connection.execute(sql.SQL("SET LOCAL search_path TO {}, public").format(sql.Identifier(schema)))
    document: dict[str, object] = {name: instant.isoformat() for name, instant in window.items()}
    for name, query in _FIGURE_QUERIES.items():
        cursor = connection.execute(query.format(schema=sql.Identifier(schema)), window)
        columns = [column.name for column in cursor.description or ()]
        document[name] = [dict(zip(columns, map(_plain, row), strict=True)) for row in cursor.fetchall()]
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    (directory / FIGURES_FILE).write_text(text + "\n", encoding="utf-8")


def _plain(value: object) -> object:
    match value:
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case date():
            return value.isoformat()
        case _:
            return value


def export_evidence(connection: psycopg.Connection[tuple[object, ...]], schema: str, directory: Path) -> None:
    """Write the tables among HEADEND_FILES to `directory`. Raises psycopg.Error."""
    place = sql.Identifier(schema)
    for query, form, name in (
        (_DEAD_LETTER_QUERY.format(schema=place, most=DEAD_LETTERS_AT_MOST), DEAD_LETTERS, DEAD_LETTERS_FILE),
        (_EVENT_QUERY.format(schema=place), EVENTS, EVENTS_FILE),
        (_PHASE_EVENT_QUERY.format(schema=place, codes=[LOSS, RESTORED]), PHASE_EVENTS, PHASE_EVENTS_FILE),
        (_COMMUNICATION_QUERY.format(schema=place), COMMUNICATION, COMMUNICATION_FILE),
        (_POLL_QUERY.format(schema=place), POLLS, POLLS_FILE),
        (_IMPLAUSIBLE_QUERY.format(schema=place), IMPLAUSIBLE, IMPLAUSIBLE_FILE),
    ):
        rows = connection.execute(query).fetchall()
        if form is PHASE_EVENTS:
            rows = [(*row[:-2], *map(_instant, row[-2:])) for row in rows]
        columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in form]
        arrays = [pa.array(column, field.type) for column, field in zip(columns, form, strict=True)]
        pq.write_table(pa.table(arrays, schema=form), directory / name, compression="zstd")


def _instant(text: object) -> datetime | None:
    """Of a detail, which a driver of another distribution need not have looked at."""
    try:
        instant = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return instant if instant.tzinfo is not None else None


def export_results(database: Database, path: Path, start_s: int, end_s: int) -> int:
    """Fetch what is stored as any reader of the database would; returns the number of dead letters."""
    schema = sql.Identifier(database.schema)
    query = _STORED_QUERY.format(schema=schema).as_string(None)
    try:
        export_stored(database.url, path, query=query, start_s=start_s, end_s=end_s)
        outages = sql.SQL("SELECT * FROM {}.detected_outage").format(schema).as_string(None)
        export_detected(database.url, path.parent / DETECTED_FILE, query=outages)
    except TableError as error:
        raise UserError(error.faults, "The head-end's results could not be read from its database.") from error
    try:
        with psycopg.connect(session(database.url)) as connection:
            export_evidence(connection, database.schema, path.parent)
            export_figures(connection, database.schema, path.parent, start_s=start_s, end_s=end_s)
            rejected = sql.SQL("SELECT coalesce(sum(copies), 0)::int8 FROM {}.dead_letter").format(schema)
            row = connection.execute(rejected).fetchone()
    except psycopg.OperationalError as error:
        raise UserError(
            ["the database went away while the results were read from it"], "Start the run again once it is back."
        ) from error
    return int(row[0]) if row else 0
