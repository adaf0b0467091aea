"""Customers behind current transformers: the meter counts the secondary, and the primary is billed."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lab.run.request import RunResult
from tests.stack.labs import failed_criteria, live, scenario_text

RATIOS = {"UP-HH_w318873112": 10.0, "UP-HH_w357214806": 8.0, "UP-HH_w33105566": 4.0}
TRANSFORMERS = """
current_transformers = { "UP-HH_w318873112" = "50/5", "UP-HH_w357214806" = "40/5", "UP-HH_w33105566" = "20/5" }
"""


def energy_wh(result: RunResult, table: str, point: str) -> float:
    rows = pq.read_table(result.directory / f"{table}.parquet").to_pylist()
    return float(sum(row["import_wh"] for row in rows if row["usage_point"] == point))


@pytest.mark.parametrize("profile", ["rl-dsp", "sdm630"])
def test_the_primary_is_stored_once_and_the_secondary_recorded(tmp_path: Path, profile: str) -> None:
    result = live(tmp_path, scenario_text(duration="4h", fleet=f'profile = "{profile}"' + TRANSFORMERS))
    assert failed_criteria(result) == set()
    stored = pq.read_table(result.directory / "stored.parquet").to_pylist()
    for point, ratio in RATIOS.items():
        mine = sorted((row for row in stored if row["usage_point"] == point), key=lambda row: row["interval_start"])
        assert all(row["import_wh"] % ratio == 0 for row in mine), "whole Wh of the secondary"
        truth_wh, stored_wh = (energy_wh(result, table, point) for table in ("truth", "stored"))
        # A step of the register at either end is a step of the primary times the ratio.
        assert stored_wh == pytest.approx(truth_wh, rel=0.02, abs=2 * 8 * ratio)
        shown_wh = mine[-1]["import_register_wh"] - mine[0]["import_register_wh"]
        assert shown_wh * ratio == sum(row["import_wh"] for row in mine[1:]), "registers are as the meter shows them"


def test_a_head_end_that_forgets_the_multiplier_has_altered_readings(tmp_path: Path) -> None:
    text = scenario_text(fleet='profile = "rl-dsp"' + TRANSFORMERS)
    result = live(tmp_path, text, parts={"headend": "tests.stack.sabotage.unmultiplied_headend"})
    assert "reads.altered" in failed_criteria(result)
    rows = pq.read_table(result.directory / "discrepancies.parquet").to_pylist()
    assert {row["usage_point"] for row in rows if row["kind"] == "altered"} <= RATIOS.keys()
