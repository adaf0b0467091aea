"""What each edition has, what it says of the rest, and that the relations have the same names and columns on all."""

import re
from collections.abc import Iterator

import psycopg
import pytest

from headend.store.features import Feature, look
from headend.store.migrate import connection_info, migrate
from tests.headend.services import Postgres
from tests.timescale.schema import LENGTH_S, Schema, Value
from tests.timescale.servers import LOADED, apache_cluster, skipped_if_lacking

DAY_S = 86_400
START_S = 1_767_225_600  # 2026-01-01 00:00 UTC

KEPT = "everything is kept (AMILAB_HEADEND_RETENTION_DAYS is not set)"
ACTIVE = {
    "plain": set(),
    "apache": {"timescaledb", "hypertable"},
    "community": {"timescaledb", "hypertable", "compression", "continuous aggregates"},
}
WHY_NOT = {
    "plain": {
        "timescaledb": "the server does not have the extension",
        "hypertable": "TimescaleDB is not there",
        "compression": "TimescaleDB is not there",
        "continuous aggregates": "TimescaleDB is not there",
        "retention": KEPT,
    },
    "apache": {
        "compression": "only TimescaleDB's community edition (licence timescale) has it",
        "continuous aggregates": "only TimescaleDB's community edition (licence timescale) has it",
        "retention": KEPT,
    },
    "community": {"retention": KEPT},
}


def test_each_edition_says_what_is_active_and_why_the_rest_is_not(schema: Schema) -> None:
    edition = schema.server.edition
    with schema.connect() as connection:
        found = look(connection)
    assert [feature.name for feature in found] == [
        "timescaledb",
        "hypertable",
        "compression",
        "continuous aggregates",
        "retention",
    ]
    assert {feature.name for feature in found if feature.active} == ACTIVE[edition]
    assert {feature.name: feature.detail for feature in found if not feature.active} == WHY_NOT[edition]


def test_how_an_active_feature_is_set_up_is_told(schema: Schema) -> None:
    schema.write(*(Value(1, START_S + day * DAY_S, 100) for day in range(3)))
    found = schema.migrate(retention_days=60)
    if schema.server.edition != "plain":
        assert found["hypertable"].detail == "interval_reading: 3 chunks of 1 day"
    if schema.compresses:
        assert found["compression"].detail == "by meter, after 41 days: 0 of 3 chunks"
        schema.compress()
        assert schema.migrate()["compression"].detail.startswith("by meter, after 41 days: 3 of 3 chunks, ")
        assert "every 15 min" in found["continuous aggregates"].detail
        assert found["retention"] == Feature(
            "retention", True, "interval readings are dropped after 60 days; reading_hourly and reading_daily stay"
        )
    else:
        assert not found["retention"].active
        assert "run `amilab db maintain --retention-days 60` daily" in found["retention"].detail
    assert schema.migrate()["retention"] == Feature("retention", False, KEPT)


COLUMNS = {
    "reading_hourly": {
        "meter_id": "integer",
        "bucket": "timestamp with time zone",
        "intervals": "bigint",
        "estimated_intervals": "bigint",
        "revisions": "bigint",
        "import_wh": "numeric",
        "export_wh": "numeric",
    },
    "last_reading": {
        "meter_id": "integer",
        "serial": "text",
        "usage_point": "text",
        "interval_start": "timestamp with time zone",
        "interval_length_s": "integer",
        "import_wh": "bigint",
        "import_register_wh": "bigint",
        "received_at": "timestamp with time zone",
        "revision": "smallint",
    },
}
COLUMNS["reading_daily"] = COLUMNS["reading_hourly"]


@pytest.mark.parametrize("name", sorted(COLUMNS))
def test_names_and_columns_are_the_same_on_all(schema: Schema, name: str) -> None:
    found = schema.rows(
        "SELECT column_name, data_type FROM information_schema.columns"
        " WHERE table_schema = current_schema AND table_name = %s ORDER BY ordinal_position",
        name,
    )
    assert found == list(COLUMNS[name].items())


def test_setting_up_again_changes_nothing(schema: Schema) -> None:
    def jobs() -> list[tuple[object, ...]]:
        if not schema.compresses:
            return []
        return schema.rows("SELECT job_id, proc_name, config FROM timescaledb_information.jobs ORDER BY job_id")

    first, before = schema.migrate(retention_days=90), jobs()
    assert (schema.migrate(retention_days=90), jobs()) == (first, before)


def test_a_refresh_never_reaches_back_to_what_retention_has_dropped(schema: Schema) -> None:
    if not schema.compresses:
        assert not schema.migrate(retention_days=90)["retention"].active
        return
    offsets = (
        "SELECT DISTINCT config->>'start_offset' FROM timescaledb_information.jobs"
        " WHERE proc_name = 'policy_refresh_continuous_aggregate'"
    )
    assert schema.rows(offsets) == [(None,)]
    schema.migrate(retention_days=90)
    assert schema.rows(offsets) == [("89 days",)]
    schema.migrate()
    assert schema.rows(offsets) == [(None,)]


def test_a_meter_s_last_reading_is_its_latest_interval_in_its_latest_revision(schema: Schema) -> None:
    schema.write(Value(1, START_S, 1), Value(2, START_S + DAY_S, 2), Value(1, START_S + 40 * DAY_S, 3))
    schema.compress()
    schema.write(Value(1, START_S + 40 * DAY_S, 4), Value(2, START_S, 5))
    found = schema.rows(
        "SELECT serial, extract(epoch FROM interval_start)::int8, import_wh, revision FROM last_reading ORDER BY serial"
    )
    assert found == [("M1", START_S + 40 * DAY_S, 4, 1), ("M2", START_S + DAY_S, 2, 0)]


def test_missing_reads_of_a_day(schema: Schema) -> None:
    day = [START_S + DAY_S + slot * LENGTH_S for slot in range(96)]
    around = [day[0] - LENGTH_S, day[-1] + LENGTH_S]
    schema.write(*(Value(1, at, 100) for at in [*day, *around]))
    schema.write(*(Value(2, at, 100) for at in day if at not in (day[0], day[5], day[6], day[95])))
    schema.compress()
    # A revision is no second interval, and a gap that the meter itself knows of is not missing.
    schema.write(Value(2, day[1], 101), Value(2, day[2], 102))
    schema.run(
        "INSERT INTO interval_gap (meter_id, interval_start, interval_length_s, reason, command_id, noted_at)"
        " VALUES (2, to_timestamp(%s), %s, 'no_record', 'c', now())",
        day[6],
        LENGTH_S,
    )
    # Registered at noon; has other lengths; has nothing.
    schema.run("UPDATE end_device SET registered_at = to_timestamp(%s) WHERE id = 3", day[48] - 10)
    schema.write(*(Value(3, at, 100) for at in day[50:]))
    schema.write(*(Value(4, day[0] + n * 3600, 100, length_s=3600) for n in range(1, 23)))
    schema.write(Value(4, day[0], 100, length_s=1800), Value(4, day[94], 100, length_s=1800))
    found = schema.rows(
        "SELECT serial, extract(epoch FROM interval_start)::int8, interval_length_s"
        " FROM missing_reading('2026-01-02') ORDER BY serial, interval_start"
    )
    assert found == [
        ("M2", day[0], LENGTH_S),
        ("M2", day[5], LENGTH_S),
        ("M2", day[95], LENGTH_S),
        ("M3", day[48], LENGTH_S),
        ("M3", day[49], LENGTH_S),
        ("M4", day[2], 1800),
        ("M4", day[92], 1800),
    ]
    assert schema.rows("SELECT count(*) FROM missing_reading('2026-02-01', 3600)") == [(4 * 24,)]


@pytest.fixture
def unloaded() -> Iterator[Postgres]:
    """TimescaleDB is installed, but not loaded."""
    with skipped_if_lacking(), apache_cluster("") as postgres:
        yield postgres


def test_a_database_that_gains_the_extension_becomes_a_hypertable_with_all_its_readings(unloaded: Postgres) -> None:
    found = {feature.name: feature for feature in migrate(unloaded.url(), "late")}
    assert found["timescaledb"] == Feature(
        "timescaledb",
        False,
        "the server has it but does not load it: add timescaledb to shared_preload_libraries, then restart",
    )
    with psycopg.connect(connection_info(unloaded.url(), "late"), autocommit=True) as connection:
        connection.execute(
            "INSERT INTO interval_reading (meter_id, interval_length_s, interval_start, device_time, received_at,"
            " committed_at, import_wh, revision, quality, origin)"
            " SELECT 1, 900, t, t, t, t, 7, 0, 0, 0"
            " FROM generate_series('2026-01-01 00:00Z'::timestamptz, '2026-01-03 23:45Z', '15 minutes') t"
        )
        daily = "SELECT bucket, import_wh FROM reading_daily ORDER BY bucket"
        before = connection.execute(daily).fetchall()
    unloaded.stop()
    with (unloaded.data / "postgresql.conf").open("a") as file:
        file.write(LOADED)
    unloaded.start()
    found = {feature.name: feature for feature in migrate(unloaded.url(), "late")}
    assert found["hypertable"] == Feature("hypertable", True, "interval_reading: 3 chunks of 1 day")
    with psycopg.connect(connection_info(unloaded.url(), "late"), autocommit=True) as connection:
        assert connection.execute(daily).fetchall() == before
        plan = connection.execute(
            "EXPLAIN SELECT * FROM reading_hourly WHERE bucket >= '2026-01-02Z' AND bucket < '2026-01-03Z'"
        ).fetchall()
    chunks = set(re.findall(r"_hyper_\d+_\d+_chunk", str(plan)))
    assert len(chunks) == 1, f"a day of buckets is looked for in its chunk alone: {plan}"
