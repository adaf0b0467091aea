"""Batches against a model, and odd values against the real database."""

import asyncio
import json
import time

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headend.drivers import ABSENT, READING_COUNTERS, READING_MEASURES, DecodeError
from headend.drivers.rl_dsp.wire import decode_event, decode_reading
from headend.store import writer
from headend.store.migrate import connection_info, migrate
from headend.store.writer import Batch, Written
from tests.headend.fleet import START_S, iso
from tests.headend.services import Postgres

pytest_plugins = ["tests.headend.fixtures"]

SCHEMA = "writer_model"


@pytest.fixture(scope="module")
def url(postgres: Postgres) -> str:
    migrate(postgres.url(), SCHEMA)
    info = connection_info(postgres.url(), SCHEMA)
    with psycopg.connect(info, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO end_device (serial, vendor_profile, usage_point, device_group, registered_at)"
            " SELECT 'M' || n, 'rl-dsp', 'U' || n, 'g', now() FROM generate_series(1, 3) n"
        )
    return info


def write(info: str, batches: list[Batch]) -> list[Written]:
    async def work() -> list[Written]:
        connection = await psycopg.AsyncConnection.connect(info, autocommit=True)
        try:
            await connection.execute("TRUNCATE interval_reading, end_device_event, other_reading")
            await writer.prepare(connection)
            results = []
            for batch in batches:
                async with connection.transaction():
                    results.append(await writer.write(connection, batch, committed_s=START_S))
            return results
        finally:
            await connection.close()

    return asyncio.run(work())


def batch_of(rows: list[tuple[int, int, int | None]]) -> Batch:
    batch = Batch()
    for meter, slot, energy in rows:
        reported = ABSENT if energy is None else energy
        counters = dict.fromkeys(READING_COUNTERS, 0) | {"export_register_wh": reported, "export_wh": reported}
        counters |= {"import_wh": energy or 0, "reactive_q4_varh": reported, "active_power_l2_w": reported}
        counters |= {"max_demand_at_s": reported}
        measures = dict.fromkeys(READING_MEASURES, 0.3)
        measures |= dict.fromkeys(("voltage_l2_v", "current_l3_a"), float("nan") if energy is None else 1.0)
        columns = tuple(counters.values()), tuple(measures.values())
        batch.add_reading(meter, START_S + slot * 900, 900, START_S * 10**6, writer.REPORTED, *columns)
        batch.has_absent |= energy is None
    return batch


readings = st.tuples(st.integers(1, 3), st.integers(0, 3), st.sampled_from([None, 0, 5, 7]))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(readings, max_size=12), max_size=4))
def test_each_value_of_an_interval_is_one_revision_in_the_order_of_arrival(
    url: str, batches: list[list[tuple[int, int, int | None]]]
) -> None:
    written = write(url, [batch_of(batch) for batch in batches])
    model: dict[tuple[int, int], list[int | None]] = {}
    for meter, slot, energy in (row for batch in batches for row in batch):
        known = model.setdefault((meter, slot), [])
        if energy not in known:
            known.append(energy)
    with psycopg.connect(url) as connection:
        stored = connection.execute(
            "SELECT meter_id, (extract(epoch FROM interval_start)::int8 - %s) / 900, export_register_wh,"
            " reactive_q4_varh, active_power_l2_w, extract(epoch FROM max_demand_at)::int8, voltage_l2_v, current_l3_a,"
            " quality FROM interval_reading ORDER BY meter_id, interval_start, revision",
            [START_S],
        ).fetchall()
        current = connection.execute(
            "SELECT count(*), coalesce(sum(import_wh), 0), coalesce(sum(export_wh), 0) FROM stored_reading"
        ).fetchone()
        summed = connection.execute(
            "SELECT coalesce(sum(import_wh), 0), coalesce(sum(export_wh), 0) FROM reading_hourly"
        ).fetchone()
    assert stored == [
        (meter, slot, *[energy] * 4, *[None if energy is None else 1.0] * 2, 0 if revision == 0 else 2)
        for (meter, slot), known in sorted(model.items())
        for revision, energy in enumerate(known)
    ]
    assert current is not None
    assert current[0] == len(model)
    assert summed == current[1:], "a plain sum counts the latest value of each interval"
    assert sum(batch.inserted + batch.revisions + batch.duplicates for batch in written) == sum(map(len, batches))
    assert sum(batch.inserted for batch in written) == len(model)


def index_entries_read(info: str, batch: Batch) -> int:
    """How many entries of the key's index the server looked at while it wrote the batch."""
    read = (
        "SELECT coalesce(sum(idx_tup_read), 0)::int8 FROM pg_stat_user_indexes"
        " WHERE schemaname = %s AND relname = 'interval_reading'"
    )
    with psycopg.connect(info, autocommit=True) as connection:

        def total() -> int:
            connection.execute("SELECT pg_stat_clear_snapshot()")
            row = connection.execute(read, [SCHEMA]).fetchone()
            assert row is not None
            return int(row[0])

        write(info, [Batch()])
        before = total()
        write(info, [batch])
        # The writer's connection reports when it closes.
        while (after := total()) == before:
            time.sleep(0.01)
        return after - before


def test_many_values_of_one_interval_cost_in_proportion(url: str) -> None:
    some, twice = (index_entries_read(url, batch_of([(1, 0, value) for value in range(n)])) for n in (400, 800))
    assert twice < 3 * some


def test_the_values_of_an_interval_are_capped(url: str) -> None:
    most = writer.MOST_REVISIONS
    assert write(url, [batch_of([(1, 0, value) for value in range(most + 3)])]) == [Written(1, most, 0, too_many=2)]
    later = batch_of([(1, 0, most + 1), (1, 0, 0), (1, 0, most), (2, 0, 1)])
    first = batch_of([(1, 0, value) for value in range(most + 1)])
    assert write(url, [first, later]) == [Written(1, most, 0), Written(1, 0, 2, too_many=1)]


details = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(code=st.text(min_size=1), seq=st.integers(0, 2**63 - 1), detail=st.dictionaries(st.text(), details, max_size=3))
def test_whatever_the_driver_lets_through_the_database_takes(
    url: str, code: str, seq: int, detail: dict[str, object]
) -> None:
    payload = json.dumps({"event": {"ts": iso(START_S), "seq": seq, "code": code, "detail": detail}})
    other = json.dumps({"meter": {"ts": iso(START_S), "1.29.0": 1, code: -1e300}})
    batch = Batch()
    try:
        event = decode_event(payload.encode())
        batch.events.append((1, event.sequence, event.code, float(event.device_time_s), event.detail_json, START_S))
        reading = decode_reading(other.encode())
        batch.others += [(1, START_S, 900, name, value, START_S) for name, value in reading.others]
    except DecodeError:
        return
    write(url, [batch])
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT sequence, code FROM end_device_event").fetchall() == [(seq, code)]
