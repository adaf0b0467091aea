"""Each criterion can fail, for its own reason and for no other; nothing that was not measured passes."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lab.verdict.criteria import CRITERIA, CriteriaError, Criterion, with_targets
from lab.verdict.verdict import Verdict, judge
from tests.lab.verdict.synthetic import Run, make_run

POINTS, INTERVALS = 20, 100  # one read in 2,000 stays below both rates' slack


def failed(verdict: Verdict) -> set[str]:
    return {result.id for result in verdict.criteria if not result.passed}


def lose(run: Run) -> None:
    run.drop("stored", [77])


def forget_but_estimate(run: Run) -> None:
    run.drop("journal", [77])
    run.stored["quality"][77] = "estimated"


def double(run: Run) -> None:
    run.double("stored", [77])


def alter(run: Run) -> None:
    run.stored["import_wh"][77] += 1


def exceed_class(run: Run) -> None:
    run.journal["import_wh"][77] += 100
    run.stored["import_wh"][77] += 100


def delay(run: Run) -> None:
    run.stored["committed_at"][:41] += np.timedelta64(1, "D")


BREAKAGES = [
    (lose, "reads.lost"),
    (forget_but_estimate, "reads.unrecorded"),
    (double, "reads.duplicate_rows"),
    (alter, "reads.altered"),
    (exceed_class, "accuracy.class_violations"),
    (delay, "reads.success_rate"),
]


def test_a_run_in_order_passes() -> None:
    run = make_run(POINTS, INTERVALS)
    verdict = judge(run.tables(), run.context())
    assert failed(verdict) == set()
    assert verdict.passed
    assert verdict.exit_status == 0


@pytest.mark.parametrize(("break_it", "criterion"), BREAKAGES, ids=lambda v: v if isinstance(v, str) else "")
def test_fails_for_its_own_reason_and_no_other(break_it: Callable[[Run], None], criterion: str) -> None:
    run = make_run(POINTS, INTERVALS)
    break_it(run)
    verdict = judge(run.tables(), run.context())
    assert failed(verdict) == {criterion}
    assert not verdict.passed
    assert verdict.exit_status == 1


def test_identical_rate_fails_where_altered_reads_are_tolerated() -> None:
    run = make_run(POINTS, INTERVALS)
    run.stored["import_wh"][:3] += 1
    verdict = judge(run.tables(), run.context(), targets={"reads.altered": 3})
    assert failed(verdict) == {"reads.identical_rate"}


def test_rates_pass_at_their_target_and_fail_below() -> None:
    run = make_run(POINTS, INTERVALS)
    run.stored["committed_at"][:40] += np.timedelta64(1, "D")
    assert failed(judge(run.tables(), run.context())) == set()
    run.stored["committed_at"][40] += np.timedelta64(1, "D")
    assert failed(judge(run.tables(), run.context())) == {"reads.success_rate"}


def test_estimated_reads_are_no_success() -> None:
    run = make_run(POINTS, INTERVALS)
    run.stored["quality"][:41] = "estimated"
    assert failed(judge(run.tables(), run.context())) == {"reads.success_rate"}


def test_nothing_expected_fails_every_criterion_on_reads() -> None:
    run = make_run(2, 4)
    for name in ("truth", "journal", "stored"):
        run.drop(name, list(range(8)))
    verdict = judge(run.tables(), run.context())
    absent = ("outages.", "transformers.", "phases.", "voltage.", "network.")
    assert failed(verdict) == {c.id for c in CRITERIA if not c.id.startswith(absent)}
    assert all(math.isnan(result.value) for result in verdict.criteria)


def test_nothing_stored_fails_on_the_rates_as_on_the_losses() -> None:
    run = make_run(2, 4)
    run.drop("stored", list(range(8)))
    verdict = judge(run.tables(), run.context())
    assert failed(verdict) == {"reads.lost", "reads.success_rate", "reads.identical_rate"}


def test_an_empty_journal_fails_on_accuracy() -> None:
    run = make_run(2, 4)
    run.drop("journal", list(range(8)))
    run.drop("stored", list(range(8)))
    assert "accuracy.class_violations" in failed(judge(run.tables(), run.context()))


def test_unknown_commit_times_fail_the_success_rate_alone() -> None:
    run = make_run(2, 4)
    run.stored.pop("committed_at")
    assert failed(judge(run.tables(), run.context())) == {"reads.success_rate"}


@pytest.mark.parametrize("criterion", CRITERIA, ids=lambda c: c.id)
def test_nan_never_passes(criterion: Criterion) -> None:
    assert not criterion.passes(math.nan)


def test_a_stored_nan_is_altered() -> None:
    run = make_run(POINTS, INTERVALS)
    run.stored["import_wh"] = run.stored["import_wh"].astype(float)
    run.stored["import_wh"][5] = np.nan
    assert failed(judge(run.tables(), run.context())) == {"reads.altered"}


def test_the_scenarios_own_target_is_used_and_named_as_its_source() -> None:
    run = make_run(POINTS, INTERVALS)
    run.stored["committed_at"][0] += np.timedelta64(1, "D")
    verdict = judge(run.tables(), run.context(), targets={"reads.success_rate": 1.0})
    assert failed(verdict) == {"reads.success_rate"}
    told: Any = verdict.to_json()["criteria"]
    row = next(c for c in told if c["id"] == "reads.success_rate")
    assert row["target"] == ">= 1"
    assert row["source"] == "scenario"


def test_bad_targets_are_all_listed() -> None:
    with pytest.raises(CriteriaError) as caught:
        with_targets({"reads.lots": 0, "reads.lost": math.nan, "reads.altered": "none"})  # type: ignore[dict-item]
    assert len(caught.value.faults) == 3
    assert "reads.success_rate" in caught.value.faults[0]
