"""CSV and parquet files as other programs write them: what is certain is read, all else is refused with every fault."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import UserError
from lab.headends.stored_source import StoredFile
from lab.verdict.from_csv import stored_from_csv
from lab.verdict.from_parquet import stored_from_parquet
from lab.verdict.tables import STORED, TableError

START = datetime(2026, 1, 15, tzinfo=UTC)
HEADER = "serial,interval_start,interval_length_s,import_wh"


def csv(path: Path, *lines: str, encoding: str = "utf-8") -> Path:
    path.write_bytes("".join(f"{line}\n" for line in lines).encode(encoding))
    return path


def parquet(path: Path, **changes: object) -> Path:
    columns = {"serial": ["AMI1"], "interval_start": pa.array([START], pa.timestamp("us", "UTC"))}
    columns |= {"interval_length_s": [900], "import_wh": [12.5], **changes}
    pq.write_table(pa.table({name: values for name, values in columns.items() if values is not None}), path)
    return path


@pytest.mark.parametrize(("delimiter", "words"), [(",", None), (";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_the_separator_is_found_out_and_told(tmp_path: Path, delimiter: str, words: str | None) -> None:
    path = csv(
        tmp_path / "s.csv", HEADER.replace(",", delimiter), "AMI1;2026-01-15T00:00:00Z;900;12".replace(";", delimiter)
    )
    told: list[str] = []
    assert stored_from_csv(path, tell=told.append)["import_wh"].to_pylist() == [12]
    assert [words is not None and words in sentence for sentence in told] == ([] if words is None else [True])


def test_decimal_commas_are_read_and_told(tmp_path: Path) -> None:
    path = csv(
        tmp_path / "s.csv",
        "serial;interval_start;interval_length_s;import_wh",
        "AMI1;2026-01-15T00:00:00Z;900;12,25",
        "AMI1;2026-01-15T00:15:00Z;900;13",
        "AMI1;2026-01-15T00:30:00Z;900;",
    )
    told: list[str] = []
    assert stored_from_csv(path, tell=told.append)["import_wh"].to_pylist() == [12.25, 13, None]
    assert any("decimal commas in import_wh" in sentence for sentence in told)


@pytest.mark.parametrize("cell", ["1.234,5", "1,234,5", "12,5 Wh", "12.5\nAMI1;2026-01-15T00:15:00Z;900;12,5"])
def test_what_may_be_one_number_or_another_is_refused(tmp_path: Path, cell: str) -> None:
    path = csv(tmp_path / "s.csv", HEADER.replace(",", ";"), f"AMI1;2026-01-15T00:00:00Z;900;{cell}")
    with pytest.raises(TableError, match="import_wh"):
        stored_from_csv(path)


@given(
    micros=st.integers(0, 10**6 - 1), more=st.text("0123456789", max_size=6), offset_min=st.integers(-14 * 60, 14 * 60)
)
def test_times_are_cut_to_the_microsecond(
    tmp_path_factory: pytest.TempPathFactory, micros: int, more: str, offset_min: int
) -> None:
    instant = START.replace(microsecond=micros)
    zone = f"{'-' if offset_min < 0 else '+'}{abs(offset_min) // 60:02}:{abs(offset_min) % 60:02}"
    local = (instant + timedelta(minutes=offset_min)).replace(tzinfo=None)
    text = f"{local:%Y-%m-%dT%H:%M:%S}.{micros:06}{more}{zone}"
    path = csv(tmp_path_factory.mktemp("t") / "s.csv", HEADER, f"AMI1,{text},900,1")
    assert stored_from_csv(path)["interval_start"].to_pylist() == [instant]


def test_pandas_own_defaults_are_read(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "serial": pd.Series(["AMI1", "AMI1"], dtype="category"),
            "interval_start": pd.to_datetime(["2026-01-15T00:00:00Z", "2026-01-15T00:15:00Z"]).as_unit("ns"),
            "interval_length_s": [900.0, 900.0],
            "import_wh": [12, 13],
            "committed_at": pd.DatetimeIndex(["2026-01-15T00:15:01.000000789Z", pd.NaT]).as_unit("ns"),
            "status": [1.0, None],
        }
    )
    frame.to_parquet(tmp_path / "s.parquet")
    frame.to_csv(tmp_path / "s.csv")
    for table in (stored_from_parquet(tmp_path / "s.parquet"), stored_from_csv(tmp_path / "s.csv")):
        first, second = table.to_pylist()
        assert first["committed_at"] == START + timedelta(minutes=15, seconds=1)
        assert second["committed_at"] is None
        assert (first["interval_length_s"], first["status"], second["status"]) == (900, 1, None)


@pytest.mark.parametrize(
    "text",
    [
        pa.array(["AMI1"], pa.string_view()),
        pa.array(["AMI1"], pa.large_string()),
        pa.array(["AMI1"], pa.string_view()).cast(pa.large_string()).dictionary_encode(),
    ],
)
def test_texts_of_any_form_are_texts(tmp_path: Path, text: pa.Array) -> None:
    assert stored_from_parquet(parquet(tmp_path / "s.parquet", serial=text))["serial"].to_pylist() == ["AMI1"]


@pytest.mark.parametrize("lengths", [pa.array([900.0]), pa.array([Decimal("900.00")]), pa.array([900], pa.uint16())])
def test_whole_numbers_of_any_form_are_integers(tmp_path: Path, lengths: pa.Array) -> None:
    table = stored_from_parquet(parquet(tmp_path / "s.parquet", interval_length_s=lengths))
    assert table["interval_length_s"].to_pylist() == [900]


def test_sparks_times_are_utc_and_those_of_others_without_a_zone_are_refused(tmp_path: Path) -> None:
    naive = pa.table({"serial": ["AMI1"], "interval_start": pa.array([START.replace(tzinfo=None)], pa.timestamp("us"))})
    naive = naive.append_column("interval_length_s", pa.array([900])).append_column("import_wh", pa.array([1]))
    pq.write_table(naive, tmp_path / "other.parquet", use_deprecated_int96_timestamps=True)
    spark = naive.replace_schema_metadata({"org.apache.spark.version": "3.5.1"})
    pq.write_table(spark, tmp_path / "spark.parquet", use_deprecated_int96_timestamps=True)
    assert stored_from_parquet(tmp_path / "spark.parquet")["interval_start"].to_pylist() == [START]
    with pytest.raises(TableError, match="no time zone"):
        stored_from_parquet(tmp_path / "other.parquet")


def test_all_that_has_no_sense_is_refused_at_once(tmp_path: Path) -> None:
    path = parquet(
        tmp_path / "s.parquet",
        serial=[b"AMI1"],
        interval_start=pa.array([START.replace(tzinfo=None)], pa.timestamp("us")),
        interval_length_s=[900.5],
        import_wh=["12"],
    )
    with pytest.raises(TableError) as refused:
        stored_from_parquet(path)
    assert len(refused.value.faults) == 4


async def test_a_header_alone_is_looked_at_before_the_run(tmp_path: Path) -> None:
    found = await StoredFile(csv(tmp_path / "s.csv", f"{HEADER},batch,operator")).check()
    assert found.notices == ("s.csv has columns that are not read: batch, operator",)


async def test_a_separator_is_told_before_the_run(tmp_path: Path) -> None:
    path = csv(tmp_path / "s.csv", HEADER.replace(",", ";"), "AMI1;2026-01-15T00:00:00Z;4;1,5")
    separator, comma = (await StoredFile(path).check()).notices
    assert "semicolons" in separator
    assert "decimal commas in import_wh" in comma


@pytest.mark.parametrize(
    ("lines", "parts"),
    [
        ((HEADER, "AMI1,2026-01-15T00:00:00,900,1"), ["offset"]),
        ((HEADER, "AMI1,15.01.2026 00:00,900,much"), ["interval_start", "import_wh"]),
        ((HEADER, "AMI1,2026-01-15T00:00:00Z,900"), ["row 1 has 3 cells"]),
        (("Serial,Interval Start,interval_length_s,Import_Wh",), ["'Serial'", "'Interval Start'", "'Import_Wh'"]),
        (("meter,time,value",), ["serial or usage_point", "interval_start", "interval_length_s", "import_wh"]),
        (("serial,serial,interval_start,interval_length_s,import_wh",), ["more than once"]),
        ((), ["empty"]),
    ],
)
async def test_what_would_be_refused_at_the_end_is_refused_before_the_run(
    tmp_path: Path, lines: tuple[str, ...], parts: list[str]
) -> None:
    with pytest.raises(UserError) as refused:
        await StoredFile(csv(tmp_path / "s.csv", *lines)).check()
    for part in parts:
        assert part in " ".join(refused.value.faults)


async def test_another_encoding_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="UTF-16"):
        await StoredFile(csv(tmp_path / "a.csv", HEADER, encoding="utf-16")).check()
    with pytest.raises(UserError, match="not UTF-8"):
        await StoredFile(csv(tmp_path / "b.csv", f"{HEADER},größe", encoding="latin-1")).check()


async def test_a_parquet_file_is_looked_at_too(tmp_path: Path) -> None:
    assert (await StoredFile(parquet(tmp_path / "s.parquet")).check()).notices == ()
    with pytest.raises(UserError) as refused:
        await StoredFile(parquet(tmp_path / "b.parquet", import_wh=None, interval_length_s=["900"])).check()
    assert len(refused.value.faults) == 2
    (tmp_path / "c.parquet").write_text("not parquet")
    with pytest.raises(UserError, match="cannot be read as parquet"):
        await StoredFile(tmp_path / "c.parquet").check()


_USUAL = ["AMI1", "900", "12,5", "1.5", "2026-01-15T00:00:00Z", "2026-01-15", "", '"', "\x00", "\u00fc", "NaN"]
CELLS = st.one_of(st.sampled_from(_USUAL), st.text(max_size=6))


@given(
    delimiter=st.sampled_from(",;\t|"),
    header=st.lists(st.sampled_from(STORED.column_names()), max_size=6),
    rows=st.lists(st.lists(CELLS, max_size=7), max_size=4),
    junk=st.binary(max_size=8),
)
def test_any_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, delimiter: str, header: list[str], rows: list[list[str]], junk: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "s.csv"
    text = "\n".join(delimiter.join(row) for row in [header, *rows])
    path.write_bytes(text.encode("utf-8", "surrogatepass") + junk)
    for rows_at_most in (None, 2):
        with suppress(TableError):
            table = stored_from_csv(path, rows_at_most=rows_at_most)
            assert set(table.column_names) <= set(STORED.column_names())
    path = path.with_suffix(".parquet")
    path.write_bytes(b"PAR1" + junk + b"PAR1")
    with pytest.raises(TableError):
        stored_from_parquet(path)
