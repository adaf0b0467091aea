"""Weekday, season, daylight saving, holidays and the sun of a feeder's own place and year."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from dateutil.easter import easter  # type: ignore[import-untyped]

from grid.calendar import DAY_ROWS, Calendar, RowClock
from grid.demand import Demand
from grid.feeder import Feeder
from grid.holidays import easter_sunday, german_holidays
from grid.profiles import load_profiles
from grid.simulation import GridSimulation
from grid.world import WorldFrame

GERMANY = Calendar(ZoneInfo("Europe/Berlin"), 8.0, 48.5)
SYDNEY = Calendar(ZoneInfo("Australia/Sydney"), 151.2, -33.9)
FIRST = date(2016, 1, 1)
YEARS = (2000, 2023, 2024, 2025, 2026, 2027, 2028, 2099)
"""Leap years that begin on a Saturday and a Monday, the end of a century, and common years of five weekdays."""


def instant(zone: str, *fields: int) -> int:
    """`fields` are what the clocks of the zone show."""
    return int(datetime(*fields, tzinfo=ZoneInfo(zone)).timestamp())  # type: ignore[arg-type,misc]


def profile_time(calendar: Calendar, time_s: int, clock: RowClock) -> tuple[date, float]:
    """The day of the profile year, and the hour of it in rows."""
    day, row = divmod(int(calendar.rows_at(time_s).unshifted[clock]), DAY_ROWS)
    return FIRST + timedelta(days=day), row / 4


@pytest.mark.parametrize("year", YEARS)
@pytest.mark.parametrize("calendar", [GERMANY, SYDNEY], ids=["Germany", "Sydney"])
def test_each_day_follows_a_day_of_its_weekday_in_its_season(calendar: Calendar, year: int) -> None:
    zone = calendar.zone.key
    german = zone == "Europe/Berlin"
    for number in range(365):
        day = date(year, 1, 1) + timedelta(days=number)
        found, _ = profile_time(calendar, instant(zone, day.year, day.month, day.day, 12), RowClock.WALL)
        free = german and day in german_holidays(year)
        if german and (day.month, day.day) in ((12, 24), (12, 31)):
            assert (found.month, found.day) == (day.month, day.day)
        elif free:
            assert found.weekday() == 6 or found in german_holidays(2016)
        else:
            assert found.weekday() == day.weekday()
            assert found.weekday() == 6 or found not in german_holidays(2016)
        season = (found - FIRST).days - (date(2016, day.month, day.day) - FIRST).days
        apart = (season - (0 if german else 182)) % 366
        assert min(apart, 366 - apart) <= 8, (day, found)


def test_a_friday_in_january_is_no_saturday() -> None:
    found, hour = profile_time(GERMANY, instant("Europe/Berlin", 2026, 1, 16, 9), RowClock.STANDARD)
    assert (found, hour) == (date(2016, 1, 15), 9.0)


@pytest.mark.parametrize("year", [2024, 2026, 2027])
def test_shops_keep_their_week(year: int) -> None:
    """G1 are trades that work on weekdays; the day's energy tells, an hour at a time."""
    businesses = load_profiles().businesses
    shop = businesses.active[:, businesses.names.index("G1-B")]
    energy: dict[int, list[float]] = {weekday: [] for weekday in range(8)}
    for number in range(364):
        day = date(year, 1, 2) + timedelta(days=number)
        midnight_s = instant("Europe/Berlin", day.year, day.month, day.day)
        rows = [int(GERMANY.rows_at(midnight_s + 3600 * k).unshifted[RowClock.STANDARD]) for k in range(24)]
        kind = 7 if day in german_holidays(year) else day.weekday()
        energy[kind].append(float(shop[rows].sum()))
    quiet = max(np.median(energy[kind]) for kind in (5, 6, 7))
    assert all(np.median(energy[weekday]) > 4 * quiet for weekday in range(5))
    assert max(energy[7]) < 2 * quiet, "a holiday is never a working day"


@pytest.mark.parametrize(
    ("zone", "before", "after"),
    [
        ("Europe/Berlin", (2026, 3, 27), (2026, 3, 30)),
        ("Europe/Berlin", (2024, 10, 25), (2024, 10, 28)),
        ("America/New_York", (2026, 3, 6), (2026, 3, 9)),
        ("America/New_York", (2028, 11, 3), (2028, 11, 6)),
        ("Australia/Sydney", (2026, 4, 3), (2026, 4, 6)),
        ("Australia/Sydney", (2025, 10, 3), (2025, 10, 6)),
    ],
)
def test_habits_keep_the_time_on_the_clock_when_it_changes(
    zone: str, before: tuple[int, int, int], after: tuple[int, int, int]
) -> None:
    """Half past seven is half past seven, for households and for shops, on both sides of the change."""
    calendar = Calendar(ZoneInfo(zone), 0.0, -33.0 if zone.startswith("Australia") else 50.0)
    seconds = {day: instant(zone, *day, 7, 30) for day in (before, after)}
    assert (seconds[after] - seconds[before]) % 86_400 in (3600, 82_800), "the clocks changed in between"
    for time_s in seconds.values():
        assert profile_time(calendar, time_s, RowClock.WALL)[1] == 7.5
        day, standard = profile_time(calendar, time_s, RowClock.STANDARD)
        summer = date(2016, 3, 27) <= day < date(2016, 10, 30)
        assert standard == (6.5 if summer else 7.5), "the dataset's rows are in standard time"


def test_the_hour_that_is_missing_and_the_one_that_is_there_twice() -> None:
    spring = instant("Europe/Berlin", 2026, 3, 29, 1, 45)
    hours = [profile_time(GERMANY, spring + 900 * k, RowClock.WALL)[1] for k in range(3)]
    assert hours == [1.75, 3.0, 3.25]
    autumn = instant("Europe/Berlin", 2026, 10, 25, 2, 45)
    hours = [profile_time(GERMANY, autumn + 900 * k, RowClock.WALL)[1] for k in range(3)]
    assert hours == [2.75, 2.0, 2.25]


def test_the_profile_year_is_itself() -> None:
    """So a SimBench net's series are SimBench's. Businesses' rows follow each other in standard time, all year."""
    start_s = instant("Europe/Berlin", 2016, 1, 1)
    for number in range(366):
        if FIRST + timedelta(days=number) in (date(2016, 12, 24), date(2016, 12, 31)):
            continue
        for row in range(number * 96, number * 96 + 96, 11):
            assert GERMANY.rows_at(start_s + 900 * row).unshifted[RowClock.STANDARD] == row


def solar_noon_utc_h(day: date, longitude: float) -> float:
    """Hours UTC. Source: "Approximate Solar Coordinates", U.S. Naval Observatory (0.3 minutes)."""
    d = (datetime(day.year, day.month, day.day, 12, tzinfo=UTC) - datetime(2000, 1, 1, 12, tzinfo=UTC)).days
    anomaly = math.radians(357.529 + 0.98560028 * d)
    mean = 280.459 + 0.98564736 * d
    apparent = math.radians(mean + 1.915 * math.sin(anomaly) + 0.020 * math.sin(2 * anomaly))
    tilt = math.radians(23.439 - 0.00000036 * d)
    ascension = math.degrees(math.atan2(math.cos(tilt) * math.sin(apparent), math.cos(apparent)))
    equation_h = ((mean - ascension + 180.0) % 360.0 - 180.0) / 15.0
    return 12.0 - longitude / 15.0 - equation_h


@pytest.mark.parametrize("year", [2024, 2026, 2100])
@pytest.mark.parametrize(("longitude", "latitude"), [(7.9, 48.5), (-9.1, 38.7), (-118.2, 34.0), (151.2, -33.9)])
def test_photovoltaics_have_their_noon_when_the_sun_has(year: int, longitude: float, latitude: float) -> None:
    """The middle of the energy of all eight roofs, in four months; what the clocks show does not count."""
    sun = load_profiles().photovoltaics.active.sum(axis=1)
    calendar = Calendar(ZoneInfo("Europe/Berlin"), longitude, latitude)
    late_h = []
    for month in (2, 5, 8, 11):  # the equation of time has its extremes in February and November
        middle = date(year, month, 15)
        noon_h = solar_noon_utc_h(middle, longitude)
        first = datetime(year, month, 1, tzinfo=UTC) + timedelta(hours=noon_h - 12.0)
        start_s = int(first.timestamp()) // 900 * 900
        power = np.array([sun[calendar.rows_at(start_s + 900 * k).sun] for k in range(20 * 96)]).reshape(20, 96)
        hours_utc = (start_s % 86_400) / 3600 + (np.arange(96) + 0.5) / 4
        late_h.append((power.sum(axis=0) @ hours_utc) / power.sum() - noon_h)
    late = (np.array(late_h) + 12.0) % 24.0 - 12.0
    assert np.abs(late).max() < 0.3
    assert abs(late.mean()) < 0.1


@pytest.mark.parametrize(("calendar", "summer"), [(GERMANY, 6), (SYDNEY, 12)])
def test_most_sun_is_in_the_summer_of_the_hemisphere(calendar: Calendar, summer: int) -> None:
    sun = load_profiles().photovoltaics.active.sum(axis=1)

    def energy(month: int) -> float:
        start_s = int(datetime(2026, month, 1, tzinfo=UTC).timestamp())
        return float(sum(sun[calendar.rows_at(start_s + 3600 * k).sun] for k in range(28 * 24)))

    assert energy(summer) > 3 * energy((summer + 5) % 12 + 1)


def test_holidays_are_those_of_germany() -> None:
    assert german_holidays(2026) == {
        *(date(2026, *day) for day in ((1, 1), (4, 3), (4, 6), (5, 1), (5, 14), (5, 25), (10, 3), (12, 25), (12, 26)))
    }
    assert all(easter_sunday(year) == easter(year) for year in range(1970, 2200))


def test_elsewhere_a_holiday_of_germany_is_a_working_day() -> None:
    lisbon = Calendar(ZoneInfo("Europe/Lisbon"), -9.1, 38.7)
    found, _ = profile_time(lisbon, instant("Europe/Lisbon", 2026, 5, 14, 12), RowClock.WALL)
    assert found.weekday() == 3
    assert found != date(2016, 5, 5)


def advanced(simulation: GridSimulation, time_s: int) -> WorldFrame:
    frame = simulation.advance(time_s)
    assert frame is not None
    return frame


@pytest.mark.parametrize(
    ("zone", "start"),
    [
        ("Europe/Berlin", (2026, 12, 31, 22)),
        ("Europe/Berlin", (2027, 12, 31, 22)),
        ("Europe/Berlin", (2024, 2, 28, 22)),
        ("Europe/Berlin", (2026, 3, 29, 0)),
        ("Europe/Berlin", (2026, 10, 25, 0)),
        ("Australia/Sydney", (2026, 4, 5, 0)),
        ("America/New_York", (2026, 11, 1, 0)),
    ],
)
def test_a_simulation_lives_over_midnight_new_year_and_changes_of_the_clock(
    hamlet: Feeder, zone: str, start: tuple[int, int, int, int]
) -> None:
    """Each customer's power is that of the calendar before and after, and energy goes on counting."""
    latitude = -33.9 if zone == "Australia/Sydney" else 48.0
    feeder = replace(hamlet, calendar=Calendar(ZoneInfo(zone), 10.0, latitude))
    demand = Demand.draw(feeder, seed=7)
    start_s = instant(zone, *start)
    simulation = GridSimulation(feeder, demand, start_s=start_s)
    frames = [advanced(simulation, start_s + 900 * k) for k in range(24)]
    for frame, later in pairwise(frames):
        assert (later.import_wh >= frame.import_wh).all()
        expected_w, _ = demand.at(frame.time_s)
        customers = slice(len(expected_w))
        np.testing.assert_allclose(frame.active_power_w[customers].sum(axis=1), expected_w, rtol=1e-9)
        spent_wh = (later.import_wh - frame.import_wh - later.export_wh + frame.export_wh)[customers].sum(axis=1)
        np.testing.assert_allclose(spent_wh, expected_w / 4, rtol=1e-6, atol=1e-6)
