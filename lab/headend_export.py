"""What else our head-end knows that explains a verdict, taken from its database before that goes away.

`dead_letters.parquet`: received_at, topic, reason, detail, payload_bytes, payload_head (the first 64 bytes).
`events.parquet`: serial, sequence, code, device_time, received_at, committed_at of every end-device event.
"""

from __future__ import annotations

from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from psycopg import sql

DEAD_LETTERS_FILE = "dead_letters.parquet"
EVENTS_FILE = "events.parquet"
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
    ]
)
_DEAD_LETTER_QUERY = sql.SQL(
    "SELECT received_at, topic, reason, detail, length(payload), substring(payload FROM 1 FOR 64)"
    " FROM {schema}.dead_letter ORDER BY received_at, id LIMIT {most}"
)
_EVENT_QUERY = sql.SQL(
    "SELECT d.serial, e.sequence, e.code, e.device_time, e.received_at, e.committed_at"
    " FROM {schema}.end_device_event e JOIN {schema}.end_device d ON d.id = e.meter_id"
    " ORDER BY e.received_at, d.serial, e.sequence"
)


def export_evidence(connection: psycopg.Connection[tuple[object, ...]], schema: str, directory: Path) -> None:
    """Write both files to `directory`. Raises psycopg.Error."""
    place = sql.Identifier(schema)
    for query, form, name in (
        (_DEAD_LETTER_QUERY.format(schema=place, most=DEAD_LETTERS_AT_MOST), DEAD_LETTERS, DEAD_LETTERS_FILE),
        (_EVENT_QUERY.format(schema=place), EVENTS, EVENTS_FILE),
    ):
        rows = connection.execute(query).fetchall()
        columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in form]
        arrays = [pa.array(column, field.type) for column, field in zip(columns, form, strict=True)]
        pq.write_table(pa.table(arrays, schema=form), directory / name, compression="zstd")
