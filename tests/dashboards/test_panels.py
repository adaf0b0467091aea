"""Every panel's SQL on every database, by the role that it is meant for."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from decimal import Decimal

import pytest

from dashboards.alerts import RULES
from dashboards.catalogue import DASHBOARDS
from dashboards.model import Dashboard, Panel
from tests.dashboards.conftest import CHOICES, Seeded, Table, role_of, unbounded
from tests.dashboards.seed import BEGINS, ENDS, METERS

# Just after midnight those are due that began 35 minutes ago, or four hours and twenty minutes.
DUE = (30 + 6) * 94 + 24 * 79
# Of them, meters 10, 12 and 4 were dark in 4, 4 and 6, and meter 9 has no record of 4.
OWED = DUE - 14 - 4
# What each transformer's meter saw in each quarter of an hour: 3,214 Wh and 2,410 varh.
SEEN_VA = 4 * (3214**2 + 2410**2) ** 0.5
BY_DASHBOARD = pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.key)
TYPES: dict[str, tuple[type, ...]] = {
    "time": (datetime, int, float, Decimal),
    "number": (int, float, Decimal),
    "text": (str,),
}


def faults(panel: Panel, table: Table) -> list[str]:
    names = [column.name for column in panel.columns]
    if table.columns != names:
        return [f"columns {table.columns} instead of {names}"]
    if not table.rows:
        return ["no rows"]
    found = []
    for place, column in enumerate(panel.columns):
        values = [row[place] for row in table.rows if row[place] is not None]
        if not values:
            found.append(f"{column.name} is always null")
        found += [f"{column.name} is {value!r}" for value in values[:1] if not isinstance(value, TYPES[column.type])]
    if panel.kind in ("stat", "gauge") and len(table.rows) != 1:
        found.append(f"{len(table.rows)} rows for figures")
    if panel.kind in ("timeseries", "state"):
        times = [row[0] for row in table.rows]
        found += ["not in the order of time"] if times != sorted(times) else []
    if panel.kind == "state":
        metrics = Counter(row[1] for row in table.rows)
        found += [f"not every metric has a row at every instant: {metrics}"] if len({*metrics.values()}) > 1 else []
    return found


@BY_DASHBOARD
def test_every_panel_answers_with_the_columns_that_it_needs(dashboard: Dashboard, seeded: Seeded) -> None:
    found = {panel.key: faults(panel, seeded.read(panel.sql, role_of(dashboard))) for panel in dashboard.panels}
    assert {key: said for key, said in found.items() if said} == {}


@BY_DASHBOARD
def test_every_variable_offers_choices_and_every_dashboard_knows_its_extent(
    dashboard: Dashboard, seeded: Seeded
) -> None:
    for variable in dashboard.variables:
        assert variable.sql is not None
        assert (CHOICES[variable.name],) in seeded.read(variable.sql, role_of(dashboard)).rows
    extent = seeded.read(dashboard.extent_sql, role_of(dashboard))
    assert extent.columns == ["begins", "ends"]
    ((begins, ends),) = extent.rows
    assert BEGINS <= begins < ends <= ENDS


@BY_DASHBOARD
def test_no_plan_reads_all_days(dashboard: Dashboard, seeded: Seeded) -> None:
    found = {panel.key: unbounded(panel.sql, seeded) for panel in dashboard.panels}
    assert {key: said for key, said in found.items() if said} == {}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM network_reading",
        "SELECT max(committed_at) FROM network_reading WHERE committed_at <= $__timeTo()",
        "SELECT count(*) FROM network_reading WHERE meter_id = 3",
        "SELECT sum(energy_wh) FROM metered_energy WHERE transformer = 'transformer:T1'",
    ],
)
def test_a_query_that_grows_with_the_database_is_found_out(seeded: Seeded, sql: str) -> None:
    assert unbounded(sql, seeded) != []


def test_every_alert_rule_answers_one_figure_without_reading_all_days(seeded: Seeded) -> None:
    found = {}
    for rule in RULES:
        table = seeded.read(rule.sql, "amilab_dashboards")
        assert table.columns == ["value"], rule.key
        ((value,),) = table.rows
        found[rule.key] = float(value)
        assert unbounded(rule.sql, seeded) == [], rule.key
    assert found == {
        "no_reads": -3,
        "late_reads": pytest.approx((4 + 4 + 5) / OWED * 100),
        "dead_letters": 12,
        "collectors_offline": 1,
        "customers_dark": 1,
        "voltage": 0,
        "transformer_loading": pytest.approx(SEEN_VA / 250_000 * 100, rel=1e-3),
    }


def figures(seeded: Seeded, uid: str, key: str) -> dict[str, float]:
    dashboard = next(dashboard for dashboard in DASHBOARDS if dashboard.uid == uid)
    panel = next(panel for panel in dashboard.panels if panel.key == key)
    table = seeded.read(panel.sql, role_of(dashboard))
    return {name: float(value) for name, value in zip(table.columns, table.rows[0], strict=True)}


def test_reads_are_counted_as_they_came(seeded: Seeded) -> None:
    reads = figures(seeded, "amilab-operations", "reads")
    assert reads == {"expected": OWED, "received": OWED - 8, "late": 5, "estimated": 4, "missing": 4}
    rate = figures(seeded, "amilab-operations", "success_rate")["success_rate"]
    assert rate == pytest.approx((OWED - 8 - 5) / OWED)


def test_backlog_rises_and_is_worked_off(seeded: Seeded) -> None:
    panel = next(panel for panel in DASHBOARDS[0].panels if panel.key == "backlog")
    overdue = [int(row[1]) for row in seeded.read(panel.sql, "amilab_dashboards").rows]
    assert max(overdue) >= 8
    assert overdue[-1] == 4, "the four intervals of meter 7 never came"


def test_states_change_when_supply_and_communication_do(seeded: Seeded) -> None:
    panel = next(panel for panel in DASHBOARDS[4].panels if panel.key == "states")
    rows = [(f"{row[0]:%H:%M}", row[1], row[2]) for row in seeded.read(panel.sql, "amilab_households").rows]
    # Meter 2 was dark from noon to one, and could be reached all the time.
    assert [row for row in rows if row[1] == "supply"] == [
        ("00:00", "supply", 0),
        ("12:00", "supply", 1),
        ("13:00", "supply", 0),
    ]
    assert {row[2] for row in rows if row[1] == "communication"} == {0}


def test_reliability_is_that_of_the_days_in_range(seeded: Seeded) -> None:
    indices = figures(seeded, "amilab-outages", "indices")
    assert indices["saidi_min"] == pytest.approx(10 * 60 / METERS)
    assert indices["maifi"] == 0
    assert figures(seeded, "amilab-outages", "open") == {"open_outages": 1, "customers_dark": 1}


def test_losses_are_what_was_delivered_and_not_metered(seeded: Seeded) -> None:
    panel = next(panel for panel in DASHBOARDS[2].panels if panel.key == "losses_by_transformer")
    rows = {row[0]: row for row in seeded.read(panel.sql, "amilab_dashboards").rows}
    # Meters 7 and 9, below T2, lack the readings of an hour, which is left out; below T1 others those of three.
    assert {name: (row[1], row[2]) for name, row in rows.items()} == {
        "transformer:T1": (30, 21),
        "transformer:T2": (30, 23),
    }
    for _, _, _, delivered, metered, lost, percent in rows.values():
        assert lost == pytest.approx(delivered - metered)
        assert percent == pytest.approx(lost / delivered * 100)


def test_a_range_without_anything_still_says_so(seeded: Seeded) -> None:
    """Panels that list what went wrong have a row that says that nothing did."""
    for dashboard in DASHBOARDS:
        for panel in dashboard.panels:
            if "NOT EXISTS (SELECT FROM" in panel.sql:
                with seeded.schema.connect() as connection:
                    sql = seeded.expanded(panel.sql).replace("2026-01-", "2020-01-")
                    assert len(connection.execute(sql.encode()).fetchall()) == 1, panel.key


def rows_of(seeded: Seeded, uid: str, key: str) -> list[dict[str, object]]:
    dashboard = next(dashboard for dashboard in DASHBOARDS if dashboard.uid == uid)
    panel = next(panel for panel in dashboard.panels if panel.key == key)
    table = seeded.read(panel.sql, role_of(dashboard))
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def test_sags_and_swells_are_listed_and_what_no_driver_looked_at_fails_nobody(seeded: Seeded) -> None:
    found = rows_of(seeded, "amilab-feeder", "voltage_events")
    assert [(row["usage_point"], row["code"], row["phase"], row["duration_s"], row["extreme_v"]) for row in found] == [
        ("UP3", "voltage_swell", "L1", 8, 265.5),
        ("UP2", "voltage_sag", "L2", 42, 184.72),
        ("UP4", "voltage_sag", "7", None, None),
    ]
    assert found[1]["of_nominal_percent"] == pytest.approx(80)


def test_meters_that_do_not_trust_their_clocks_are_counted_by_vendor(seeded: Seeded) -> None:
    found = {row.pop("vendor"): row for row in rows_of(seeded, "amilab-vendors", "clocks")}
    assert found["rl-dsp"] == {
        "meters": 30,
        "invalid_meters": 1,
        "invalid_intervals": 4,
        "adjusted_meters": 2,
        "adjusted_intervals": 8,
    }
    assert found["sdm630"]["invalid_meters"] == 0


def test_voltages_below_a_transformer_are_those_of_each_phase(seeded: Seeded) -> None:
    first = rows_of(seeded, "amilab-feeder", "voltage_by_phase")[0]
    # Meters 2, 4 … 60 are below it: 31 in the mean.
    expected = {"l1": 231 - 31 / 10, "l2": 230, "l3": 229}
    assert {name: first[name] for name in expected} == pytest.approx(
        {name: volts / 230.9 * 100 for name, volts in expected.items()}
    )


def test_reactive_energy_of_a_transformer_is_that_of_the_meters_that_count_it(seeded: Seeded) -> None:
    # Of the thirty customers of T1, 27 are no polled meters; meters 10, 12 and 4 were dark for some intervals.
    found = rows_of(seeded, "amilab-feeder", "reactive")
    # One of them feeds back at times.
    assert float(str(found[0]["imported"])) == 27 * 40 + 7
    assert float(str(found[0]["exported"])) == -27 * 10 - 3
    factors = [float(str(row["power_factor"])) for row in rows_of(seeded, "amilab-feeder", "power_factor")]
    assert all(0.95 < factor < 0.97 for factor in factors)


def test_the_maximum_demand_is_that_of_the_newest_interval(seeded: Seeded) -> None:
    (found,) = rows_of(seeded, "amilab-meter", "max_demand")
    assert found["demand_w"] == 500 + 10 * 96 - 1


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("reactive", {"q1": 40, "q2": 7, "q3": -3, "q4": -10}),
        ("voltage", {"l1": 230.8, "l2": 230, "l3": 229}),
        ("current", {"l1": 0.6, "l2": 0.7, "l3": 0.8}),
        ("phase_power", {"l1": 140, "l2": 150, "l3": 160}),
        ("power_factor", {"l1": 0.96, "l2": 0.97, "l3": 0.98}),
    ],
)
def test_each_quantity_of_a_meter_stands_under_its_own_name(seeded: Seeded, key: str, shown: dict[str, float]) -> None:
    first = rows_of(seeded, "amilab-meter", key)[0]
    assert first.pop("time") is not None
    assert {name: float(str(value)) for name, value in first.items()} == pytest.approx(shown)


def test_delivery_is_told_by_class_and_by_who_carries(seeded: Seeded) -> None:
    classes = {row["class"]: row for row in rows_of(seeded, "amilab-network", "delivery")}
    told = {name: (row["messages"], float(str(row["in_time_percent"])), row["p50_s"]) for name, row in classes.items()}
    assert told["C1, outages and restorations"] == (20, 95.0, 3)
    # The sag of meter 4 bears no sense, but came.
    assert told["C2, power quality"] == (3, 100.0, 5)
    assert told["C4, reads"][1] > 99.9, "reads of 11:45 came 70 and 90 minutes late, and of noon 40: all within 2 h"
    carriers = {row["carrier"]: row for row in rows_of(seeded, "amilab-network", "carriers")}
    assert {name: row["meters"] for name, row in carriers.items()} == {"own connection": 32, "C1": 12, "C2": 12}
    # Meters 1 to 40 were asked once; of those with a connection of their own, each fifth request expired.
    assert (carriers["own connection"]["requests"], carriers["own connection"]["unanswered"]) == (30, 6)
    # Four intervals of meter 21, and one each of meters 10 and 12.
    assert (carriers["own connection"]["late"], carriers["own connection"]["recovered"]) == (6, 4)
    assert carriers["C2"]["bytes_per_meter_and_day"] == 24 * 100 * 24 / 12
    (gasps,) = rows_of(seeded, "amilab-network", "gasps")
    assert (gasps["interruptions"], gasps["heard"]) == (10, 10)


@pytest.mark.parametrize(
    ("comment", "run", "words"),
    [
        (None, "headend", "that of the head-end"),
        ('{"by": "amilab run", "run": "quickstart-7", "began": "2026-01-15"}', "quickstart-7", "that of the run"),
        ('{"by": "amilab run", "run": "demonstration-7", "demonstration": "yes"}', "demonstration-7", "speed 1"),
        ("not by the lab, {", "headend", "that of the head-end"),
    ],
)
def test_it_is_said_whose_readings_these_are_and_in_which_time(
    seeded: Seeded, comment: str | None, run: str, words: str
) -> None:
    panel = next(panel for dashboard in DASHBOARDS for panel in dashboard.panels if panel.key == "shown")
    said = "NULL" if comment is None else f"'{comment}'"
    seeded.schema.run(f"COMMENT ON SCHEMA headend IS {said}")
    try:
        ((name, time),) = seeded.read(panel.sql, "amilab_dashboards").rows
    finally:
        seeded.schema.run("COMMENT ON SCHEMA headend IS NULL")
    assert name == run
    assert words in time
