"""The meters of transformers beside those of their customers, in the head-end's own figures."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.dashboards.conftest import Seeded
from tests.dashboards.test_figures import WHOLE_DAY, changed

Connection = psycopg.Connection[tuple[Any, ...]]
MORNING = ("2026-01-10 02:00Z", "2026-01-10 06:00Z")
HALF = (
    "UPDATE interval_reading SET import_wh = import_wh / 2 WHERE meter_id = 2 AND interval_start >= '2026-01-10 03:00Z'"
)


def lost_wh(connection: Connection, begins: str, ends: str) -> dict[str, dict[int, float]]:
    """By transformer and hour of the day."""
    rows = connection.execute(
        "SELECT transformer, hour_s, lost_wh FROM transformer_loss(%s, %s)", [begins, ends]
    ).fetchall()
    found: dict[str, dict[int, float]] = {}
    for transformer, hour_s, lost in rows:
        found.setdefault(transformer, {})[int(hour_s % 86_400 // 3600)] = lost
    return found


def test_a_meter_at_a_transformer_is_told_by_its_usage_point(seeded: Seeded) -> None:
    with changed(seeded) as connection:
        rows = connection.execute("SELECT serial, transformer, rated_kva FROM transformer_meter ORDER BY 1").fetchall()
        served = connection.execute("SELECT DISTINCT customers_served FROM reliability_indices").fetchall()
    assert rows == [("T1", "transformer:T1", 400.0), ("T2", "transformer:T2", 250.0)]
    assert served == [(60,)], "no customer has them"


def test_what_a_customer_takes_past_its_meter_shows_at_its_transformer_alone(seeded: Seeded) -> None:
    with changed(seeded) as connection:
        honest = lost_wh(connection, *MORNING)
    with changed(seeded, HALF) as connection:
        stolen = lost_wh(connection, *MORNING)
    # Meter 2 shows 102 Wh in a quarter of an hour.
    assert stolen["transformer:T2"] == honest["transformer:T2"]
    rise = {hour: stolen["transformer:T1"][hour] - wh for hour, wh in honest["transformer:T1"].items()}
    assert rise == {2: 0.0, 3: 4 * 51.0, 4: 4 * 51.0, 5: 4 * 51.0}


def test_hours_that_are_estimated_or_not_whole_are_no_balance(seeded: Seeded) -> None:
    estimated = (
        "UPDATE interval_reading SET quality = 1 WHERE meter_id = 61 AND interval_start = '2026-01-10 03:15Z'",
        "DELETE FROM interval_reading WHERE meter_id = 61 AND interval_start = '2026-01-10 04:45Z'",
    )
    with changed(seeded, *estimated) as connection:
        found = lost_wh(connection, *MORNING)
    assert sorted(found["transformer:T1"]) == [2, 5]
    assert sorted(found["transformer:T2"]) == [2, 3, 4, 5]


def test_feeding_back_is_negative_and_loads_the_transformer_all_the_same(seeded: Seeded) -> None:
    sunny = (
        "UPDATE interval_reading SET import_wh = 0, export_wh = 30000, reactive_q1_varh = NULL"
        " WHERE meter_id = 62 AND interval_start = '2026-01-10 03:00Z'"
    )
    with changed(seeded, sunny) as connection:
        row = connection.execute(
            "SELECT energy_wh, loading_percent FROM transformer_energy"
            " WHERE transformer = 'transformer:T2' AND interval_start = '2026-01-10 03:00Z'"
        ).fetchone()
    # 120 kW at 250 kVA; what a meter does not say of reactive energy is left out.
    assert row == (-30_000, pytest.approx(48.0))


AT = "62, '2026-01-10 03:15Z', '2026-01-10 03:15Z', 0, 0, 0, 230, 230, 230, now()"


@pytest.mark.parametrize(
    ("closed", "loading"),
    [
        # 40 kvar beside 120 kW, at 250 kVA; then what began anew, and what nobody believes.
        ("512000, 90500, NULL", 50.596),
        ("12000, 90500, NULL", 48.0),
        ("512000, 90500, 'register_jump'", 48.0),
    ],
)
def test_registers_of_reactive_energy_load_a_transformer_too(seeded: Seeded, closed: str, loading: float) -> None:
    sunny = (
        "UPDATE interval_reading SET import_wh = 30000, export_wh = 0, reactive_q1_varh = NULL"
        " WHERE meter_id = 62 AND interval_start = '2026-01-10 03:00Z'"
    )
    polled = (
        "INSERT INTO register_reading (meter_id, boundary, read_at, import_register_wh, export_register_wh,"
        " active_power_w, voltage_l1_v, voltage_l2_v, voltage_l3_v, committed_at, reactive_import_register_varh,"
        " reactive_export_register_varh, implausible)"
        " VALUES (62, '2026-01-10 03:00Z', '2026-01-10 03:00Z', 0, 0, 0, 230, 230, 230, now(), 500000, 88500, NULL),"
        f" ({AT}, {closed})"
    )
    with changed(seeded, sunny, polled) as connection:
        row = connection.execute(
            "SELECT loading_percent FROM transformer_energy"
            " WHERE transformer = 'transformer:T2' AND interval_start = '2026-01-10 03:00Z'"
        ).fetchone()
    assert row == (pytest.approx(loading, abs=0.001),)


def test_no_hour_counts_of_which_the_transformer_has_no_meter(seeded: Seeded) -> None:
    with changed(seeded, "UPDATE end_device SET usage_point = 'elsewhere' WHERE id = 61") as connection:
        assert set(lost_wh(connection, *WHOLE_DAY)) == {"transformer:T2"}
