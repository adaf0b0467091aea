"""A database of before the communications network: its readings and events are told of by carrier, and none is lost."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from headend.store.features import extension_version
from lab.services.database_dump import dump, fill, frozen, in_database
from tests.timescale.schema import LENGTH_S, Schema, Value, create_before
from tests.timescale.servers import Server
from tests.timescale.test_dump import programs_for

_schemas = itertools.count(1)
BEFORE = "0038"
START_S = 1_767_225_600  # 2026-01-01 00:00 UTC
READS = 4
COLLECTED, CONNECTED, POLLED = 1, 2, 3
ADDRESSES = {COLLECTED: "COL0", CONNECTED: "", POLLED: "127.0.0.1:5020/1"}
READINGS = "SELECT meter_id, interval_start, revision, import_wh, quality FROM interval_reading ORDER BY 1, 2, 3"
DAY = "to_timestamp(1767225600), to_timestamp(1767225600 + 86400)"


def write_old(schema: Schema) -> None:
    """Readings of three meters, one of them revised, and an event."""
    for meter, address in ADDRESSES.items():
        schema.run(
            "INSERT INTO end_device (serial, vendor_profile, usage_point, device_group, registered_at, address)"
            " VALUES (%s, 'rl-dsp', %s, 'g', to_timestamp(0), %s)",
            f"M{meter}", f"U{meter}", address,
        )  # fmt: skip
    schema.write(*(Value(meter, START_S + n * LENGTH_S, 100 + n) for meter in ADDRESSES for n in range(READS)))
    schema.write(Value(COLLECTED, START_S, 7))
    schema.compress()
    schema.run(
        "INSERT INTO end_device_event (meter_id, sequence, code, device_time, detail, received_at, committed_at)"
        " VALUES (1, 1, 'power_restore', to_timestamp(%s), '{}', to_timestamp(%s), to_timestamp(%s))",
        START_S, START_S + 3, START_S + 4,
    )  # fmt: skip


def assert_told(schema: Schema, before: list[tuple[Any, ...]]) -> None:
    """All is there after an upgrade, and the figures of the network are made of it."""
    assert schema.rows(READINGS) == before
    assert schema.rows("SELECT DISTINCT cell FROM end_device") == [("",)]
    carriers = schema.rows("SELECT meter_id, carrier FROM meter_carrier ORDER BY 1")
    assert carriers == [(COLLECTED, "COL0"), (CONNECTED, "")]
    figures = schema.rows(f"SELECT class, messages, in_time FROM delivery_figure({DAY}) ORDER BY 1")
    assert figures == [("C1, outages and restorations", 1, 1), ("C4, reads", 2 * READS, 2 * READS)]
    # Nobody counted bytes then.
    carried = schema.rows(f"SELECT carrier, reads, bytes_per_meter_and_day FROM carrier_figure({DAY}) ORDER BY 1")
    assert carried == [("", READS, None), ("COL0", READS, None)]


@pytest.fixture
def old(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Schema]:
    """A schema as the release before had it, with readings in it."""
    schema = Schema(server, f"unnetworked{next(_schemas)}")
    with schema.connect() as connection:
        create_before(connection, schema.name, BEFORE, monkeypatch)
    write_old(schema)
    yield schema
    schema.drop()


def test_an_older_database_goes_on_with_the_network(old: Schema) -> None:
    before = old.rows(READINGS)
    assert len(before) == len(ADDRESSES) * READS + 1
    old.migrate()
    old.migrate()
    assert_told(old, before)
    old.write(Value(CONNECTED, START_S + READS * LENGTH_S, 50))
    assert len(old.rows(READINGS)) == len(before) + 1


@pytest.mark.parametrize("server", ["system", "apache"], indirect=True)
def test_a_backup_of_an_older_database_comes_back_and_goes_on(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The community edition has one database: its dumps are held in tests/timescale/test_dump.py."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        for name in ("old_whence", "old_back"):
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    url = in_database(server.url, "old_whence")
    schema = Schema(Server(server.edition, url), "amilab_run_old")
    with schema.connect() as connection:
        if server.edition == "apache":
            connection.execute("CREATE EXTENSION timescaledb SCHEMA public")
        create_before(connection, schema.name, BEFORE, monkeypatch)
    write_old(schema)
    before = schema.rows(READINGS)
    with frozen(url) as (connection, snapshot):
        asyncio.run(dump(programs_for(url), "old_whence", tmp_path / "dump", snapshot=snapshot))
        version = extension_version(connection)
    back = in_database(server.url, "old_back")
    asyncio.run(fill(back, programs_for(back), tmp_path / "dump", timescaledb=version))
    restored = Schema(Server(server.edition, back), schema.name)
    restored.migrate()
    assert_told(restored, before)
