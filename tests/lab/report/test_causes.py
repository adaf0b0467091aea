"""Discrepancies are grouped by what was the matter, and leave the report as a table that no spreadsheet computes."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.report import RunEvent, write_report
from lab.report.discrepancy_rows import defused
from lab.verdict.judge_files import judge_run
from tests.lab.report import surroundings
from tests.lab.report.test_evidence import row_of, two_vendors
from tests.lab.report.test_report import outline, words
from tests.lab.report.text import first
from tests.lab.verdict.synthetic import START_S, STEP_S, Dark, Run


def rows_of(run_dir: Path) -> list[dict[str, str]]:
    text = (run_dir / "discrepancies.csv").read_bytes().decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def report(run: Run, directory: Path, events: tuple[RunEvent, ...] = ()) -> Path:
    """Writes beside the run what is in `surround` already."""
    run_dir = directory / "run"
    return write_report(run_dir, judge_run(run_dir, run.context()), events)


def write_polls(run_dir: Path, *polls: tuple[str, str, int | None, int]) -> None:
    columns = list(zip(*polls, strict=True))
    table = pa.table(
        {
            "serial": pa.array(columns[0], pa.string()),
            "outcome": pa.array(columns[1], pa.string()),
            "exception_code": pa.array(columns[2], pa.int16()),
            "polls": pa.array(columns[3], pa.int64()),
        }
    )
    pq.write_table(table, run_dir / "polls.parquet")


def write_implausible(run_dir: Path, serial: str, interval: int, reason: str) -> None:
    start = datetime.fromtimestamp(START_S + interval * STEP_S, UTC)
    row = {"serial": serial, "interval_start": start, "interval_length_s": STEP_S, "reason": reason}
    pq.write_table(pa.Table.from_pylist([row]), run_dir / "implausible.parquet")


def test_each_lost_read_has_the_cause_that_was_the_matter(tmp_path: Path) -> None:
    """Of meter 0 it is dark, of 1 it has no uplink … and the head-end is down when the last one is due."""
    run = two_vendors(points=12, intervals=20, darks=(Dark(0, 1, 5, 6),))
    lost = [(0, 4), (1, 5), (2, 5), (3, 5), (4, 5), (5, 5), (7, 14)]
    run.drop("stored", [row_of(run, "stored", point, interval) for point, interval in lost])
    run_dir = run.write(tmp_path / "run")
    surroundings.write_communication(run_dir, [("UP00001", 5.5 * STEP_S, False), ("UP00001", 7.0 * STEP_S, True)])
    write_polls(
        run_dir,
        ("AMI00000002", "illegal_data_address", 2, 20),
        ("AMI00000005", "no_answer", None, 1),
        ("AMI00000006", "gateway_target_failed", 11, 3),
    )
    surroundings.write_dead_letters(run_dir, [(6.1 * STEP_S, "dt/lab/AMI00000003/ds", "not_json", b"{")])
    write_implausible(run_dir, "AMI00000004", 5, "more_than_rated")
    killed = RunEvent(START_S + 15.2 * STEP_S, "kill", "SIGKILL: headend, back after 300 s", START_S + 15.5 * STEP_S)
    path = report(run, tmp_path, (killed,))
    assert {row["usage_point"]: row["cause"] for row in rows_of(run_dir)} == {
        "UP00000": "meter dark",
        "UP00001": "uplink lost",
        "UP00002": "meter refuses polls",
        "UP00003": "dead letter: not json",
        "UP00004": "implausible: more than rated",
        "UP00005": "nothing known",
        "UP00007": "head-end down",
    }
    text = words(path)
    assert "lost meter dark direct 1 1 2026-01-15 01:00 2026-01-15 01:00" in text
    assert "lost: head-end down, mesh 1 at 1 usage point" in text
    assert "1 meter refuses polls (illegal data address, 20 polls)" in text


def test_what_is_wrong_with_a_value_is_told_by_its_kind(tmp_path: Path) -> None:
    run = two_vendors()
    run.stored["import_wh"][row_of(run, "stored", 2, 3)] += 4
    run.double("stored", [row_of(run, "stored", 5, 3)])
    run_dir = run.write(tmp_path / "run")
    surroundings.write_communication(run_dir, [("UP00002", 0.0, False)])
    report(run, tmp_path)
    assert {row["kind"]: (row["cause"], row["vendor"]) for row in rows_of(run_dir)} == {
        "altered": ("changed on the way or in the database", "direct"),
        "duplicate": ("stored twice by the head-end", "mesh"),
    }


def test_what_the_diagnosis_explains_has_its_cause(tmp_path: Path) -> None:
    """A meter's own fault among readings in kWh keeps the cause of its kind."""
    run = two_vendors(points=8, intervals=24)
    strange = row_of(run, "stored", 2, 3)
    for name in ("import_wh", "export_wh"):
        run.stored[name] = run.stored[name] / 1_000
    run.journal["import_wh"][row_of(run, "journal", 5, 3)] = 1
    run.stored["import_wh"][row_of(run, "stored", 5, 3)] = 0.001
    run.stored["import_wh"][strange] = 77.0
    run_dir = run.write(tmp_path / "run")
    path = report(run, tmp_path)
    altered = {(row["usage_point"], row["interval_start"]): row for row in rows_of(run_dir) if row["kind"] == "altered"}
    start = f"{datetime.fromtimestamp(START_S + 3 * STEP_S, UTC):%Y-%m-%dT%H:%M:%SZ}"
    assert altered.pop(("UP00002", start))["cause"] == "changed on the way or in the database"
    cause = "would match if multiplied by 1,000: they seem to be in kWh instead of Wh"
    assert {row["cause"] for row in altered.values()} == {cause}
    (sentence,) = json.loads((run_dir / "verdict.json").read_text())["diagnosis"]
    assert sentence.endswith(f" {cause}.")
    assert float(altered["UP00005", start]["by"]) == pytest.approx(0.999)
    assert f"altered: {cause}, direct" in words(path)
    assert "by 0.999" in words(path)
    assert "by 1.00 " not in words(path)


def test_a_shift_explains_what_is_lost_by_it_and_not_what_is_late(tmp_path: Path) -> None:
    run = two_vendors(points=8, intervals=48)
    run.stored["interval_start"] = run.stored["interval_start"] + np.timedelta64(STEP_S, "s")
    run.drop("stored", np.flatnonzero(run.stored["interval_start"] > run.journal["interval_start"].max()).tolist())
    run.stored["committed_at"][row_of(run, "stored", 3, 9)] += np.timedelta64(3, "h")
    run.drop("stored", [row_of(run, "stored", 6, interval) for interval in (20, 21)])
    run_dir = run.write(tmp_path / "run")
    report(run, tmp_path)
    cause = "would match one interval (15 min) earlier: the end of an interval seems to be taken for its start"
    rows = rows_of(run_dir)
    assert {row["cause"] for row in rows if row["kind"] == "altered"} == {cause}
    lost = [(row["usage_point"], row["cause"]) for row in rows if row["kind"] == "lost"]
    firsts = [(f"UP{point:05d}", cause) for point in range(8)]
    assert sorted(lost) == sorted([*firsts, ("UP00006", cause), ("UP00006", "nothing known")]), "one is nowhere"
    assert [row["cause"] for row in rows if row["kind"] == "late"] == ["nothing known"]


def test_groups_show_the_worst_first_and_count_all(tmp_path: Path) -> None:
    run = two_vendors(points=8, intervals=96)
    run.stored["committed_at"][: 8 * 48] += np.timedelta64(3, "h")
    run.drop("stored", [row_of(run, "stored", 6, 4)])
    run_dir = run.write(tmp_path / "run")
    table = first(r'<table class="causes">.*?</table>', report(run, tmp_path).read_text(), flags=re.S).group()
    told = [re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", row)) for row in table.split("<tr data-group=")[1:]]
    kinds = [first(r"(lost|late) nothing known (direct|mesh) (\d+)", row).groups() for row in told]
    assert [kind for kind, _, _ in kinds] == ["lost", *["late"] * (len(kinds) - 1)]
    assert sum(int(count) for _, _, count in kinds) == len(rows_of(run_dir)) > 200
    page = outline(run_dir / "report.html")
    assert page.tags.count("details") >= 200


HOSTILE = ("=HYPERLINK(0)", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1", '=cmd|"/C calc"!A0', "＝1+1")


@pytest.mark.parametrize("text", HOSTILE)
def test_no_cell_of_the_file_is_a_formula(tmp_path: Path, text: str) -> None:
    run = two_vendors()
    for table in (run.fleet, run.journal, run.stored):
        table["serial"] = np.where(table["serial"] == "AMI00000005", text, table["serial"].astype(object))
    run.fleet["vendor_profile"] = np.where(run.fleet["vendor_profile"] == "mesh", text, "direct").astype(object)
    run.drop("stored", [row_of(run, "stored", 5, 3)])
    run_dir = run.write(tmp_path / "run")
    surroundings.write_dead_letters(run_dir, [(4.1 * STEP_S, f"dt/lab/{text}/ds", text, b"=1+1")])
    path = report(run, tmp_path)
    (row,) = rows_of(run_dir)
    assert row["serial"] == "'" + text
    assert row["vendor"] == "'" + text
    assert not [value for value in row.values() if value.startswith(("=", "+", "@", "\t", "\r", " ="))]
    assert "\"'" in path.read_text(), "and in what the page makes of it"


@given(st.text())
def test_a_text_is_either_itself_or_a_text_to_a_spreadsheet(text: str) -> None:
    shown = defused(text)
    assert shown in (text, "'" + text)
    assert not shown.lstrip(" \u00a0").startswith(("=", "+", "-", "@"))
    assert shown == text or not text[:1].isalnum()


def test_what_devices_say_is_shown_and_not_obeyed(tmp_path: Path) -> None:
    """Serials, dead letters' topics and reasons, outcomes of polls."""
    run = two_vendors()
    hostile = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>"
    for table in (run.fleet, run.journal, run.stored):
        table["serial"] = np.where(table["serial"] == "AMI00000005", hostile, table["serial"].astype(object))
    run.fleet["vendor_profile"] = np.where(run.fleet["vendor_profile"] == "mesh", hostile, "direct").astype(object)
    run.drop("stored", [row_of(run, "stored", 5, 3)])
    run_dir = run.write(tmp_path / "run")
    topic = f"dt/lab/{hostile.replace('/', '')}/ds"
    surroundings.write_dead_letters(run_dir, [(4.1 * STEP_S, topic, hostile, hostile.encode())])
    write_polls(run_dir, (hostile, hostile, 2, 1))
    page = outline(report(run, tmp_path))
    assert not {"img"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert page.tags.count("script") == 2, "ours, and the data of discrepancies"


def test_a_run_directory_is_told_of_any_vendor_without_meters(tmp_path: Path) -> None:
    """A finding at a usage point that no meter of the fleet has."""
    run = two_vendors()
    run.double("stored", [0])
    for name, value in (("usage_point", "UP-strange"), ("serial", "strange")):
        run.stored[name] = run.stored[name].astype(object)
        run.stored[name][-1] = value
    run_dir = run.write(tmp_path / "run")
    report(run, tmp_path)
    assert {(row["usage_point"], row["vendor"]) for row in rows_of(run_dir)} == {
        ("UP-strange", "no meter of the fleet")
    }


def test_figures_of_the_head_end_stand_beside_the_verdict_s(tmp_path: Path) -> None:
    run = two_vendors()
    run_dir = run.write(tmp_path / "run")
    assert "As the head-end knows it" not in words(report(run, tmp_path))
    (run_dir / "figures.json").write_text(FIGURES)
    text = words(report(run, tmp_path))
    assert "direct 48 2 0 46 97.826 % 100 % 1 0 0 3 ≤ 1 s 4 h 5 min – –" in text
    assert "mesh 40 0 1 39 100 % 100 % 0 0 0 0 20 min 4 h 2 6" in text
    assert "block 0 0 0 0 – – 0 0 0 0 1 h 1 h 45 min – –" in text
    assert "all 88 2 1 85 98.823 % 100 % 1 0 0 3 2 s 4 h 2 6" in text


def _row(vendor: str | None, **figures: Any) -> dict[str, Any]:
    return {"vendor_profile": vendor, **figures}


def _reads(vendor: str | None, due: int, dark: int, no_record: int, on_time: int, recovered: int) -> dict[str, Any]:
    expected = due - dark - no_record
    return _row(
        vendor, due=due, dark=dark, no_record=no_record, expected=expected, received=expected, on_time=on_time,
        late=expected - on_time, estimated=0, missing=0, recovered=recovered, on_time_share=on_time / expected,
        received_share=1.0,
    )  # fmt: skip


def _figures() -> str:
    return json.dumps(
        {
            "reads": [
                _reads("mesh", 40, 0, 1, 39, 0), _reads("direct", 48, 2, 0, 45, 3), _reads(None, 88, 2, 1, 84, 3)
            ],
            "latency": [
                _row("direct", age_p50_s=0.0, age_p95_s=14_700.0), _row("mesh", age_p50_s=1200.0, age_p95_s=14_400.0),
                _row("block", age_p50_s=3600.0, age_p95_s=6300.0), _row(None, age_p50_s=2.0, age_p95_s=14_400.0),
            ],
            "polls": [_row("mesh", answered=90, refused=2, unanswered=6)],
        }
    )  # fmt: skip


FIGURES = _figures()
