"""What the database has of a load test, with the instant at which each row was committed.

PostgreSQL knows that instant where it keeps commit timestamps (`track_commit_timestamp`), as an embedded one does.
`committed_at` is what the head-end's clock showed when it began to write, and `ingested_at` when the row was inserted:
both are before the commit, so the later of them has to do elsewhere, and the verdict says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import psycopg
from psycopg import sql

from lab.loadtest.matching import Stored
from lab.services.database_session import session

COMMIT_TIMESTAMP, INSERTED = "commit timestamp", "insertion of the row"
_INSTANT = {
    COMMIT_TIMESTAMP: sql.SQL("extract(epoch FROM pg_xact_commit_timestamp(r.xmin))::float8"),
    INSERTED: sql.SQL("extract(epoch FROM greatest(r.committed_at, r.ingested_at))::float8"),
}


@dataclass(frozen=True, slots=True)
class StoredRows:
    """`clock`: which instant stands for the commit, `COMMIT_TIMESTAMP` or `INSERTED`."""

    intervals: Stored
    events: Stored
    dead_letters: int
    clock: str


def read_stored(
    url: str, schema: str, *, serials: Sequence[str], first_interval_s: int, interval_s: int, range_s: tuple[int, int]
) -> StoredRows:
    """Rows of these meters whose intervals start in `range_s` [epoch s, half open). Raises psycopg.Error."""
    with psycopg.connect(session(url, schema=schema)) as connection:
        clock = _clock(connection)
        ids = {str(row[0]): int(str(row[1])) for row in connection.execute("SELECT serial, id FROM end_device")}
        number_of = np.full(max(ids.values(), default=0) + 1, -1, dtype=np.int64)
        for number, serial in enumerate(serials):
            number_of[ids[serial]] = number
        intervals = _fetch(
            connection,
            sql.SQL(
                "SELECT r.meter_id, extract(epoch FROM r.interval_start)::int8, {instant}, r.import_wh"
                " FROM interval_reading r WHERE r.interval_start >= to_timestamp(%s)"
                " AND r.interval_start < to_timestamp(%s) AND r.origin = 0 AND r.quality <> 1"
            ).format(instant=_INSTANT[clock]),
            range_s,
        )
        events = _fetch(
            connection,
            sql.SQL("SELECT r.meter_id, r.sequence, {instant}, 0 FROM end_device_event r").format(
                instant=_INSTANT[clock]
            ),
            (),
        )
        row = connection.execute("SELECT coalesce(sum(copies), 0)::int8 FROM dead_letter").fetchone()
    return StoredRows(
        Stored(
            number_of[intervals[:, 0].astype(np.int64)],
            (intervals[:, 1].astype(np.int64) - first_interval_s) // interval_s,
            intervals[:, 2],
            intervals[:, 3].astype(np.int64),
        ),
        Stored(
            number_of[events[:, 0].astype(np.int64)],
            events[:, 1].astype(np.int64),
            events[:, 2],
            np.empty(0, dtype=np.int64),
        ),
        int(row[0]) if row else 0,
        clock,
    )


def _clock(connection: psycopg.Connection[tuple[object, ...]]) -> str:
    row = connection.execute(
        "SELECT current_setting('track_commit_timestamp') = 'on' AND NOT EXISTS"
        " (SELECT FROM pg_extension WHERE extname = 'timescaledb')"
    ).fetchone()
    # Rows of a compressed chunk have the transaction that compressed them.
    return COMMIT_TIMESTAMP if row is not None and row[0] else INSERTED


def _fetch(
    connection: psycopg.Connection[tuple[object, ...]], query: sql.Composed, parameters: tuple[int, ...]
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(query, parameters or None).fetchall()
    return np.array(rows, dtype=np.float64).reshape(-1, 4)
