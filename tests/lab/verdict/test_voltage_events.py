"""Sags and swells that are stored, against the logs of the meters that told of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lab.report import write_report
from lab.verdict.judge_files import judge_files, judge_run
from lab.verdict.tables import TableError
from lab.verdict.verdict import Verdict
from tests.lab.verdict.synthetic import START_S, make_run

Row = dict[str, Any]
TIME = pa.timestamp("us", tz="UTC")
TEXTS = ("serial", "code", "detail")
FORM = pa.schema([*((name, pa.string()) for name in TEXTS), ("sequence", pa.int64()), ("device_time", TIME)])
SAG = {"phase": "L2", "lowest_v": 198.3, "from": "2026-01-15T00:30:00+00:00", "duration_s": 900.0}
SWELL = {"phase": "L1", "highest_v": 256.5, "from": "2026-01-15T00:30:00+00:00", "duration_s": 60.0}


def event(sequence: int, code: str, detail: object) -> Row:
    return {
        "serial": "AMI00000002",
        "sequence": sequence,
        "code": code,
        "device_time": datetime.fromtimestamp(START_S + 1800, UTC),
        "detail": json.dumps(detail),
    }


def told() -> list[Row]:
    return [
        event(1, "voltage_sag", SAG),
        event(2, "voltage_swell", SWELL),
        event(3, "last_gasp", {"down_at": "2026-01-15T00:50:00+00:00"}),
    ]


def written(directory: Path, log: list[Row] | None, stored: list[Row], form: pa.Schema = FORM) -> Path:
    run_dir = make_run(4, 8).write(directory)
    if log is not None:
        pq.write_table(pa.Table.from_pylist(log, FORM), run_dir / "journal" / "1_events.parquet")
    pq.write_table(pa.Table.from_pylist(stored, form), run_dir / "events.parquet")
    return run_dir


def judged(run_dir: Path) -> Verdict:
    return judge_files(run_dir, make_run(4, 8).context())


def failed(verdict: Verdict) -> set[str]:
    return {result.id for result in verdict.criteria if not result.passed}


def test_what_is_stored_as_the_log_has_it_passes_whatever_the_spaces_and_order(tmp_path: Path) -> None:
    stored = [row | {"detail": json.dumps(json.loads(row["detail"]), indent=1, sort_keys=True)} for row in told()]
    verdict = judged(written(tmp_path / "run", told(), stored))
    assert failed(verdict) == set()
    assert verdict.voltage is not None
    assert verdict.voltage.to_json() == {"recorded": 2, "stored": 2, "altered": 0}
    assert "voltage.altered" in {result.id for result in verdict.criteria}


def another(row: Row, **changed: object) -> Row:
    return row | {"detail": json.dumps(json.loads(row["detail"]) | changed)}


@pytest.mark.parametrize(
    "change",
    [
        lambda row: another(row, lowest_v=198.4),
        lambda row: another(row, phase="L1"),
        lambda row: another(row, duration_s=901.0),
        lambda row: another(row, **{"from": "2026-01-15T00:30:01+00:00"}),
        lambda row: row | {"detail": "no JSON"},
        lambda row: row | {"detail": None},
        lambda row: row | {"code": "voltage_swell"},
        lambda row: row | {"code": "reboot"},
        lambda row: row | {"sequence": 7},
        lambda row: row | {"serial": "AMI00000003"},
        lambda row: row | {"device_time": datetime.fromtimestamp(START_S + 1801, UTC)},
    ],
    ids=["extreme", "phase", "duration", "from", "no-json", "nothing", "kind", "no-sag", "number", "meter", "time"],
)
def test_what_is_stored_otherwise_fails_and_is_named(tmp_path: Path, change: Callable[[Row], Row]) -> None:
    first, *others = told()
    run_dir = written(tmp_path / "run", told(), [change(first), *others])
    verdict = judge_run(run_dir, make_run(4, 8).context())
    assert failed(verdict) == {"voltage.altered"}
    (altered,) = verdict.voltage.altered if verdict.voltage else ()
    line = f"{altered.serial} number {altered.sequence}"
    assert line in (run_dir / "junit.xml").read_text()
    assert line in write_report(run_dir, verdict, ()).read_text()


def test_what_is_not_stored_is_counted_and_other_events_are_of_no_matter(tmp_path: Path) -> None:
    gasp = told()[2] | {"detail": "{}"}
    verdict = judged(written(tmp_path / "run", told(), [gasp]))
    assert failed(verdict) == set()
    assert verdict.voltage is not None
    assert verdict.voltage.to_json() == {"recorded": 2, "stored": 0, "altered": 0}


@pytest.mark.parametrize("log", [None, []])
def test_a_sag_of_nobody_is_made_up(tmp_path: Path, log: list[Row] | None) -> None:
    assert failed(judged(written(tmp_path / "run", log, told()))) == {"voltage.altered"}


def test_without_any_and_where_nobody_says_it_nothing_is_judged(tmp_path: Path) -> None:
    earlier = pa.schema([field for field in FORM if field.name != "detail"])
    for name, run_dir in (
        ("none", written(tmp_path / "none", told()[2:], told()[2:])),
        ("earlier", written(tmp_path / "earlier", told(), told(), earlier)),
        ("others", make_run(4, 8).write(tmp_path / "others")),
    ):
        verdict = judged(run_dir)
        assert verdict.voltage is None, name
        assert "voltage.altered" not in {result.id for result in verdict.criteria}


def test_files_that_cannot_be_read_are_faults_of_the_run(tmp_path: Path) -> None:
    run_dir = written(tmp_path / "run", told(), told())
    for name in ("events.parquet", "journal/1_events.parquet"):
        (run_dir / name).write_bytes(b"no parquet")
    with pytest.raises(TableError) as caught:
        judged(run_dir)
    assert len([fault for fault in caught.value.faults if "events" in fault]) == 2
