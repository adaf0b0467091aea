from __future__ import annotations

from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meters.device.clock import Clocks
from meters.device.draws import meter_keys
from meters.device.facts import DirectFacts, Facts
from meters.device.state import METER_STATE
from meters.vendors.registry import load_profile
from tests.meters.meter_yard import START_S

FACTS = cast(DirectFacts, load_profile("rl-dsp").facts)
COUNT = 200


def clocks(facts: Facts = FACTS, seed: int = 1) -> tuple[Clocks, np.ndarray]:
    state = np.zeros(COUNT, dtype=METER_STATE)
    made = Clocks(state, meter_keys(seed, [f"AMI{number}" for number in range(COUNT)]), facts)
    made.begin(START_S)
    return made, state


def run(made: Clocks, state: np.ndarray, boundaries: int) -> tuple[np.ndarray, np.ndarray]:
    """Close that many boundaries of each meter, synchronising when wanted: (device times, true times), (b, n) each."""
    rows = np.arange(COUNT)
    device_s, true_s = [], []
    for _ in range(boundaries):
        due_s = state["boundary_due_s"].copy()
        device_s.append(made.close(rows))
        true_s.append(due_s)
        wanted = made.sync_wanted(rows)
        made.synchronise(rows[wanted], due_s[wanted])
    return np.array(device_s), np.array(true_s)


def test_no_boundary_is_closed_twice_and_none_is_skipped() -> None:
    made, state = clocks()
    device_s, true_s = run(made, state, 10 * 96)
    assert (device_s == START_S + 900 * np.arange(1, 961)[:, None]).all()
    # Every synchronisation happens right at a boundary, and half of them set the clock back across it.
    assert (np.diff(true_s, axis=0) > 899).all()
    assert (np.diff(true_s, axis=0) < 901).all()


def test_a_boundary_is_due_when_the_devices_own_clock_shows_it() -> None:
    made, state = clocks()
    run(made, state, 30)
    rows = np.arange(COUNT)
    shown_s = made.device_time(rows, state["boundary_due_s"])
    assert np.abs(shown_s - state["boundary"] * 900).max() < 1e-5


def test_clocks_stay_within_what_drift_and_source_allow() -> None:
    made, state = clocks()
    device_s, true_s = run(made, state, 10 * 96)
    error_s = np.abs(device_s - true_s)
    # 0.3 s of the source, and 0.5 s a day over six hours and one interval.
    assert error_s.max() <= 0.3 + 0.5 * (6.25 / 24) + 1e-5
    assert error_s.max() > 0.3


def test_clocks_without_a_source_drift_no_faster_than_the_standard_allows() -> None:
    made, _ = clocks()
    rows = np.arange(COUNT)
    after_s = START_S + 10 * 86400.0
    gained_s = made.device_time(rows, after_s) - after_s - (made.device_time(rows, float(START_S)) - START_S)
    assert np.abs(gained_s).max() <= 0.5 * 10
    assert np.abs(gained_s).max() > 0.5 * 9
    assert (gained_s > 0).any()
    assert (gained_s < 0).any()


def test_each_clock_is_synchronised_every_six_hours() -> None:
    made, _ = clocks()
    rows = np.arange(COUNT)
    times = np.zeros(COUNT, dtype=int)
    for _ in range(48):
        made.close(rows)
        times += made.sync_wanted(rows)
    assert (times == 2).all()


@given(st.floats(-5000, 5000), st.integers(0, 3))
def test_a_large_correction_neither_repeats_nor_skips(wrong_by_s: float, closed: int) -> None:
    made, state = clocks()
    rows = np.arange(COUNT)
    for _ in range(closed):
        made.close(rows)
    now_s = np.full(COUNT, START_S + 900.0 * closed + 450)
    state["clock_offset_s"] += wrong_by_s
    moved_s = made.synchronise(rows, now_s)
    assert np.abs(moved_s + wrong_by_s).max() < 1.0
    due_s, device_s = [], []
    for _ in range(10):
        due_s.append(state["boundary_due_s"].copy())
        device_s.append(made.close(rows))
    assert (np.diff(np.array(device_s), axis=0) == 900).all()
    assert (device_s[0] == START_S + 900 * (closed + 1)).all()
    assert (np.diff(np.array(due_s), axis=0) >= 0).all()
    assert (due_s[0] >= now_s).all()


def test_a_clock_depends_on_its_serial_and_the_seed_alone() -> None:
    keys = meter_keys(1, ["AMI7", "AMI3"])
    assert keys[0] == meter_keys(1, ["AMI7"])[0]
    assert keys[0] != keys[1]
    assert keys[0] != meter_keys(2, ["AMI7"])[0]
    first, second = clocks(seed=1)[1], clocks(seed=2)[1]
    assert (first["boundary_due_s"] == clocks(seed=1)[1]["boundary_due_s"]).all()
    assert (first["boundary_due_s"] != second["boundary_due_s"]).all()


def test_a_start_within_an_interval_opens_that_interval() -> None:
    state = np.zeros(1, dtype=METER_STATE)
    made = Clocks(state, meter_keys(1, ["AMI1"]), FACTS)
    made.begin(START_S + 600)
    assert made.close(np.array([0])).tolist() == [START_S + 900]


@pytest.mark.parametrize("limit_s", [0.0, 0.3])
def test_the_error_of_the_source_is_that_of_the_profile(limit_s: float) -> None:
    made, state = clocks(FACTS.model_copy(update={"sync_error_limit_s": limit_s}))
    made.synchronise(np.arange(COUNT), np.full(COUNT, START_S + 10.0))
    assert np.abs(state["clock_offset_s"]).max() <= limit_s
    assert np.abs(state["clock_offset_s"]).max() >= 0.9 * limit_s
