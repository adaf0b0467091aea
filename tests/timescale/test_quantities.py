"""A database of before migration 0026 gains the quantities of each phase and quadrant, compressed chunks and all."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.timescale.schema import LENGTH_S, Schema, Value, create_before
from tests.timescale.servers import Server

_schemas = itertools.count(1)
START_S = 1_767_225_600  # 2026-01-01 00:00 UTC
OLD = """
INSERT INTO interval_reading (meter_id, interval_length_s, interval_start, device_time, received_at, committed_at,
    import_register_wh, export_register_wh, import_wh, export_wh, voltage_l1_v, status, revision, quality, origin)
SELECT 1, 900, at, at + interval '900 s', at + interval '901 s', at + interval '902 s', 1000, 0, 100, 0, 231.4, 0, 0, 0,
    0 FROM generate_series(to_timestamp(%s), to_timestamp(%s), interval '900 s') at
"""


@pytest.fixture
def old(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Schema]:
    """A schema as the release before had it, with a day of one meter's readings, compressed where that can be."""
    schema = Schema(server, f"narrow{next(_schemas)}")
    with schema.connect() as connection:
        create_before(connection, schema.name, "0026", monkeypatch)
        connection.execute(
            "INSERT INTO end_device (serial, vendor_profile, usage_point, device_group, registered_at)"
            " VALUES ('M1', 'rl-dsp', 'U1', 'g', to_timestamp(0))"
        )
        connection.execute(OLD, [START_S, START_S + 95 * LENGTH_S])
    schema.compress()
    yield schema
    schema.drop()


def test_old_readings_say_nothing_of_the_new_and_stay_as_they_were(old: Schema) -> None:
    old.migrate()
    found = old.rows(
        "SELECT count(*), sum(import_wh), min(voltage_l1_v), count(reactive_q1_varh), count(current_l3_a),"
        " count(max_demand_at) FROM stored_reading"
    )
    assert found == [(96, 9600, 231.4, 0, 0, 0)]
    assert old.rows("SELECT sum(import_wh), sum(intervals) FROM reading_daily") == [(9600, 96)]


def test_an_old_reading_that_is_told_anew_with_more_is_a_revision_and_a_new_one_has_it_all(old: Schema) -> None:
    old.migrate()
    late = Value(1, START_S, 100, reactive_q1_varh=33)
    new = Value(1, START_S + 96 * LENGTH_S, 100, reactive_q1_varh=7)
    first, again = old.write(late, new), old.write(late, new)
    assert (first.inserted, first.revisions) == (1, 1)
    assert (again.inserted, again.revisions, again.duplicates) == (0, 0, 2)
    assert old.rows(
        "SELECT extract(epoch FROM interval_start)::int8, reactive_q1_varh, quality FROM stored_reading"
        " WHERE reactive_q1_varh IS NOT NULL ORDER BY 1"
    ) == [(START_S, 33, "revised"), (START_S + 96 * LENGTH_S, 7, "actual")]
    old.refresh()
    assert old.rows("SELECT sum(import_wh), sum(intervals) FROM reading_daily") == [(9700, 97)]
