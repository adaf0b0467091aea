"""How old readings were when stored, against the deadline of their own profile."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from lab.report.latency import draw_latencies, read_ages
from lab.report.meters import read_meters
from lab.verdict.context import LatencyMs
from tests.lab.report import surroundings
from tests.lab.report.test_evidence import row_of, two_vendors
from tests.lab.verdict.synthetic import STEP_S, make_run


def test_each_vendor_is_held_to_its_own_deadline(tmp_path: Path) -> None:
    run = two_vendors()
    for point in (1, 6):
        run.stored["committed_at"][row_of(run, "stored", point, 4)] += np.timedelta64(STEP_S + 600, "s")
    run.stored["quality"][row_of(run, "stored", 2, 4)] = "estimated"
    run_dir = run.write(tmp_path / "run")
    ages = {found.vendor: found for found in read_ages(run_dir, read_meters(run_dir))}
    assert {vendor: (a.deadline_s, len(a.ages_s), a.late) for vendor, a in ages.items()} == {
        "direct": (1200.0, 47, 1),
        "mesh": (2100.0, 48, 0),
    }
    (chart,) = draw_latencies(run_dir, read_meters(run_dir), None)
    assert [row[-2:] for row in chart.rows] == [("20 min", "1"), ("35 min", "0")]
    assert (chart.svg or "").count('class="bar c-late"') == 1


def test_exactly_at_the_deadline_is_in_time(tmp_path: Path) -> None:
    run = make_run(2, 4)
    run.stored["committed_at"][3] += np.timedelta64(1200 - 2, "s")
    run_dir = run.write(tmp_path / "run")
    (ages,) = read_ages(run_dir, read_meters(run_dir))
    assert (ages.ages_s.max(), ages.late) == (1200.0, 0)
    (chart,) = draw_latencies(run_dir, read_meters(run_dir), None)
    assert chart.svg is not None
    assert "c-late" not in chart.svg


def test_a_head_end_that_does_not_say_when_has_no_ages(tmp_path: Path) -> None:
    run_dir = make_run(2, 4).write(tmp_path / "run")
    stored = pq.read_table(run_dir / "stored.parquet").drop_columns(["committed_at"])
    pq.write_table(stored, run_dir / "stored.parquet")
    assert draw_latencies(run_dir, read_meters(run_dir), LatencyMs()) == []


def test_the_intakes_histogram_keeps_every_message_and_marks_percentiles(tmp_path: Path) -> None:
    run_dir = make_run(2, 4).write(tmp_path / "run")
    surroundings.write_latencies(run_dir)
    charts = draw_latencies(run_dir, read_meters(run_dir), LatencyMs(6.3, 22.0, 1500.0, 2000.0))
    intake = charts[-1]
    assert intake.rows[-1][-1] == "100.000%"
    assert all(text in (intake.svg or "") for text in ("p50 6.3 ms", "p95 22 ms", "p99 1.5 s"))
