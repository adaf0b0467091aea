"""`docker compose up` alone: a village in today's time fills what Grafana would show, and makes way for a run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from dashboards.alerts import RULES
from dashboards.catalogue import DASHBOARDS
from dashboards.macros import expand
from tests.containers.conftest import SETTINGS, Project, half_an_hour, until

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1800)]

CAUGHT_UP_S = 1200.0
DAY = timedelta(days=1)
NOTHING_TO_SHOW = {"operations/dead_letter_reasons"}
"""Every message can be read. No load test is a part of it."""


def told(project: Project) -> str:
    return project.compose("logs", "--no-log-prefix", "conductor")


def until_told(project: Project, words: str, times: int = 1) -> None:
    until(
        lambda: told(project).count(words) >= times,
        words,
        within_s=CAUGHT_UP_S,
        every_s=1,
        evidence=lambda: told(project)[-3000:],
    )


def connected(project: Project, role: str, secret: str) -> psycopg.Connection:
    """As Grafana: what the role sees by its own search path."""
    password = (project.directory / "secrets" / secret).read_text()
    port = SETTINGS["AMILAB_DATABASE_PORT"]
    return psycopg.connect(f"postgresql://{role}:{password}@127.0.0.1:{port}/amilab", autocommit=True)


class Grafana:
    """Asks as it would, for the last 24 hours unless told otherwise."""

    def __init__(self, project: Project) -> None:
        self.network = connected(project, "amilab_dashboards", "grafana_database_password")
        self.households = connected(project, "amilab_households", "grafana_households_password")
        self.now = datetime.now(UTC)

    def rows(
        self, sql: str, *, back: timedelta = DAY, choices: dict[str, str] | None = None, households: bool = False
    ) -> list[tuple[Any, ...]]:
        asked = expand(sql, from_time=self.now - back, to_time=self.now, interval="15m", variables=choices or {})
        return (self.households if households else self.network).execute(asked.encode()).fetchall()


@pytest.fixture(scope="module")
def shown(project: Project) -> Iterator[Project]:
    """Nothing but `docker compose up` was said."""
    project.compose("up", "--detach", "--no-build")
    until_told(project, "this is now: from here on at real time")
    yield project
    project.compose("stop", "conductor")


def test_every_hour_of_the_last_day_has_readings(shown: Project) -> None:
    grafana = Grafana(shown)
    hours = dict(
        grafana.rows(
            "SELECT date_trunc('hour', interval_start) AS hour, count(*) AS readings FROM network_reading "
            "WHERE $__timeFilter(interval_start) GROUP BY hour"
        )
    )
    # Readings of the hour that is under way may still be to come.
    full = [grafana.now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=n) for n in range(1, 24)]
    assert [hour for hour in full if not hours.get(hour)] == []


def test_no_alert_is_true(shown: Project) -> None:
    grafana = Grafana(shown)
    found = {rule.key: grafana.rows(rule.sql, back=timedelta(seconds=rule.range_s))[0][0] for rule in RULES}
    assert {rule.key: found[rule.key] for rule in RULES if found[rule.key] > rule.above} == {}


def test_every_panel_has_something_to_show(shown: Project) -> None:
    grafana = Grafana(shown)
    choices: dict[str, str] = {}
    empty = []
    for dashboard in (each for each in DASHBOARDS if each.key != "load-test"):
        for variable in dashboard.variables:
            asked = variable.sql and grafana.rows(variable.sql, choices=choices, households=dashboard.households)
            choices[variable.name] = str(asked[0][0] if asked else variable.options[0])
        for panel in dashboard.panels:
            rows = grafana.rows(panel.sql, choices=choices, households=dashboard.households)
            if not any(value is not None for row in rows for value in row):
                empty.append(f"{dashboard.key}/{panel.key}")
            if panel.key == "shown":
                ((run, pace),) = rows
    assert set(empty) <= NOTHING_TO_SHOW
    assert run.startswith("demonstration-")
    assert "speed 1" in pace


@pytest.mark.long
def test_time_goes_on_at_the_pace_of_the_wall_clock(shown: Project) -> None:
    """The next quarter of an hour brings readings of its own."""
    begun, grafana = datetime.now(UTC), Grafana(shown)

    def newest() -> datetime:
        ((latest,),) = grafana.rows("SELECT max(interval_start) FROM network_reading")
        assert isinstance(latest, datetime)
        return latest

    until(
        lambda: newest() >= begun - timedelta(minutes=15),
        "readings of the next quarter of an hour",
        within_s=25 * 60,
        every_s=5,
        evidence=lambda: str(newest()),
    )
    assert newest() < datetime.now(UTC)


def test_a_run_takes_its_place_and_it_begins_anew_afterwards(shown: Project, tmp_path: Path) -> None:
    scenario = half_an_hour(tmp_path, meters=4)
    ran = shown.amilab("run", str(scenario), "--compose", "--out", str(tmp_path))
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    assert "the demonstration has ended for this run" in ran.stdout
    (state,) = (json.loads(line) for line in shown.compose("ps", "--all", "--format", "json", "conductor").splitlines())
    assert (state["State"], state["ExitCode"]) == ("exited", 0)
    shown.compose("start", "conductor")
    until_told(shown, "living through the time since", times=2)
