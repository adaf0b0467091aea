"""The judge finds exactly what was done to a run that was in order."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.verdict.compare import Comparison, compare
from tests.lab.verdict.synthetic import CHANNELS, QUADRANTS, START_S, STEP_S, Dark, Run, instants, make_run

POINTS, INTERVALS = 6, 8
DARK = Dark(1, 3, 2, 5)
ROWS = POINTS * INTERVALS - 6
DEADLINE_AFTER_END_S = STEP_S + 300


def judged(run: Run) -> Comparison:
    return compare(run.tables(), start_s=START_S, end_s=START_S + run.intervals * STEP_S)


def found(comparison: Comparison, *kinds: str) -> set[tuple[str, object]]:
    table = comparison.discrepancies
    mask = pc.is_in(table["kind"].cast(pa.string()), value_set=pa.array(kinds))
    return {(r["usage_point"], r["interval_start"]) for r in table.filter(mask).to_pylist()}


def places(columns: dict[str, np.ndarray], rows: list[int]) -> set[tuple[str, object]]:
    starts = pa.array(columns["interval_start"]).cast(pa.timestamp("us", tz="UTC")).to_pylist()
    return {(str(columns["usage_point"][r]), starts[r]) for r in rows}


@st.composite
def damage(draw: st.DrawFn) -> dict[str, list[int]]:
    """Disjoint sets of rows of `stored`, one for each thing that can be done to a row."""
    done = draw(st.lists(st.sampled_from(["", "drop", "double", "alter", "delay", "estimate", "recover", "forget"]),
                         min_size=ROWS, max_size=ROWS))  # fmt: skip
    return {name: [i for i, d in enumerate(done) if d == name] for name in set(done) | {
        "drop", "double", "alter", "delay", "estimate", "recover", "forget"}}  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(damage(), st.sampled_from([*CHANNELS, "import_register_wh", "voltage_l2_v", "status"]), st.integers(0, 2**32))
def test_finds_exactly_what_was_done(done: dict[str, list[int]], channel: str, seed: int) -> None:
    run = make_run(POINTS, INTERVALS, darks=(DARK,))
    before = {name: values.copy() for name, values in run.stored.items()}
    stored = run.stored
    stored[channel][done["alter"]] += 1
    stored["committed_at"][done["delay"]] += np.timedelta64(DEADLINE_AFTER_END_S + 1, "s")
    stored["quality"][done["estimate"]] = "estimated"
    stored["import_wh"][done["estimate"]] += 5
    stored["origin"][done["recover"]] = "recovered"
    run.double("stored", done["double"])
    run.drop("stored", done["drop"])
    # the meter forgets, and the head-end estimates in its place
    run.stored["quality"] = np.where(
        np.isin(np.arange(len(run.stored["quality"])), _still(done, "forget")), "estimated", run.stored["quality"]
    ).astype(object)
    run.drop("journal", done["forget"])
    shuffled = np.random.default_rng(seed).permutation(len(run.stored["serial"]))
    run.stored = {name: values[shuffled] for name, values in run.stored.items()}

    comparison = judged(run)

    reads = comparison.reads
    assert reads.expected == ROWS
    assert reads.lost == len(done["drop"])
    assert reads.duplicate_rows == len(done["double"])
    assert reads.altered == len(done["alter"])
    assert reads.late == len(done["delay"])
    by_meter = comparison.by_meter
    for name in ("expected", "lost", "late", "estimated", "recovered", "altered"):
        assert pc.sum(by_meter[name]).as_py() == getattr(reads, name)
    assert pc.sum(by_meter["on_time"]).as_py() == reads.stored - reads.late
    dropped = {str(before["usage_point"][row]) for row in done["drop"]}
    assert set(by_meter.filter(pc.greater(by_meter["lost"], 0))["usage_point"].to_pylist()) == dropped
    assert reads.estimated == len(done["estimate"]) + len(done["forget"])
    assert reads.recovered == len(done["recover"])
    assert reads.unrecorded == len(done["forget"])
    assert reads.stored == ROWS - reads.lost - reads.estimated
    assert reads.extra == 0
    for kind, name in (("lost", "drop"), ("duplicate", "double"), ("altered", "alter"), ("late", "delay"),
                       ("unrecorded", "forget")):  # fmt: skip
        assert found(comparison, kind) == places(before, done[name])
    totals = comparison.by_interval
    assert sum(pc.sum(totals[n]).as_py() for n in ("on_time", "late", "recovered", "estimated", "lost")) == ROWS
    assert pc.sum(totals["expected"]).as_py() == ROWS


def _still(done: dict[str, list[int]], name: str) -> list[int]:
    """Where rows of `stored` are after others were dropped."""
    gone = np.array(sorted(done["drop"]))
    return [row - int((gone < row).sum()) for row in done[name]]


def test_a_run_in_order_has_no_discrepancy() -> None:
    comparison = judged(make_run(darks=(DARK,)))
    assert comparison.discrepancies.num_rows == 0
    assert comparison.reads.success_rate == 1.0
    assert comparison.reads.identical_rate == 1.0


def test_a_fully_dark_interval_is_not_expected_and_a_row_for_it_is_extra_and_made_up() -> None:
    run = make_run(darks=(DARK,))
    run.double("stored", [0])
    run.stored["usage_point"][-1] = "UP00001"
    run.stored["serial"][-1] = "AMI00000001"
    run.stored["interval_start"][-1] = instants(np.array([START_S + 2 * STEP_S]))[0]
    comparison = judged(run)
    assert comparison.reads.extra == 1
    assert comparison.reads.altered == 1
    assert found(comparison, "fabricated") == found(comparison, "extra") == places(run.stored, [-1])


def test_one_second_of_supply_makes_an_interval_expected() -> None:
    run = make_run(darks=(DARK,))
    run.truth["energised_s"][1 * 8 + 2] = 1.0
    comparison = judged(run)
    assert comparison.reads.expected == ROWS + 1
    assert comparison.reads.lost == comparison.reads.unrecorded == 1


def test_only_intervals_inside_the_judged_window_are_expected() -> None:
    run = make_run(1, 8)
    comparison = compare(run.tables(), start_s=START_S + 1, end_s=START_S + 8 * STEP_S - 1)
    assert comparison.reads.expected == 6
    assert comparison.reads.extra == 0


def test_usage_points_without_a_meter_are_not_expected() -> None:
    run = make_run(3, 4)
    run.fleet = {name: values[:2] for name, values in run.fleet.items()}
    for name in ("journal", "stored"):
        run.drop(name, list(range(8, 12)))
    assert judged(run).reads.expected == 8
    assert judged(run).reads.lost == 0


def test_committed_at_the_deadline_is_in_time_and_a_microsecond_later_is_late() -> None:
    run = make_run(1, 4)
    deadline = run.stored["interval_start"] + np.timedelta64(STEP_S + DEADLINE_AFTER_END_S, "s")
    run.stored["committed_at"] = deadline.copy()
    assert judged(run).reads.late == 0
    run.stored["committed_at"][2] += np.timedelta64(1, "us")
    assert judged(run).reads.late == 1
    run.fleet["report_every_s"][:] = 2 * STEP_S
    assert judged(run).reads.late == 0


def test_a_row_without_commit_time_is_late() -> None:
    run = make_run(1, 4)
    run.stored["committed_at"][1] = np.datetime64("NaT")
    assert judged(run).reads.late == 1


def test_the_first_commit_counts_when_a_read_is_stored_twice() -> None:
    run = make_run(1, 4)
    run.double("stored", [1])
    run.stored["committed_at"][-1] += np.timedelta64(1, "D")
    assert judged(run).reads.late == 0


def test_revised_values_are_actual_and_must_be_the_journals() -> None:
    run = make_run(1, 4)
    run.stored["quality"][1] = "revised"
    assert judged(run).reads.altered == 0
    run.stored["import_wh"][1] += 1
    assert judged(run).reads.altered == 1


def test_values_differ_from_half_a_register_step_on() -> None:
    run = make_run(1, 4)
    run.stored["import_wh"] = run.stored["import_wh"].astype(float)
    run.fleet["register_step_wh"][:] = 8.0
    run.stored["import_wh"][1] += 3.9
    assert judged(run).reads.altered == 0
    run.stored["import_wh"][1] += 0.2
    assert judged(run).reads.altered == 1


def test_a_missing_value_is_not_the_meters_value() -> None:
    run = make_run(1, 4)
    run.stored["export_wh"] = run.stored["export_wh"].astype(float)
    run.stored["export_wh"][2] = np.nan
    table = judged(run)
    assert table.reads.altered == 1
    assert table.discrepancies["channel"].to_pylist() == ["export_wh"]


def test_rows_by_serial_alone_are_found_and_an_unknown_serial_is_made_up() -> None:
    run = make_run(2, 4)
    run.stored.pop("usage_point")
    assert judged(run).discrepancies.num_rows == 0
    run.stored["serial"][3] = "STRANGER"
    comparison = judged(run)
    assert (comparison.reads.lost, comparison.reads.altered, comparison.reads.extra) == (1, 1, 1)


def test_a_usage_point_of_the_utilitys_own_does_not_outvote_a_serial_of_the_fleet() -> None:
    run = make_run(2, 4)
    run.stored["usage_point"] = np.array([f"MPAN{name}" for name in run.stored["usage_point"]])
    comparison = judged(run)
    assert comparison.reads.stored == comparison.reads.expected
    assert comparison.discrepancies.num_rows == 0


def test_a_read_stored_at_the_wrong_usage_point_is_lost_there_and_altered_here() -> None:
    run = make_run(2, 4)
    run.stored["usage_point"][0] = "UP00001"
    comparison = judged(run)
    assert (comparison.reads.lost, comparison.reads.duplicate_rows) == (1, 1)


def test_an_interval_recorded_twice_is_said_and_the_later_record_counts() -> None:
    run = make_run(1, 4)
    run.double("journal", [2])
    run.journal["recorded_at_s"][-1] += 10
    run.journal["import_wh"][-1] += 1
    comparison = judged(run)
    assert found(comparison, "recorded_twice") == places(run.journal, [2])
    assert comparison.reads.altered == 1


def test_without_commit_times_nobody_says_what_was_late() -> None:
    run = make_run(1, 4)
    run.stored.pop("committed_at")
    reads = judged(run).reads
    assert reads.late is None
    assert np.isnan(reads.success_rate)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 7), st.floats(0.0, 1.0), st.floats(0.01, 1.0), st.sampled_from([0.5, 1.0, 2.0]))
def test_the_class_applies_over_the_window_that_the_meter_integrated(
    interval: int, offset: float, share: float, percent: float
) -> None:
    """A window that straddles intervals, its energy from the definition: power is constant within each."""
    run = make_run(1, 10, seed=3)
    # A journal of before meters counted reactive energy.
    run.journal = {name: values for name, values in run.journal.items() if name not in QUADRANTS}
    power = run.frames["active_power_w"]
    start = START_S + (interval + offset) * STEP_S
    end = min(start + share * STEP_S, START_S + 10 * STEP_S)
    edges = START_S + np.arange(11) * STEP_S
    overlap = np.clip(np.minimum(edges[1:], end) - np.maximum(edges[:-1], start), 0, None)
    import_wh = float((overlap * np.clip(power[:10], 0, None)).sum() / 3600)
    run.fleet["accuracy_class_percent"][:] = percent
    run.journal["window_start_s"][interval], run.journal["window_end_s"][interval] = start, end
    allowed = percent / 100 * import_wh + 2
    run.journal["export_wh"][interval] = round(float((overlap * np.clip(-power[:10], 0, None)).sum() / 3600))
    for error, violations in ((np.floor(allowed) - 1, 0), (np.ceil(allowed) + 1, 1)):
        run.journal["import_wh"][interval] = round(import_wh + error)
        assert judged(run).accuracy.class_violations == violations
        assert abs(judged(run).accuracy.max_abs_error_wh - max(abs(error), 0.5)) <= 1.0


def test_export_is_held_to_the_class_too() -> None:
    run = make_run(1, 4)
    run.journal["export_wh"][1] += 4
    comparison = judged(run)
    assert comparison.accuracy.class_violations == 1
    assert "export_wh" in comparison.discrepancies["channel"].to_pylist()


@pytest.mark.parametrize(("point", "quadrant"), [(0, "reactive_q1_varh"), (2, "reactive_q4_varh")])
def test_reactive_energy_is_held_to_its_own_class(point: int, quadrant: str) -> None:
    run = make_run(3, 4)
    row = point * 4 + 1
    recorded = run.journal[quadrant][row]
    assert recorded > 0
    assert judged(run).accuracy.class_violations == 0
    run.journal[quadrant][row] = round(recorded * 1.019) + 2
    assert judged(run).accuracy.class_violations == 0, "class 2 and two steps"
    run.journal[quadrant][row] = round(recorded * 1.021) + 4
    comparison = judged(run)
    assert comparison.accuracy.class_violations == 1
    assert quadrant in comparison.discrepancies["channel"].to_pylist()
    assert comparison.accuracy.max_abs_error_wh < 1, "that is of active energy"


def test_what_the_class_allows_at_low_load_is_the_journals_to_say() -> None:
    run = make_run(1, 4)
    run.journal["import_wh"][1] += 40
    run.journal["reactive_q1_varh"][2] += 40
    assert judged(run).accuracy.class_violations == 2
    allowances = [f"{way}_allowed_wh" for way in ("import", "export")]
    allowances += [name.replace("_varh", "_allowed_varh") for name in QUADRANTS]
    run.journal |= {name: np.full(4, 45.0) for name in allowances}
    assert judged(run).accuracy.class_violations == 0
    run.journal["reactive_q1_allowed_varh"][2] = 30.0
    assert judged(run).accuracy.class_violations == 1


def test_reactive_energy_in_another_quadrant_violates_the_class() -> None:
    run = make_run(1, 4)
    taken = run.journal["reactive_q1_varh"][1]
    run.journal["reactive_q1_varh"][1], run.journal["reactive_q4_varh"][1] = 0, taken
    assert judged(run).accuracy.class_violations == 1


@pytest.mark.parametrize(
    ("channel", "step"),
    [
        ("reactive_q2_varh", 1.0),
        ("reactive_q3_register_varh", 1.0),
        ("active_power_l1_w", 1.0),
        ("reactive_power_l2_var", 1.0),
        ("current_l3_a", 0.001),
        ("power_factor_l1", 0.001),
        ("max_demand_import_w", 1.0),
    ],
)
def test_each_quantity_is_altered_at_its_resolution_and_judged_where_it_is_given(channel: str, step: float) -> None:
    run = make_run(2, 4)
    run.stored[channel] = run.stored[channel].astype(np.float64)
    run.stored[channel][3] += 0.4 * step
    assert judged(run).reads.altered == 0
    run.stored[channel][3] += 0.2 * step
    comparison = judged(run)
    assert comparison.reads.altered == 1
    assert comparison.discrepancies["channel"].to_pylist() == [channel]
    run.stored[channel][3] = np.nan
    assert judged(run).reads.altered == 1, "a value that the meter has, and nobody stored"
    del run.stored[channel]
    assert judged(run).reads.altered == 0, "a head-end without such a column is not judged by it"


def test_the_time_of_a_maximum_demand_is_its_own() -> None:
    run = make_run(1, 4)
    run.stored["max_demand_at"][2] += np.timedelta64(1, "s")
    comparison = judged(run)
    assert comparison.discrepancies["channel"].to_pylist() == ["max_demand_at"]
    assert comparison.discrepancies["by"].to_pylist() == [1.0]


def test_an_error_that_cannot_be_known_violates_the_class() -> None:
    run = make_run(2, 4)
    keep = run.frames["usage_point"] == "UP00000"
    run.frames = {name: values[keep] for name, values in run.frames.items()}
    assert judged(run).accuracy.class_violations == 4
