"""What many differences have in common is said; and nothing is said where nothing is the matter."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from lab.verdict.diagnosis import at_least, explanations
from lab.verdict.names import name_notes, refuse_strangers
from lab.verdict.tables import TableError
from lab.verdict.verdict import judge
from tests.lab.verdict.synthetic import START_S, STEP_S, Run, instants, make_run


def said(run: Run) -> list[str]:
    return [*name_notes(run.tables()), *(found.sentence for found in explanations(run.tables()))]


def shift(run: Run, by_s: int, rows: np.ndarray | slice = slice(None)) -> None:
    """As a reader of the judged window finds it."""
    run.stored["interval_start"][rows] = run.stored["interval_start"][rows] + np.timedelta64(by_s, "s")
    window = run.stored["interval_start"] >= instants(np.array(START_S))
    window &= run.stored["interval_start"] < instants(np.array(START_S + run.intervals * STEP_S))
    run.stored = {name: values[window] for name, values in run.stored.items()}


def energies(run: Run, factor: float, rows: np.ndarray | slice = slice(None)) -> None:
    for name in ("import_wh", "export_wh"):
        values = run.stored[name].astype(float)
        values[rows] *= factor
        run.stored[name] = values


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_said_of_a_right_table(seed: int) -> None:
    run = make_run(12, 96, seed=seed)
    assert said(run) == []
    assert judge(run.tables(), run.context()).diagnosis == ()


@pytest.mark.parametrize(
    ("by_s", "parts"),
    [
        (STEP_S, ("one interval (15 min) earlier", "the end of an interval seems to be taken for its start")),
        (-STEP_S, ("one interval (15 min) later", "moved once too often")),
        (2 * STEP_S, ("2 intervals (30 min) earlier",)),
        (3600, ("one hour earlier", "local time (UTC+01:00) seems to be stored as UTC")),
        (-5 * 3600, ("5 hours later", "local time (UTC−05:00)")),
        (19_800, ("330 min earlier", "local time (UTC+05:30)")),
    ],
)
def test_a_shift_in_time_is_named(by_s: int, parts: tuple[str, ...]) -> None:
    run = make_run(12, 96)
    shift(run, by_s)
    (sentence,) = said(run)
    assert sentence.startswith("All ")
    for part in parts:
        assert part in sentence


def test_all_240_readings_would_match_one_hour_earlier() -> None:
    run = make_run(10, 28)
    shift(run, 3600)
    assert len(run.stored["serial"]) == 240
    assert said(run) == [
        "All 240 readings would match one hour earlier: local time (UTC+01:00) seems to be stored as UTC."
    ]


@pytest.mark.parametrize(("factor", "part"), [(1e-3, "multiplied by 1,000"), (1e3, "divided by 1,000")])
def test_a_unit_is_named(factor: float, part: str) -> None:
    run = make_run(12, 24)
    energies(run, factor)
    (sentence,) = said(run)
    assert part in sentence


def test_swapped_columns_are_named() -> None:
    run = make_run(12, 24)
    run.stored["import_wh"], run.stored["export_wh"] = run.stored["export_wh"], run.stored["import_wh"]
    (sentence,) = said(run)
    assert "import and export swapped" in sentence


def test_registers_in_place_of_energies_are_named() -> None:
    run = make_run(12, 24)
    run.stored["import_wh"] = run.stored.pop("import_register_wh")
    (sentence,) = said(run)
    assert "register readings" in sentence


def test_lengths_in_minutes_are_named() -> None:
    run = make_run(12, 24)
    run.stored["interval_length_s"] = run.stored["interval_length_s"] // 60
    (sentence,) = said(run)
    assert "interval_length_s were in minutes" in sentence


def test_two_faults_at_once_are_named_together() -> None:
    run = make_run(12, 96)
    energies(run, 1e-3)
    shift(run, STEP_S)
    (sentence,) = said(run)
    assert "one interval (15 min) earlier and if multiplied by 1,000" in sentence


def test_the_fault_of_one_vendor_is_named_as_his() -> None:
    run = make_run(12, 96)
    run.fleet["vendor_profile"] = np.array(["rl-dsp"] * 8 + ["sdm630"] * 4)
    theirs = np.isin(run.stored["serial"], run.fleet["serial"][8:])
    energies(run, 1e-3, theirs)
    (sentence,) = said(run)
    assert "All 3" in sentence
    assert "readings that differ of sdm630 meters would match if multiplied" in sentence


def test_summer_time_is_named_with_its_beginning() -> None:
    run = make_run(12, 96)
    at = START_S + 48 * STEP_S
    late = run.stored["interval_start"] >= instants(np.array(at))
    shift(run, 3600, late)
    (sentence,) = said(run)
    begins = datetime.fromtimestamp(at + 3600, UTC)
    assert f"from {begins:%Y-%m-%d %H:%M:%S} UTC on would match one hour earlier" in sentence


def test_nothing_is_said_of_readings_that_differ_each_in_its_own_way() -> None:
    run = make_run(12, 96)
    rows = np.arange(0, len(run.stored["serial"]), 7)
    run.stored["import_wh"][rows] += np.random.default_rng(1).integers(1, 500, len(rows))
    assert said(run) == []


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_chance_is_no_cause_where_meters_repeat_few_values(seed: int) -> None:
    """Intervals of seconds hold 0 or 1 Wh, so any shift makes half of the readings match."""
    rng = np.random.default_rng(seed)
    run = make_run(4, 24, seed=1)
    for name in ("import_wh", "export_wh"):
        run.journal[name] = rng.integers(0, 2, len(run.journal[name]))
        run.stored[name] = run.journal[name].copy()
    rows = rng.choice(len(run.stored["serial"]), 12, replace=False)
    run.stored["import_wh"][rows] = 1 - run.stored["import_wh"][rows]
    assert said(run) == []


CHANGES: list[tuple[Callable[[str], str], str]] = [
    (lambda name: f"{name}  ", "blanks or hyphens"),
    (str.lower, "small and capital letters"),
    (lambda name: f"{name[:3]}-{name[3:]}", "blanks or hyphens"),
    (lambda name: f"{name[:3]}{name[3:].lstrip('0') or '0'}", "leading zeros"),
    (lambda name: f"0000{name}", "leading zeros"),
    (lambda name: name[3:], "letters in front"),
    (lambda name: name[3:].lstrip("0") or "0", "letters in front and leading zeros"),
    (lambda name: f" {name.lower()}", "blanks or hyphens and small and capital letters"),
]


@pytest.mark.parametrize(("change", "words"), CHANGES)
def test_names_that_are_written_otherwise_are_refused_and_explained(change: Callable[[str], str], words: str) -> None:
    run = make_run(20, 8)
    run.stored.pop("usage_point")
    run.stored["serial"] = np.array([change(name) for name in run.stored["serial"]])
    with pytest.raises(TableError) as refused:
        refuse_strangers(run.tables())
    none, why = refused.value.faults
    assert "none of the 20 serials is in the shipment file" in none
    assert f"20 of these serials would be known but for {words}" in why


def test_some_strange_names_are_told_and_nothing_is_assumed_of_them() -> None:
    run = make_run(4, 8)
    run.stored.pop("usage_point")
    run.stored["serial"] = np.array([name if name[-1] != "3" else f"{name} " for name in run.stored["serial"]])
    refuse_strangers(run.tables())
    verdict = judge(run.tables(), run.context())
    assert verdict.comparison.reads.lost == 8
    assert verdict.diagnosis == (
        "1 serial is not in the shipment file, e.g. 'AMI00000003 '.",
        "1 of these serials would be known but for blanks or hyphens, e.g. 'AMI00000003 '.",
    )


def test_swapped_names_are_told() -> None:
    run = make_run(4, 8)
    run.stored["serial"], run.stored["usage_point"] = run.stored["usage_point"], run.stored["serial"]
    with pytest.raises(TableError, match="are usage points: the columns seem to be swapped"):
        refuse_strangers(run.tables())


def test_usage_points_of_the_utilitys_own_are_told() -> None:
    run = make_run(4, 8)
    run.stored["usage_point"] = np.array([f"MPAN{name[-6:]}" for name in run.stored["serial"]])
    verdict = judge(run.tables(), run.context())
    assert verdict.comparison.reads.lost == verdict.comparison.reads.altered == 0
    (sentence,) = verdict.diagnosis
    assert sentence.startswith("4 usage points are not in the shipment file, e.g. 'MPAN000000'")
    assert sentence.endswith("the serials said whose the readings are.")


def test_two_meters_in_one_row_are_told() -> None:
    run = make_run(4, 8)
    run.stored["usage_point"][:3] = "UP00001"
    verdict = judge(run.tables(), run.context())
    assert verdict.comparison.reads.lost == 3
    assert any(
        note.startswith("3 readings have serial and usage point of two different meters") for note in verdict.diagnosis
    )


def test_who_has_stored_nothing_is_judged() -> None:
    run = make_run(4, 8)
    run.drop("stored", list(range(len(run.stored["serial"]))))
    refuse_strangers(run.tables())
    assert judge(run.tables(), run.context()).comparison.reads.lost == 32


@pytest.mark.parametrize("by_s", [0, STEP_S, 3600])
def test_polled_meters_are_read_a_little_off_the_boundary(by_s: int) -> None:
    run = make_run(12, 96)
    rng = np.random.default_rng(3)
    # What a house uses from one quarter-hour to the next has little to do with each other.
    for name in ("import_wh", "export_wh"):
        run.journal[name] = rng.integers(20, 2000, len(run.journal[name]))
        run.stored[name] = run.journal[name].copy()
    run.fleet["protocol"] = np.full(12, "modbus")
    energies(run, 1.02)
    shift(run, by_s)
    sentences = [found.sentence for found in explanations(run.tables())]
    assert ["earlier" in sentence for sentence in sentences] == [True] * (by_s != 0)


@given(st.integers(1, 4000), st.data())
def test_the_chance_of_so_many_hits_is_that_of_the_binomial_distribution(tries: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, tries))
    probability = data.draw(st.floats(0.01, 1.0))
    assert at_least(count, tries, probability) == pytest.approx(
        binom.sf(count - 1, tries, probability), rel=1e-6, abs=1e-200
    )
