"""A verdict that cannot fail is worthless: each criterion fails when the lab is broken for it, and none else does."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.stack.labs import conductor_event, failed_criteria, live, scenario_text
from tests.stack.sabotage.forgetful_fleet import FORGETFUL_METER
from tests.stack.sabotage.inaccurate_fleet import INACCURATE_METER
from tests.stack.sabotage.inaccurate_station_fleet import INACCURATE_STATION
from tests.stack.sabotage.misreading_headend import MISREAD_METER

SABOTAGE = "tests.stack.sabotage"
ENOUGH_METERS = 130
"""With 8 intervals each, one altered reading stays above 99.9 % identical."""


def discrepancies(directory: Path, kind: str) -> list[dict[str, object]]:
    rows = pq.read_table(directory / "discrepancies.parquet").to_pylist()
    return [row for row in rows if row["kind"] == kind]


def serial(row: int) -> str:
    return f"AMI{row + 1:08d}"


def test_a_meter_that_loses_its_memory_is_unrecorded(tmp_path: Path) -> None:
    result = live(tmp_path, scenario_text(), parts={"fleet": f"{SABOTAGE}.forgetful_fleet"})
    reads = result.verdict.comparison.reads
    # The readings arrived, but nothing vouches for them: they are unrecorded, and count as altered.
    assert reads.unrecorded == 8
    assert {row["serial"] for row in discrepancies(result.directory, "unrecorded")} == {serial(FORGETFUL_METER)}
    assert "reads.unrecorded" in failed_criteria(result)
    assert "reads.lost" not in failed_criteria(result)


def test_a_reading_that_is_dropped_for_good_is_lost(tmp_path: Path) -> None:
    text = scenario_text(meters=ENOUGH_METERS)
    result = live(tmp_path, text, parts={"fleet": f"{SABOTAGE}.swallowing_fleet"})
    (lost,) = discrepancies(result.directory, "lost")
    assert lost["serial"] == "AMI00000005"
    assert str(lost["interval_start"]).startswith("2026-01-15 00:30")
    assert failed_criteria(result) == {"reads.lost"}


def test_a_reading_that_is_dropped_once_is_asked_for_and_recovered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMILAB_TEST_SPARE_PROFILES", "1")
    result = live(tmp_path, scenario_text(), parts={"fleet": f"{SABOTAGE}.swallowing_fleet"})
    assert result.verdict.passed
    assert result.verdict.comparison.reads.recovered == 1


def test_readings_that_come_twice_are_stored_once(tmp_path: Path) -> None:
    result = live(tmp_path, scenario_text(), parts={"fleet": f"{SABOTAGE}.doubling_fleet"})
    assert result.verdict.passed
    assert result.verdict.comparison.reads.duplicate_rows == 0


def test_a_store_without_its_key_has_duplicate_rows(tmp_path: Path) -> None:
    parts = {"fleet": f"{SABOTAGE}.doubling_fleet", "headend": f"{SABOTAGE}.keyless_headend"}
    result = live(tmp_path, scenario_text(), parts=parts)
    assert result.verdict.comparison.reads.duplicate_rows >= 8
    assert failed_criteria(result) == {"reads.duplicate_rows"}


def test_a_value_that_changes_on_the_way_is_altered(tmp_path: Path) -> None:
    text = scenario_text(meters=ENOUGH_METERS)
    result = live(tmp_path, text, parts={"fleet": f"{SABOTAGE}.altering_fleet"})
    (altered,) = discrepancies(result.directory, "altered")
    assert altered["serial"] == serial(0)
    assert altered["stored"] == altered["journal"] + 1  # type: ignore[operator] # both are energies
    assert failed_criteria(result) == {"reads.altered"}


def test_many_altered_values_are_not_identical_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMILAB_TEST_ALTERED", "2")
    result = live(tmp_path, scenario_text(), parts={"fleet": f"{SABOTAGE}.altering_fleet"})
    assert result.verdict.comparison.reads.altered == 2
    assert failed_criteria(result) == {"reads.altered", "reads.identical_rate"}


@pytest.mark.parametrize("misread", ["current_l1_a=0.5", "reactive_import_register_varh=1000"])
def test_a_quantity_of_a_polled_meter_that_is_read_wrongly_is_altered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, misread: str
) -> None:
    monkeypatch.setenv("AMILAB_TEST_MISREAD", misread)
    text = scenario_text(meters=ENOUGH_METERS, fleet='profile = "sdm630"')
    result = live(tmp_path, text, parts={"headend": f"{SABOTAGE}.misreading_headend"})
    (altered,) = discrepancies(result.directory, "altered")
    assert (altered["serial"], altered["channel"]) == (MISREAD_METER, misread.partition("=")[0])
    assert failed_criteria(result) == {"reads.altered"}


def test_a_meter_outside_its_class_violates_it(tmp_path: Path) -> None:
    result = live(tmp_path, scenario_text(), parts={"fleet": f"{SABOTAGE}.inaccurate_fleet"})
    rows = discrepancies(result.directory, "class_violation")
    assert {row["serial"] for row in rows} == {serial(INACCURATE_METER)}
    assert failed_criteria(result) == {"accuracy.class_violations"}


def test_a_transformers_meter_outside_its_class_fails_for_itself(tmp_path: Path) -> None:
    text = scenario_text(fleet='profile = "rl-dsp"\ntransformer_meters = "sdm630-ct"')
    result = live(tmp_path, text, parts={"fleet": f"{SABOTAGE}.inaccurate_station_fleet"})
    rows = pq.read_table(result.directory / "transformer_discrepancies.parquet").to_pylist()
    assert {row["serial"] for row in rows} == {serial(40 + INACCURATE_STATION)}
    assert {row["kind"] for row in rows} == {"class_violation"}
    assert failed_criteria(result) == {"transformers.discrepancies"}


def test_a_sag_that_is_stored_deeper_than_it_was_is_altered(tmp_path: Path) -> None:
    """Behind an open neutral voltages float."""
    text = scenario_text(meters=None, duration="1h", events=conductor_event("00:20", "N", "section", "20min", (10, 60)))
    result = live(tmp_path, text, parts={"headend": f"{SABOTAGE}.exaggerating_headend"})
    voltage = result.verdict.voltage
    assert voltage is not None
    assert voltage.recorded == voltage.stored > len(voltage.altered) == 1
    assert failed_criteria(result) == {"voltage.altered"}


def test_a_head_end_that_is_away_too_long_reads_too_late(tmp_path: Path) -> None:
    events = """
[[event]]
at = "00:10"
kind = "kill"
part = "headend"
down = "80min"
"""
    result = live(tmp_path, scenario_text(events=events, settle="30min"))
    reads = result.verdict.comparison.reads
    assert reads.late
    assert reads.lost == 0
    assert failed_criteria(result) == {"reads.success_rate"}
