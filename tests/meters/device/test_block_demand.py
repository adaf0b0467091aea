"""Block demand: means over blocks, the highest of them, and independence of who asks when."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meters.device.demand import advanced, blocks_from, demanded
from meters.device.quantities import DEMANDED

PERIOD_S = 900.0
steps = st.lists(st.tuples(st.integers(1, 2000), st.floats(0, 1e4)), min_size=1, max_size=12)


def lived(lived_s: list[tuple[int, float]], period_s: float = PERIOD_S, asked_s: int = 0) -> tuple[float, float]:
    """Last and highest demand after steps of (s, W), advanced at each of them, and each `asked_s`."""
    now_s, blocks = 0.0, blocks_from(0.0, 1)
    for length_s, power_w in lived_s:
        blocks["measured"] = power_w
        for at_s in (*(range(int(now_s), int(now_s) + length_s, asked_s) if asked_s else ()), now_s + length_s):
            blocks = advanced(blocks, float(at_s), np.array([period_s]))
        now_s += length_s
    return float(blocks["last"][0, 0]), float(blocks["most"][0, 0])


@given(steps)
def test_a_demand_is_the_mean_of_its_block(lived_s: list[tuple[int, float]]) -> None:
    each_second = np.concatenate([np.full(length_s, power_w) for length_s, power_w in lived_s])
    whole = len(each_second) // int(PERIOD_S)
    means = each_second[: whole * int(PERIOD_S)].reshape(whole, int(PERIOD_S)).mean(axis=1)
    last, most = lived(lived_s)
    assert last == pytest.approx(means[-1] if whole else 0.0)
    assert most == pytest.approx(max(means, default=0.0))


@given(steps, st.integers(1, 700))
def test_who_asks_changes_nothing(lived_s: list[tuple[int, float]], asked_s: int) -> None:
    assert lived(lived_s, asked_s=asked_s) == pytest.approx(lived(lived_s))


def test_without_a_period_it_is_what_is_measured() -> None:
    assert lived([(10, 500.0), (10, 200.0)], period_s=0.0) == (200.0, 500.0)


def test_what_is_demanded_of_a_house_that_feeds_in() -> None:
    found = demanded(
        np.array([[-3000.0, 500.0, 0.0]]), np.array([[0.0, 0.0, 100.0]]), np.array([[13.0, 2.0, 0.4]]), np.array([12.0])
    )
    assert dict(zip(DEMANDED, found[0].tolist(), strict=True)) == {
        "demand_w": -2500.0,
        "import_demand_w": 0.0,
        "export_demand_w": 2500.0,
        "demand_va": 3600.0,
        "neutral_demand_a": 12.0,
        "demand_l1_a": 13.0,
        "demand_l2_a": 2.0,
        "demand_l3_a": 0.4,
    }
