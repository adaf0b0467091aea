"""What a dashboard is, without a word on who draws it: Grafana (grafana.py) and amilab's own page read the same."""

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["stat", "gauge", "timeseries", "bar", "table", "map", "state"]
"""What the rows of each kind mean.

stat, gauge   one row; each numeric column is a figure of its own.
timeseries    `time`, and a numeric column for each line; or `time`, `metric`, `value`: a line for each metric.
bar           the first column is the bar's label, each other column a bar.
table         as it is.
map           `latitude`, `longitude`, `name`, `value` (which colours the point), and more to read.
state         `time`, `metric` (the row), `value`: holds until the next instant, at which every metric has a row again;
              `mappings` has its words.
"""

ColumnType = Literal["time", "number", "text"]
Level = Literal["good", "warning", "bad", "neutral"]
"""Never a colour: who draws has one for each that is readable in light and dark."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column that the SQL must return. `unit`, `decimals`: instead of the panel's; `title`: for people, by default
    the name.

    `judged`: in a table, the panel's thresholds say how good it is; what is not has no colour.
    """

    name: str
    type: ColumnType
    unit: str | None = None
    title: str | None = None
    judged: bool = False
    decimals: int | None = None


@dataclass(frozen=True, slots=True)
class Threshold:
    """From `at` upwards a value is `level`; None is from below."""

    at: float | None
    level: Level


@dataclass(frozen=True, slots=True)
class Mapping:
    """What a value is called."""

    value: float
    text: str
    level: Level


@dataclass(frozen=True, slots=True)
class Link:
    """From a panel's row to another dashboard, with the row's `column` as that dashboard's `variable`."""

    title: str
    dashboard: str
    variable: str | None = None
    column: str | None = None


@dataclass(frozen=True, slots=True)
class Panel:
    """`unit`: a unit of Grafana's. `decimals`: None for as many as it takes. `span`: of 24 columns; `height`: in rows.

    `scale`: the lowest and the highest value that a gauge or an axis shows. `stacked`, `stepped`: how lines are drawn.
    `when_empty`: why there is nothing to show, where there is nothing, and when there will be. `zero_is_nothing`: so it
    is, too, if all figures are 0.
    """

    key: str
    title: str
    description: str
    kind: Kind
    sql: str
    columns: tuple[Column, ...]
    unit: str = "short"
    decimals: int | None = None
    thresholds: tuple[Threshold, ...] = ()
    mappings: tuple[Mapping, ...] = ()
    links: tuple[Link, ...] = ()
    span: int = 12
    height: int = 8
    scale: tuple[float | None, float | None] = (None, None)
    stacked: bool = False
    stepped: bool = False
    when_empty: str = ""
    zero_is_nothing: bool = False


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice at the top of a dashboard: of what `sql` returns in its only column, or of `options`. One at a time."""

    name: str
    label: str
    sql: str | None = None
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dashboard:
    """`time_from`, `time_to`, `refresh` in Grafana's words. Each dashboard links to all others.

    `extent_sql`: one row `begins`, `ends`, between which there is something to see; null where there is nothing yet.
    `households`: it shows what single households used, and takes another database role (headend/grants.sql).
    """

    uid: str
    key: str
    title: str
    description: str
    panels: tuple[Panel, ...]
    extent_sql: str
    variables: tuple[Variable, ...] = ()
    time_from: str = "now-24h"
    time_to: str = "now"
    refresh: str = "1m"
    households: bool = False
    tags: tuple[str, ...] = field(default=("amilab",))
