"""The table of transformers' meters: each beside what flowed there and what its customers' meters recorded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lab.report.meters import read_meters
from lab.report.transformers import TransformerRow, read_transformers
from lab.verdict.judge_files import judge_run
from tests.lab.verdict.synthetic import Run, make_run, make_stations, write_with_transformers

CUSTOMERS, STATIONS, INTERVALS = 8, 2, 8
LIMIT_WH = 20.0


def stations() -> Run:
    run = make_stations(STATIONS, INTERVALS)
    run.fleet["transformer"] = np.array(["T0", "T1"], dtype=object)
    run.journal["import_allowed_wh"] = np.full(len(run.journal["import_wh"]), LIMIT_WH)
    run.journal["export_allowed_wh"] = np.zeros(len(run.journal["import_wh"]))
    return run


def rows_of(tmp_path: Path, customers: Run, own: Run) -> list[TransformerRow]:
    """Customers are behind T0 and T1 in turn."""
    customers.fleet["transformer"] = np.array([f"T{n % 2}" for n in range(CUSTOMERS)], dtype=object)
    for name in ("import_allowed_wh", "export_allowed_wh"):
        customers.journal[name] = np.full(len(customers.journal["import_wh"]), np.nan)
    directory = write_with_transformers(tmp_path / "run", customers, own)
    return read_transformers(directory, judge_run(directory, customers.context()), read_meters(directory))


def net_wh(table: dict[str, np.ndarray], points: list[str], intervals: slice = slice(None)) -> float:
    chosen = [np.flatnonzero(table["usage_point"] == point)[intervals] for point in points]
    return float(sum((table["import_wh"][rows] - table["export_wh"][rows]).sum() for rows in chosen))


def test_a_row_has_what_was_metered_what_flowed_and_what_customers_took(tmp_path: Path) -> None:
    customers, own = make_run(CUSTOMERS, INTERVALS), stations()
    first, second = rows_of(tmp_path, customers, own)
    assert (first.transformer, first.serial, second.transformer) == ("T0", "TRF00000000", "T1")
    assert (first.stored, first.expected, first.faults, first.customers) == (INTERVALS, INTERVALS, 0, CUSTOMERS // 2)
    assert first.metered_wh == net_wh(own.stored, ["transformer:T0"])
    assert first.truth_wh == pytest.approx(net_wh(own.truth, ["transformer:T0"]))
    assert first.difference_wh == pytest.approx(first.metered_wh - first.truth_wh)
    assert first.limit_wh == pytest.approx(INTERVALS * LIMIT_WH)
    assert first.customers_wh == net_wh(customers.stored, [f"UP0000{n}" for n in (0, 2, 4, 6)])


def test_what_is_not_stored_of_the_transformer_is_in_no_sum(tmp_path: Path) -> None:
    customers, own = make_run(CUSTOMERS, INTERVALS), stations()
    own.drop("stored", [INTERVALS + 7])
    customers.drop("stored", [2 * INTERVALS + 1])
    first, second = rows_of(tmp_path, customers, own)
    assert (first.faults, first.missing) == (0, 1)
    assert (second.faults, second.stored) == (1, INTERVALS - 1)
    assert second.truth_wh == pytest.approx(net_wh(own.truth, ["transformer:T1"], slice(INTERVALS - 1)))
    assert second.customers_wh == net_wh(customers.stored, [f"UP0000{n}" for n in (1, 3, 5, 7)], slice(INTERVALS - 1))
    assert second.limit_wh == pytest.approx((INTERVALS - 1) * LIMIT_WH)


def test_intervals_without_supply_leave_the_limit_known(tmp_path: Path) -> None:
    """They are estimated when supply is back; the meter has no record of them, and none is missing."""
    own = stations()
    own.truth["energised_s"][3:5] = 0.0
    own.drop("journal", [3, 4])
    own.stored["quality"][2:6] = "estimated"
    first, second = rows_of(tmp_path, make_run(CUSTOMERS, INTERVALS), own)
    assert first.expected == INTERVALS - 2
    assert first.limit_wh == pytest.approx((INTERVALS - 2) * LIMIT_WH)
    assert second.limit_wh == pytest.approx(INTERVALS * LIMIT_WH)


def test_a_doubled_row_counts_once(tmp_path: Path) -> None:
    own = stations()
    metered = net_wh(own.stored, ["transformer:T0"])
    own.double("stored", [3])
    assert rows_of(tmp_path, make_run(CUSTOMERS, INTERVALS), own)[0].metered_wh == metered
