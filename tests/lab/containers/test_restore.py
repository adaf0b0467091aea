"""What is restored is of this release, counted, and of a server that can serve it: on real PostgreSQL, old and new."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from unittest.mock import AsyncMock

import psycopg
import pytest
from psycopg import sql

from headend.store.migrate import open_schema
from lab.containers.backup import write_database
from lab.containers.backup_directory import NewDirectory, write
from lab.containers.backup_keys import installed
from lab.containers.backup_manifest import KEYS, ROLES, SETTINGS, Manifest, read_backup
from lab.containers.database import admin_url
from lab.containers.restore import faults_of_server, fill_and_check, migrate_and_check, restore_database
from lab.errors import UserError
from lab.services.database_role import HEADEND_ROLE, make_headend_role
from lab.services.database_roles import Roles
from lab.services.database_session import session
from lab.services.postgres import find_binaries
from tests.headend.services import Postgres, free_port
from tests.lab.services.local_programs import LocalPrograms
from tests.timescale.schema import create_before

CLIENTS = find_binaries("wheel").directory
READINGS = 3 * 96


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Postgres, Postgres]]:
    """The system's, and the wheel's, which is newer where the system has one."""
    directory = Path(tempfile.mkdtemp(prefix="restore-"))
    directory.chmod(0o755)
    both = Postgres(directory / "old"), Postgres(directory / "new", CLIENTS)
    for server in both:
        server.start()
    yield both
    for server in both:
        server.stop()
    shutil.rmtree(directory)


@pytest.fixture
def backup(servers: tuple[Postgres, Postgres], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a database in which an older release has made a schema, with a day of three meters."""
    old, _ = servers
    url = old.new_database("lab")
    make_headend_role(url, "secret")
    headend = old.url(HEADEND_ROLE, "secret", database="lab")
    with psycopg.connect(headend, autocommit=True, options="-csearch_path=run_one,public") as connection:
        create_before(connection, "run_one", "0026", monkeypatch)
        connection.execute(
            "INSERT INTO interval_reading (meter_id, interval_length_s, interval_start, device_time, received_at,"
            " committed_at, import_wh, revision, quality, origin) SELECT m, 900, t, t, t, t, 7, 0, 0, 0"
            " FROM generate_series(1, 3) m, generate_series('2026-01-01'::timestamptz, '2026-01-01 23:45', '15 min') t"
        )
    return back_up(old, tmp_path / "backup")


def back_up(server: Postgres, to: Path) -> Path:
    url = server.url(database="lab")
    with NewDirectory(to) as directory:
        write(directory / KEYS, b"none")
        write(directory / SETTINGS, b"none")
        asyncio.run(write_database(url, LocalPrograms(CLIENTS, url), "lab", directory, "amilab", lambda _: None))
    return to


def whole(backup: Path) -> Manifest:
    with tempfile.TemporaryDirectory() as copy:
        return read_backup(backup, Path(copy))


def restored(server: Postgres, backup: Path, manifest: Manifest) -> str:
    url = server.new_database("back")
    make_headend_role(url, "secret")
    ours = server.url(HEADEND_ROLE, "secret", database="back")
    programs = LocalPrograms(CLIENTS, url)

    async def work() -> None:
        await fill_and_check(url, programs, backup / "database.dump", manifest, lambda _: None)
        await migrate_and_check(url, ours, manifest, lambda _: None)

    asyncio.run(work())
    return ours


def test_a_backup_of_an_older_release_comes_back_as_this_one(servers: tuple[Postgres, Postgres], backup: Path) -> None:
    manifest = whole(backup)
    assert manifest.readings == READINGS
    assert manifest.schemas["run_one"].migration < "0026"
    ours = restored(servers[1], backup, manifest)
    with open_schema(ours, "run_one") as connection:
        assert connection.execute("SELECT count(*) FROM interval_reading").fetchone() == (READINGS,)
        assert connection.execute(
            "SELECT tableowner FROM pg_tables WHERE tablename = 'interval_reading'"
        ).fetchone() == (HEADEND_ROLE,)


@pytest.mark.parametrize("name", ["a.b", 'with "quotes", and\\ all', "Run One"])
def test_a_schema_of_any_name_comes_back(servers: tuple[Postgres, Postgres], backup: Path, name: str) -> None:
    """Somebody may have renamed it: a name is no SQL, and no list."""
    old, new = servers
    with psycopg.connect(old.url(database="lab"), autocommit=True) as connection:
        connection.execute(sql.SQL("ALTER SCHEMA run_one RENAME TO {}").format(sql.Identifier(name)))
    odd = back_up(old, backup.with_name("odd"))
    ours = restored(new, odd, whole(odd))
    with open_schema(ours, name) as connection:
        assert connection.execute("SELECT current_schema, count(*) FROM interval_reading").fetchone() == (
            name,
            READINGS,
        )
    with psycopg.connect(session(ours, schema=name)) as connection:
        assert connection.execute("SELECT current_schema").fetchone() == (name,)


def test_one_of_a_newer_release_is_refused_by_the_names_of_its_migrations(
    servers: tuple[Postgres, Postgres], backup: Path
) -> None:
    """What makes it newer is in the dump: the manifest may say what it likes."""
    old, new = servers
    with psycopg.connect(old.url(database="lab"), autocommit=True) as connection:
        connection.execute(
            "INSERT INTO run_one._yoyo_migration (migration_hash, migration_id, applied_at_utc)"
            " VALUES ('x', '9999.from-the-future', now())"
        )
    newer = back_up(old, backup.with_name("newer"))
    with pytest.raises(UserError, match=r"unknown here: 9999\.from-the-future"):
        restored(new, newer, whole(newer))


PLANTED = """
CREATE SCHEMA e;
CREATE FUNCTION e.evil(int) RETURNS bool IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN true; END';
CREATE FUNCTION e.same(int, int) RETURNS bool IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN true; END';
CREATE TABLE e.checked (x int CONSTRAINT looks CHECK (e.evil(x)));
CREATE TABLE e.generated (x int, y bool GENERATED ALWAYS AS (e.evil(x)) STORED);
CREATE DOMAIN e.d AS int CONSTRAINT of_domain CHECK (e.evil(VALUE));
CREATE TABLE e.parted (x int) PARTITION BY LIST (e.evil(x));
CREATE OPERATOR e.=== (leftarg = int, rightarg = int, function = e.same);
CREATE TABLE e.compared (x int CONSTRAINT compares CHECK (x OPERATOR(e.===) x));
CREATE TABLE e.queried (x int CONSTRAINT asks CHECK (query_to_xml('SELECT e.evil(1)', false, false, '') IS NOT NULL));
CREATE TYPE e.n AS ENUM ('a');
CREATE FUNCTION e.number(e.n) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1';
CREATE CAST (e.n AS int) WITH FUNCTION e.number(e.n);
CREATE TABLE e.harmless (x int DEFAULT random() CHECK (x > 0 AND abs(x) < 9), CHECK (x % 2 = 1));
"""


def test_code_that_a_restoration_would_run_as_superuser_is_not_backed_up(
    servers: tuple[Postgres, Postgres], backup: Path
) -> None:
    """The head-end's role is no superuser, and does not become one by a backup of what it has made."""
    old, _ = servers
    with psycopg.connect(old.url(HEADEND_ROLE, "secret", database="lab"), autocommit=True) as connection:
        connection.execute(PLANTED.encode())
    with pytest.raises(UserError) as caught:
        back_up(old, backup.with_name("planted"))
    assert set(caught.value.faults) == {
        "constraint looks on table e.checked calls e.evil(integer)",
        "column y of table e.generated calls e.evil(integer)",
        "constraint of_domain calls e.evil(integer)",
        "table e.parted calls e.evil(integer)",
        "constraint compares on table e.compared calls e.same(integer,integer)",
        "constraint asks on table e.queried calls query_to_xml(text,boolean,boolean,text)",
        "cast from e.n to integer calls e.number(e.n)",
    }
    assert not backup.with_name("planted").exists()


def test_every_relation_that_lacks_rows_is_named(servers: tuple[Postgres, Postgres], backup: Path) -> None:
    manifest = whole(backup)
    facts = manifest.schemas["run_one"]
    more = facts.model_copy(update={"rows": {**facts.rows, "interval_reading": READINGS + 1, "outage": 2}})
    with pytest.raises(UserError) as caught:
        restored(servers[1], backup, manifest.model_copy(update={"schemas": {"run_one": more}}))
    assert caught.value.faults == (
        f"run_one.interval_reading has {READINGS} of {READINGS + 1} rows",
        "run_one.outage has 0 of 2 rows",
    )


def test_an_older_server_is_refused_with_everything_else_that_speaks_against_it(
    servers: tuple[Postgres, Postgres], backup: Path
) -> None:
    manifest = whole(backup).model_copy(update={"postgresql": "99.1", "postgresql_major": 99, "timescaledb": "2.21.1"})
    with psycopg.connect(servers[1].url()) as connection:
        faults = faults_of_server(connection, manifest)
    assert len(faults) == 2
    assert faults[0].startswith("the backup is of PostgreSQL 99.1, and the server is the older ")
    assert faults[1] == "the backup is of a database with TimescaleDB 2.21.1, and this server has none"


@pytest.fixture
def precious(servers: tuple[Postgres, Postgres]) -> str:
    """The lab's database on the newer server, where the head-end's role has another password than in the backup."""
    _, new = servers
    url = new.new_database("amilab")
    make_headend_role(url, "today's")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE precious AS SELECT 42 AS answer")
    return url


def bring_back(
    server: Postgres, backup: Path, manifest: Manifest, keys: AbstractContextManager[object] | None = None
) -> None:
    programs = LocalPrograms(CLIENTS, server.url())
    asyncio.run(
        restore_database(programs, server.url(), backup, manifest, "today's", keys or nullcontext(), lambda _: None)
    )


def change_role(backup: Path, name: str, **changes: object) -> None:
    roles = Roles.model_validate_json((backup / ROLES).read_bytes())
    changed = tuple(role.model_copy(update=changes) if role.name == name else role for role in roles.roles)
    (backup / ROLES).write_text(roles.model_copy(update={"roles": changed}).model_dump_json())


def test_roles_that_the_server_refuses_leave_database_and_passwords_as_they_were(
    servers: tuple[Postgres, Postgres], backup: Path, precious: str
) -> None:
    """What one release of PostgreSQL lets a role set, the next may not know."""
    manifest = whole(backup)
    change_role(backup, HEADEND_ROLE, settings=("no_such_setting_any_more=on",))
    with pytest.raises(UserError, match=r"does not take the backup's roles: .*no_such_setting_any_more"):
        bring_back(servers[1], backup, manifest)
    assert still_precious(servers[1], precious)
    with psycopg.connect(precious) as connection:
        names = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
    assert not {"amilab_restoring", "amilab_replaced"} & names


def test_every_fault_of_the_roles_is_named(servers: tuple[Postgres, Postgres], backup: Path) -> None:
    manifest = whole(backup)
    (backup / ROLES).write_text('{"roles": [], "memberships": [{}], "rights": []}')
    with pytest.raises(UserError) as caught:
        bring_back(servers[1], backup, manifest)
    assert [fault.rpartition(": ")[0] for fault in caught.value.faults] == [
        "roles.json: memberships.0.group",
        "roles.json: memberships.0.member",
        "roles.json: memberships.0.options",
        "roles.json: settings",
    ]


def still_precious(server: Postgres, url: str) -> bool:
    psycopg.connect(server.url(HEADEND_ROLE, "today's", database="amilab")).close()
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT answer FROM precious").fetchone() == (42,)


def test_keys_that_cannot_be_put_in_their_place_leave_database_and_passwords_as_they_were(
    servers: tuple[Postgres, Postgres], backup: Path, precious: str, tmp_path: Path
) -> None:
    """Else they would be the keys of another database, whose superuser has another password."""
    manifest = whole(backup)
    change_role(backup, "postgres", password="another")
    project, unpacked = tmp_path / "project", tmp_path / "unpacked"
    for vault in (project / "secrets", unpacked / "secrets"):
        vault.mkdir(parents=True)
        (vault / "ca.key").write_text(vault.parent.name)
    with pytest.raises(UserError, match="keys cannot be put in their place: No such file or directory"):
        bring_back(servers[1], backup, manifest, installed(project, unpacked, tmp_path / "nowhere" / "aside"))
    assert (project / "secrets" / "ca.key").read_text() == "project"
    assert still_precious(servers[1], precious)


def test_a_database_that_goes_away_at_the_last_moment_leaves_everything_as_it_was(
    servers: tuple[Postgres, Postgres], backup: Path, precious: str
) -> None:
    manifest = whole(backup)
    change_role(backup, "postgres", password="another")
    undone: list[BaseException] = []

    @contextmanager
    def keys() -> Iterator[None]:
        with psycopg.connect(servers[1].url(), autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
        try:
            yield
        except BaseException as error:
            undone.append(error)
            raise

    with pytest.raises(UserError, match=r"the database went away: .*terminat"):
        bring_back(servers[1], backup, manifest, keys())
    assert len(undone) == 1
    assert still_precious(servers[1], precious)
    bring_back(servers[1], backup, manifest)  # what was left of the first time is not in the way
    with psycopg.connect(servers[1].url(password="another", database="amilab"), autocommit=True) as connection:
        connection.execute("ALTER ROLE postgres PASSWORD 'secret'")


def test_passwords_that_a_killed_restoration_has_put_aside_are_named(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "database_password").write_text("the backup's")
    for day in (27, 28):
        (tmp_path / f"secrets.replaced-202611{day}T120000Z").mkdir()
    project = AsyncMock(directory=tmp_path, database_place=f"127.0.0.1:{free_port()}")
    with pytest.raises(UserError) as caught:
        asyncio.run(admin_url(project))
    assert "may have put them into secrets.replaced-20261128T120000Z" in (caught.value.hint or "")


def test_database_and_roles_change_together_the_superusers_password_among_them(
    servers: tuple[Postgres, Postgres], backup: Path, precious: str
) -> None:
    _, new = servers
    manifest = whole(backup)
    change_role(backup, "postgres", password="another")
    bring_back(new, backup, manifest)
    with psycopg.connect(new.url(password="another", database="amilab"), autocommit=True) as connection:
        connection.execute("ALTER ROLE postgres PASSWORD 'secret'")
        assert connection.execute("SELECT count(*) FROM run_one.interval_reading").fetchone() == (READINGS,)
        assert connection.execute("SELECT to_regclass('precious')").fetchone() == (None,)
    psycopg.connect(new.url(HEADEND_ROLE, "secret", database="amilab")).close()
