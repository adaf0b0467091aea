"""Three ways to somebody's head-end, one table."""

from pathlib import Path

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from lab.verdict.conform import conform
from lab.verdict.from_csv import stored_from_csv
from lab.verdict.from_parquet import stored_from_parquet
from lab.verdict.from_postgres import export_stored, stored_from_postgres
from lab.verdict.tables import STORED, TableError
from lab.verdict.verdict import judge
from tests.lab.verdict.synthetic import START_S, STEP_S, Run, arrow, make_run

TYPES = {
    pa.string(): "text",
    pa.int64(): "bigint",
    pa.int32(): "integer",
    pa.float64(): "double precision",
    pa.timestamp("us", tz="UTC"): "timestamptz",
}


def _run() -> Run:
    run = make_run(5, 8)
    run.stored["quality"][3] = "estimated"
    run.stored["origin"][4] = "recovered"
    run.stored["import_wh"][5] += 1
    run.stored["committed_at"][6] = np.datetime64("NaT")
    run.stored["export_wh"] = np.array([None, *run.stored["export_wh"][1:]], dtype=object)
    run.stored["serial"][:8] = 'quo"te, й'
    return run


def _create(url: str, relation: str, table: pa.Table) -> None:
    columns = ", ".join(f"{f.name} {TYPES[f.type]}" for f in table.schema)
    with psycopg.connect(url) as connection:
        connection.execute("SET TIME ZONE 'UTC'")
        connection.execute(f"DROP TABLE IF EXISTS {relation} CASCADE")
        connection.execute(f"CREATE TABLE {relation} ({columns})")
        with connection.cursor().copy(f"COPY {relation} FROM STDIN") as copy:
            for row in table.to_pylist():
                copy.write_row([row[name] for name in table.column_names])


@pytest.fixture
def table() -> pa.Table:
    return arrow(_run().stored)


def _sorted(table: pa.Table) -> pa.Table:
    plain = table.cast(
        pa.schema([(f.name, pa.string() if pa.types.is_dictionary(f.type) else f.type) for f in table.schema])
    )
    return plain.sort_by([("usage_point", "ascending"), ("interval_start", "ascending")])


def test_csv_parquet_and_postgresql_agree(tmp_path: Path, table: pa.Table, postgres_url: str) -> None:
    pa_csv.write_csv(table, tmp_path / "stored.csv")
    pq.write_table(table, tmp_path / "stored.parquet")
    _create(postgres_url, "stored_base", table)
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE VIEW stored_reading AS SELECT *, 1 AS something_else FROM stored_base")
    expected = _sorted(conform(table, STORED))
    assert _sorted(stored_from_csv(tmp_path / "stored.csv")).equals(expected)
    assert _sorted(stored_from_parquet(tmp_path / "stored.parquet")).equals(expected)
    assert _sorted(stored_from_postgres(postgres_url)).equals(expected)
    assert export_stored(postgres_url, tmp_path / "exported.parquet") == 40
    assert _sorted(stored_from_parquet(tmp_path / "exported.parquet")).equals(expected)


def test_the_sessions_time_zone_and_date_style_do_not_matter(postgres_url: str, table: pa.Table) -> None:
    _create(postgres_url, "zoned", table)
    options = "?options=-c%20timezone%3DAsia/Kathmandu%20-c%20datestyle%3DGerman"
    found = stored_from_postgres(postgres_url + options, query="SELECT * FROM zoned;")
    assert _sorted(found).equals(_sorted(conform(table, STORED)))


def test_a_foreign_head_ends_few_columns_are_judged(tmp_path: Path, postgres_url: str) -> None:
    run = make_run(5, 8)
    table = arrow(run.stored).select(["serial", "interval_start", "interval_length_s", "import_wh", "committed_at"])
    _create(postgres_url, "foreign_reads", table)
    query = """SELECT serial, interval_start, 900 AS interval_length_s, committed_at,
                      (import_wh / 1000.0)::numeric * 1000 AS import_wh
                      FROM foreign_reads WHERE import_wh IS NOT NULL"""
    complete = run.tables()
    stored = stored_from_postgres(postgres_url, query=query)
    tables = type(complete)(complete.truth, complete.frames, complete.fleet, complete.journal, stored)
    assert judge(tables, run.context()).passed


def test_bounds_select_by_interval_start(postgres_url: str, table: pa.Table) -> None:
    _create(postgres_url, "bounded", table)
    found = stored_from_postgres(
        postgres_url, query="SELECT * FROM bounded", start_s=START_S + STEP_S, end_s=START_S + 3 * STEP_S
    )
    assert found.num_rows == 10


def test_many_blocks_stream_to_a_file(postgres_url: str, tmp_path: Path) -> None:
    query = """SELECT 'AMI' || n % 1000 AS serial, to_timestamp(1768435200 + n / 1000 * 900) AS interval_start,
                      900 AS interval_length_s, n AS import_wh, 'actual' AS quality FROM generate_series(0, 299999) n"""
    assert export_stored(postgres_url, tmp_path / "many.parquet", query=query) == 300_000
    assert pq.ParquetFile(tmp_path / "many.parquet").num_row_groups > 1
    values = stored_from_parquet(tmp_path / "many.parquet")["import_wh"].to_numpy()
    assert np.array_equal(np.sort(values), np.arange(300_000))


def test_no_rows_are_an_empty_table(postgres_url: str, tmp_path: Path, table: pa.Table) -> None:
    _create(postgres_url, "nothing", table.slice(0, 0))
    assert stored_from_postgres(postgres_url, query="SELECT * FROM nothing").num_rows == 0
    assert export_stored(postgres_url, tmp_path / "nothing.parquet", query="SELECT * FROM nothing") == 0
    assert stored_from_parquet(tmp_path / "nothing.parquet").num_rows == 0


def test_a_querys_faults_are_listed_before_a_row_is_read(postgres_url: str, tmp_path: Path) -> None:
    query = "SELECT now()::timestamp AS interval_start, '900'::text AS interval_length_s, 'x'::text AS import_wh"
    with pytest.raises(TableError) as caught:
        export_stored(postgres_url, tmp_path / "bad.parquet", query=query)
    faults = caught.value.faults
    assert len(faults) == 4
    assert any("timestamp without time zone" in f and "AT TIME ZONE" in f for f in faults)
    assert not (tmp_path / "bad.parquet").exists()


@pytest.mark.parametrize(
    ("query", "part"),
    [
        ("SELECT * FROM not_a_relation", "not_a_relation"),
        ("SELEC", "syntax error"),
        ("INSERT INTO t VALUES (1)", "syntax error"),
    ],
)
def test_what_the_database_says_is_passed_on(postgres_url: str, query: str, part: str) -> None:
    with pytest.raises(TableError, match=part):
        stored_from_postgres(postgres_url, query=query)


def test_an_unreachable_database_is_a_fault_and_its_password_is_not_shown() -> None:
    with pytest.raises(TableError) as caught:
        stored_from_postgres("postgresql://lab:hunter2@127.0.0.1:1/postgres")
    assert "hunter2" not in str(caught.value)


def test_naive_times_in_csv_are_refused_with_all_other_faults(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(
        "usage_point,interval_start,interval_length_s,import_wh\n"
        "a,2026-01-15T00:00:00+01:00,900,1\na,2026-01-15 00:15:00,900,much\n"
    )
    with pytest.raises(TableError) as caught:
        stored_from_csv(path)
    assert len(caught.value.faults) == 2
    assert "offset" in caught.value.faults[0]
    assert "import_wh" in caught.value.faults[1]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"serial,serial\n", b"serial,interval_start\na\n"])
def test_broken_csv_is_a_fault(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(TableError):
        stored_from_csv(path)


def test_a_separator_that_is_none_is_seen_in_the_refusal(tmp_path: Path) -> None:
    path = tmp_path / "caret.csv"
    path.write_text("serial^interval_start^interval_length_s^import_wh\nA^2026-01-15T00:00:00Z^900^7\n")
    with pytest.raises(
        TableError, match=r"it is read as 'serial.interval_start.interval_length_s.import_wh'"
    ) as refused:
        stored_from_csv(path)
    assert "separated by comma, semicolon, tab or bar" in refused.value.faults[0]


def test_decimal_commas_between_commas_are_named(tmp_path: Path) -> None:
    path = tmp_path / "comma.csv"
    path.write_text("serial,interval_start,interval_length_s,import_wh\nA,2026-01-15T00:00:00Z,900,7,5\n")
    with pytest.raises(TableError, match="row 1 has 5 cells, but the header has 4; decimal commas need"):
        stored_from_csv(path, rows_at_most=10)


def test_a_time_without_offset_is_refused_in_words_for_its_user(tmp_path: Path) -> None:
    path = tmp_path / "naive.csv"
    path.write_text("serial,interval_start,interval_length_s,import_wh\nA,2026-01-15T00:00:00,900,7\n")
    with pytest.raises(TableError, match="every time needs an offset") as refused:
        stored_from_csv(path)
    assert "assume_timezone" not in refused.value.faults[0]


def test_a_csv_file_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="No such file"):
        stored_from_csv(tmp_path / "none.csv")


def test_offsets_other_than_utc_are_the_same_instants(tmp_path: Path) -> None:
    path = tmp_path / "zurich.csv"
    path.write_text(
        "\ufeffusage_point;interval_start;interval_length_s;import_wh;status\n"
        "UP00000;2026-01-15T01:00:00+01:00;900;12.5;\n",
        encoding="utf-8",
    )
    (row,) = stored_from_csv(path).to_pylist()
    assert row["interval_start"].timestamp() == START_S
    assert row["import_wh"] == 12.5
    assert row["status"] is None
