"""The dashboards of Grafana on the page: the same panels, whose SQL is expanded and run here."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from dashboards.catalogue import DASHBOARDS
from dashboards.macros import MacroError, expand, interval_for, seconds
from dashboards.model import Dashboard, Panel
from lab.errors import UserError
from lab.live.feed import Secret
from lab.live.reader import Reader

LEAST = timedelta(minutes=15)
"""A time range is never shorter."""
POINTS = 300
"""About so many along a panel's time axis."""
_REVEALING: dict[Secret, re.Pattern[str]] = {
    "outages": re.compile(r"\b(outage|detected_outage|outage_report|outage_usage_point|dark_customer)\b"),
    "collectors": re.compile(r"\bcollector\b"),
}
"""Relations from which one reads what an exercise hides."""
_NOW = re.compile(r"now(?:-(\d+[smhdw]))?")


class HouseholdsHidden(Exception):  # noqa: N818 - names the state
    """A dashboard that shows what single households used, and nobody has chosen to see that."""


class HiddenByExercise(Exception):  # noqa: N818 - names the state
    """A panel from which one could read what an exercise hides."""


class Panels:
    """Runs panels for one lab."""

    def __init__(self, reader: Reader, dashboards: Collection[Dashboard] = DASHBOARDS) -> None:
        self._reader = reader
        self._dashboards = {dashboard.uid: dashboard for dashboard in dashboards}

    def described(self) -> list[dict[str, Any]]:
        """All dashboards without their SQL."""
        return [_described(dashboard) for dashboard in self._dashboards.values()]

    async def choices(self, uid: str, now_s: int, *, households: bool) -> dict[str, list[str]]:
        """What each variable of a dashboard may be. Raises as `run` does."""
        dashboard = self._dashboard(uid, households=households)
        found = {}
        for variable in dashboard.variables:
            if variable.sql is None:
                found[variable.name] = list(variable.options)
            else:
                sql = _expanded(variable.sql, *_range(dashboard, now_s, None), {})
                found[variable.name] = [
                    str(row[0]) for row in (await self._reader.rows(sql, households=dashboard.households)).rows
                ]
        return found

    async def run(
        self,
        uid: str,
        key: str,
        *,
        now_s: int,
        span_s: int | None,
        variables: Mapping[str, str],
        households: bool,
        hidden: Collection[Secret] = (),
    ) -> dict[str, Any]:
        """A panel's columns at `now_s`, over the last `span_s` or the dashboard's own time range.

        :raises UserError: there is no such panel, or a variable has no value.
        :raises HouseholdsHidden, HiddenByExercise: it must not be shown.
        :raises ReadError: the database has not answered.
        """
        dashboard = self._dashboard(uid, households=households)
        panel = next((panel for panel in dashboard.panels if panel.key == key), None)
        if panel is None:
            raise UserError(f"the dashboard {dashboard.title} has no panel {key!r}")
        if any(_REVEALING[secret].search(panel.sql) for secret in hidden if secret in _REVEALING):
            raise HiddenByExercise(panel.title)
        from_time, to_time = await self._extent(dashboard, now_s, span_s, variables)
        sql = _expanded(panel.sql, from_time, to_time, variables)
        found = await self._reader.rows(sql, households=dashboard.households)
        columns = [list(map(_plain, column)) for column in zip(*found.rows, strict=True)] or [[] for _ in found.columns]
        return {
            "columns": dict(zip(found.columns, columns, strict=True)),
            "rows": len(found.rows),
            "cut": found.cut,
            "from_ms": from_time.timestamp() * 1000,
            "to_ms": to_time.timestamp() * 1000,
        }

    async def _extent(
        self, dashboard: Dashboard, now_s: int, span_s: int | None, variables: Mapping[str, str]
    ) -> tuple[datetime, datetime]:
        """The time range, without what lies before there was anything to see.

        Load tests live on the wall clock: where nothing lies in the range, it ends when something last did.
        """
        from_time, to_time = _range(dashboard, now_s, span_s)
        sql = _expanded(dashboard.extent_sql, from_time, to_time, variables)
        ((begins, ends),) = (await self._reader.rows(sql, households=dashboard.households)).rows
        if begins is None or ends is None:
            return from_time, to_time
        if begins > to_time or ends < from_time:
            from_time, to_time = ends - (to_time - from_time), ends
        return max(from_time, min(begins, to_time - LEAST)), to_time

    def _dashboard(self, uid: str, *, households: bool) -> Dashboard:
        dashboard = self._dashboards.get(uid)
        if dashboard is None:
            raise UserError(f"there is no dashboard {uid!r}")
        if dashboard.households and not households:
            raise HouseholdsHidden(dashboard.title)
        return dashboard


def _expanded(sql: str, from_time: datetime, to_time: datetime, variables: Mapping[str, str]) -> str:
    interval = interval_for(from_time, to_time, POINTS)
    try:
        return expand(sql, from_time=from_time, to_time=to_time, interval=interval, variables=variables)
    except MacroError as error:
        raise UserError(str(error), "Choose a value for each of the dashboard's variables.") from error


def _range(dashboard: Dashboard, now_s: int, span_s: int | None) -> tuple[datetime, datetime]:
    to_s = now_s - _ago_s(dashboard.time_to)
    from_s = now_s - _ago_s(dashboard.time_from) if span_s is None else to_s - span_s
    return datetime.fromtimestamp(from_s, UTC), datetime.fromtimestamp(to_s, UTC)


def _ago_s(instant: str) -> int:
    """Seconds before now, of Grafana's `now-24h`."""
    found = _NOW.fullmatch(instant)
    if found is None:
        raise ValueError(f"{instant!r} is not now, nor a length of time before it")
    return int(seconds(found[1])) if found[1] else 0


def _plain(value: object) -> object:
    """As JSON has it: times are epoch milliseconds."""
    match value:
        case datetime():
            return value.timestamp() * 1000
        case Decimal():
            return float(value)
        case bool() | int() | float() | str() | None:
            return value
        case date():
            return value.isoformat()
        case list() | tuple():
            return ", ".join(str(each) for each in value)
        case _:
            return str(value)


def _described(dashboard: Dashboard) -> dict[str, Any]:
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "households": dashboard.households,
        "variables": [{"name": variable.name, "label": variable.label} for variable in dashboard.variables],
        "span_s": _ago_s(dashboard.time_from) - _ago_s(dashboard.time_to),
        "panels": [_panel(panel) for panel in dashboard.panels],
    }


def _panel(panel: Panel) -> dict[str, Any]:
    described = asdict(panel)
    del described["sql"]
    return described
