"""What transformers measure, by interval."""

from __future__ import annotations

import numpy as np
import pytest

from grid.measurements import TransformerSample, intervals


def sample(time_s: int, power_w: float, loading: float = 50.0) -> TransformerSample:
    return TransformerSample(time_s, np.array([power_w, -power_w]), np.array([loading, loading / 2]))


def test_energy_is_the_integral_of_what_holds_between_samples() -> None:
    # 4 kW for a third of the interval, then 1 kW.
    (found,) = intervals([sample(900, 4000.0, 80), sample(1200, 1000.0, 20)], from_s=900, until_s=1800, length_s=900)
    assert found.start_s == 900
    assert found.energy_wh == pytest.approx([500.0, -500.0])
    assert found.loading_percent == pytest.approx([80.0, 40.0])


def test_a_sample_at_an_edge_belongs_to_the_interval_that_begins() -> None:
    found = intervals([sample(0, 1000.0), sample(900, 2000.0)], from_s=0, until_s=1800, length_s=900)
    assert [float(interval.energy_wh[0]) for interval in found] == pytest.approx([250.0, 500.0])


def test_only_whole_intervals_of_what_was_lived_through() -> None:
    samples = [sample(1000, 1000.0)]
    assert intervals(samples, from_s=0, until_s=2699, length_s=900) == []
    assert [found.start_s for found in intervals(samples, from_s=0, until_s=3600, length_s=900)] == [1800, 2700]
    assert intervals([], from_s=0, until_s=3600, length_s=900) == []


def test_asked_again_from_where_it_stopped_nothing_is_missing_or_twice() -> None:
    samples = [sample(900 * n, 100.0 * n) for n in range(10)]
    whole = intervals(samples, from_s=0, until_s=9000, length_s=900)
    parts = [
        *intervals(samples, from_s=0, until_s=4000, length_s=900),
        *intervals(samples, from_s=3600, until_s=9000, length_s=900),
    ]
    assert [found.start_s for found in parts] == [found.start_s for found in whole]
    assert [found.energy_wh.tolist() for found in parts] == [found.energy_wh.tolist() for found in whole]
