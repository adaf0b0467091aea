"""Variables of the environment that may hold a password. They are for this process alone."""

from __future__ import annotations

DATABASE_URL = "AMILAB_DATABASE_URL"
BROKER_URL = "AMILAB_BROKER_URL"
STORED = "AMILAB_STORED"
HEADEND_DATABASE_URL = "AMILAB_HEADEND_DATABASE_URL"
DASHBOARDS_DATABASE_URL = "AMILAB_DASHBOARDS_DATABASE_URL"
HOUSEHOLDS_PASSWORD = "AMILAB_HOUSEHOLDS_PASSWORD"  # noqa: S105 - the variable's name, not a password
GRAFANA_TOKEN = "GRAFANA_TOKEN"  # noqa: S105 - the same
VARIABLES = frozenset(
    {
        DATABASE_URL, BROKER_URL, STORED, HEADEND_DATABASE_URL, DASHBOARDS_DATABASE_URL, HOUSEHOLDS_PASSWORD,
        GRAFANA_TOKEN, "AMILAB_HEADEND_BROKER_PASSWORD",
    }
)  # fmt: skip
"""Processes that this one starts do not inherit them: they are told what they need in another way."""
