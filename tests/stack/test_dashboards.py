"""After a run, dashboards have something to show: read by their own roles, in the schema that they are pointed to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from dashboards.catalogue import DASHBOARDS, LOAD_TEST
from dashboards.macros import expand
from dashboards.roles import create_roles
from tests.headend.services import Postgres
from tests.stack.labs import live, scenario_text

pytest_plugins = ["tests.headend.fixtures"]

PASSWORDS = {"amilab_dashboards": "one", "amilab_households": "two"}
EVENTS = """
[[event]]
at = "00:32:10"
kind = "outage"
device = "transformer"
duration = "20min"
select = { customers = [100, 200] }
"""


def rows(
    connection: psycopg.Connection[Any], sql: str, times: tuple[datetime, datetime], chosen: Mapping[str, str]
) -> Any:
    return connection.execute(expand(sql, from_time=times[0], to_time=times[1], variables=chosen).encode()).fetchall()


def test_every_panel_shows_something_after_a_run(tmp_path: Path, postgres: Postgres) -> None:
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        create_roles(
            connection,
            password=PASSWORDS["amilab_dashboards"],
            households_password=PASSWORDS["amilab_households"],
        )
    text = scenario_text(meters=None, duration="3h", events=EVENTS, fleet='preset = "plc"')
    result = live(tmp_path, text, database_url=postgres.url(), keep=True)
    assert result.verdict.passed
    empty, losses = [], {}
    for dashboard in DASHBOARDS:
        if dashboard.uid == LOAD_TEST:
            continue  # It shows load tests, and this is none.
        role = "amilab_households" if dashboard.households else "amilab_dashboards"
        with psycopg.connect(postgres.url(role, PASSWORDS[role])) as connection:
            now = datetime.now().astimezone()
            ((begins, ends),) = rows(connection, dashboard.extent_sql, (now, now), {})
            chosen = {}
            for variable in dashboard.variables:
                assert variable.sql is not None
                chosen[variable.name] = rows(connection, variable.sql, (begins, ends), {})[0][0]
            for panel in dashboard.panels:
                found = rows(connection, panel.sql, (begins, ends), chosen)
                empty += [panel.key] if not found else []
                if panel.key == "losses_by_transformer":
                    losses = {row[0]: (row[2], row[-1]) for row in found}
    assert empty == []
    # Everybody is metered, so what is lost is what lines lose, within what registers of whole Wh show.
    assert len(losses) >= 12
    assert all(hours >= 1 and -1 < percent < 8 for hours, percent in losses.values()), losses
