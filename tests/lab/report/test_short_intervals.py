"""Times, units and drawings of runs that are not a day of a village in quarter-hours."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from lab.report import write_report
from lab.report.chart import Axis
from lab.report.charts import draw
from lab.report.clock import Clock
from lab.report.figures import DRAWN_AT_MOST, read_figures
from lab.report.svg import time_ticks
from lab.report.written import exact, length, scale, significant
from lab.verdict.judge_files import judge_run
from tests.lab.report import surroundings
from tests.lab.report.test_report import outline, words
from tests.lab.verdict import synthetic
from tests.lab.verdict.synthetic import START_S, Dark, Run, make_run


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (0.5, "0.5 s"), (2, "2 s"), (60, "1 min"), (332, "5 min 32 s"), (900, "15 min"), (14_400, "4 h")],
)
def test_lengths(seconds: float, text: str) -> None:
    assert length(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (1234.0, "1,234"), (12.345, "12.35"), (0.25, "0.25"), (0.0031, "0.0031"), (-0.02, "-0.02")],
)
def test_quantities_keep_the_digits_that_mean_something(value: float, text: str) -> None:
    assert significant(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.999, "0.999"), (1_232.766, "1,232.766"), (0.1 + 0.2, "0.3"), (-0.9995, "-0.9995"), (1e-7, "1.0e-07"),
        (0.0, "0"), (12_345_678_901.0, "12,345,678,901"), (100.0, "100"), (float("nan"), "–"),
    ],
)  # fmt: skip
def test_a_difference_is_not_rounded_to_another_one(value: float, text: str) -> None:
    assert exact(value) == text


def test_units_fit_what_is_drawn() -> None:
    assert [scale(most, "W") for most in (0.0, 820.0, 4_000.0, 582_000.0, 2e7)] == [
        (1.0, "W"), (1.0, "W"), (1e3, "kW"), (1e3, "kW"), (1e6, "MW")
    ]  # fmt: skip


def test_axes_of_minutes_have_seconds_and_axes_of_days_have_days() -> None:
    ticks = time_ticks(START_S, START_S + 20)
    assert [Clock.of(ticks).time(t) for t in ticks[:2]] == ["00:00:00", "00:00:05"]
    ticks = time_ticks(START_S, START_S + 86_400)
    assert Clock.of(ticks).time(ticks[1]) == "03:00"
    ticks = time_ticks(START_S, START_S + 3 * 86_400)
    assert Clock.of(ticks).time(ticks[0]) == "15 Jan 00:00"


def short(monkeypatch: pytest.MonkeyPatch, seconds: int, intervals: int, points: int = 4) -> Run:
    """A run with intervals of so many seconds."""
    monkeypatch.setattr(synthetic, "STEP_S", seconds)
    run = make_run(points, intervals)
    run.fleet["interval_length_s"] = np.full(points, seconds)
    run.fleet["report_every_s"] = np.full(points, seconds)
    return run


@pytest.mark.parametrize("seconds", [2, 10, 60])
def test_a_short_interval_is_told_from_its_neighbour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    run = short(monkeypatch, seconds, 30)
    run.drop("stored", [5])
    run_dir = run.write(tmp_path / "run")
    text = words(write_report(run_dir, judge_run(run_dir, run.context()), ()))
    start = f"2026-01-15 00:{5 * seconds // 60:02d}" + (f":{5 * seconds % 60:02d}" if seconds % 60 else "")
    assert f"UP00000 AMI00000000 {start} import_wh" in text
    cadence = {2: "2 s", 10: "10 s", 60: "1 min"}[seconds]
    assert f"mqtt, {cadence} " in text
    assert "0.0333" not in text


def test_more_intervals_than_pixels_are_drawn_together_and_none_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = short(monkeypatch, 2, 2000)
    run_dir = run.write(tmp_path / "run")
    verdict = judge_run(run_dir, run.context())
    clock = verdict.context.clock
    figures = read_figures(run_dir, start_s=clock.start_s, end_s=clock.end_s)
    assert len(figures.reads.start_s) <= DRAWN_AT_MOST
    assert figures.reads.expected.sum() == verdict.comparison.reads.expected == 8000
    assert "A bar stands for 5 intervals: 10 s." in draw(figures, Axis(clock.start_s, clock.end_s, ()))[0].note
    assert len(figures.voltages.start_s) <= DRAWN_AT_MOST


def test_what_is_empty_is_left_out_or_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No outage, no communication, no transformers: no axes without anything on them."""
    run = short(monkeypatch, 900, 8)
    run.transformers = {name: values[:0] for name, values in run.transformers.items()}
    run.frames = {name: values.copy() for name, values in run.frames.items()}
    run.frames["energised"][:] = True
    run_dir = run.write(tmp_path / "run")
    surroundings.write_geography(run_dir, list(run.fleet["usage_point"]))
    path = write_report(run_dir, judge_run(run_dir, run.context()), ())
    text, page = words(path), path.read_text()
    assert "had supply all the time." in text
    assert 'id="supply-title"' not in page
    assert "Transformer loading" not in text
    for drawing in re.findall(r'<svg[^>]*role="img".*?</svg>', page, flags=re.S):
        assert re.search(r'<(path|rect|circle|use)\b[^>]*(?:d="[^"]+"|width=|r=|href=)', drawing), drawing[:200]


def test_a_run_of_which_nothing_was_recorded_has_no_empty_axes(tmp_path: Path) -> None:
    run = make_run(2, 4)
    for name in ("journal", "stored"):
        run.drop(name, list(range(8)))
    run.truth["energised_s"][:] = 0
    run.truth["voltage_v"][:] = np.nan
    run_dir = run.write(tmp_path / "run")
    text = words(write_report(run_dir, judge_run(run_dir, run.context()), ()))
    assert "Nothing to draw: no read was expected." in text
    assert "no usage point with supply has a voltage" in text


def test_every_table_can_be_moved_by_itself(tmp_path: Path) -> None:
    run = make_run(20, 24, darks=(Dark(0, 12, 4, 12),))
    run.drop("stored", [3])
    run_dir = run.write(tmp_path / "run")
    path = write_report(run_dir, judge_run(run_dir, run.context()), ())
    page = path.read_text()
    assert outline(path).tags.count("table") > 8
    for found in re.finditer(r"<table", page):
        before = page[: found.start()]
        assert before.count('<div class="scroll"') > 0
        opened = before.rsplit('<div class="scroll"', 1)[1]
        assert opened.count("<div") <= opened.count("</div>") or "</div>" not in opened, page[found.start() :][:80]
