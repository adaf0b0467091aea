"""Quantities between and over the phases, against the textbook."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meters.device.circuit import (
    CURRENT_THD_PERCENT,
    VOLTAGE_THD_PERCENT,
    circuit,
    distortions,
    drawn_distortions,
    registers,
)
from meters.device.draws import meter_keys
from meters.device.quantities import CIRCUIT_NAMES, QUANTITIES, REGISTER_NAMES, THD_NAMES

SYMMETRIC = np.radians([[0.0, -120.0, 120.0]])
VOLTS = np.full((1, 3), 230.0)


def of(power_w: list[float], reactive_var: list[float]) -> dict[str, float]:
    active, reactive = np.array([power_w]), np.array([reactive_var])
    found = circuit(active, reactive, VOLTS, np.hypot(active, reactive) / VOLTS, SYMMETRIC)
    assert set(CIRCUIT_NAMES) <= set(found) <= set(QUANTITIES)
    return {name: float(values[0]) for name, values in found.items()}


@given(st.floats(-2e4, 2e4), st.floats(-2e4, 2e4))
def test_a_balanced_load_has_no_neutral_current_and_root_three_between_phases(power_w: float, var: float) -> None:
    found = of([power_w] * 3, [var] * 3)
    assert found["neutral_current_a"] == pytest.approx(0.0, abs=1e-9)
    assert found["voltage_l1_l2_v"] == found["voltage_ll_v"] == pytest.approx(230.0 * math.sqrt(3.0))
    assert found["current_sum_a"] == pytest.approx(3 * math.hypot(power_w, var) / 230.0)
    if math.hypot(power_w, var) > 1e-3:
        # 180 and -180 degrees are the same.
        apart = (found["phase_angle_deg"] - math.degrees(math.atan2(var, power_w)) + 180.0) % 360.0 - 180.0
        assert apart == pytest.approx(0.0, abs=1e-6)


def test_a_load_on_one_phase_returns_by_the_neutral() -> None:
    found = of([2300.0, 0.0, 0.0], [0.0, 0.0, 0.0])
    assert found["neutral_current_a"] == pytest.approx(found["current_l1_a"]) == pytest.approx(10.0)
    assert found["current_a"] == pytest.approx(10.0 / 3)


def test_two_equal_phases_leave_their_own_current_in_the_neutral() -> None:
    assert of([2300.0, 2300.0, 0.0], [0.0] * 3)["neutral_current_a"] == pytest.approx(10.0)


def test_the_neutral_follows_the_angles_of_the_currents_too() -> None:
    # Capacitive by 60 degrees on L2, inductive on L3: both currents point away from L1's.
    found = of([2300.0, 1150.0, 1150.0], [0.0, 1150.0 * math.sqrt(3), -1150.0 * math.sqrt(3)])
    assert found["phase_angle_l2_deg"] == pytest.approx(60.0)
    assert found["phase_angle_l3_deg"] == pytest.approx(-60.0)
    assert found["neutral_current_a"] == pytest.approx(10.0)


def test_distortions_are_a_meters_own_and_none_where_nothing_flows() -> None:
    keys = meter_keys(7, ["A", "B"])
    current = np.array([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    found = distortions(drawn_distortions(keys), np.full((2, 3), 230.0), current)
    assert set(found) == set(THD_NAMES)
    assert found["current_thd_l2_percent"][0] == 0.0
    for name, (least, most) in (("voltage", VOLTAGE_THD_PERCENT), ("current", CURRENT_THD_PERCENT)):
        assert least <= found[f"{name}_thd_l1_percent"][1] <= most
    assert found["voltage_thd_l1_percent"][0] != found["voltage_thd_l1_percent"][1]
    again = distortions(drawn_distortions(keys), np.full((2, 3), 230.0), current)
    assert all(np.array_equal(found[name], again[name]) for name in found)
    assert not any(
        values.any() for values in distortions(drawn_distortions(keys), np.zeros((2, 3)), np.zeros((2, 3))).values()
    )


def test_sums_of_registers_roll_over_as_these_do() -> None:
    digits = np.arange(len(REGISTER_NAMES), dtype=np.float64)[np.newaxis] + 90.0
    found = registers(digits, 100)
    assert set(found) <= set(QUANTITIES)
    named = dict(zip(REGISTER_NAMES, digits[0], strict=True))
    assert found["total_wh"][0] == (named["import_wh"] + named["export_wh"]) % 100
    assert found["reactive_export_varh"][0] == (named["reactive_q3_varh"] + named["reactive_q4_varh"]) % 100
