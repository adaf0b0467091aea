"""Alert rules: a query that answers one figure, and the figure from which on somebody should look."""

from dataclasses import dataclass
from typing import Literal

from dashboards.catalogue import FEEDER, OPERATIONS, OUTAGES
from dashboards.panels import sql

GROUP = "amilab"
EVERY_S = 60
"""How often the rules are evaluated."""


@dataclass(frozen=True, slots=True)
class AlertRule:
    """Fires when the figure has been above `above` for `lasting_s`. The query sees the last `range_s` seconds.

    `dashboard`, `panel`: where to look, as uid and key. `when_mute`: what becomes of it where there is no answer, of a
    database that is away or has no schema. Each query has a figure for an empty database: none fires for want of data.
    """

    key: str
    title: str
    summary: str
    above: float
    lasting_s: int
    range_s: int
    severity: Literal["critical", "warning"]
    dashboard: str
    panel: str
    when_mute: Literal["Alerting", "OK"] = "OK"

    @property
    def uid(self) -> str:
        return f"amilab-{self.key.replace('_', '-')}"

    @property
    def sql(self) -> str:
        return sql(f"alerts/{self.key}")


_HOUR_S, _DAY_S = 3600, 86_400
RULES = (
    AlertRule(
        "no_reads", "No reads arrive",
        "{{ with $values.A }}Nothing was received for {{ humanizeDuration .Value }}.{{ else }}"
        "The database does not answer.{{ end }}",
        3600, 300, _DAY_S, "critical", OPERATIONS, "reads_over_time",
        # One bell for a database that is away, not one for each rule; and only once that has lasted.
        when_mute="Alerting",
    ),
    AlertRule(
        "late_reads", "Too many reads are late",
        '{{ printf "%.1f" $values.A.Value }} % of the day\'s reads did not come in time.',
        2, 900, _DAY_S, "warning", OPERATIONS, "success_rate",
    ),
    AlertRule(
        "dead_letters", "Messages cannot be decoded",
        "{{ $values.A.Value }} dead letters in the last hour.",
        0, 0, _HOUR_S, "warning", OPERATIONS, "dead_letters",
    ),
    AlertRule(
        "collectors_offline", "Collectors are offline",
        "{{ $values.A.Value }} collectors cannot be reached.",
        0, 900, _HOUR_S, "warning", OPERATIONS, "reachable",
    ),
    AlertRule(
        "customers_dark", "Customers are without supply",
        "{{ $values.A.Value }} customers are without supply.",
        0, 60, _HOUR_S, "critical", OUTAGES, "outages",
    ),
    AlertRule(
        "voltage", "Voltage is outside its band",
        "{{ $values.A.Value }} customers were outside ±10 % in the last hour.",
        0, 600, _HOUR_S, "warning", FEEDER, "weakest",
    ),
    AlertRule(
        "transformer_loading", "A transformer is overloaded",
        'One is at {{ printf "%.0f" $values.A.Value }} % of its rating.',
        100, 900, _HOUR_S, "warning", FEEDER, "loading_by_transformer",
    ),
)  # fmt: skip
