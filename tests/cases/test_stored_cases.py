"""What other people's databases and exports look like: each folder's README says where the case is known from."""

from __future__ import annotations

import asyncio
import re
import subprocess
from pathlib import Path

import pandas as pd
import psycopg
import pyarrow.parquet as pq
import pytest

from headend.store.migrate import connection_info
from lab.errors import UserError
from lab.headends.stored_source import LookedAt, StoredFile, StoredQuery, parse_stored
from lab.run.judge_again import judge_again
from lab.run.record import write_record
from tests.headend.services import Postgres
from tests.lab.verdict.synthetic import START_S, arrow, make_run
from tests.stack.labs import amilab, scenario_text

pytest_plugins = ["tests.headend.fixtures"]

CASES = Path(__file__).parent
SHOWN = ("DateStyle", "TimeZone", "IntervalStyle")
SMALL = scenario_text(meters=5, duration="30min")
_REFUSED = re.findall(r"-- (.*)\n((?:[^-].*\n)+)", (CASES / "datestyle" / "refused.sql").read_text())
REFUSED = [(re.search(r"CREATE DATABASE (\w+)", commands)[1], words, commands) for words, commands in _REFUSED]  # type: ignore[index]


def at(server: Postgres, database: str, user: str = "postgres") -> str:
    return server.url(user).removesuffix("/postgres") + f"/{database}"


def execute(server: Postgres, commands: str) -> None:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        for command in filter(str.strip, commands.split(";")):
            connection.execute(command.encode())


def run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (directory / "small.toml").write_text(SMALL)
    lab = amilab("run", directory / "small.toml", "--out", directory / "runs", *arguments)
    output, errors = lab.communicate(timeout=240)
    return subprocess.CompletedProcess([], lab.returncode, output, errors)


def test_datestyle_a_run_does_not_depend_on_how_a_database_shows_things(postgres: Postgres, tmp_path: Path) -> None:
    execute(postgres, (CASES / "datestyle" / "setup.sql").read_text())
    done = run(tmp_path, "--database-url", at(postgres, "german"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASSED" in done.stdout


def test_datestyle_the_head_ends_sessions_are_not_as_a_database_would_have_them(postgres: Postgres) -> None:
    execute(postgres, (CASES / "datestyle" / "setup.sql").read_text().replace(" german", " german3"))
    with (
        psycopg.connect(at(postgres, "german3")) as anybody,
        psycopg.connect(connection_info(at(postgres, "german3"), "amilab")) as head_end,
    ):
        shown = [[each.execute(f"SHOW {name}").fetchone() for name in SHOWN] for each in (anybody, head_end)]
    assert shown[1] == [("ISO, MDY",), ("UTC",), ("postgres",)]
    assert not any(first == second for first, second in zip(*shown, strict=True))


@pytest.fixture(scope="module")
def refused(postgres: Postgres) -> Postgres:
    execute(postgres, "CREATE ROLE guest LOGIN PASSWORD 'secret'; CREATE ROLE reader LOGIN SUPERUSER PASSWORD 'secret'")
    execute(postgres, "ALTER ROLE reader SET default_transaction_read_only = on")
    for _, _, commands in REFUSED:
        execute(postgres, commands)
    return postgres


@pytest.mark.parametrize(
    ("database", "user", "words"),
    [
        *((database, "guest" if "schemas" in words else "postgres", words) for database, words, _ in REFUSED),
        ("postgres", "reader", "is set to be read-only"),
    ],
)
def test_datestyle_what_cannot_be_written_is_refused_before_anything_starts(
    refused: Postgres, tmp_path: Path, database: str, user: str, words: str
) -> None:
    done = run(tmp_path, "--database-url", at(refused, database, user))
    assert done.returncode == 2, done.stdout + done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


def test_datestyle_stored_readings_do_not_depend_on_a_databases_settings(refused: Postgres, tmp_path: Path) -> None:
    execute(refused, (CASES / "datestyle" / "setup.sql").read_text().replace(" german", " german2"))
    query = """SELECT U&'Z\\00E4hler' AS serial, TIMESTAMPTZ '2026-01-15 01:00:00+01' AS interval_start,
               900 AS interval_length_s, 1234.56789::float8 AS import_wh"""
    for database in ("german2", "frozen", "latin"):
        path = tmp_path / f"{database}.parquet"
        assert StoredQuery(at(refused, database), query).fetch(path, start_s=START_S, end_s=START_S + 900) == 1
        (row,) = pq.read_table(path).to_pylist()
        assert (row["serial"], row["interval_start"].timestamp(), row["import_wh"]) == ("Zähler", START_S, 1234.56789)


def test_datestyle_text_of_an_unknown_encoding_is_refused_with_words(refused: Postgres, tmp_path: Path) -> None:
    with psycopg.connect(at(refused, "ascii"), autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE reading AS SELECT now() AS interval_start, 900 AS interval_length_s, 1 AS import_wh"
        )
        connection.execute(r"ALTER TABLE reading ADD serial text DEFAULT E'Z\344hler'")
    with pytest.raises(UserError, match=r"not UTF-8.*SQL_ASCII.*convert_from"):
        StoredQuery(at(refused, "ascii"), "SELECT * FROM reading").fetch(tmp_path / "s", start_s=0, end_s=9e9)
    query = """SELECT interval_start, interval_length_s, import_wh,
               convert_from(convert(serial::bytea, 'LATIN1', 'UTF8'), 'UTF8') AS serial FROM reading"""
    StoredQuery(at(refused, "ascii"), query).fetch(tmp_path / "s", start_s=0, end_s=9e9)
    assert pq.read_table(tmp_path / "s")["serial"].to_pylist() == ["Zähler"]


async def test_query_comment_is_read_as_it_is(postgres: Postgres, tmp_path: Path) -> None:
    execute(postgres, "CREATE TABLE r AS SELECT 'AMI1'::text serial, now() t, 900 l, 12 wh")
    url = (CASES / "query-comment" / "url.txt").read_text().strip()
    source = parse_stored(url.replace("postgresql://user:pw@host/db", postgres.url()))
    await source.check()
    assert source.fetch(tmp_path / "s.parquet", start_s=0, end_s=9e9) == 1


async def test_stored_dead_end_is_told_before_the_run() -> None:
    (notice,) = (await StoredFile(CASES / "stored-dead-end" / "ext.csv").check()).notices
    assert notice == "ext.csv is separated by semicolons"


def test_foreign_usage_point_does_not_outvote_the_serial(tmp_path: Path) -> None:
    live = make_run(20, 8)
    run_dir = live.write(tmp_path / "run")
    write_record(run_dir, live.context(), (), {})
    names = ["serial", "interval_start", "interval_length_s", "import_wh", "committed_at"]
    frame = arrow(live.stored).select(names).to_pandas()
    frame.insert(1, "usage_point", [f"MPAN{serial[-6:]}" for serial in frame.serial])
    frame.to_csv(tmp_path / "stored.csv", index=False)
    judged = judge_again(run_dir, (source := StoredFile(tmp_path / "stored.csv"), _looked_at(source)))
    assert judged.verdict.passed
    assert "the serials said whose the readings are" in judged.verdict.diagnosis[0]
    frame.assign(serial=[f"{serial} " for serial in frame.serial]).to_csv(tmp_path / "stored.csv", index=False)
    with pytest.raises(UserError, match=r"none of the 20 serials is in the shipment file, e\.g\. 'AMI00000000 '"):
        judge_again(run_dir, (source, _looked_at(source)))


def _looked_at(source: StoredFile) -> LookedAt:
    return asyncio.run(source.check())


def test_nanoseconds_are_cut(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "serial": ["AMI00000001"],
            "interval_start": pd.to_datetime(["2026-01-15T00:00:00Z"]).as_unit("ns"),
            "interval_length_s": [900],
            "import_wh": [12],
            "committed_at": pd.to_datetime(["2026-01-15T00:15:01.000000789Z"]).as_unit("ns"),
        }
    )
    frame.to_parquet(tmp_path / "ns.parquet", index=False)
    texts = {"interval_start": "2026-01-15T00:00:00Z", "committed_at": "2026-01-15T00:15:01.000000789Z"}
    frame.assign(**texts).to_csv(tmp_path / "ns.csv", index=False)
    for name in ("ns.parquet", "ns.csv"):
        assert parse_stored(str(tmp_path / name)).fetch(tmp_path / "out", start_s=0, end_s=4e9) == 1
        (row,) = pq.read_table(tmp_path / "out").to_pylist()
        assert row["committed_at"].timestamp() == START_S + 901
