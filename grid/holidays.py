"""Public holidays of all of Germany: the profiles are German, and shops are shut on these days."""

from __future__ import annotations

import functools
from datetime import date, timedelta

GERMAN_ZONES = frozenset({"Europe/Berlin", "Europe/Busingen"})

_FIXED = ((1, 1), (5, 1), (10, 3), (12, 25), (12, 26))
_AFTER_EASTER_DAYS = (-2, 1, 39, 50)
"""Good Friday, Easter Monday, Ascension, Whit Monday."""


@functools.lru_cache(maxsize=8)
def german_holidays(year: int) -> frozenset[date]:
    """The nine days that are holidays in every state."""
    easter = easter_sunday(year)
    moving = (easter + timedelta(days=days) for days in _AFTER_EASTER_DAYS)
    return frozenset((*(date(year, *day) for day in _FIXED), *moving))


def easter_sunday(year: int) -> date:
    """Gregorian Easter.

    Source: J. Meeus, "Astronomical Algorithms", 2nd ed. 1998, chapter 8 (the anonymous algorithm of 1876).
    """
    a, (b, c) = year % 19, divmod(year, 100)
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    weekday = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 19 * weekday) // 433
    month = (h + weekday - 7 * m + 90) // 25
    return date(year, month, (h + weekday - 7 * m + 33 * month + 19) % 32)
