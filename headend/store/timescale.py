"""What TimescaleDB adds to the schema, as far as the server and its licence have it; the same names without it.

Looked at anew at each start, since a database may gain the extension, or another edition of it, between two. Nothing
here can fail a start: what cannot be had is noted with its reason, and `amilab db status` shows it (features.py).

- **Hypertables** (any edition). `interval_reading` in chunks of a day. The chunk that is being written, and its index,
  are to stay in memory: at 391 bytes a reading, a day of 10,000 quarter-hourly meters is 358 MiB, 70 % of the shared
  buffers of the small server that such a fleet is given (compose/database/postgresql.conf). With shorter ones a month's
  query would have more of them to open. Retention and compression take whole chunks, and days are what people say.
- **Compression** (community edition) behind the backfill window: as long as the head-end may still ask a meter for an
  interval, its chunk is not compressed. What comes later all the same is inserted into the compressed chunk, which is
  slower, and right.
- **Continuous aggregates** (community edition) `reading_hourly` and `reading_daily`; elsewhere ordinary views of the
  same names and columns. Buckets begin at full hours and days of UTC. A refresh works off what was written since the
  last one, however old it is, and buckets behind the last are computed live. Rows are never changed, only added, and a
  revision carries its difference (migration 0006), so that a plain sum is right.
- **Retention** as a policy (community edition); elsewhere `amilab db maintain` does the same.
"""

from collections.abc import Callable
from datetime import timedelta

import psycopg

from headend.log import logger
from headend.store import features
from headend.store.features import AGGREGATES, COMPRESSION, HYPERTABLE, NOT_COMMUNITY, RETENTION, TIMESCALEDB, Feature

CHUNK = "1 day"
BACKFILL_DAYS = 41
"""How far back a meter may still be asked (`recovery_horizon_s`, 40 days), and a day."""
REFRESH_EVERY = "15 minutes"
_WIDTHS = {"reading_hourly": "1 hour", "reading_daily": "1 day"}
_COLUMNS = """
    meter_id,
    {bucket} AS bucket,
    count(*) FILTER (WHERE revision = 0) AS intervals,
    count(*) FILTER (WHERE revision = 0 AND quality = 1) AS estimated_intervals,
    count(*) FILTER (WHERE revision > 0) AS revisions,
    sum(coalesce(import_correction_wh, import_wh)) AS import_wh,
    sum(coalesce(export_correction_wh, export_wh)) AS export_wh
"""
# ruff: noqa: S608 - the statements are put together from the constants of this module alone

Work = Callable[[psycopg.Connection, str | None], str]
"""Sets a feature up and returns how; is given how it was set up before."""


class _Lacking(Exception):  # noqa: N818 - names the state
    """A feature cannot be had, and why."""


def set_up(connection: psycopg.Connection, *, retention_days: int | None = None) -> list[Feature]:
    """Set up what this server has. To be called under the lock of the migrations, in autocommit.

    Raises psycopg.Error if the connection is lost.
    """
    lacking = _try(connection, TIMESCALEDB, _extension)
    lacking = lacking or _try(connection, HYPERTABLE, _hypertable)
    if lacking is None and not features.is_community(connection):
        lacking = NOT_COMMUNITY
    if lacking is None:
        _try(connection, COMPRESSION, _compression)
    if lacking or _try(connection, AGGREGATES, lambda found, before: _aggregates(found, before, retention_days)):
        _ordinary(connection)
    if not features.is_hypertable(connection):
        _bucket_indexes(connection)
    if retention_days is None:
        _try(connection, RETENTION, _keep_everything)
    elif lacking is None:
        _try(connection, RETENTION, lambda found, before: _retention(found, before, retention_days))
    else:
        by_hand = f"no policy: {lacking}; run `amilab db maintain --retention-days {retention_days}` daily"
        _note(connection, RETENTION, None, by_hand)
    found = features.look(connection)
    logger().info("database features", active=[feature.name for feature in found if feature.active])
    return found


def drop_older(connection: psycopg.Connection, days: int) -> int:
    """What a retention policy does, where there is none: remove interval readings of whole UTC days that are older.

    Returns how many days were removed. Each is a transaction of its own.
    """
    if features.is_hypertable(connection):
        query = "SELECT drop_chunks('interval_reading', now() - make_interval(days => %s))"
        return len(connection.execute(query, [days]).fetchall())
    oldest = connection.execute(
        f"SELECT {_bin('1 day')}, {_bin('1 day', 'now() - make_interval(days => %s)')} FROM"
        " (SELECT min(interval_start) AS interval_start FROM interval_reading) r",
        [days],
    ).fetchone()
    assert oldest is not None, "an aggregate answers one row"
    day, keep_from = oldest
    removed = 0
    while day is not None and day < keep_from:
        found = connection.execute(
            "DELETE FROM interval_reading WHERE interval_start >= %s AND interval_start < %s + interval '1 day'",
            [day, day],
        )
        removed += found.rowcount > 0
        day += timedelta(days=1)
    return removed


def _try(connection: psycopg.Connection, name: str, work: Work) -> str | None:
    """Do it, or all of it not; the reason if not. Note either."""
    before = connection.execute("SELECT value FROM headend_feature WHERE name = %s", [name]).fetchone()
    try:
        with connection.transaction():
            value = work(connection, before[0] if before else None)
    except (psycopg.Error, _Lacking) as error:
        if connection.closed:
            raise
        reason = str(error).splitlines()[0]
        _note(connection, name, None, reason)
        return reason
    _note(connection, name, value, None)
    return None


def _note(connection: psycopg.Connection, name: str, value: str | None, reason: str | None) -> None:
    connection.execute(
        "INSERT INTO headend_feature (name, value, reason) VALUES (%s, %s, %s)"
        " ON CONFLICT (name) DO UPDATE SET value = excluded.value, reason = excluded.reason",
        [name, value, reason],
    )


def _extension(connection: psycopg.Connection, _before: str | None) -> str:
    if features.extension_version(connection) is None:
        if why := features.absence(connection):
            raise _Lacking(why)
        connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    return str(features.extension_version(connection))


def _hypertable(connection: psycopg.Connection, _before: str | None) -> str:
    if not features.is_hypertable(connection):
        # The key's index and the chunks' bounds find everything: others would only cost.
        connection.execute("DROP INDEX IF EXISTS interval_reading_start, interval_reading_hour")
        connection.execute(
            "SELECT create_hypertable('interval_reading', 'interval_start', chunk_time_interval => %s::interval,"
            " create_default_indexes => false, migrate_data => true)",
            [CHUNK],
        )
    return f"chunks of {CHUNK}"


def _compression(connection: psycopg.Connection, before: str | None) -> str:
    value = f"by meter after {BACKFILL_DAYS} days"
    if before != value:
        connection.execute(
            "ALTER TABLE interval_reading SET (timescaledb.compress, timescaledb.compress_segmentby = 'meter_id',"
            " timescaledb.compress_orderby = 'interval_start, interval_length_s, revision')"
        )
        connection.execute("SELECT remove_compression_policy('interval_reading', if_exists => true)")
        connection.execute(
            "SELECT add_compression_policy('interval_reading', make_interval(days => %s))", [BACKFILL_DAYS]
        )
    return value


def _aggregates(connection: psycopg.Connection, before: str | None, retention_days: int | None) -> str:
    # A refresh of days whose readings are gone would empty their buckets.
    back = None if retention_days is None else retention_days - 1
    value = f"refreshed every {REFRESH_EVERY}" + ("" if back is None else f" over {back} days")
    for name, width in _WIDTHS.items():
        kind = features.relation_kind(connection, name)
        if kind == "continuous" and before == value:
            continue
        if kind == "ordinary":
            connection.execute(f"DROP VIEW {name}")
        if kind != "continuous":
            columns = _COLUMNS.format(bucket=_bucket(width))
            connection.execute(
                f"CREATE MATERIALIZED VIEW {name} WITH (timescaledb.continuous, timescaledb.materialized_only = false)"
                f" AS SELECT {columns} FROM interval_reading GROUP BY 1, 2 WITH NO DATA"
            )
        connection.execute("SELECT remove_continuous_aggregate_policy(%s, if_exists => true)", [name])
        job = connection.execute(
            "SELECT add_continuous_aggregate_policy(%s, start_offset => make_interval(days => %s),"
            " end_offset => %s::interval, schedule_interval => %s::interval)",
            [name, back, width, REFRESH_EVERY],
        ).fetchone()
        # In one batch: refreshes in batches leave out a reading at the very start of a bucket until the next refresh
        # (timescaledb#10221), and stop after ten. As an alteration, since older versions have no parameter for it.
        connection.execute(
            "SELECT alter_job(job_id, config => config || '{\"buckets_per_batch\": 0}')"
            " FROM timescaledb_information.jobs WHERE job_id = %s",
            job,
        )
    return value


def _ordinary(connection: psycopg.Connection) -> None:
    """Views that are computed when they are asked; of chunks, with buckets by which the server finds them."""
    chunks = features.is_hypertable(connection)
    for name, width in _WIDTHS.items():
        kind = features.relation_kind(connection, name)
        if kind is None or (kind == "ordinary" and chunks != features.is_bucketed(connection, name)):
            columns = _COLUMNS.format(bucket=_bucket(width) if chunks else _bin(width))
            connection.execute(f"CREATE OR REPLACE VIEW {name} AS SELECT {columns} FROM interval_reading GROUP BY 1, 2")


def _bucket_indexes(connection: psycopg.Connection) -> None:
    """What stands in for chunks where there are none.

    Readings arrive in the order of time, so a few pages of summary find a day of all meters among years. Some meters'
    hours are found by an index of 15 bytes a reading, four of which share an entry.
    """
    buckets = "".join(f", ({_bin(width)})" for width in _WIDTHS.values())
    connection.execute(
        "CREATE INDEX IF NOT EXISTS interval_reading_start ON interval_reading"
        f" USING brin (interval_start{buckets}) WITH (pages_per_range = 32, autosummarize = on)"
    )
    connection.execute(
        f"CREATE INDEX IF NOT EXISTS interval_reading_hour ON interval_reading (meter_id, ({_bin('1 hour')}))"
    )


def _bucket(width: str) -> str:
    return f"time_bucket('{width}', interval_start)"


def _bin(width: str, instant: str = "interval_start") -> str:
    return f"date_bin('{width}', {instant}, '2000-01-01 00:00:00+00'::timestamptz)"


def _retention(connection: psycopg.Connection, before: str | None, days: int) -> str:
    value = f"{days} days"
    if before != value:
        _keep_everything(connection, before)
        connection.execute("SELECT add_retention_policy('interval_reading', make_interval(days => %s))", [days])
    return value


def _keep_everything(connection: psycopg.Connection, _before: str | None) -> str:
    if features.retention_days(connection) is not None:
        connection.execute("SELECT remove_retention_policy('interval_reading', if_exists => true)")
    return "everything is kept"
