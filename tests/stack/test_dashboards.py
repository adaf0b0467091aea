"""After a run, dashboards have something to show: read by their own roles, in the schema that they are pointed to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from dashboards.catalogue import DASHBOARDS, LOAD_TEST
from dashboards.macros import expand
from dashboards.roles import create_roles
from lab.live.panels import Panels
from lab.live.reader import Reader
from lab.run.request import RunResult
from tests.headend.services import Postgres
from tests.stack.labs import live, scenario_text

pytest_plugins = ["tests.headend.fixtures"]

PASSWORDS = {"amilab_dashboards": "one", "amilab_households": "two"}
_BY_VENDOR = ("conformance", "latency")
EVENTS = """
[[event]]
at = "00:32:10"
kind = "outage"
device = "transformer"
duration = "40min"
select = { customers = [100, 200] }
"""


def rows(
    connection: psycopg.Connection[Any], sql: str, times: tuple[datetime, datetime], chosen: Mapping[str, str]
) -> Any:
    return connection.execute(expand(sql, from_time=times[0], to_time=times[1], variables=chosen).encode()).fetchall()


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> RunResult:
    """Three hours of a village that reports hourly; a transformer is out for forty minutes."""
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        create_roles(
            connection,
            password=PASSWORDS["amilab_dashboards"],
            households_password=PASSWORDS["amilab_households"],
        )
    text = scenario_text(meters=None, duration="3h", settle="2h", events=EVENTS, fleet='preset = "plc"')
    return live(tmp_path_factory.mktemp("dashboards"), text, database_url=postgres.url(), keep=True)


def test_every_panel_shows_something_after_a_run(lived: RunResult, postgres: Postgres) -> None:
    assert lived.verdict.passed
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


def test_report_page_and_grafana_show_the_same_figures(lived: RunResult, postgres: Postgres) -> None:
    clock = lived.verdict.context.clock
    window = datetime.fromtimestamp(clock.start_s, UTC), datetime.fromtimestamp(clock.end_s, UTC)
    told = json.loads((lived.directory / "figures.json").read_text())
    (whole,) = [row for row in told["reads"] if row["vendor_profile"] is None]
    assert whole["due"] > whole["dark"] > 0
    assert whole["due"] == whole["expected"] + whole["dark"] + whole["no_record"]

    def grafana(uid: str, key: str) -> list[dict[str, Any]]:
        panel = next(panel for d in DASHBOARDS if d.uid == uid for panel in d.panels if panel.key == key)
        with psycopg.connect(postgres.url("amilab_dashboards", PASSWORDS["amilab_dashboards"])) as connection:
            cursor = connection.execute(expand(panel.sql, from_time=window[0], to_time=window[1]).encode())
            names = [column.name for column in cursor.description or ()]
            return [dict(zip(names, map(plain, row), strict=True)) for row in cursor.fetchall()]

    async def page(uid: str, key: str) -> list[dict[str, Any]]:
        with psycopg.connect(postgres.url()) as connection:
            (schema,) = connection.execute(
                "SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                " WHERE c.relname = 'end_device' AND n.nspname LIKE 'amilab%%' ORDER BY c.oid DESC LIMIT 1"
            ).fetchone() or ("",)
        store = SimpleNamespace(url=postgres.url(), schema=schema)
        found = await Panels(Reader(store, roles=True)).run(  # type: ignore[arg-type]
            uid, key, now_s=clock.end_s, span_s=clock.simulated_s, variables={}, households=False
        )
        names = list(found["columns"])
        return [dict(zip(names, map(plain, row), strict=True)) for row in zip(*found["columns"].values(), strict=True)]

    for uid, key in (
        ("amilab-operations", "reads"),
        ("amilab-operations", "success_rate"),
        ("amilab-vendors", "conformance"),
        ("amilab-vendors", "latency"),
    ):
        assert grafana(uid, key) == asyncio.run(page(uid, key)), key
    (reads,) = grafana("amilab-operations", "reads")
    assert reads == {name: whole[name] for name in ("expected", "received", "late", "estimated", "missing")}
    assert grafana("amilab-operations", "success_rate") == [{"success_rate": pytest.approx(whole["on_time_share"])}]
    # Customers' meters and those of the transformers.
    conformance, ages = ({row["vendor"]: row for row in grafana("amilab-vendors", key)} for key in _BY_VENDOR)
    reads_of, latency_of = (
        {row["vendor_profile"]: row for row in told[name] if row["vendor_profile"]} for name in ("reads", "latency")
    )
    assert conformance.keys() == ages.keys() == reads_of.keys() == {"sparkplug-plc", "sdm630-ct"}
    for name, own in reads_of.items():
        vendor = conformance[name]
        assert vendor["on_time_percent"] == pytest.approx(own["on_time_share"] * 100)
        assert {vendor[count] for count in ("dark", "missing")} == {own["dark"], own["missing"]}
        latency = latency_of[name]
        assert (ages[name]["p50"], ages[name]["p95"]) == (latency["age_p50_s"], latency["age_p95_s"])
    text = (lived.directory / "report.html").read_text()
    section = text[text.index("As the head-end knows it") : text.index('id="h-map"')]
    for name in ("due", "dark", "expected", "late"):
        assert f">{whole[name]:,}</td>" in section, name


def plain(value: object) -> object:
    return float(value) if isinstance(value, int | float | Decimal) else value
