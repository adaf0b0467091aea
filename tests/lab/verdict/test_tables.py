"""Input that cannot be judged is refused, and everything that is wrong with it is said at once."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lab.verdict.conform import conform
from lab.verdict.context import ClockFacts
from lab.verdict.judge_files import judge_run
from lab.verdict.read_run import load_run
from lab.verdict.tables import FLEET, JOURNAL, STORED, TRUTH, Schema, TableError, empty
from lab.verdict.terminals import at_terminals
from lab.verdict.verdict import judge
from tests.lab.verdict.synthetic import START_S, arrow, make_run


def faults_of(table: pa.Table, schema: Schema) -> tuple[str, ...]:
    with pytest.raises(TableError) as caught:
        conform(table, schema)
    return caught.value.faults


def test_every_missing_and_mistyped_column_is_listed() -> None:
    table = arrow(make_run(1, 2).journal)
    table = table.drop_columns(["status", "voltage_l2_v"])
    table = table.set_column(2, "interval_start", pa.array(["now", "then"]))
    table = table.set_column(4, "import_wh", pa.array([1.5, 2.5]))
    faults = faults_of(table, JOURNAL)
    assert [f.split()[0] for f in faults] == [
        "journal.interval_start",
        "journal.import_wh",
        "journal.voltage_l2_v",
        "journal.status",
    ]


@pytest.mark.parametrize("schema", [TRUTH, JOURNAL, STORED], ids=lambda s: s.name)
def test_naive_times_are_refused(schema: Schema) -> None:
    run = make_run(1, 2)
    table = arrow(getattr(run, schema.name))
    at = table.column_names.index("interval_start")
    table = table.set_column(at, "interval_start", table["interval_start"].cast(pa.timestamp("us")))
    (fault,) = faults_of(table, schema)
    assert "no time zone" in fault


@pytest.mark.parametrize("instant_us", [9_007_199_254_740_992_000, 253_402_300_800_000_000, -62_135_596_800_000_001])
def test_times_beyond_the_calendar_are_refused(instant_us: int) -> None:
    table = arrow(make_run(1, 2).stored)
    for name in ("interval_start", "max_demand_at"):
        times = pa.array([instant_us, 0], pa.int64()).cast(pa.timestamp("us", "UTC"))
        if name in table.column_names:
            table = table.set_column(table.column_names.index(name), name, times)
        else:
            table = table.append_column(name, times)
    assert faults_of(table, STORED) == tuple(
        f"stored.{name} is not in the years 1 to 9999 in 1 of 2 rows" for name in ("interval_start", "max_demand_at")
    )


def test_other_zones_and_units_are_the_same_instants() -> None:
    table = arrow(make_run(1, 2).truth)
    zurich = table.set_column(1, "interval_start", table["interval_start"].cast(pa.timestamp("ns", "Europe/Zurich")))
    assert conform(zurich, TRUTH).equals(conform(table, TRUTH))


def test_nan_and_null_in_the_truth_are_refused() -> None:
    run = make_run(1, 4)
    run.truth["energised_s"][1] = np.nan
    table = arrow(run.truth)
    nulls = pa.array([1.0, None, None, 2.0])
    table = table.set_column(table.column_names.index("import_wh"), "import_wh", nulls)
    faults = faults_of(table, TRUTH)
    assert any("energised_s is NaN in 1 of 4" in f for f in faults)
    assert any("import_wh is null in 2 of 4" in f for f in faults)


def test_strange_words_and_nameless_rows_in_stored_are_refused() -> None:
    run = make_run(1, 2)
    run.stored["quality"][0] = "guessed"
    table = arrow(run.stored)
    for name in ("serial", "usage_point"):
        at = table.column_names.index(name)
        table = table.set_column(at, name, pa.array([None, "x"]))
    faults = faults_of(table, STORED)
    assert any("guessed" in f for f in faults)
    assert any("1 rows without any of" in f for f in faults)


def test_stored_needs_a_serial_or_a_usage_point() -> None:
    run = make_run(1, 2)
    del run.stored["serial"], run.stored["usage_point"]
    assert "usage_point or serial" in faults_of(arrow(run.stored), STORED)[0]


def test_a_fleet_with_two_meters_at_one_usage_point_is_refused() -> None:
    run = make_run(2, 2)
    run.fleet["usage_point"][1] = "UP00000"
    run.fleet["register_step_wh"][0] = 0
    faults = faults_of(arrow(run.fleet), FLEET)
    assert any("usage_point is not unique: UP00000" in f for f in faults)
    assert any("register_step_wh is out of range" in f for f in faults)


def test_empty_tables_load_and_are_judged(tmp_path: Path) -> None:
    run = make_run(1, 2)
    run.write(tmp_path / "run")
    for name, schema in (("truth", TRUTH), ("stored", STORED)):
        pq.write_table(empty(schema), tmp_path / "run" / f"{name}.parquet")
    verdict = judge(load_run(tmp_path / "run"), run.context())
    assert not verdict.passed
    assert verdict.comparison.reads.expected == 0


def test_a_run_directory_loads_as_what_was_written(tmp_path: Path) -> None:
    run = make_run(3, 4)
    loaded = load_run(run.write(tmp_path / "run"))
    assert loaded.stored.equals(run.tables().stored)
    assert loaded.journal.num_rows == 12


def test_all_files_faults_are_listed_together(tmp_path: Path) -> None:
    run_dir = make_run(1, 2).write(tmp_path / "run")
    (run_dir / "truth.parquet").unlink()
    (run_dir / "stored.parquet").write_bytes(b"not parquet at all")
    (run_dir / "truth_outages.json").write_text('[{"from":"2026-01-15T00:00:00","to":"noon"}]')
    for file in (run_dir / "journal").iterdir():
        file.unlink()
    context = make_run(1, 2).context(clock=ClockFacts(START_S, 1800, 1.0))
    with pytest.raises(TableError) as caught:
        judge_run(run_dir, context)
    text = str(caught.value)
    for part in ("truth.parquet does not exist", "cannot be read as parquet", "journal: no parquet file",
                 "0.from", "0.usage_points"):  # fmt: skip
        assert part in text


@pytest.mark.parametrize("ratio", [0.0, -40.0, 0.5, 10_000.5, np.inf, np.nan])
@pytest.mark.parametrize("name", ["current_ratio", "voltage_ratio"])
def test_ratios_that_no_transformers_have_are_refused(name: str, ratio: float) -> None:
    run = make_run(2, 2)
    run.fleet[name] = np.array([ratio, 40.0])
    (fault,) = faults_of(arrow(run.fleet), FLEET)
    assert fault.startswith(f"fleet.{name} is ")
    assert "in 1 " in fault


@pytest.mark.parametrize("name", ["current_ratio", "voltage_ratio"])
def test_one_kind_of_ratio_stands_alone(name: str) -> None:
    run = make_run(2, 2)
    run.fleet[name] = np.array([1.0, 40.0])
    before = run.tables()
    after = at_terminals(before)
    assert after.truth["import_wh"].to_pylist() == pytest.approx(
        [
            energy / (40.0 if point == run.fleet["usage_point"][1] else 1.0)
            for energy, point in zip(
                before.truth["import_wh"].to_pylist(), before.truth["usage_point"].to_pylist(), strict=True
            )
        ]
    )
