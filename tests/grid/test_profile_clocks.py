"""What time the rows of the installed profiles are in: found in the data, as `grid.calendar` says."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from numpy.typing import NDArray

from grid.calendar import PROFILE_LONGITUDE, RowClock, equation_of_time_minutes
from grid.holidays import german_holidays
from grid.profiles import load_profiles, named_profiles, row_clock

FIRST = date(2016, 1, 1)
SPRING, AUTUMN = 86, 303
"""Days of the year on which daylight saving begins and ends."""


def working_days(first: int, last: int) -> list[int]:
    days = [(number, FIRST + timedelta(days=number)) for number in range(first, last)]
    return [number for number, day in days if day.weekday() < 5 and day not in german_holidays(2016)]


def shape(curve: NDArray[np.float64], days: list[int]) -> NDArray[np.float64]:
    mean = curve.reshape(366, 96)[days].mean(axis=0)
    return np.asarray((mean - mean.mean()) / mean.std())


def likeness(curve: NDArray[np.float64], change: int, rows: int) -> float:
    """How alike working days before and after a change of the clock are, the later ones moved by `rows`."""
    before, after = working_days(change - 28, change), working_days(change + 1, change + 29)
    return float((shape(curve, before) * np.roll(shape(curve, after), rows)).mean())


@pytest.mark.parametrize("name", ["G1-B", "G1-C", "G2-A", "G4-A", "G4-B", "G5-A", "L2-A", "H0-H"])
def test_businesses_move_by_four_rows_when_the_clock_changes(name: str) -> None:
    curve = named_profiles("load", [name]).active[:, 0]
    assert row_clock("load", name) is RowClock.STANDARD
    assert likeness(curve, SPRING, 4) > 0.95 > likeness(curve, SPRING, 0)
    assert likeness(curve, AUTUMN, -4) > 0.95 > likeness(curve, AUTUMN, 0)


def test_simulated_households_and_heat_pumps_do_not() -> None:
    profiles = load_profiles()
    for kind in (profiles.households, profiles.heat_pumps):
        assert all(row_clock("load", name) is RowClock.WALL for name in kind.names)
        curve = kind.active.mean(axis=1)
        for change, moved in ((SPRING, 4), (AUTUMN, -4)):
            assert likeness(curve, change, 0) > likeness(curve, change, moved)


def test_rows_of_photovoltaics_count_utc() -> None:
    """The middle of the energy, month by month, is the sun's noon at 8° E; there is no step in March and October."""
    sun = load_profiles().photovoltaics.active.sum(axis=1).reshape(366, 96)
    hours = (np.arange(96) + 0.5) / 4
    late = []
    for month in range(1, 13):
        first = (date(2016, month, 1) - FIRST).days
        energy = sun[first : first + 29].sum(axis=0)
        noon_h = 12.0 - PROFILE_LONGITUDE / 15.0 - equation_of_time_minutes(date(2016, month, 15)) / 60.0
        late.append(float(energy @ hours / energy.sum() - noon_h))
    assert np.abs(late).max() < 0.25
    assert abs(np.mean(late)) < 0.03
