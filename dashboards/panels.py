"""Short words for the catalogue: panels whose SQL lies in `sql/<dashboard>/<key>.sql`."""

from importlib import resources
from typing import Any

from dashboards.model import Column, Kind, Mapping, Panel, Threshold
from dashboards.when_empty import WHEN_EMPTY, ZERO_IS_NOTHING


def sql(place: str) -> str:
    """The text of `sql/<place>.sql`. Raises FileNotFoundError."""
    return (resources.files("dashboards") / "sql" / f"{place}.sql").read_text(encoding="utf-8")


def panel(place: str, kind: Kind, title: str, description: str, *columns: Column, **more: Any) -> Panel:
    """A panel; `place` is `<dashboard>/<key>`. Raises KeyError if when_empty.py does not know it."""
    more |= {"when_empty": WHEN_EMPTY[place], "zero_is_nothing": place in ZERO_IS_NOTHING}
    return Panel(place.partition("/")[2], title, description, kind, sql(place), columns, **more)


def time(name: str = "time", title: str | None = None) -> Column:
    return Column(name, "time", None, title)


def number(name: str, title: str | None = None, unit: str | None = None, *, judged: bool = False) -> Column:
    return Column(name, "number", unit, title, judged)


def count(name: str, title: str | None = None) -> Column:
    """Of things: a whole number."""
    return Column(name, "number", "none", title, decimals=0)


def text(name: str, title: str | None = None) -> Column:
    return Column(name, "text", None, title)


LINES = (time(), text("metric"), number("value"))
"""A line, or a row of states, for each metric."""


def at_least(bad_below: float, good_from: float) -> tuple[Threshold, ...]:
    """More is better."""
    return Threshold(None, "bad"), Threshold(bad_below, "warning"), Threshold(good_from, "good")


NONE = (Threshold(None, "good"), Threshold(1, "bad"))
"""One is one too many."""


def at_most(warning_from: float, bad_from: float) -> tuple[Threshold, ...]:
    """Less is better."""
    return Threshold(None, "good"), Threshold(warning_from, "warning"), Threshold(bad_from, "bad")


def within(low_bad: float, low: float, high: float, high_bad: float) -> tuple[Threshold, ...]:
    """Good in the middle."""
    return (
        Threshold(None, "bad"),
        Threshold(low_bad, "warning"),
        Threshold(low, "good"),
        Threshold(high, "warning"),
        Threshold(high_bad, "bad"),
    )


NEUTRAL = (Threshold(None, "neutral"),)


def states(*words: str) -> tuple[Mapping, ...]:
    """0 is good, 1 a warning if there is a 2, the highest bad."""
    last = len(words) - 1
    return tuple(
        Mapping(value, word, "good" if value == 0 else "bad" if value == last else "warning")
        for value, word in enumerate(words)
    )
