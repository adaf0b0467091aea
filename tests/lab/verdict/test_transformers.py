"""Meters at transformers: judged by the same rules, and in no count of customers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from lab.verdict.judge_files import TRANSFORMER_DISCREPANCIES, TRANSFORMER_READS, judge_run
from lab.verdict.tables import TableError
from lab.verdict.transformers import TRANSFORMER_METERS
from lab.verdict.verdict import Verdict
from tests.lab.verdict.synthetic import Run, arrow, make_run, make_stations, write_with_transformers

CUSTOMERS, STATIONS, INTERVALS = 6, 2, 8


def stations() -> Run:
    run = make_stations(STATIONS, INTERVALS)
    for table in (run.fleet, run.stored):
        table["vendor_profile"] = np.full(len(table["vendor_profile"]), "station")
    return run


def judged(tmp_path: Path, own: Run) -> Verdict:
    run = make_run(CUSTOMERS, INTERVALS)
    directory = write_with_transformers(tmp_path / "run", run, own)
    return judge_run(directory, run.context())


def failed(verdict: Verdict) -> set[str]:
    return {result.id for result in verdict.criteria if not result.passed}


def test_they_are_counted_by_themselves(tmp_path: Path) -> None:
    verdict = judged(tmp_path, stations())
    assert failed(verdict) == set()
    told: Any = verdict.to_json()
    assert told["fleet"]["meters"] == CUSTOMERS
    assert told["fleet"]["by_vendor"] == {"rl-dsp": CUSTOMERS}
    assert told["reads"]["expected"] == CUSTOMERS * INTERVALS
    assert told["transformers"]["meters"] == STATIONS
    assert told["transformers"]["by_vendor"] == {"station": STATIONS}
    assert told["transformers"]["reads"]["expected"] == STATIONS * INTERVALS
    assert told["transformers"]["reads"]["stored"] == STATIONS * INTERVALS
    assert told["transformers"]["accuracy"]["class_violations"] == 0
    assert pq.read_table(tmp_path / "run" / TRANSFORMER_READS)["expected"].to_pylist() == [INTERVALS] * STATIONS


def lose(run: Run) -> None:
    run.drop("stored", [3])


def forget(run: Run) -> None:
    run.drop("journal", [3])
    run.drop("stored", [3])


def alter(run: Run) -> None:
    run.stored["import_wh"][3] += 1


def double(run: Run) -> None:
    run.double("stored", [3])


def mismeasure(run: Run) -> None:
    for table in (run.journal, run.stored):
        table["import_wh"][3] += 50


def vanish(run: Run) -> None:
    run.drop("truth", list(range(STATIONS * INTERVALS)))


@pytest.mark.parametrize("break_it", [lose, forget, alter, double, mismeasure, vanish])
def test_what_is_wrong_with_them_fails_their_criterion_and_no_other(
    break_it: Callable[[Run], None], tmp_path: Path
) -> None:
    own = stations()
    break_it(own)
    verdict = judged(tmp_path, own)
    assert failed(verdict) == {"transformers.discrepancies"}
    told: Any = verdict.to_json()
    assert told["reads"]["lost"] == told["reads"]["altered"] == told["accuracy"]["class_violations"] == 0
    assert len(pq.read_table(tmp_path / "run" / TRANSFORMER_DISCREPANCIES)) > 0


def test_without_them_nothing_is_said_of_them(tmp_path: Path) -> None:
    run = make_run(CUSTOMERS, INTERVALS)
    directory = run.write(tmp_path / "run")
    (directory / "truth_outages.json").write_text("[]")
    verdict = judge_run(directory, run.context())
    assert verdict.to_json()["transformers"] is None
    assert "transformers.discrepancies" not in {result.id for result in verdict.criteria}


def test_their_missing_truth_is_a_fault_of_the_run(tmp_path: Path) -> None:
    run = make_run(CUSTOMERS, INTERVALS)
    directory = run.write(tmp_path / "run")
    pq.write_table(arrow(stations().fleet), directory / TRANSFORMER_METERS)
    with pytest.raises(TableError) as caught:
        judge_run(directory, run.context())
    assert sum("truth_transformer" in fault for fault in caught.value.faults) == 2
