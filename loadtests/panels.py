"""The SQL that readers of dashboards run, over the last day."""

from __future__ import annotations

from dataclasses import dataclass

# Until the catalogue of dashboards is merged, what its panels are about.
_SQL = {
    "operations / reads": (
        "SELECT date_bin('15 minutes', received_at, 'epoch') AS time, count(*) FROM interval_reading"
        " WHERE interval_start > now() - interval '1 day' GROUP BY 1 ORDER BY 1"
    ),
    "operations / dead letters": "SELECT reason, count(*) FROM dead_letter GROUP BY 1",
    "outages / open": "SELECT * FROM outage_report WHERE status = 'open'",
    "meter / last": "SELECT * FROM last_reading ORDER BY interval_start LIMIT 20",
}


@dataclass(frozen=True, slots=True)
class Query:
    name: str
    sql: str

    def text(self, _now_s: float) -> str:
        """As it is to be run at this instant."""
        return self.sql


def queries() -> list[Query]:
    return [Query(name, sql) for name, sql in _SQL.items()]
