"""Figures to verdict: what each criterion fails for, and that an invalid run is neither good nor bad."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from lab.loadtest.judgement import GeneratorView, HeadEndView, LoadVerdict, Measured, Word, judge
from lab.loadtest.knee import Knee, Step, knee_summary, write_knee
from lab.loadtest.matching import Matched
from lab.loadtest.outputs import junit_xml, summary, write_results
from lab.loadtest.samples import Sample
from lab.loadtest.settings import load_settings
from lab.verdict.context import Host

HOST = Host(2, "cpu", 4.0, "3.11", "PostgreSQL 15", None, "mosquitto 2")
NOTHING = np.empty((0, 2), dtype=np.int64)
GOOD = Matched(10, 10, 10, NOTHING, 0, 0, 0, np.arange(10.0), np.arange(10.0) + 0.1)
MEASURED = Measured(
    shape="plateau",
    meters=10,
    users=10,
    period_s=1.0,
    interval_s=900,
    duration_s=10.0,
    intervals=GOOD,
    events=None,
    operations=(),
    headend=HeadEndView(10, 10, {"p95": 1.0}),
    dead_letters=0,
    generator=GeneratorView(20, 20, 0, 1.0, 2.0, 3.0),
    clock="commit timestamp",
    busy_cores={"head-end": 0.5, "broker": 0.25, "database": 0.25},
)
SETTINGS = load_settings()


def judged(measured: Measured) -> LoadVerdict:
    return judge(measured, HOST, SETTINGS.objectives, SETTINGS.generator)


def with_intervals(**changes: object) -> Measured:
    return replace(MEASURED, intervals=replace(GOOD, **changes))  # type: ignore[arg-type]  # fields of Matched


@pytest.mark.parametrize(
    ("measured", "criterion"),
    [
        (with_intervals(lost=np.array([[1, 1]])), "reads.lost"),
        (with_intervals(altered=1), "reads.altered"),
        (with_intervals(acknowledged=9), "reads.unacknowledged"),
        (with_intervals(committed_s=np.arange(10.0) + 60), "publish_to_commit.p95_ms"),
        (replace(MEASURED, headend=HeadEndView(10, 9, {})), "counts.difference"),
        (replace(MEASURED, dead_letters=1), "errors"),
        (replace(MEASURED, generator=replace(MEASURED.generator, failed=1)), "errors"),
        (replace(MEASURED, events=replace(GOOD, lost=np.array([[1, 1]]))), "events.lost"),
    ],
)
def test_each_criterion_fails_for_its_own_reason(measured: Measured, criterion: str) -> None:
    verdict = judged(measured)
    assert verdict.word is Word.FAILED
    assert [result.id for result in verdict.criteria if not result.passed] == [criterion]
    assert verdict.exit_status == 1


def test_all_well_passes() -> None:
    assert judged(MEASURED).word is Word.PASSED
    assert judged(MEASURED).exit_status == 0


@pytest.mark.parametrize("view", [replace(MEASURED.generator, lag_p95_ms=1e4), replace(MEASURED.generator, due=40)])
@pytest.mark.parametrize("intervals", [GOOD, replace(GOOD, lost=np.array([[1, 1]]))])
def test_a_generator_that_is_behind_makes_it_invalid_whatever_else(view: GeneratorView, intervals: Matched) -> None:
    verdict = judged(replace(MEASURED, generator=view, intervals=intervals))
    assert verdict.word is Word.INVALID
    assert verdict.exit_status == 4


def test_a_load_of_nothing_does_not_pass() -> None:
    none = Matched(0, 0, 0, NOTHING, 0, 0, 0, np.empty(0), np.empty(0))
    idle = GeneratorView(0, 0, 0, float("nan"), float("nan"), float("nan"))
    assert judged(replace(MEASURED, intervals=none)).word is Word.FAILED
    assert judged(replace(MEASURED, intervals=none, generator=idle)).word is Word.INVALID


def test_results_are_files_that_others_read(tmp_path: Path) -> None:
    verdict = judged(with_intervals(lost=np.array([[1, 5]])))
    report = write_results(tmp_path, verdict, [Sample(1000.0, "client", "users", 3.0)])
    document = json.loads((tmp_path / "verdict.json").read_text())
    assert document["schema"] == 1
    assert document["verdict"] == "failed"
    assert document["database"]["lost"] == 1
    suite = ET.fromstring(junit_xml(verdict))
    (failure,) = suite.iter("failure")
    assert "meter 2, interval 5" in str(failure.text)
    page = report.read_text()
    assert "✗ Failed" in page
    assert "http" not in page.replace("http-equiv", "")
    console = Console(record=True, width=120)
    console.print(summary(verdict, report="here"))
    assert "FAILED" in console.export_text()


def step(offered_per_s: float, word: Word) -> Step:
    broke = ("errors",) if word is Word.FAILED else ()
    return Step(
        offered_per_s, offered_per_s, 1.0, 2.0, word, broke, {"head-end": 0.5, "broker": 0.25, "database": 0.25}
    )


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((Word.PASSED, Word.FAILED), 0, "between 100 and 200"),
        ((Word.FAILED,), 1, "beyond the knee"),
        ((Word.PASSED, Word.INVALID), 4, "the generator, not the system"),
        ((Word.PASSED, Word.PASSED), 4, "allow more steps"),
    ],
)
def test_a_knee_is_where_an_objective_broke_and_nothing_else(
    tmp_path: Path, words: tuple[Word, ...], code: int, said: str
) -> None:
    knee = Knee(tuple(step(100.0 * (number + 1), word) for number, word in enumerate(words)), 1000, 10, HOST)
    assert knee.exit_status == code
    assert said in knee.said
    assert knee.steps[0].per_core == 100
    assert said in write_knee(tmp_path, knee, []).read_text()
    console = Console(record=True, width=160)
    console.print(knee_summary(knee, report="here"))
    assert said in console.export_text()
