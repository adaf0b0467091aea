"""Where somebody else's head-end keeps its readings: understood, looked at before the run, read after it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import psycopg
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import UserError
from lab.headends.stored_source import StoredFile, StoredQuery, parse_stored
from lab.verdict.conform import conform
from lab.verdict.tables import STORED
from tests.lab.verdict.synthetic import START_S, STEP_S, arrow, make_run

READY = "SELECT 'm' AS serial, now() AS interval_start, 900 AS interval_length_s, 1 AS import_wh"


def parsed_query(text: str) -> StoredQuery:
    source = parse_stored(text)
    assert isinstance(source, StoredQuery)
    return source


@given(st.text(min_size=1).filter(str.strip).filter(lambda text: text.isprintable()))
def test_a_query_is_percent_encoded_and_what_else_follows_is_the_databases(query: str) -> None:
    source = parsed_query(
        f"postgresql://me:p%40ss@db:5432/ami?sslmode=require&query={quote(query, safe='')}&options=-c%20a"
    )
    assert source.query == query
    assert source.url == "postgresql://me:p%40ss@db:5432/ami?sslmode=require&options=-c%20a"


def test_without_a_query_the_relation_stored_reading_is_read() -> None:
    assert parsed_query("postgresql:///ami").query == "SELECT * FROM stored_reading"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("mysql://me:hunter2@db/ami", "not one of a PostgreSQL"),
        ("postgresql://me:hunter2@db/ami?query=a&query=b", "more than one"),
        ("postgresql://me:hunter2@db/ami?query=%20", "empty"),
        ("postgresql://me:hunter2@db/ami?query=a#b", "'#'"),
        ("postgresql://me:hunter2@[db/ami", "not a valid address"),
        ("readings.xlsx", "neither an address nor"),
        ("nowhere/readings.csv", "no directory"),
    ],
)
def test_what_is_not_understood_is_refused_without_the_password(text: str, part: str) -> None:
    with pytest.raises(UserError, match=part) as refused:
        parse_stored(text)
    assert refused.value.hint
    assert "hunter2" not in str(refused.value)


async def test_a_query_is_looked_at_before_the_run(postgres_url: str) -> None:
    found = await StoredQuery(postgres_url, f"{READY};").check()
    assert found.version.startswith("PostgreSQL ")
    assert not any("must be when" in notice for notice in found.notices)


async def test_a_relation_may_be_made_during_the_run(postgres_url: str) -> None:
    found = await StoredQuery(postgres_url, "SELECT * FROM still_to_come").check()
    assert any("must be when the run ends" in notice for notice in found.notices)


async def test_what_would_fail_at_the_end_is_said_at_the_beginning(postgres_url: str) -> None:
    with pytest.raises(UserError) as refused:
        await StoredQuery(postgres_url, "SELECT 1 AS import_wh, now()::timestamp AS interval_start").check()
    assert len(refused.value.faults) == 3
    with pytest.raises(UserError, match="syntax error"):
        await StoredQuery(postgres_url, "SELEC").check()


async def test_a_database_that_cannot_be_reached_is_named_without_the_password() -> None:
    with pytest.raises(UserError, match=r"nothing listens at 127\.0\.0\.1:1") as refused:
        await StoredQuery("postgresql://me:hunter2@127.0.0.1:1/ami").check()
    assert "hunter2" not in str(refused.value)
    assert "--database-url" not in str(refused.value)


def test_query_csv_and_parquet_give_the_judged_window_alone(tmp_path: Path, postgres_url: str) -> None:
    table = arrow(make_run(5, 8).stored)
    pa_csv.write_csv(table, tmp_path / "readings.csv")
    pq.write_table(table, tmp_path / "readings.PARQUET")
    with psycopg.connect(postgres_url) as database:
        database.execute("DROP TABLE IF EXISTS judged")
        database.execute(
            "CREATE TABLE judged (serial text, interval_start timestamptz, interval_length_s int, import_wh bigint)"
        )
        with database.cursor().copy("COPY judged FROM STDIN") as copy:
            for row in table.to_pylist():
                copy.write_row(
                    [row["serial"], row["interval_start"].isoformat(), row["interval_length_s"], row["import_wh"]]
                )
    sources = [
        parse_stored(str(tmp_path / "readings.csv")),
        parse_stored(str(tmp_path / "readings.PARQUET")),
        StoredQuery(postgres_url, "SELECT * FROM judged"),
    ]
    names = ["serial", "interval_start", "interval_length_s", "import_wh"]
    found = []
    for number, source in enumerate(sources):
        path = tmp_path / f"{number}.parquet"
        assert source.fetch(path, start_s=START_S + STEP_S, end_s=START_S + 3 * STEP_S) == 2 * 5
        rows = conform(pq.read_table(path), STORED).select(names).to_pylist()
        found.append(sorted(rows, key=lambda row: (row["serial"], row["interval_start"])))
    assert found[0] == found[1] == found[2]
    assert {row["interval_start"].timestamp() for row in found[0]} == {START_S + STEP_S, START_S + 2 * STEP_S}


async def test_a_file_may_come_later_but_must_be_there_at_the_end(tmp_path: Path) -> None:
    source = StoredFile(tmp_path / "late.csv")
    (notice,) = (await source.check()).notices
    assert "must be when the run ends" in notice
    with pytest.raises(UserError, match="No such file") as refused:
        source.fetch(tmp_path / "stored.parquet", start_s=0, end_s=1)
    assert "external-head-end.md" in (refused.value.hint or "")
