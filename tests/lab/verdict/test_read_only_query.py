"""A query of --stored can do nothing but read, whoever wrote it and whatever rights its role has."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from lab.verdict.from_postgres import export_stored, query_is_ready, stored_from_postgres
from lab.verdict.tables import TableError

COLUMNS = "'m' AS serial, now() AS interval_start, 900 AS interval_length_s, 1 AS import_wh"
GUIDE = Path(__file__).parents[3] / "docs" / "external-head-end.md"

VICTIMS = """
DROP TABLE IF EXISTS victim, loot;
DROP SEQUENCE IF EXISTS counter;
CREATE TABLE victim (n int);
INSERT INTO victim VALUES (1);
CREATE SEQUENCE counter;
CREATE OR REPLACE FUNCTION scribble() RETURNS int LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO victim VALUES (2); RETURN 1; END $$;
CREATE OR REPLACE FUNCTION unlock() RETURNS int LANGUAGE plpgsql AS
$$ BEGIN SET TRANSACTION READ WRITE; INSERT INTO victim VALUES (2); RETURN 1; END $$;
"""


@pytest.fixture
def database(postgres_url: str) -> Iterator[psycopg.Connection]:
    """As a superuser, which is the worst that a user can name."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(VICTIMS.encode())
        yield connection


def _attacks() -> Iterator[str]:
    yield f"SELECT {COLUMNS}; DROP TABLE victim"
    yield f"SELECT {COLUMNS};;; DELETE FROM victim; --"
    yield f"SELECT {COLUMNS}) AS s; COMMIT; CREATE TABLE loot (); --"
    yield f"SELECT {COLUMNS}) AS s; SET TRANSACTION READ WRITE; DROP TABLE victim; --"
    yield f"SELECT {COLUMNS}) AS s) TO STDOUT; COMMIT; DROP TABLE victim; --"
    yield f"SELECT {COLUMNS}) AS s) TO PROGRAM 'touch FILE' --"
    yield f"SELECT {COLUMNS}) AS s) TO 'FILE' /*"
    yield f"SELECT {COLUMNS} INTO loot"
    yield f"WITH gone AS (DELETE FROM victim RETURNING n) SELECT {COLUMNS} FROM gone"
    yield f"INSERT INTO victim VALUES (2) RETURNING {COLUMNS}"
    yield f"UPDATE victim SET n = 2 RETURNING {COLUMNS}"
    yield f"EXPLAIN ANALYZE DELETE FROM victim RETURNING {COLUMNS}"
    yield f"COPY (SELECT {COLUMNS}) TO PROGRAM 'touch FILE'"
    yield "COPY victim TO PROGRAM 'touch FILE'"
    yield "COMMIT"
    yield "SET TRANSACTION READ WRITE"
    yield "DO $$ BEGIN INSERT INTO victim VALUES (2); END $$"
    yield "CALL scribble()"
    yield f"SELECT {COLUMNS}, nextval('counter') AS status"
    yield f"SELECT {COLUMNS}, setval('counter', 99) AS status"
    yield f"SELECT {COLUMNS}, scribble() AS status"
    yield f"SELECT {COLUMNS}, unlock() AS status"
    yield f"SELECT {COLUMNS}, set_config('transaction_read_only', 'off', true) AS quality, scribble() AS status"
    yield f"SELECT {COLUMNS}, set_config('transaction_read_only', 'off', false) AS quality"
    yield f"SELECT {COLUMNS}, set_config('default_transaction_read_only', 'off', false) AS origin, scribble() AS status"
    yield f"SELECT {COLUMNS}, query_to_xml('DROP TABLE victim', true, true, '')::text AS quality"
    yield f"SELECT {COLUMNS}, query_to_xml('COPY victim TO PROGRAM ''touch FILE''', true, true, '')::text AS quality"


ATTACKS = list(_attacks())


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_is_changed(postgres_url: str, database: psycopg.Connection, tmp_path: Path, attack: str) -> None:
    # Where the server, which is another user, can write.
    loot = Path(tempfile.gettempdir()) / f"amilab-{tmp_path.name}"
    query = attack.replace("FILE", str(loot))
    with pytest.raises(TableError):
        export_stored(f"{postgres_url}?options=-cdefault_transaction_read_only%3Doff", tmp_path / "out", query=query)
    assert database.execute("SELECT n FROM victim").fetchall() == [(1,)]
    assert database.execute("SELECT to_regclass('loot')").fetchone() == (None,)
    assert database.execute("SELECT last_value, is_called FROM counter").fetchone() == (1, False)
    assert not loot.exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("attack", ATTACKS)
def test_to_look_at_it_before_the_run_changes_nothing_either(
    postgres_url: str, database: psycopg.Connection, attack: str
) -> None:
    with suppress(TableError):
        query_is_ready(postgres_url, attack)
    assert database.execute("SELECT n FROM victim").fetchall() == [(1,)]
    assert database.execute("SELECT to_regclass('loot')").fetchone() == (None,)


def test_the_session_is_read_only_too_whatever_the_address_says(postgres_url: str) -> None:
    query = COLUMNS.replace("'m'", "current_setting('default_transaction_read_only')")
    asked = f"{postgres_url}?options=-cdefault_transaction_read_only%3Doff"
    assert stored_from_postgres(asked, query=f"SELECT {query}")["serial"].to_pylist() == ["on"]


def test_what_a_query_locks_or_announces_ends_with_it(postgres_url: str, database: psycopg.Connection) -> None:
    database.execute("LISTEN amilab")
    query = f"SELECT {COLUMNS}, (pg_advisory_lock(42), pg_notify('amilab', 'x'))::text AS serial2"
    assert stored_from_postgres(postgres_url, query=query).num_rows == 1
    # A session ends a little after its connection: this waits for the lock, and fails if it stays.
    database.execute("SET statement_timeout = '30s'")
    database.execute("SELECT pg_advisory_lock(42)")
    assert list(database.notifies(timeout=0)) == []


@pytest.mark.parametrize(
    "ending",
    [
        " -- newest only",
        "; -- newest only",
        ";\n/* first; second */ ;\n-- third;",
        "  ;\n",
        " /* ; */",
        " WHERE 'a; --' <> ';'",
        " WHERE 'a;' = 'a;' -- ;",
    ],
)
def test_a_query_may_end_as_one_writes_it_in_a_file(postgres_url: str, ending: str) -> None:
    query = f"SELECT {COLUMNS} FROM generate_series(1, 3){ending}"
    assert query_is_ready(postgres_url, query)
    assert stored_from_postgres(postgres_url, query=query, start_s=0, end_s=9e9).num_rows == 3


@pytest.mark.parametrize("query", ["-- nothing", "", ";", "SELECT", "VALUES (1)"])
def test_what_gives_no_readings_is_a_fault(postgres_url: str, query: str) -> None:
    with pytest.raises(TableError):
        query_is_ready(postgres_url, query)


def test_the_role_of_the_guide_reads_the_view_and_nothing_else(
    postgres_url: str, database: psycopg.Connection, tmp_path: Path
) -> None:
    view, role = re.findall(r"```sql\n(CREATE (?:VIEW|ROLE).*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    database.execute("DROP VIEW IF EXISTS amilab_view; DROP TABLE IF EXISTS meter_reads")
    database.execute(
        "CREATE TABLE meter_reads (meter_number text, read_at timestamptz, kwh numeric, inserted_at timestamptz)"
    )
    database.execute("INSERT INTO meter_reads VALUES ('AMI1', now(), 1.25, now())")
    database.execute(view.encode())
    database.execute(role.replace("ami TO", "postgres TO").replace("DATABASE ami", "DATABASE postgres").encode())
    url = postgres_url.replace("lab@", "judge:secret@")
    table = stored_from_postgres(url, query="SELECT * FROM amilab_view")
    assert table["import_wh"].to_pylist() == [1250]
    with psycopg.connect(url, autocommit=True) as judge:
        judge.execute("SET default_transaction_read_only = off")
        for forbidden in (
            "SELECT * FROM meter_reads",
            "CREATE TABLE public.own ()",
            "CREATE TEMPORARY TABLE own ()",
            "DELETE FROM amilab_view",
            "COPY (SELECT 1) TO PROGRAM 'true'",
            "SELECT pg_read_file('/etc/passwd')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                judge.execute(forbidden.encode())
