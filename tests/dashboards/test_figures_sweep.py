"""Many made-up noons of one meter against a plain model of what a read is owed by: a slow sweep (make test-long)."""

from __future__ import annotations

import random

import pytest

from tests.dashboards.conftest import Seeded
from tests.dashboards.test_figures import changed, figures

pytestmark = pytest.mark.long
NOON_S = 1_768_046_400
"""2026-01-10 12:00 UTC, the beginning of the interval that is looked at."""
DUE_AFTER_S, LENGTH_S, CLOCK_S = 2100, 900, 10_800


def model(spans: list[tuple[int, int | None]], committed_s: int | None) -> str:
    """What becomes of the read, in seconds since noon. `spans` of darkness, apart from each other."""
    during = [span for span in spans if span[0] < DUE_AFTER_S and (span[1] is None or span[1] > 0)]
    open_ = any(until is None for _, until in during)
    put_off_s = 0 if open_ else sum((until or 0) - max(since, 0) for since, until in during)
    whole = any(since <= 2 and (until is None or until >= LENGTH_S - 2) for since, until in during)
    owed_by_s = DUE_AFTER_S if whole or open_ else DUE_AFTER_S + put_off_s
    if committed_s is not None and committed_s <= owed_by_s:
        return "on_time"
    if whole or open_ or owed_by_s > CLOCK_S:
        return "dark"
    return "missing" if committed_s is None else "late"


def at(seconds: int) -> str:
    return f"to_timestamp({NOON_S + seconds})"


@pytest.mark.parametrize("seed", range(300))
def test_sweep(seeded: Seeded, seed: int) -> None:
    chance = random.Random(seed)
    edges = sorted(chance.sample(range(-3000, 6000), 6))
    spans: list[tuple[int, int | None]] = [
        (edges[n], edges[n + 1]) for n in range(0, 2 * chance.randint(0, 3), 2)
    ]  # fmt: skip
    if spans and chance.random() < 0.2:
        spans[-1] = (spans[-1][0], None)
    committed_s = chance.choice([None, chance.randint(LENGTH_S, 9000)])
    statements = [
        "DELETE FROM outage_usage_point",
        "DELETE FROM interruption",
        "DELETE FROM interval_gap",
        "UPDATE end_device SET registered_at = '2027-01-01Z' WHERE id <> 1",
        "DELETE FROM interval_reading WHERE interval_start = '2026-01-10 12:00Z' AND meter_id <> 1",
        f"UPDATE interval_reading SET received_at = {at(CLOCK_S)} WHERE meter_id = 2"
        " AND interval_start = '2026-01-10 12:15Z'",
        "DELETE FROM interval_reading WHERE meter_id = 1 AND interval_start = '2026-01-10 12:00Z'"
        if committed_s is None
        else f"UPDATE interval_reading SET received_at = {at(LENGTH_S)}, committed_at = {at(committed_s)}"
        " WHERE meter_id = 1 AND interval_start = '2026-01-10 12:00Z'",
    ]
    for since, until in spans:
        if until is not None and chance.random() < 0.5:
            statements.append(
                f"INSERT INTO interruption (meter_id, down_at, up_at) VALUES (1, {at(since)}, {at(until)})"
            )
            continue
        statements.append(
            "INSERT INTO outage (reported_from, began_at, equivalent_devices, detected_at, revised_at)"
            f" VALUES ({at(since)}, {at(since)}, '{{}}', {at(since)}, {at(since)})"
        )
        ends = "NULL" if until is None else at(until)
        statements.append(
            f"INSERT INTO outage_usage_point SELECT max(id), 1, {at(since)}, {ends}, NULL, NULL FROM outage"
        )
    with changed(seeded, *statements) as connection:
        row = connection.execute(
            b"SELECT dark, on_time, late, missing FROM read_figure('2026-01-10 12:00Z', '2026-01-10 12:30Z', 900)"
            b" ORDER BY bucket_start_s LIMIT 1"
        ).fetchone()
        assert figures(connection, "2026-01-10 12:00Z", "2026-01-10 12:30Z")["due"] == 2
    assert row is not None
    found = dict(zip(("dark", "on_time", "late", "missing"), row, strict=True))
    assert found == {name: int(name == model(spans, committed_s)) for name in found}, (spans, committed_s)
