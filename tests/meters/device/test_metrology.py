from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from meters.device.draws import meter_keys
from meters.device.metrology import Metrology
from meters.vendors.registry import load_profile

FACTS = load_profile("rl-dsp").facts
COUNT = 1500
ROWS = np.arange(COUNT)
METROLOGY = Metrology(meter_keys(7, [f"AMI{number:08d}" for number in range(COUNT)]), FACTS)
CLASS = 0.01


def flat(wh: float) -> np.ndarray:
    return np.full((COUNT, 3), wh)


@given(st.lists(st.floats(0, 20_000), min_size=1, max_size=20))
def test_intervals_sum_to_the_register_and_each_is_within_class_and_resolution(steps_wh: list[float]) -> None:
    total_wh = np.cumsum([0.0, *steps_wh])
    registers = np.array([METROLOGY.registers(ROWS, flat(wh), flat(0.0)) for wh in total_wh])
    deltas = np.diff(registers, axis=0)
    assert (deltas >= 0).all()
    assert (deltas.sum(axis=0) == registers[-1] - registers[0]).all()
    true_wh = np.diff(total_wh)[:, None]
    # The criterion of the verdict: class % of the energy, and two register steps.
    assert (np.abs(deltas[:, :, 0] - 3 * true_wh) <= CLASS * 3 * true_wh + 2).all()
    assert (np.abs(deltas[:, :, 2:5] - true_wh[..., None]) <= CLASS * true_wh[..., None] + 2).all()
    assert (deltas[:, :, 1] == 0).all()
    assert (deltas[:, :, 5:8] == 0).all()


def test_channels_count_what_is_theirs() -> None:
    import_wh = np.tile([10_000.0, 20_000.0, 0.0], (COUNT, 1))
    export_wh = np.tile([0.0, 0.0, 50_000.0], (COUNT, 1))
    counted = METROLOGY.registers(ROWS, import_wh, export_wh) - METROLOGY.registers(ROWS, flat(0.0), flat(0.0))
    expected = np.array([30_000, 50_000, 10_000, 20_000, 0, 0, 0, 50_000])
    assert (np.abs(counted - expected) <= CLASS * expected + 1).all()
    assert (counted[:, [4, 5, 6]] == 0).all()


def test_class_errors_are_spread_over_both_signs_within_the_share_of_the_class() -> None:
    counted_wh = METROLOGY.registers(ROWS, flat(1e6), flat(0.0)) - METROLOGY.registers(ROWS, flat(0.0), flat(0.0))
    error = counted_wh[:, 0] / 3e6 - 1
    assert np.abs(error).max() <= 0.006 + 1e-6
    assert error.min() < -0.005
    assert error.max() > 0.005
    assert abs(error.mean()) < 0.0005


def test_a_few_meters_roll_over_within_a_days_consumption() -> None:
    before = METROLOGY.displayed(METROLOGY.registers(ROWS, flat(0.0), flat(0.0)))[:, 0]
    after = METROLOGY.displayed(METROLOGY.registers(ROWS, flat(1_100.0), flat(0.0)))[:, 0]
    rolled = after < before
    assert 1 <= rolled.sum() <= 20
    assert ((after - before) % 1_000_000_000 >= 3_300 * 0.99 - 1).all()
    assert before.max() < 1_000_000_000
    assert (before >= 0).all()


def test_power_is_net_over_the_phases_with_the_class_error() -> None:
    power_w = np.tile([1000.0, 500.0, -4500.0], (COUNT, 1))
    measured = METROLOGY.power_w(ROWS, power_w)
    assert (np.abs(measured + 3000) <= 3000 * CLASS + 1).all()


def test_a_subset_of_rows_reads_the_same() -> None:
    rows = np.array([5, 900, 3])
    some = METROLOGY.registers(rows, flat(123.4)[rows], flat(9.9)[rows])
    assert (some == METROLOGY.registers(ROWS, flat(123.4), flat(9.9))[rows]).all()


def test_coarser_registers_move_in_their_steps() -> None:
    facts = FACTS.model_copy(update={"register_step_wh": 100})
    metrology = Metrology(meter_keys(7, ["AMI1"]), facts)
    row = np.array([0])
    values = [
        int(metrology.registers(row, np.full((1, 3), wh), np.zeros((1, 3)))[0, 0]) for wh in np.arange(0.0, 500, 7)
    ]
    assert set(np.diff(values)) == {0, 100}
    assert values[0] % 100 == 0
