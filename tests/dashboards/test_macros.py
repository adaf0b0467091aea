"""Grafana's macros, as its documentation says what becomes of them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.macros import MacroError, expand, interval_for, seconds

FROM, TO = datetime(2026, 1, 10, tzinfo=UTC), datetime(2026, 1, 11, 6, 30, 0, 500_000, tzinfo=UTC)
BEGINS, ENDS = "2026-01-10T00:00:00.000Z", "2026-01-11T06:30:00.500Z"


def expanded(sql: str, interval: str = "15m", **variables: str) -> str:
    return expand(sql, from_time=FROM, to_time=TO, interval=interval, variables=variables)


@pytest.mark.parametrize(
    ("sql", "becomes"),
    [
        ("$__timeFilter(r.at)", f"r.at BETWEEN '{BEGINS}' AND '{ENDS}'"),
        ("$__timeFrom()", f"'{BEGINS}'"),
        ("$__timeTo()::timestamptz", f"'{ENDS}'::timestamptz"),
        ("$__timeGroup(at, '5m')", "floor(extract(epoch from at)/300)*300"),
        ("$__timeGroup(at,$__interval)", "floor(extract(epoch from at)/900)*900"),
        ("$__timeGroupAlias(at, '1h')", 'floor(extract(epoch from at)/3600)*3600 AS "time"'),
        ("$__timeFilter(lower(r.at))", f"lower(r.at) BETWEEN '{BEGINS}' AND '{ENDS}'"),
        ("$__interval", "15m"),
        ("$__interval_ms", "900000"),
        ("a $5 'cost'", "a $5 'cost'"),
    ],
)
def test_what_becomes_of_a_macro(sql: str, becomes: str) -> None:
    assert expanded(sql) == becomes


def test_times_of_other_zones_are_told_in_utc() -> None:
    east = FROM.astimezone(timezone(timedelta(hours=5)))
    assert expand("$__timeFrom()", from_time=east, to_time=TO) == f"'{BEGINS}'"


@given(st.text())
def test_a_literal_stays_one(value: str) -> None:
    literal = expanded("${name:sqlstring}", name=value)
    assert literal[0] == literal[-1] == "'"
    assert literal[1:-1].replace("''", "").count("'") == 0
    assert literal[1:-1].replace("''", "'") == value


@pytest.mark.parametrize("value", ["a'b", "x; DROP TABLE y", "a -- b", 'a"b', "$__timeTo()"])
def test_what_would_change_the_statement_is_refused_unquoted(value: str) -> None:
    with pytest.raises(MacroError, match=":sqlstring"):
        expanded("${name}", name=value)


def test_a_value_is_not_expanded_again() -> None:
    assert expanded("${name:sqlstring}", name="$__interval") == "'$__interval'"


@pytest.mark.parametrize(
    "sql",
    ["$__timeShift(at)", "$__timeFilter()", "$__timeGroup(at)", "$__unixEpochFilter(at)", "$__timeFrom", "${other}"],
)
def test_what_is_not_known_is_refused(sql: str) -> None:
    with pytest.raises(MacroError):
        expanded(sql)


@pytest.mark.parametrize("width", ["0s", "5", "m", "-1h", "1y", ""])
def test_a_width_that_is_none_is_refused(width: str) -> None:
    with pytest.raises(MacroError, match="30s, 15m, 1h"):
        seconds(width)


def test_the_interval_suits_the_range() -> None:
    day = timedelta(days=1)
    assert interval_for(FROM, FROM + day, 500) == "15m"
    assert interval_for(FROM, FROM + day, 24) == "1h"
    assert interval_for(FROM, FROM + 30 * day, 500) == "3h"
    assert interval_for(FROM, FROM + timedelta(minutes=5), 300, least="1s") == "1s"
