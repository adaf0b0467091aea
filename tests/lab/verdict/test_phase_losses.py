"""Lost phases that darken nobody: who should tell of them, what counts as told, and what never was."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lab.report import write_report
from lab.verdict.judge_files import judge_files, judge_run
from lab.verdict.tables import TableError
from lab.verdict.verdict import Verdict
from tests.lab.verdict.synthetic import START_S, Run, make_run

LOST, BACK = 1800, 3600
PHASES = {"phases.recall", "phases.false"}


def at(offset_s: float | None) -> datetime | None:
    return None if offset_s is None else datetime.fromtimestamp(START_S + offset_s, UTC)


def point(number: int) -> str:
    return f"UP{number:05d}"


def lost(
    number: int, phase: str = "L2", *, from_s: float = LOST, to_s: float | None = BACK, partial_s: int = 1800
) -> dict[str, object]:
    return {"usage_point": point(number), "phase": phase, "start": at(from_s), "end": at(to_s), "partial_s": partial_s}


def loss(number: int, phase: str | None = "L2", *, down_s: float | None = LOST) -> dict[str, object]:
    return {"usage_point": point(number), "code": "phase_loss", "phase": phase, "down_at": at(down_s), "up_at": None}


def restored(number: int, phase: str = "L2", *, down_s: float = LOST, up_s: float = BACK) -> dict[str, object]:
    told = loss(number, phase, down_s=down_s)
    return told | {"code": "phase_restored", "up_at": at(up_s)}


def written(
    directory: Path, truth: list[dict[str, object]], told: list[dict[str, object]], run: Run | None = None
) -> tuple[Run, Path]:
    run = run or make_run(6, 8)
    run_dir = run.write(directory)
    time = pa.timestamp("us", tz="UTC")
    texts = [(name, pa.string()) for name in ("usage_point", "phase")]
    form = pa.schema([*texts, ("start", time), ("end", time), ("partial_s", pa.int64())])
    pq.write_table(pa.Table.from_pylist(truth, form), run_dir / "truth_phase_losses.parquet")
    form = pa.schema([*texts, ("code", pa.string()), ("down_at", time), ("up_at", time)])
    pq.write_table(pa.Table.from_pylist(told, form), run_dir / "phase_events.parquet")
    return run, run_dir


def judged(
    directory: Path, truth: list[dict[str, object]], told: list[dict[str, object]], run: Run | None = None
) -> Verdict:
    run, run_dir = written(directory, truth, told, run)
    return judge_files(run_dir, run.context())


def failed(verdict: Verdict) -> set[str]:
    return {result.id for result in verdict.criteria if not result.passed}


def test_without_a_lost_phase_nothing_is_judged(tmp_path: Path) -> None:
    verdict = judged(tmp_path / "run", [], [])
    assert verdict.phases is None
    assert not PHASES & {result.id for result in verdict.criteria}


def test_who_tells_of_loss_and_return_passes(tmp_path: Path) -> None:
    told = [loss(0), restored(0), loss(1, down_s=LOST + 20), restored(1, down_s=LOST + 20, up_s=BACK - 20)]
    verdict = judged(tmp_path / "run", [lost(0), lost(1)], told)
    assert failed(verdict) == set()
    assert {result.id for result in verdict.criteria} >= PHASES
    assert verdict.phases is not None
    assert verdict.phases.to_json() == {
        "judged": 2, "told": 2, "false": 0, "brief": 0, "cannot_tell": 0, "recall": 1.0
    }  # fmt: skip


@pytest.mark.parametrize(
    ("told", "criteria"),
    [
        ([], {"phases.recall"}),
        ([loss(0)], {"phases.recall"}),
        ([restored(0)], {"phases.recall"}),
        ([loss(0), restored(0, up_s=BACK + 300)], {"phases.recall"}),
        ([loss(0), restored(0), loss(1)], {"phases.false"}),
        ([loss(0), restored(0), loss(0, "L1")], {"phases.false"}),
        ([loss(0), restored(0), loss(0, down_s=LOST + 300)], {"phases.false"}),
        ([loss(0), restored(0), loss(0, None), loss(0, down_s=None)], {"phases.false"}),
        ([loss(1), restored(1)], PHASES),
        # Before and after the window, and of who has no meter of this fleet, is no matter.
        ([loss(0), restored(0), loss(1, down_s=-100), loss(1, down_s=8 * 900), loss(99)], set()),
    ],
    ids=[
        "nobody", "no-end", "no-loss", "late-end", "another", "other-phase", "other-time", "no-sense", "swapped",
        "outside",
    ],
)  # fmt: skip
def test_each_fails_for_its_own_reason(tmp_path: Path, told: list[dict[str, object]], criteria: set[str]) -> None:
    assert failed(judged(tmp_path / "run", [lost(0)], told)) == criteria


def test_what_lasts_needs_no_end_and_what_is_brief_may_be_told(tmp_path: Path) -> None:
    lasting = [lost(0, to_s=None), lost(1, to_s=9 * 900)]
    assert failed(judged(tmp_path / "one", lasting, [loss(0), loss(1)])) == set()
    brief = lost(2, to_s=LOST + 299, partial_s=299)
    assert failed(judged(tmp_path / "two", [brief], [])) == set()
    assert failed(judged(tmp_path / "three", [brief], [loss(2)])) == set()


def test_meters_that_cannot_tell_are_not_asked_and_the_report_says_so(tmp_path: Path) -> None:
    run = make_run(6, 8)
    run.fleet["reports_outages"] = np.array([True] * 3 + [False] * 3)
    run.fleet["keeps_load_profile"] = np.ones(6, dtype=bool)
    run, run_dir = written(tmp_path / "run", [lost(0), lost(4)], [loss(0), restored(0)], run)
    verdict = judge_run(run_dir, run.context())
    assert failed(verdict) == set()
    document = json.loads((run_dir / "verdict.json").read_text())
    assert (document["phases"]["judged"], document["phases"]["cannot_tell"]) == (1, 1)
    text = write_report(run_dir, verdict, ()).read_text()
    assert "Lost phases that darkened nobody" in text
    assert "A polled meter has no log and cannot tell" in text
    # A fleet of them alone has no criterion on it, and its report still says who lost a phase.
    run.fleet["reports_outages"][:] = False
    run, run_dir = written(tmp_path / "mute", [lost(0), lost(4)], [], run)
    verdict = judge_run(run_dir, run.context())
    assert not PHASES & {result.id for result in verdict.criteria}
    assert "Lost phases that darkened nobody" in write_report(run_dir, verdict, ()).read_text()


def test_report_and_junit_name_who_did_not_tell_and_what_never_was(tmp_path: Path) -> None:
    run, run_dir = written(tmp_path / "run", [lost(0), lost(1)], [loss(0), restored(0), loss(3, "L1")])
    verdict = judge_run(run_dir, run.context())
    assert failed(verdict) == PHASES
    text = write_report(run_dir, verdict, ()).read_text()
    assert "not told of, or not of its end: UP00001" in text
    assert "Told of, and never was: UP00003 L1" in text
    junit = (run_dir / "junit.xml").read_text()
    assert "missed UP00001 L2 2026-01-15T00:30:00Z" in junit
    assert "never was UP00003 L1 2026-01-15T00:30:00Z" in junit


def test_a_run_of_before_there_was_such_a_truth_is_judged_as_then(tmp_path: Path) -> None:
    run, run_dir = written(tmp_path / "run", [lost(0)], [])
    (run_dir / "truth_phase_losses.parquet").unlink()
    assert judge_files(run_dir, run.context()).phases is None


def test_a_table_that_is_none_is_told(tmp_path: Path) -> None:
    run, run_dir = written(tmp_path / "run", [lost(0)], [])
    pq.write_table(pa.table({"usage_point": ["x"], "phase": ["L1"]}), run_dir / "truth_phase_losses.parquet")
    (run_dir / "phase_events.parquet").write_bytes(b"no parquet")
    with pytest.raises(TableError) as error:
        judge_files(run_dir, run.context())
    assert len(error.value.faults) >= 2
