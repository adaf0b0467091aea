"""Profiles and the demand drawn from them."""

from __future__ import annotations

import importlib.util
from datetime import UTC, datetime

import numpy as np
import pytest

from grid.calendar import ROWS
from grid.demand import PV_RANGE_KWP, Demand
from grid.feeder import Feeder
from grid.network import Network
from grid.profiles import ProfileError, load_profiles

DAY_S = 86_400


def epoch_s(*fields: int) -> int:
    return int(datetime(*fields, tzinfo=UTC).timestamp())  # type: ignore[misc,arg-type]  # year, month, day, hour …


def test_profiles_are_relative_to_their_peak_and_plausible() -> None:
    profiles = load_profiles()
    for kind in (profiles.households, profiles.businesses, profiles.heat_pumps):
        assert kind.active.shape == (ROWS, len(kind.names))
        assert np.allclose(kind.active.max(axis=0), 1.0)
        assert kind.active.min() >= 0.0
    sun = profiles.photovoltaics.active
    midsummer = 172 * 96
    assert not sun[midsummer].any()
    assert sun[midsummer + 44].max() > 0.3
    yield_hours = sun.sum(axis=0) / 4
    assert ((yield_hours > 500) & (yield_hours < 1200)).all()  # kWh per kWp and year in Germany


def test_missing_dataset_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ProfileError, match="pip install simbench"):
        load_profiles.__wrapped__()


def test_same_seed_same_day_bit_for_bit(schutterwald: Feeder, start_s: int) -> None:
    first, second = (Demand.draw(schutterwald, seed=7) for _ in range(2))
    other = Demand.draw(schutterwald, seed=8)
    assert np.array_equal(first.connected, second.connected)
    for time_s in range(start_s, start_s + DAY_S, 900):
        for mine, same in zip(first.at(time_s), second.at(time_s), strict=True):
            assert mine.tobytes() == same.tobytes()
    assert first.at(start_s)[0].tobytes() != other.at(start_s)[0].tobytes()


def test_nobody_ever_takes_or_feeds_more_than_the_largest(schutterwald: Feeder, start_s: int) -> None:
    demand = Demand.draw(schutterwald, seed=7)
    largest_w = demand.largest_w
    for quarter in range(0, 7 * 96, 5):
        active_w, _ = demand.at(start_s + quarter * 900)
        assert (np.abs(active_w) <= largest_w + 1e-6).all()
    assert largest_w.max() < 69_000, "what a meter of the lab passes directly"


def test_constant_within_a_quarter_of_an_hour(schutterwald: Feeder, start_s: int) -> None:
    demand = Demand.draw(schutterwald, seed=7)
    assert np.array_equal(demand.at(start_s + 900)[0], demand.at(start_s + 1799)[0])
    assert not np.array_equal(demand.at(start_s + 900)[0], demand.at(start_s + 1800)[0])


def test_customers_look_like_a_village(schutterwald: Feeder, start_s: int) -> None:
    demand = Demand.draw(schutterwald, seed=7)
    households = ~demand.business
    assert demand.business.sum() == 17  # the loads that the net rates above a household
    assert 3000 < demand.annual_kwh[households & ~demand.heat_pump].mean() < 4000
    assert 0.10 < (demand.pv_kwp > 0).mean() < 0.20
    installed = demand.pv_kwp[demand.pv_kwp > 0]
    assert PV_RANGE_KWP[0] <= installed.min() <= installed.max() <= PV_RANGE_KWP[1]
    assert 0.06 < demand.heat_pump.mean() < 0.14
    phases = demand.connected.sum(axis=1)
    assert set(phases) == {1, 3}
    assert (phases[(demand.pv_kwp > 0) | demand.heat_pump | demand.business] == 3).all()
    assert demand.connected[phases == 1].sum(axis=0).min() > 100  # spread over L1, L2 and L3


def test_annual_energy_is_what_the_profiles_add_up_to(hamlet: Feeder) -> None:
    start_s = epoch_s(2026, 1, 1)
    demand = Demand.draw(hamlet, seed=7)
    plain = np.flatnonzero(demand.pv_kwp == 0)
    assert len(plain) > 0
    total_wh = sum(demand.at(start_s + row * 900)[0][plain] for row in range(ROWS)) / 4
    # A year of another calendar has some days of the profile year twice, and others not at all.
    np.testing.assert_allclose(total_wh / 1e3, demand.annual_kwh[plain], rtol=0.03)


@pytest.mark.parametrize("month", [1, 4, 7, 12])
@pytest.mark.parametrize("seed", [2, 7])
def test_voltages_stay_within_ten_percent(schutterwald: Feeder, month: int, seed: int) -> None:
    start_s = epoch_s(2026, month, 15)
    demand = Demand.draw(schutterwald, seed=seed)
    network = Network(schutterwald)
    share = demand.connected / demand.connected.sum(axis=1, keepdims=True)
    powers = (demand.at(time_s) for time_s in range(start_s, start_s + DAY_S, 1800))
    solutions = [network.solve(*(power[:, np.newaxis] * share for power in at)) for at in powers]
    voltages = [np.abs(solution.phase_voltage_pu[demand.connected]) for solution in solutions]
    assert 0.9 < np.min(voltages) < np.max(voltages) < 1.1


def test_infeed_exports_at_noon_in_summer(schutterwald: Feeder) -> None:
    start_s = epoch_s(2026, 6, 21)
    demand = Demand.draw(schutterwald, seed=7)
    noon_w, _ = demand.at(start_s + 11 * 3600)
    midnight_w, _ = demand.at(start_s)
    assert (noon_w[demand.pv_kwp > 0] < 0).mean() > 0.5
    assert (midnight_w > 0).all()
