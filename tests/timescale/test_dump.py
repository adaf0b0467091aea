"""A dump and its restoration on each edition: compressed chunks too, and sums that have outlived their readings."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from headend.store.features import extension_version
from lab.errors import UserError
from lab.services.database_dump import dump, fill, frozen, in_database, server_major
from lab.services.database_roles import Roles, apply_roles, read_roles
from lab.services.postgres import find_binaries
from lab.services.row_counts import rows_of, schemas_of
from tests.headend.services import postgres_binaries
from tests.lab.services.local_programs import LocalPrograms
from tests.timescale.schema import Schema, Value
from tests.timescale.servers import WITH_TIMESCALEDB, Server, run_server

START_S = 1_767_225_600  # 2026-01-01 00:00 UTC
DAY_S = 86_400
READINGS = "SELECT meter_id, interval_start, revision, import_wh FROM interval_reading ORDER BY 1, 2, 3"
SUMS = "SELECT * FROM reading_daily ORDER BY meter_id, bucket"
INSERTS = "--rows-per-insert=1000"
"""For PGlite, which crashes at COPY FROM STDIN. Not one by one: TimescaleDB's catalogue refers to itself."""


@pytest.fixture
def source(server: Server) -> Iterator[Schema]:
    """A head-end's schema in a database of its own, with the extension where a lab has it; where there is one database,
    in that.
    """
    if server.edition == "community":
        url = server.url
    else:
        url = in_database(server.url, "whence")
        with psycopg.connect(server.url, autocommit=True) as connection:
            for name in ("whence", "back"):
                connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
                connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    if server.edition == "apache":
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE EXTENSION timescaledb SCHEMA public")
    schema = Schema(Server(server.edition, url), "amilab_run_one")
    schema.migrate()
    schema.run(
        "INSERT INTO end_device (serial, vendor_profile, usage_point, device_group, registered_at)"
        " SELECT 'M' || n, 'rl-dsp', 'U' || n, 'g', to_timestamp(0) FROM generate_series(1, 4) n"
    )
    yield schema
    if server.edition == "community":
        schema.drop()


def write(schema: Schema) -> None:
    """Days of two meters, of which the oldest is compressed and then dropped where its sum outlives it."""
    schema.write(*(Value(meter, START_S + day * DAY_S, 100 + day) for meter in (1, 2) for day in range(4)))
    schema.write(Value(1, START_S + 3 * DAY_S, 7))  # a revision
    schema.refresh()
    schema.compress()
    if schema.server.edition == "community":
        schema.run("SELECT drop_chunks('interval_reading', '2026-01-02'::timestamptz)")


def test_a_dump_brings_everything_back(server: Server, source: Schema, tmp_path: Path) -> None:
    schema = source
    write(schema)
    before, sums = schema.rows(READINGS), schema.rows(SUMS)
    assert len(sums) == 8
    facts, version, roles = taken(schema, tmp_path / "dump")
    if schema.server.edition == "community":
        with run_server("community") as other:
            check(other, "postgres", schema, tmp_path / "dump", facts, version, roles, before, sums)
        return
    check(server, "back", schema, tmp_path / "dump", facts, version, roles, before, sums)


def programs_for(url: str) -> LocalPrograms:
    """Of the server's age: a newer `pg_restore` speaks of settings that an older server does not know."""
    with psycopg.connect(url) as connection:
        newer = server_major(connection) >= 17
    return LocalPrograms(find_binaries("wheel").directory if newer else postgres_binaries(), url)


def taken(schema: Schema, to: Path) -> tuple[dict[str, int], str | None, Roles]:
    programs = programs_for(schema.server.url)
    if schema.server.edition == "community":
        with schema.connect() as connection:
            found = rows_of(connection, schema.name), extension_version(connection), read_roles(connection)
        schema.begin()
        asyncio.run(dump(programs, "postgres", to, options=[INSERTS]))
        return found
    with frozen(schema.server.url) as (connection, snapshot):
        asyncio.run(dump(programs, "whence", to, snapshot=snapshot))
        return rows_of(connection, schema.name), extension_version(connection), read_roles(connection)


def check(
    server: Server,
    database: str,
    schema: Schema,
    file: Path,
    facts: dict[str, int],
    version: str | None,
    roles: Roles,
    before: list[tuple[object, ...]],
    sums: list[tuple[object, ...]],
) -> None:
    url = server.url if database == "postgres" else in_database(server.url, database)
    restored = Schema(Server(server.edition, url), schema.name)
    if server.edition == "community":
        Schema(server, "public").begin()
    asyncio.run(fill(url, programs_for(url), file, timescaledb=version))
    with restored.connect() as connection:
        assert rows_of(connection, schema.name) == facts
        assert schema.name in schemas_of(connection)
        apply_roles(connection, roles, database)
    assert restored.rows(READINGS) == before
    assert restored.rows(SUMS) == sums, "with what has outlived its readings"
    features = restored.migrate()
    if server.edition != "plain":
        assert features["hypertable"].active
    if server.edition == "community":
        assert features["compression"].detail.startswith("by meter, after 41 days: 3 of 3 chunks")
        assert features["continuous aggregates"].active
    # It lives on: late readings go into chunks that are compressed, and sums follow.
    written = restored.write(Value(2, START_S + DAY_S + 900, 50))
    assert written is not None
    restored.refresh()
    assert restored.rows(SUMS) != sums
    assert len(restored.rows(READINGS)) == len(before) + 1


@pytest.mark.parametrize("server", WITH_TIMESCALEDB, indirect=True)
def test_another_version_of_timescaledb_is_refused_before_anything_is_made(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the backup is of (TimescaleDB )?1\.7\.5"):
        asyncio.run(fill(server.url, programs_for(server.url), tmp_path / "no", timescaledb="1.7.5"))
    with psycopg.connect(server.url, autocommit=True) as connection:
        restoring = connection.execute("SELECT current_setting('timescaledb.restoring', true)").fetchone()
        assert restoring in [("off",), (None,), ("",)]
