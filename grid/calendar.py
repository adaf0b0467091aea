"""Which row of the published profiles holds at an instant: weekday, season, daylight saving, holidays, and the sun.

The files of `grid.profiles` are of 2016 and label their rows in German local time. The data are not all in that time.
Compared row by row (`tests/grid/test_profile_clocks.py` repeats it on the installed files):

* **Businesses** and the standard households move by four rows where daylight saving begins and ends: their rows count
  Central European *standard* time, as the labels say (row 0 is 23:00 UTC).
* The **simulated households** (H0-A, B, C, G, L) and the heat pumps do not move: their rows are the time on the clock.
* **Photovoltaics** know no daylight saving either. Their noon lies at 11.4 in rows, 0.6 h later than in German winter
  time it would: rows count UTC. Over the eight curves and twelve months, noon is the sun's at 8° E, to 0.02 h in the
  mean and 0.2 h in each month. As Central European Time it would be the sun of 23° E, east of Warsaw.

A feeder's day follows the nearest day of 2016 of the same kind: weekday, or holiday. A holiday may be a Sunday, a
working day is never a holiday of 2016. Generation follows the apparent solar time at the feeder's longitude: rows are
found by the time before or after noon, on the same day of the year. South of the equator the year is half a year on.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import IntEnum
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from grid.holidays import GERMAN_ZONES, german_holidays

STEP_S = 900
DAY_ROWS = 96
PROFILE_YEAR = 2016
DAYS = 366
ROWS = DAYS * DAY_ROWS

MAX_WEEKS = 3
MAX_STEPS = 4
"""How far a drawn customer's demand may be shifted: whole weeks keep the weekday, quarter hours the time of day."""

PROFILE_LONGITUDE = 8.0
_SUMMER_BEGINS_DAY, _SUMMER_ENDS_DAY = 86, 303
"""27 March and 30 October 2016."""
_HALF_YEAR_DAYS = 182
_REGIONAL = frozenset(date(PROFILE_YEAR, *day) for day in ((1, 6), (5, 26), (11, 1)))
"""Epiphany, Corpus Christi and All Saints: some of the businesses are shut."""
_HALF_HOLIDAYS = ((12, 24), (12, 31))
_HOLIDAY = 7
"""A kind of day beside the weekdays 0 (Monday) to 6."""

Rows = NDArray[np.intp]


class RowClock(IntEnum):
    """What the rows of a curve count."""

    WALL = 0
    STANDARD = 1
    SUN = 2


@dataclass(frozen=True, slots=True, eq=False)
class CalendarRows:
    """The rows that hold in one quarter of an hour."""

    shifted: tuple[Rows, Rows]
    """By `RowClock.WALL` and `STANDARD`: (weeks, steps), for each shift in weeks and in quarter hours."""
    unshifted: Rows
    """(3,) by `RowClock`."""

    @property
    def sun(self) -> int:
        return int(self.unshifted[RowClock.SUN])


@dataclass(frozen=True, eq=False)
class Calendar:
    """The time on the clock and the sun of one place. `longitude` and `latitude` are WGS 84 degrees."""

    zone: ZoneInfo
    longitude: float
    latitude: float
    _last: dict[int, CalendarRows] = field(default_factory=dict, init=False, repr=False)

    def rows_at(self, time_s: int) -> CalendarRows:
        """The rows of an instant; they hold for its quarter of an hour of UTC."""
        quarter = time_s // STEP_S
        rows = self._last.get(quarter)
        if rows is None:
            rows = self._rows(quarter * STEP_S)
            self._last.clear()
            self._last[quarter] = rows
        return rows

    def _rows(self, time_s: int) -> CalendarRows:
        wall = np.empty((2 * MAX_WEEKS + 1, 2 * MAX_STEPS + 1), dtype=np.intp)
        standard = np.empty_like(wall)
        southern, german = self.latitude < 0.0, self.zone.key in GERMAN_ZONES
        for column, step in enumerate(range(-MAX_STEPS, MAX_STEPS + 1)):
            local = datetime.fromtimestamp(time_s + step * STEP_S, self.zone)
            quarter = local.hour * 4 + local.minute // 15
            wall[:, column] = _profile_days(local.date(), southern, german) * DAY_ROWS + quarter
            standard[:, column] = _standard_rows(wall[:, column], second=bool(local.fold))
        now = (MAX_WEEKS, MAX_STEPS)
        return CalendarRows(
            (wall, standard), np.array([wall[now], standard[now], self._sun_row(time_s)], dtype=np.intp)
        )

    def _sun_row(self, time_s: int) -> int:
        mean = datetime.fromtimestamp(time_s, UTC) + timedelta(hours=self.longitude / 15.0)
        day = _day_of_profile_year(mean.date(), southern=self.latitude < 0.0)
        # The rows of that day have its own equation of time: it differs from today's only half a year on.
        there = date(PROFILE_YEAR, 1, 1) + timedelta(days=day)
        ahead_s = 60.0 * (equation_of_time_minutes(mean.date()) - equation_of_time_minutes(there))
        since_midnight_s = mean.hour * 3600 + mean.minute * 60 + mean.second + ahead_s
        row = day * DAY_ROWS + math.floor((since_midnight_s - PROFILE_LONGITUDE * 240.0) / STEP_S + 0.5)
        return row % ROWS


def equation_of_time_minutes(day: date) -> float:
    """Apparent minus mean solar time, within half a minute.

    Source: J. W. Spencer, "Fourier series representation of the position of the sun", Search 2 (5), 1971, p. 172.
    """
    angle = 2.0 * math.pi * (day.timetuple().tm_yday - 1) / 365.0
    return 229.18 * (
        0.000075
        + 0.001868 * math.cos(angle)
        - 0.032077 * math.sin(angle)
        - 0.014615 * math.cos(2 * angle)
        - 0.040849 * math.sin(2 * angle)
    )


@functools.lru_cache(maxsize=64)
def _profile_days(day: date, southern: bool, german: bool) -> Rows:
    """(2 MAX_WEEKS + 1,) days of the profile year that stand for `day`, for each shift in weeks."""
    target = _day_of_profile_year(day, southern=southern) + 7 * np.arange(-MAX_WEEKS, MAX_WEEKS + 1)
    if german and (day.month, day.day) in _HALF_HOLIDAYS:
        return np.full(len(target), target[MAX_WEEKS], dtype=np.intp)
    kind = _HOLIDAY if german and day in german_holidays(day.year) else day.weekday()
    candidates = _days_of_kind()[kind]
    apart = np.abs(candidates[np.newaxis, :] - target[:, np.newaxis]) % DAYS
    found: Rows = candidates[np.minimum(apart, DAYS - apart).argmin(axis=1)]
    if german and day.year == PROFILE_YEAR and not southern:
        # The published year is itself, and so a net's series are the published ones.
        found[MAX_WEEKS] = target[MAX_WEEKS]
    found.setflags(write=False)
    return found


@functools.cache
def _days_of_kind() -> tuple[Rows, ...]:
    days = [date(PROFILE_YEAR, 1, 1) + timedelta(days=number) for number in range(DAYS)]
    holidays = german_holidays(PROFILE_YEAR)
    unusual = holidays | _REGIONAL | {date(PROFILE_YEAR, *day) for day in _HALF_HOLIDAYS}
    ordinary = np.array([day not in unusual for day in days])
    weekday = np.array([day.weekday() for day in days])
    free = np.array([day in holidays or day.weekday() == 6 for day in days])
    kinds = [(weekday == number) & ordinary for number in range(7)]
    return tuple(np.flatnonzero(kind) for kind in (*kinds, free))


def _day_of_profile_year(day: date, *, southern: bool) -> int:
    number = (day.replace(year=PROFILE_YEAR) - date(PROFILE_YEAR, 1, 1)).days
    return (number + _HALF_YEAR_DAYS) % DAYS if southern else number


def _standard_rows(wall: Rows, *, second: bool) -> Rows:
    """Rows in standard time of rows on the wall; `second`: of the hour that occurs twice, the second."""
    end = _SUMMER_ENDS_DAY * DAY_ROWS + (8 if second else 12)
    summer = (wall >= _SUMMER_BEGINS_DAY * DAY_ROWS + 12) & (wall < end)
    return wall - 4 * summer
