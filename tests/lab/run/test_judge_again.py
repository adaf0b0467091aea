"""`amilab judge`: a run that is over, judged again from its directory, and nothing of the verdict before is lost."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from lab.errors import UserError
from lab.headends.files import HEADEND_FILES
from lab.headends.stored_source import LookedAt, StoredFile
from lab.report import RunEvent
from lab.run.judge_again import judge_again
from lab.run.record import write_record
from tests.lab.verdict.synthetic import START_S, Run, arrow, make_run

EVENTS = (RunEvent(START_S + 60.5, "kill", "broker", START_S + 90.0),)
TARGETS = {"reads.success_rate": 0.5}


def over(run: Run, directory: Path) -> Path:
    """A run's directory as its end leaves it."""
    run_dir = run.write(directory)
    write_record(run_dir, run.context(), EVENTS, TARGETS)
    return run_dir


def judge(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lab.commands.main", "judge", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
    )


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def exported(run: Run, path: Path, delimiter: str = ",") -> Path:
    table = arrow(run.stored).select(["serial", "interval_start", "interval_length_s", "import_wh", "committed_at"])
    pa_csv.write_csv(table, path, pa_csv.WriteOptions(delimiter=delimiter))
    return path


def test_judging_again_sees_what_has_changed_since(tmp_path: Path) -> None:
    run = make_run(3, 4)
    run.drop("stored", [5])
    run_dir = over(run, tmp_path / "run")
    judged = judge_again(run_dir)
    assert judged.verdict.comparison.reads.lost == 1
    assert next(r.criterion.target for r in judged.verdict.criteria if r.id == "reads.success_rate") == 0.5
    assert read(run_dir / "verdict.json")["reads"]["lost"] == 1
    assert "broker" in judged.report.read_text(encoding="utf-8")


def test_a_run_whose_stored_readings_were_refused_is_judged_from_a_corrected_file(tmp_path: Path) -> None:
    run = make_run(3, 4)
    run_dir = over(run, tmp_path / "run")
    (run_dir / "stored.parquet").unlink()
    done = judge(run_dir, "--stored", exported(run, tmp_path / "corrected.csv", ";"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "corrected.csv is separated by semicolons" in done.stdout
    assert "PASSED" in done.stdout
    verdict = read(run_dir / "verdict.json")
    assert (verdict["passed"], verdict["headend"]) == (True, "external")
    assert verdict["host"]["database"] == "external: corrected.csv"
    assert verdict["ingest"]["rows"] is None
    assert {path.name for path in run_dir.iterdir()} >= {"junit.xml", "report.html", "stored.parquet", "run.json"}
    assert not list(run_dir.glob("judgement-*"))


def test_each_former_verdict_is_kept_with_what_it_was_made_from(tmp_path: Path) -> None:
    run = make_run(3, 4)
    run_dir = over(run, tmp_path / "run")
    assert judge_again(run_dir).former is None
    of_the_head_end = {"detected_outages.parquet", "latencies.json", *HEADEND_FILES}
    for name in of_the_head_end:
        (run_dir / name).write_bytes(b"of the run's own head-end")
    listed_before = (run_dir / "discrepancies.csv").read_bytes()
    stored_before = pq.read_table(run_dir / "stored.parquet")
    run.drop("stored", [5])
    done = judge(run_dir, "--stored", exported(run, tmp_path / "worse.csv"))
    assert done.returncode == 1
    assert "the former verdict is in judgement-1/" in done.stdout
    former = run_dir / "judgement-1"
    assert read(former / "verdict.json")["passed"]
    assert not read(run_dir / "verdict.json")["passed"]
    assert pq.read_table(former / "stored.parquet").equals(stored_before)
    assert {path.name for path in former.iterdir()} >= of_the_head_end
    assert not {path.name for path in run_dir.iterdir()} & of_the_head_end
    assert (former / "discrepancies.csv").read_bytes() == listed_before
    assert {path.name for path in former.iterdir()} >= {"report.html", "junit.xml", "run.json", "discrepancies.parquet"}
    again = judge_again(run_dir)
    assert again.former == run_dir / "judgement-2"
    assert again.verdict.comparison.reads.lost == 1
    assert not read(former.parent / "judgement-2" / "verdict.json")["passed"]


def test_a_refusal_changes_nothing(tmp_path: Path) -> None:
    run = make_run(3, 4)
    run_dir = over(run, tmp_path / "run")
    judge_again(run_dir)
    before = {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()}
    (tmp_path / "bad.csv").write_text("serial,interval_start\nAMI1,yesterday\n")
    strange = make_run(3, 4)
    strange.stored["serial"][:] = "AMI"
    exported(strange, tmp_path / "strange.csv")
    for name, part in (
        ("bad.csv", "interval_length_s is missing"),
        ("strange.csv", "the only serial is not in the shipment file"),
        ("no.csv", "is not there (no.csv)"),
    ):
        done = judge(run_dir, "--stored", tmp_path / name)
        assert (done.returncode, part in done.stderr) == (2, True), done.stderr
        assert "Traceback" not in done.stderr
        assert "when the run ends" not in done.stdout
    assert {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()} == before


def test_an_interrupted_run_says_what_is_missing(tmp_path: Path) -> None:
    run = make_run(3, 4)
    write_record(tmp_path, run.context(), EVENTS, {})
    done = judge(tmp_path, "--stored", exported(run, tmp_path / "mine.csv"))
    assert done.returncode == 2
    for part in ("truth.parquet does not exist", "meters.parquet does not exist", "no parquet file in"):
        assert part in done.stderr
    assert "stored.parquet" not in done.stderr


@pytest.mark.parametrize("name", ["nothing", "file"])
def test_what_is_no_run_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    done = judge(tmp_path / name)
    assert (done.returncode, "is no directory" in done.stderr) == (2, True)
    done = judge(tmp_path)
    assert (done.returncode, "run.json does not exist" in done.stderr) == (2, True)


def test_what_is_stored_beyond_the_judged_window_does_not_count(tmp_path: Path) -> None:
    longer, run = make_run(3, 8), make_run(3, 4)
    for name in ("truth", "frames", "journal"):
        setattr(run, name, getattr(longer, name))
    run_dir = over(run, tmp_path / "run")
    source = StoredFile(exported(longer, tmp_path / "all.csv"))
    assert judge_again(run_dir, (source, LookedAt("all.csv"))).verdict.passed


def test_nothing_stored_at_all_is_said(tmp_path: Path) -> None:
    run = make_run(6, 4)
    run_dir = over(run, tmp_path / "run")
    stored = tmp_path / "header.csv"
    stored.write_text("serial,interval_start,interval_length_s,import_wh\n")
    done = judge(run_dir, "--stored", stored)
    assert done.returncode == 1, done.stderr
    assert read(run_dir / "verdict.json")["diagnosis"] == ["No reading of the judged window is stored."]


def test_another_directory_is_not_taken_for_a_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"run\.json"):
        judge_again(tmp_path)


@pytest.mark.parametrize("hours", [2, -11])
def test_a_clock_that_is_further_off_than_the_run_is_long_is_found_out(tmp_path: Path, hours: int) -> None:
    run = make_run(6, 4)
    run_dir = over(run, tmp_path / "run")
    run.stored["interval_start"] = run.stored["interval_start"] + np.timedelta64(hours, "h")
    done = judge(run_dir, "--stored", exported(run, tmp_path / "zone.csv"))
    assert done.returncode == 1, done.stderr
    none, shift = read(run_dir / "verdict.json")["diagnosis"]
    assert none.startswith("No reading is of the judged window, but 24 of the time around it, from 2026-01-1")
    direction = "earlier" if hours > 0 else "later"
    assert shift.startswith(f"All 24 readings would match {abs(hours)} hours {direction}: local time")
    assert (run_dir / "stored_around.parquet").exists()
    done = judge(run_dir, "--stored", exported(make_run(6, 4), tmp_path / "right.csv"))
    assert done.returncode == 0, done.stderr
    assert not (run_dir / "stored_around.parquet").exists()
    assert (run_dir / "judgement-1" / "stored_around.parquet").exists()
    assert not list(run_dir.glob(".fetched*"))


def test_a_cause_is_said_wherever_the_verdict_is(tmp_path: Path) -> None:
    run = make_run(6, 8)
    run_dir = over(run, tmp_path / "run")
    run.stored["import_wh"] = run.stored["import_wh"] / 1000
    done = judge(run_dir, "--stored", exported(run, tmp_path / "kwh.csv"))
    assert done.returncode == 1, done.stderr
    (sentence,) = read(run_dir / "verdict.json")["diagnosis"]
    assert sentence == ("All 48 readings would match if multiplied by 1,000: they seem to be in kWh instead of Wh.")
    assert sentence in " ".join(done.stdout.split())
    assert f"<system-out>{sentence}</system-out>" in (run_dir / "junit.xml").read_text(encoding="utf-8")
    assert sentence in (run_dir / "report.html").read_text(encoding="utf-8")
