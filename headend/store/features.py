"""Which of TimescaleDB's features the schema uses, how, and why the others are not used. Reads only."""

from dataclasses import dataclass
from typing import Any

import psycopg

TIMESCALEDB = "timescaledb"
HYPERTABLE = "hypertable"
COMPRESSION = "compression"
AGGREGATES = "continuous aggregates"
RETENTION = "retention"
VIEWS = ("reading_hourly", "reading_daily")
_NAMES = " and ".join(VIEWS)
NOT_COMMUNITY = "only TimescaleDB's community edition (licence timescale) has it"

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Feature:
    """`detail`: how it is set up, or why it is not active."""

    name: str
    active: bool
    detail: str


def look(connection: psycopg.Connection) -> list[Feature]:
    """All features, in the order in which one needs the other. The connection's first schema is the head-end's."""
    noted = _reasons(connection)
    version = extension_version(connection)
    if version is None:
        why = noted.get(TIMESCALEDB) or absence(connection) or "it is not created in this database yet"
        rest = [Feature(name, False, "TimescaleDB is not there") for name in (HYPERTABLE, COMPRESSION, AGGREGATES)]
        return [Feature(TIMESCALEDB, False, why), *rest, Feature(RETENTION, False, _no_policy(noted))]
    chunks = _hypertable(connection)
    features = [
        Feature(TIMESCALEDB, True, f"{version}, {edition(connection)} edition"),
        Feature(HYPERTABLE, chunks is not None, chunks or noted.get(HYPERTABLE) or "interval_reading is no hypertable"),
    ]
    if not is_community(connection):
        features += [Feature(name, False, NOT_COMMUNITY) for name in (COMPRESSION, AGGREGATES)]
        return [*features, Feature(RETENTION, False, _no_policy(noted))]
    for name, found in ((COMPRESSION, _compression(connection)), (AGGREGATES, _aggregates(connection))):
        features.append(Feature(name, found is not None, found or noted.get(name) or "it is not set up yet"))
    days = retention_days(connection)
    kept = None if days is None else f"interval readings are dropped after {days} days; {_NAMES} stay"
    return [*features, Feature(RETENTION, kept is not None, kept or _no_policy(noted))]


def size(connection: psycopg.Connection) -> str:
    """What interval_reading takes with its indexes, in words."""
    function = "hypertable_size" if is_hypertable(connection) else "pg_total_relation_size"
    return str(_rows(connection, f"SELECT pg_size_pretty({function}('interval_reading'))")[0][0])


def absence(connection: psycopg.Connection) -> str | None:
    """Why the extension cannot be created here; None if it can be tried.

    Where the server has it but did not load it at its start, trying would cost the connection.
    """
    offered = _rows(connection, "SELECT FROM pg_available_extensions WHERE name = 'timescaledb'")
    if not offered:
        return "the server does not have the extension"
    if not _rows(connection, "SELECT FROM pg_settings WHERE name = 'timescaledb.disable_load'"):
        return "the server has it but does not load it: add timescaledb to shared_preload_libraries, then restart"
    return None


def extension_version(connection: psycopg.Connection) -> str | None:
    """That of the extension in this database."""
    found = _rows(connection, "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")
    return str(found[0][0]) if found else None


def is_community(connection: psycopg.Connection) -> bool:
    """Whether the server has the edition that has it all, under the licence that lets it."""
    return _rows(connection, "SELECT current_setting('timescaledb.license', true)") == [("timescale",)]


def edition(connection: psycopg.Connection) -> str:
    return "community" if is_community(connection) else "Apache"


def is_hypertable(connection: psycopg.Connection) -> bool:
    """Whether interval_reading is one."""
    return extension_version(connection) is not None and _hypertable(connection) is not None


def retention_days(connection: psycopg.Connection) -> int | None:
    """After how many days a policy drops readings; None: there is no policy."""
    found = _job(connection, "policy_retention") if extension_version(connection) is not None else None
    if found is None:
        return None
    query = "SELECT extract(epoch FROM (%s::jsonb->>'drop_after')::interval)::int8 / 86400"
    return int(_rows(connection, query, found)[0][0])


def relation_kind(connection: psycopg.Connection, name: str) -> str | None:
    """`ordinary` or `continuous`; None: the schema has no such view."""
    if not _rows(connection, "SELECT FROM pg_views WHERE schemaname = current_schema AND viewname = %s", name):
        return None
    if extension_version(connection) is None:
        return "ordinary"
    continuous = _rows(
        connection,
        "SELECT FROM timescaledb_information.continuous_aggregates"
        " WHERE view_schema = current_schema AND view_name = %s",
        name,
    )
    return "continuous" if continuous else "ordinary"


def is_bucketed(connection: psycopg.Connection, view: str) -> bool:
    """Whether a view's buckets are made by TimescaleDB."""
    return bool(_rows(connection, "SELECT WHERE pg_get_viewdef(%s::regclass) LIKE '%%time_bucket%%'", view))


def _reasons(connection: psycopg.Connection) -> dict[str, str]:
    """Why what was tried at the last start of a head-end could not be set up."""
    return {str(name): str(why) for name, why in _rows(connection, "SELECT name, reason FROM headend_feature") if why}


def _no_policy(noted: dict[str, str]) -> str:
    return noted.get(RETENTION) or "everything is kept (AMILAB_HEADEND_RETENTION_DAYS is not set)"


def _hypertable(connection: psycopg.Connection) -> str | None:
    found = _rows(
        connection,
        "SELECT h.num_chunks, d.time_interval::text FROM timescaledb_information.hypertables h"
        " JOIN timescaledb_information.dimensions d USING (hypertable_schema, hypertable_name)"
        " WHERE hypertable_schema = current_schema AND hypertable_name = 'interval_reading'",
    )
    return f"interval_reading: {_chunks(found[0][0])} of {found[0][1]}" if found else None


def _compression(connection: psycopg.Connection) -> str | None:
    policy = _job(connection, "policy_compression")
    if policy is None:
        return None
    total, compressed, before, after = _rows(
        connection,
        "SELECT sum(total_chunks), sum(number_compressed_chunks), pg_size_pretty(sum(before_compression_total_bytes)),"
        " pg_size_pretty(sum(after_compression_total_bytes)) FROM hypertable_compression_stats('interval_reading')",
    )[0]
    gain = f", {before} became {after}" if compressed else ""
    (age,) = _rows(connection, "SELECT %s::jsonb->>'compress_after'", policy)[0]
    return f"by meter, after {age}: {compressed or 0} of {_chunks(total or 0)}{gain}"


def _chunks(count: int) -> str:
    return f"{count} chunk" if count == 1 else f"{count} chunks"


def _aggregates(connection: psycopg.Connection) -> str | None:
    found = _rows(
        connection,
        "SELECT extract(epoch FROM j.schedule_interval)::int / 60, min(s.last_successful_finish)"
        " FROM timescaledb_information.jobs j"
        " JOIN timescaledb_information.continuous_aggregates c"
        " ON (j.hypertable_name, j.hypertable_schema) IN"
        " ((c.materialization_hypertable_name, c.materialization_hypertable_schema), (c.view_name, c.view_schema))"
        " LEFT JOIN timescaledb_information.job_stats s USING (job_id)"
        " WHERE c.view_schema = current_schema AND c.view_name = ANY(%s)"
        " AND j.proc_name = 'policy_refresh_continuous_aggregate' GROUP BY 1 HAVING count(*) = %s",
        list(VIEWS),
        len(VIEWS),
    )
    if not found:
        return None
    every, last = found[0]
    refreshed = "not refreshed yet" if last is None else f"last at {last:%F %T %Z}"
    return f"{_NAMES}, every {every} min; {refreshed}"


def _job(connection: psycopg.Connection, procedure: str) -> str | None:
    """The configuration of the policy on interval_reading, as JSON."""
    found = _rows(
        connection,
        "SELECT config::text FROM timescaledb_information.jobs WHERE proc_name = %s"
        " AND hypertable_schema = current_schema AND hypertable_name = 'interval_reading'",
        procedure,
    )
    return str(found[0][0]) if found else None


def _rows(connection: psycopg.Connection, query: str, *arguments: object) -> list[Row]:
    return connection.execute(query, arguments).fetchall()
