"""Grafana's macros and variables in SQL, as its PostgreSQL data source expands them. Pure.

- `$__timeFilter(c)`: c BETWEEN '<from>' AND '<to>'; `$__timeFrom()`, `$__timeTo()`: the instants, quoted.
- `$__timeGroup(c, width)`: the beginning of c's bucket, epoch seconds; `$__timeGroupAlias(…)` calls it "time".
- `$__interval`: the width that suits the time range and the panel; `$__interval_ms` the same in milliseconds.
- `${name}`: a variable's value as it is; `${name:sqlstring}`: as a quoted literal.

Grafana has more macros; those are refused, so that a panel never runs here otherwise than there.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

_UNITS_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_WIDTH = re.compile(r"(\d+)(ms|s|m|h|d|w)")
_PART = re.compile(
    r"\$\{(?P<variable>\w+)(?::(?P<form>\w+))?\}"
    r"|\$__(?P<length>interval(?:_ms)?)\b"
    r"|\$__(?P<macro>\w+)\((?P<arguments>[^()]*(?:\([^()]*\)[^()]*)*)\)"
    r"|(?P<unknown>\$__\w+)"
)
_SAFE = re.compile(r"[\w .:/+-]*")


class MacroError(ValueError):
    """A macro or variable that is not known, or its arguments are wrong."""


def expand(
    sql: str,
    *,
    from_time: datetime,
    to_time: datetime,
    interval: str = "15m",
    variables: Mapping[str, str] | None = None,
) -> str:
    """The SQL that Grafana would send. Raises MacroError.

    Times must be time-zone aware. A variable without `:sqlstring` is put into the text as it is, so it may only have
    letters, digits and a few signs that end no literal.
    """
    interval_s = seconds(interval)
    begins, ends = _instant(from_time), _instant(to_time)

    def part(found: re.Match[str]) -> str:
        if found["variable"]:
            return _value(found["variable"], found["form"], variables or {})
        if found["length"]:
            return interval if found["length"] == "interval" else str(round(interval_s * 1000))
        if found["macro"]:
            return _macro(found["macro"], _PART.sub(part, found["arguments"]), begins, ends)
        raise MacroError(f"{found['unknown']} is not known here, or lacks its arguments")

    # In one go: what a variable's value looks like is never looked at.
    return _PART.sub(part, sql)


def seconds(width: str) -> float:
    """The length of `15m` and the like. Raises MacroError."""
    found = _WIDTH.fullmatch(width.strip().strip("'"))
    if found is None or int(found[1]) == 0:
        raise MacroError(f"{width!r} is no length of time; write it like 30s, 15m, 1h")
    return int(found[1]) * _UNITS_S[found[2]]


def interval_for(from_time: datetime, to_time: datetime, points: int, *, least: str = "15m") -> str:
    """A `$__interval` for about so many points over the range, `least` at least. Raises MacroError."""
    wanted_s = max((to_time - from_time).total_seconds() / max(points, 1), seconds(least))
    steps = ("1s", "5s", "10s", "30s", "1m", "5m", "15m", "30m", "1h", "3h", "6h", "12h", "1d", "7d")
    return next((step for step in steps if seconds(step) >= wanted_s), steps[-1])


def _instant(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _value(name: str, form: str | None, variables: Mapping[str, str]) -> str:
    if name not in variables:
        raise MacroError(f"the variable {name} has no value")
    value = variables[name]
    if form == "sqlstring":
        return "'" + value.replace("'", "''") + "'"
    if form is not None:
        raise MacroError(f"the variable {name} is wanted as {form!r}; known is sqlstring")
    if not _SAFE.fullmatch(value) or "--" in value:
        raise MacroError(f"the variable {name} has signs in its value that need ${{{name}:sqlstring}}")
    return value


def _macro(name: str, arguments: str, begins: str, ends: str) -> str:
    given = [argument.strip() for argument in arguments.split(",")] if arguments.strip() else []
    if name == "timeFilter" and len(given) == 1:
        return f"{given[0]} BETWEEN '{begins}' AND '{ends}'"
    if name in ("timeFrom", "timeTo") and not given:
        return f"'{begins if name == 'timeFrom' else ends}'"
    if name in ("timeGroup", "timeGroupAlias") and len(given) == 2:
        width = f"{seconds(given[1]):g}"
        group = f"floor(extract(epoch from {given[0]})/{width})*{width}"
        return group if name == "timeGroup" else f'{group} AS "time"'
    raise MacroError(f"$__{name} with {len(given)} arguments is not known here")
