"""Polled meters: what missed polls enclose is neither unrecorded nor lost, and must sum to the register difference."""

from __future__ import annotations

import numpy as np
import pytest

from lab.verdict.verdict import Verdict, judge
from tests.lab.verdict.synthetic import STEP_S, Dark, Run, make_run

INTERVALS = 8
METER = 2
FIRST, COUNT = 3, 3
"""The intervals that two polls enclose."""


@pytest.fixture
def run() -> Run:
    """Meter 2 is polled, and the polls within three of its intervals were missed."""
    return with_span(make_run(60, INTERVALS))


def with_span(run: Run) -> Run:
    run.fleet["protocol"] = run.fleet["protocol"].astype(object)
    run.fleet["protocol"][METER] = "modbus"
    first = METER * INTERVALS + FIRST
    inside = slice(first, first + COUNT)
    sums = {name: int(run.journal[name][inside].sum()) for name in ("import_wh", "export_wh")}
    for name, total in sums.items():
        run.stored[name][inside] = np.diff(np.arange(COUNT + 1) * total // COUNT)
        run.journal[name][first] = total
    run.stored["quality"][inside] = "estimated"
    run.journal["interval_length_s"][first] = COUNT * STEP_S
    run.journal["window_end_s"][first] += (COUNT - 1) * STEP_S
    run.drop("journal", list(range(first + 1, first + COUNT)))
    return run


def value(verdict: Verdict, criterion: str) -> float:
    return next(result.value for result in verdict.criteria if result.id == criterion)


def kinds(verdict: Verdict) -> set[str]:
    return set(verdict.comparison.discrepancies["kind"].to_pylist())


def test_estimates_that_sum_to_the_register_difference_pass(run: Run) -> None:
    verdict = judge(run.tables(), run.context())
    assert verdict.passed
    assert verdict.comparison.reads.estimated == COUNT
    assert not kinds(verdict)


def test_one_watt_hour_too_much_fails(run: Run) -> None:
    run.stored["import_wh"][METER * INTERVALS + FIRST + 1] += 1
    verdict = judge(run.tables(), run.context())
    assert value(verdict, "reads.estimates_conserve") == 1
    assert kinds(verdict) == {"estimate_off"}
    (row,) = verdict.comparison.discrepancies.to_pylist()
    assert (row["interval_length_s"], row["by"]) == (COUNT * STEP_S, 1.0)


def test_export_is_conserved_too(run: Run) -> None:
    run.stored["export_wh"][METER * INTERVALS + FIRST] += 5
    assert value(judge(run.tables(), run.context()), "reads.estimates_conserve") == 1


def test_an_estimate_of_what_was_answered_must_be_right_too(run: Run) -> None:
    row = METER * INTERVALS
    run.stored["quality"][row] = "estimated"
    assert value(judge(run.tables(), run.context()), "reads.estimates_conserve") == 0
    run.stored["import_wh"][row] -= 1
    assert value(judge(run.tables(), run.context()), "reads.estimates_conserve") == 1


def test_an_estimate_that_no_poll_bears_out_fails(run: Run) -> None:
    run.drop("journal", [METER * INTERVALS + 1])
    run.stored["quality"][METER * INTERVALS + 1] = "estimated"
    assert value(judge(run.tables(), run.context()), "reads.estimates_conserve") == 1


def test_a_meter_with_a_load_profile_may_be_estimated(run: Run) -> None:
    run.stored["quality"][0] = "estimated"
    assert value(judge(run.tables(), run.context()), "reads.estimates_conserve") == 0


def test_what_lies_in_a_span_and_is_not_stored_is_lost_and_leaves_the_sum_short(run: Run) -> None:
    run.drop("stored", [METER * INTERVALS + FIRST + 1])
    verdict = judge(run.tables(), run.context())
    assert verdict.comparison.reads.unrecorded == 0
    assert verdict.comparison.reads.lost == 1
    # One on either side of what is missing.
    assert value(verdict, "reads.estimates_conserve") == 2


def test_a_span_across_the_end_of_the_judged_window_is_not_judged(run: Run) -> None:
    last = METER * INTERVALS + INTERVALS - 1
    (row,) = np.flatnonzero(
        (run.journal["usage_point"] == f"UP{METER:05d}")
        & (run.journal["interval_start"] == run.truth["interval_start"][last])
    )
    run.journal["interval_length_s"][row] = 2 * STEP_S
    run.stored["quality"][last] = "estimated"
    assert value(judge(run.tables(), run.context()), "reads.estimates_conserve") == 0


def test_what_no_span_encloses_is_unrecorded(run: Run) -> None:
    rows = np.flatnonzero(run.journal["interval_length_s"] > STEP_S)
    run.drop("journal", rows.tolist())
    verdict = judge(run.tables(), run.context())
    assert verdict.comparison.reads.unrecorded == COUNT


def test_dark_intervals_inside_a_span_are_estimated_and_not_expected() -> None:
    run = make_run(5, INTERVALS, darks=(Dark(METER, METER + 1, FIRST, FIRST + 2),))
    # The journal and the store have no rows of the dark intervals: the span begins with them.
    run.fleet["protocol"] = run.fleet["protocol"].astype(object)
    run.fleet["protocol"][METER] = "modbus"
    (after,) = np.flatnonzero(
        (run.journal["usage_point"] == f"UP{METER:05d}")
        & (run.journal["interval_start"] == run.truth["interval_start"][METER * INTERVALS + FIRST + 2])
    )
    for table in (run.journal, run.stored):
        table["interval_start"][after] -= np.timedelta64(2 * STEP_S, "s")
    run.journal["interval_length_s"][after] = 3 * STEP_S
    run.journal["window_start_s"][after] -= 2 * STEP_S
    run.double("stored", [after, after])
    total = int(run.journal["import_wh"][after])
    rows = [after, len(run.stored["import_wh"]) - 2, len(run.stored["import_wh"]) - 1]
    for number, row in enumerate(rows):
        run.stored["interval_start"][row] = run.truth["interval_start"][METER * INTERVALS + FIRST + number]
        run.stored["import_wh"][row] = (number + 1) * total // 3 - number * total // 3
        run.stored["export_wh"][row] = run.journal["export_wh"][after] if number == 2 else 0
        run.stored["quality"][row] = "estimated"
    verdict = judge(run.tables(), run.context())
    assert value(verdict, "reads.estimates_conserve") == 0
    assert (verdict.comparison.reads.unrecorded, verdict.comparison.reads.lost) == (0, 0)
    assert verdict.comparison.reads.extra == 0, "who polls cannot know that it was dark"
