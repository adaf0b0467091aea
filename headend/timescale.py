"""What TimescaleDB adds to the schema, as far as the server and its licence have it; the same names without it.

Looked at anew at each start, since a database may gain the extension, or another edition of it, between two. Nothing
here can fail a start: what cannot be had is noted in `headend_feature`, and `amilab db status` says why.

- **Hypertables** (any edition). `interval_reading` by chunks of a day: of 1,500 quarter-hourly meters that is 144,000
  rows (some 40 MB with the index), of 100,000 meters 9.6 million (2.6 GB): the chunk that is being written, and its
  index, stay in the memory of the machine that such a fleet would be given. Longer ones would not; shorter ones only
  make planning slower.
- **Compression** (community edition) behind the backfill window: as long as the head-end may still ask a meter for an
  interval, its chunk is not compressed. What comes later all the same is inserted into the compressed chunk, which is
  slower, and right.
- **Continuous aggregates** (community edition) `reading_hourly` and `reading_daily`, refreshed over the whole backfill
  window and computed live behind the last refresh; elsewhere ordinary views of the same names and columns. Buckets
  begin at full hours and days of UTC. Sums are over `coalesce(import_correction_wh, import_wh)`: see migration 0006.
- **Retention** as a policy (community edition); elsewhere `amilab db maintain` does the same.
"""

from collections.abc import Callable
from dataclasses import dataclass

import psycopg
from psycopg import sql

from headend.log import logger

CHUNK = "1 day"
BACKFILL_DAYS = 41
"""How far back a meter may still be asked (`recovery_horizon_s`, 40 days), and a day."""
REFRESH_EVERY = "15 minutes"
_AGGREGATES = {"reading_hourly": "1 hour", "reading_daily": "1 day"}
_COLUMNS = """
    meter_id,
    {bucket} AS bucket,
    count(*) FILTER (WHERE revision = 0) AS intervals,
    count(*) FILTER (WHERE revision = 0 AND quality = 1) AS estimated_intervals,
    count(*) FILTER (WHERE revision > 0) AS revisions,
    sum(coalesce(import_correction_wh, import_wh)) AS import_wh,
    sum(coalesce(export_correction_wh, export_wh)) AS export_wh,
    max(import_power_w) AS max_import_power_w,
    min(least(voltage_l1_v, voltage_l2_v, voltage_l3_v)) AS min_voltage_v,
    max(greatest(voltage_l1_v, voltage_l2_v, voltage_l3_v)) AS max_voltage_v
"""
# ruff: noqa: S608 - the statements are put together from the constants of this module alone


Work = Callable[[psycopg.Connection], str]
"""Sets a feature up, and says how."""


@dataclass(frozen=True, slots=True)
class Feature:
    """`detail`: how it is set up, or why it is not active."""

    name: str
    active: bool
    detail: str


def set_up(connection: psycopg.Connection, *, retention_days: int | None = None) -> list[Feature]:
    """Set up what this server has, and note what it is. To be called under the lock of the migrations, in autocommit.

    Raises psycopg.OperationalError: the connection is lost.
    """
    features = [_extension(connection)]
    version = features[0].active
    features.append(_feature(connection, "hypertable", version, _hypertable))
    hypertable = features[-1].active
    community = version and _licence(connection) == "timescale"
    why = "TimescaleDB is not there" if not version else "only the community edition (licence timescale) has it"
    if not hypertable and community:
        why = "interval_reading is no hypertable"
    available = community and hypertable
    features.append(_feature(connection, "compression", available, _compression, why))
    features.append(_feature(connection, "continuous aggregates", available, _continuous, why))
    if not features[-1].active:
        _ordinary(connection)
    if retention_days is None:
        features.append(Feature("retention", False, "everything is kept (retention_days is not set)"))
    else:
        keep = lambda found: _retention(found, retention_days)  # noqa: E731 - a closure over one number
        features.append(_feature(connection, "retention", available, keep, f"{why}; run `amilab db maintain` daily"))
    if not hypertable:
        # Readings arrive in the order of time, so a few pages of summary find a day among years.
        connection.execute(
            "CREATE INDEX IF NOT EXISTS interval_reading_start ON interval_reading USING brin (interval_start)"
            " WITH (pages_per_range = 32, autosummarize = on)"
        )
    _note(connection, features)
    return features


def drop_older(connection: psycopg.Connection, days: int) -> int:
    """What a retention policy does, where there is none: remove interval readings of whole days that are older.

    Returns how many rows, or chunks of a hypertable, were removed.
    """
    if _is_hypertable(connection):
        found = connection.execute(
            "SELECT count(*) FROM drop_chunks('interval_reading', now() - make_interval(days => %s))", [days]
        ).fetchone()
        return int(found[0]) if found else 0
    cursor = connection.execute(
        "DELETE FROM interval_reading WHERE interval_start < date_trunc('day', now() AT TIME ZONE 'UTC')"
        " AT TIME ZONE 'UTC' - make_interval(days => %s)",
        [days],
    )
    return cursor.rowcount


def _feature(
    connection: psycopg.Connection, name: str, available: bool, work: Work, why: str = "TimescaleDB is not there"
) -> Feature:
    if not available:
        return Feature(name, False, why)
    try:
        with connection.transaction():
            return Feature(name, True, work(connection))
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        return Feature(name, False, str(error).splitlines()[0])


def _extension(connection: psycopg.Connection) -> Feature:
    try:
        with connection.transaction():
            connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        return Feature("timescaledb", False, str(error).splitlines()[0])
    row = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'").fetchone()
    version = str(row[0]) if row else "?"
    return Feature("timescaledb", True, f"{version}, licence {_licence(connection)}")


def _licence(connection: psycopg.Connection) -> str:
    """`timescale`: community edition; `apache`: that alone."""
    row = connection.execute("SELECT current_setting('timescaledb.license', true)").fetchone()
    return str(row[0]) if row and row[0] else "unknown"


def _is_hypertable(connection: psycopg.Connection) -> bool:
    if connection.execute("SELECT to_regclass('_timescaledb_catalog.hypertable')").fetchone() == (None,):
        return False
    found = connection.execute(
        "SELECT FROM _timescaledb_catalog.hypertable"
        " WHERE table_name = 'interval_reading' AND schema_name = current_schema"
    ).fetchone()
    return found is not None


def _hypertable(connection: psycopg.Connection) -> str:
    connection.execute(
        "SELECT create_hypertable('interval_reading', 'interval_start', chunk_time_interval => %s::interval,"
        " if_not_exists => true, migrate_data => true)",
        [CHUNK],
    )
    return f"interval_reading in chunks of {CHUNK}"


def _compression(connection: psycopg.Connection) -> str:
    compressed = connection.execute(
        "SELECT FROM timescaledb_information.hypertables WHERE hypertable_name = 'interval_reading'"
        " AND hypertable_schema = current_schema AND compression_enabled"
    ).fetchone()
    if compressed is None:
        connection.execute(
            "ALTER TABLE interval_reading SET (timescaledb.compress, timescaledb.compress_segmentby = 'meter_id',"
            " timescaledb.compress_orderby = 'interval_start, interval_length_s, revision')"
        )
    connection.execute(
        "SELECT add_compression_policy('interval_reading', make_interval(days => %s), if_not_exists => true)",
        [BACKFILL_DAYS],
    )
    return f"by meter, in the order of time, after {BACKFILL_DAYS} days"


def _continuous(connection: psycopg.Connection) -> str:
    for name, width in _AGGREGATES.items():
        if _kind(connection, name) == "ordinary":
            connection.execute(sql.SQL("DROP VIEW {}").format(sql.Identifier(name)))
        if _kind(connection, name) is None:
            bucket = _COLUMNS.format(bucket=f"time_bucket('{width}', interval_start)")
            connection.execute(
                f"CREATE MATERIALIZED VIEW {name} WITH (timescaledb.continuous, timescaledb.materialized_only = false)"
                f" AS SELECT {bucket} FROM interval_reading GROUP BY 1, 2 WITH NO DATA"
            )
        connection.execute(
            "SELECT add_continuous_aggregate_policy(%s, start_offset => make_interval(days => %s),"
            " end_offset => %s::interval, schedule_interval => %s::interval, if_not_exists => true)",
            [name, BACKFILL_DAYS, width, REFRESH_EVERY],
        )
    return f"{', '.join(_AGGREGATES)}: refreshed every {REFRESH_EVERY} over {BACKFILL_DAYS} days"


def _ordinary(connection: psycopg.Connection) -> None:
    for name, width in _AGGREGATES.items():
        if _kind(connection, name) is None:
            bucket = f"date_bin('{width}', interval_start, '2000-01-01 00:00:00+00'::timestamptz)"
            columns = _COLUMNS.format(bucket=bucket)
            connection.execute(f"CREATE VIEW {name} AS SELECT {columns} FROM interval_reading GROUP BY 1, 2")


def _kind(connection: psycopg.Connection, name: str) -> str | None:
    """`ordinary` or `continuous`; None: there is no such relation in our schema."""
    found = connection.execute(
        "SELECT FROM pg_views WHERE schemaname = current_schema AND viewname = %s", [name]
    ).fetchone()
    if found is None:
        return None
    if connection.execute("SELECT to_regclass('timescaledb_information.continuous_aggregates')").fetchone() == (None,):
        return "ordinary"
    continuous = connection.execute(
        "SELECT FROM timescaledb_information.continuous_aggregates"
        " WHERE view_schema = current_schema AND view_name = %s",
        [name],
    ).fetchone()
    return "ordinary" if continuous is None else "continuous"


def _retention(connection: psycopg.Connection, days: int) -> str:
    connection.execute("SELECT remove_retention_policy('interval_reading', if_exists => true)")
    connection.execute("SELECT add_retention_policy('interval_reading', make_interval(days => %s))", [days])
    return f"interval readings are dropped after {days} days; the aggregates stay"


def _note(connection: psycopg.Connection, features: list[Feature]) -> None:
    for feature in features:
        value = feature.detail if feature.active else None
        if feature.name == "timescaledb" and feature.active:
            value = feature.detail.partition(",")[0]
        connection.execute(
            "INSERT INTO headend_feature (name, value) VALUES (%s, %s)"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            [feature.name, value],
        )
    inactive = [feature.name for feature in features if not feature.active]
    logger().info("database features", inactive=inactive)
