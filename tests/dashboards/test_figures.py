"""What figures mean (headend/migrations/0018.figures.sql): whose fault a read is, and that all who show it agree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from dashboards.alerts import RULES
from dashboards.catalogue import DASHBOARDS
from dashboards.grafana import all_dashboards
from tests.dashboards.conftest import Seeded, role_of

Connection = psycopg.Connection[tuple[Any, ...]]
COUNTS = ("due", "dark", "no_record", "expected", "received", "on_time", "late", "estimated", "missing")
WHOLE_DAY = ("2026-01-10 00:00Z", "2026-01-11 00:00Z")


@contextmanager
def changed(seeded: Seeded, *statements: str) -> Iterator[Connection]:
    """A connection that sees the seed with these changes; nobody else does, and nothing stays."""
    with seeded.schema.connect() as connection, connection.transaction(force_rollback=True):
        for statement in statements:
            connection.execute(statement.encode())
        yield connection


def panel_rows(seeded: Seeded, connection: Connection, uid: str, key: str) -> list[dict[str, Any]]:
    panel = next(panel for d in DASHBOARDS if d.uid == uid for panel in d.panels if panel.key == key)
    cursor = connection.execute(seeded.expanded(panel.sql).encode())
    names = [column.name for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def figures(connection: Connection, begins: str, ends: str, vendor: str | None = None) -> dict[str, int]:
    row = connection.execute(
        f"SELECT {', '.join(COUNTS)} FROM read_figure('{begins}', '{ends}', NULL, {str(vendor is not None).lower()})"
        f" WHERE vendor_profile IS NOT DISTINCT FROM {'NULL' if vendor is None else repr(vendor)}".encode()
    ).fetchone()
    assert row is not None
    return dict(zip(COUNTS, row, strict=True))


def test_all_who_show_a_share_of_reads_show_the_same(seeded: Seeded) -> None:
    with changed(seeded) as connection:
        (reads,) = panel_rows(seeded, connection, "amilab-operations", "reads")
        ((rate,),) = [row.values() for row in panel_rows(seeded, connection, "amilab-operations", "success_rate")]
        vendors = panel_rows(seeded, connection, "amilab-vendors", "conformance")
        over_time = panel_rows(seeded, connection, "amilab-operations", "reads_over_time")
        backlog = panel_rows(seeded, connection, "amilab-operations", "backlog")
        late_alert = next(rule for rule in RULES if rule.key == "late_reads").sql
        alert = (connection.execute(seeded.expanded(late_alert).encode()).fetchone() or (None,))[0]
    for name in ("expected", "missing"):
        assert reads[name] == sum(row[name] for row in vendors), name
    for name in ("expected", "received", "late"):
        assert reads[name] == sum(row[name] for row in over_time), name
    on_time = sum(row["on_time_percent"] * int(row["expected"]) for row in vendors) / 100
    assert rate * int(reads["expected"]) == pytest.approx(on_time)
    assert alert == pytest.approx(100 - rate * 100)
    assert backlog[-1]["overdue"] == reads["missing"]


def test_the_parts_are_the_whole(seeded: Seeded) -> None:
    with changed(seeded) as connection:
        for vendor in (None, "rl-dsp", "sparkplug-mesh", "sdm630"):
            found = figures(connection, *WHOLE_DAY, vendor)
            assert found["due"] == found["dark"] + found["no_record"] + found["expected"]
            assert found["expected"] == found["received"] + found["estimated"] + found["missing"]
            assert found["received"] == found["on_time"] + found["late"]
            assert min(found.values()) >= 0


ALL_DARK = (
    "INSERT INTO outage (reported_from, began_at, ended_at, device, device_kind, equivalent_devices, detected_at,"
    " revised_at) VALUES ('2026-01-10 14:00Z', '2026-01-10 14:00Z', '2026-01-10 20:00Z', 'source:S', 'source', '{}',"
    " '2026-01-10 14:00:25Z', '2026-01-10 20:00Z')",
    "INSERT INTO outage_usage_point SELECT max(o.id), d.id, '2026-01-10 14:00Z', '2026-01-10 20:00Z', NULL, NULL"
    " FROM outage o, end_device d GROUP BY d.id",
    "DELETE FROM interval_reading WHERE interval_start >= '2026-01-10 14:00Z' AND interval_start < '2026-01-10 20:00Z'",
)


def test_known_darkness_is_no_vendor_s_fault(seeded: Seeded) -> None:
    with changed(seeded) as connection:
        before = panel_rows(seeded, connection, "amilab-vendors", "conformance")
        overdue = max(row["overdue"] for row in panel_rows(seeded, connection, "amilab-operations", "backlog"))
    with changed(seeded, *ALL_DARK) as connection:
        after = panel_rows(seeded, connection, "amilab-vendors", "conformance")
        rates = panel_rows(seeded, connection, "amilab-vendors", "error_rate")
        backlog = panel_rows(seeded, connection, "amilab-operations", "backlog")
        reads = figures(connection, *WHOLE_DAY)
    assert [row["missing"] for row in after] == [row["missing"] for row in before]
    # Six hours of all meters; of the mesh those of which the deadline is over.
    assert reads["dark"] >= 36 * 24
    assert max(row["value"] for row in rates if not 43_200 <= row["time"] % 86_400 < 46_800) < 8
    assert max(row["overdue"] for row in backlog) == overdue, "at noon, as before"


@pytest.mark.parametrize(
    ("dark", "committed", "outcome"),
    [
        pytest.param(("12:00", "13:00"), None, "dark", id="dark all the time"),
        pytest.param(("12:00:01", "12:59:59"), None, "dark", id="meters show whole seconds"),
        pytest.param(("12:05", "13:00"), None, "missing", id="it measured five minutes and never told"),
        pytest.param(("12:00", "12:10"), None, "missing", id="it measured the rest and never told"),
        pytest.param(("12:00", "12:10"), "12:40", "on_time", id="within the time that it was dark"),
        pytest.param(("12:05", "13:00"), "13:25", "on_time", id="as soon after it was back as it had time left"),
        pytest.param(("12:05", "13:00"), "13:31", "late", id="later than that"),
        pytest.param(("12:05", None), None, "dark", id="still dark"),
        pytest.param(("12:00", "13:00"), "12:20", "on_time", id="what came in time counts, whatever was believed"),
        pytest.param(("12:00", "13:00"), "14:30", "dark", id="what nobody owed is not late"),
        pytest.param(("13:00", "14:00"), None, "missing", id="dark when it was over"),
        pytest.param(("11:00", "12:00"), None, "missing", id="dark before"),
        pytest.param(("12:00:05", "12:00:45"), "12:35:41", "late", id="a blink puts the deadline off by a blink"),
        pytest.param(("12:00:05", "12:00:45"), "12:35:39", "on_time", id="and no less"),
    ],
)
def test_what_becomes_of_a_read_of_noon(
    seeded: Seeded, dark: tuple[str, str | None], committed: str | None, outcome: str
) -> None:
    """Of meter 1, whose interval of 12:00 is due at 12:35."""
    begins, ends = (None if at is None else f"2026-01-10 {at}Z" for at in dark)
    outage = [
        "INSERT INTO outage (reported_from, began_at, equivalent_devices, detected_at, revised_at)"
        f" VALUES ('{begins}', '{begins}', '{{}}', '{begins}', '{begins}')",
        "INSERT INTO outage_usage_point"
        f" SELECT max(id), 1, '{begins}', {'NULL' if ends is None else repr(ends)}, NULL, NULL FROM outage",
    ]
    if committed is None:
        arrival = "DELETE FROM interval_reading WHERE meter_id = 1 AND interval_start = '2026-01-10 12:00Z'"
    else:
        arrival = (
            f"UPDATE interval_reading SET committed_at = '2026-01-10 {committed}Z'"
            " WHERE meter_id = 1 AND interval_start = '2026-01-10 12:00Z'"
        )
    others = "DELETE FROM end_device_event", "DELETE FROM command", "DELETE FROM outage_usage_point WHERE outage_id < 4"
    only = "DELETE FROM interval_reading WHERE interval_start = '2026-01-10 12:00Z' AND meter_id <> 1"
    alone = "UPDATE end_device SET registered_at = '2027-01-01Z' WHERE id <> 1"
    # What the head-end receives later shows that the time is over.
    clock = (
        "UPDATE interval_reading SET received_at = '2026-01-10 15:00Z'"
        " WHERE meter_id = 2 AND interval_start = '2026-01-10 12:15Z'"
    )
    with changed(seeded, *others, only, alone, clock, *outage, arrival) as connection:
        rows = connection.execute(
            "SELECT bucket_start_s, dark, on_time, late, missing FROM read_figure('2026-01-10 12:00Z',"
            " '2026-01-10 12:15:01Z', 900) ORDER BY 1"
        ).fetchall()
    assert dict(zip(("dark", "on_time", "late", "missing"), rows[0][1:], strict=True)) == {
        name: int(name == outcome) for name in ("dark", "on_time", "late", "missing")
    }


def test_a_last_gasp_alone_and_an_outage_that_was_none_excuse_nobody(seeded: Seeded) -> None:
    with changed(seeded) as connection:
        before = figures(connection, *WHOLE_DAY)
    with changed(
        seeded,
        "INSERT INTO interruption (meter_id, down_at) VALUES (7, '2026-01-10 11:00Z')",
        "UPDATE outage SET withdrawn_at = '2026-01-10 14:00Z' WHERE device = 'transformer:T1'",
        "DELETE FROM interruption WHERE up_at IS NOT NULL",
    ) as connection:
        after = figures(connection, *WHOLE_DAY)
    assert after["missing"] == before["missing"] + 8, "the noon hours of meters 10 and 12"
    with changed(
        seeded,
        "INSERT INTO interruption (meter_id, down_at, up_at) VALUES (7, '2026-01-10 12:00Z', '2026-01-10 13:00Z')",
    ) as connection:
        assert figures(connection, *WHOLE_DAY)["missing"] == before["missing"] - 4, "an interruption with both ends"


def test_no_share_is_above_all_whenever_meters_were_registered(seeded: Seeded) -> None:
    """A second delivery of a vendor's meters, and gaps that somebody noted of intervals that nobody owes."""
    with changed(seeded) as connection:
        before = panel_rows(seeded, connection, "amilab-vendors", "conformance")
    with changed(
        seeded,
        "UPDATE end_device SET registered_at = '2026-01-03 07:07Z' WHERE id % 2 = 0 AND id <= 60",
        "UPDATE end_device SET report_every_s = 1800 WHERE id = 2",
        "INSERT INTO interval_gap SELECT n, '2026-01-10 22:30Z', 60, 'no_record', 'c', '2026-01-10 23:00Z'"
        " FROM generate_series(1, 60) n",
    ) as connection:
        after = panel_rows(seeded, connection, "amilab-vendors", "conformance")
        (reads,) = panel_rows(seeded, connection, "amilab-operations", "reads")
    for row in after:
        assert 0 <= row["on_time_percent"] <= row["received_percent"] <= 100
    # Meter 2 may now take longer: its newest read is not due yet.
    assert sum(row["expected"] for row in after) == sum(row["expected"] for row in before) - 1 == reads["expected"]


def test_counts_of_the_vendors_are_whole_numbers_and_an_estimated_share_of_nought_is_not_red() -> None:
    vendors = next(dashboard for dashboard in DASHBOARDS if dashboard.uid == "amilab-vendors")
    conformance = vendors.panels[0]
    drawn = next(p for p in all_dashboards()["amilab-vendors"]["panels"] if p["title"] == conformance.title)
    overrides = {
        each["matcher"]["options"]: {p["id"]: p["value"] for p in each["properties"]}
        for each in drawn["fieldConfig"]["overrides"]
    }
    for column in conformance.columns:
        if column.type != "number":
            continue
        told = overrides[column.name]
        if column.unit != "percent":
            assert told["decimals"] == 0, column.name
        if column.name not in ("on_time_percent", "received_percent"):
            assert not column.judged
            assert [step["color"] for step in told["thresholds"]["steps"]] == ["text"], column.name


def test_those_who_may_not_see_households_see_every_figure(seeded: Seeded) -> None:
    """And no energy in any of them."""
    for relation in (
        "reading_duty", "dark_customer", "known_darkness", "judged_reading", "reachability", "request_outcome",
        "poll_result", "phase_voltage", "implausible_interval", "dead_letter_origin",
        "read_figure($__timeFrom(), $__timeTo())",
        "read_latency($__timeFrom(), $__timeTo())", "dark_reading($__timeFrom(), $__timeTo())",
    ):  # fmt: skip
        table = seeded.read(f"SELECT * FROM {relation} LIMIT 1", role_of(DASHBOARDS[0]))
        assert [name for name in table.columns if name.endswith(("_wh", "_w"))] == [], relation


def test_what_cannot_be_believed_excuses_nobody_and_is_counted(seeded: Seeded) -> None:
    with changed(seeded) as connection:
        before = figures(connection, *WHOLE_DAY)
    with changed(
        seeded,
        "UPDATE interval_gap SET reason = 'implausible'",
        "INSERT INTO implausible_reading SELECT gen_random_uuid(), meter_id, interval_start, interval_length_s,"
        " 'more_than_rated', '{}', 0, noted_at, noted_at FROM interval_gap",
    ) as connection:
        after = figures(connection, *WHOLE_DAY)
        rows = {row["vendor"]: row for row in panel_rows(seeded, connection, "amilab-vendors", "conformance")}
    assert (after["no_record"], after["missing"]) == (0, before["missing"] + before["no_record"])
    assert [rows[vendor]["implausible"] for vendor in ("rl-dsp", "sdm630")] == [4, 0]


def test_a_letter_counts_for_all_that_it_stands_for(seeded: Seeded) -> None:
    with changed(seeded, "UPDATE dead_letter SET copies = 100 WHERE reason = 'not_json'") as connection:
        rows = panel_rows(seeded, connection, "amilab-vendors", "conformance")
        reasons = panel_rows(seeded, connection, "amilab-operations", "dead_letter_reasons")
    assert sum(row["dead_letters"] for row in rows) == sum(row["dead_letters"] for row in reasons) == 408


def test_a_meter_that_refuses_is_told_from_one_that_is_silent(seeded: Seeded) -> None:
    with changed(seeded) as connection:
        rows = {row["vendor"]: row for row in panel_rows(seeded, connection, "amilab-vendors", "conformance")}
    assert {name: (row["polls_refused"], row["polls_unanswered"]) for name, row in rows.items()} == {
        "rl-dsp": (0, 0),
        "sdm630": (2, 3),
        "sparkplug-mesh": (0, 0),
    }
