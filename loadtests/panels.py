"""The SQL that readers of dashboards run: that of every panel that shows no single household, over the last day."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dashboards.catalogue import DASHBOARDS
from dashboards.macros import expand, interval_for
from dashboards.model import Dashboard

SHOWN = timedelta(days=1)
_POINTS = 300
"""That a panel has room for."""

Ask = Callable[[str], Sequence[tuple[object, ...]]]
"""Runs a query and gives its rows."""


@dataclass(frozen=True, slots=True)
class Query:
    """A panel with its variables chosen."""

    name: str
    sql: str
    variables: tuple[tuple[str, str], ...] = ()

    def text(self, now_s: float) -> str:
        """As Grafana would send it at this instant."""
        now = datetime.fromtimestamp(now_s, UTC)
        return expand(
            self.sql,
            from_time=now - SHOWN,
            to_time=now,
            interval=interval_for(now - SHOWN, now, _POINTS),
            variables=dict(self.variables),
        )


def queries(ask: Ask, reader: int) -> list[Query]:
    """All panels, where each reader looks at a transformer of his own; without what there is nothing to choose for."""
    found = []
    for dashboard in DASHBOARDS:
        if dashboard.households:
            continue
        chosen = _chosen(dashboard, ask, reader)
        if chosen is not None:
            found += [Query(panel.title, panel.sql, chosen) for panel in dashboard.panels]
    return found


def _chosen(dashboard: Dashboard, ask: Ask, reader: int) -> tuple[tuple[str, str], ...] | None:
    chosen = []
    for variable in dashboard.variables:
        values = variable.options or [str(row[0]) for row in ask(variable.sql or "")]
        if not values:
            return None
        chosen.append((variable.name, values[reader % len(values)]))
    return tuple(chosen)
