"""The network model and what each meter owes, in the database."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from headend.drivers import driver_for
from headend.errors import NetworkModelError
from headend.outages.model import NetworkModel, read_network_model
from headend.outages.publish import publish_network
from headend.registry import ShippedDevice, register
from headend.store.database import Connection
from headend.store.migrate import connection_info, migrate
from tests.headend.services import Postgres

pytest_plugins = ["tests.headend.fixtures"]

DEVICES: list[dict[str, object]] = [
    {"id": "transformer:T", "kind": "transformer", "parent": None, "position": [7.8, 48.4], "rated_kva": 400.0},
    {"id": "line:L", "kind": "line", "parent": "transformer:T"},
    {"id": "line:M", "kind": "line", "parent": None},
]
POINTS = [
    {"id": "UP1", "device": "line:L", "position": [7.81, 48.41], "nominal_voltage_v": 230.9},
    {"id": "UP2", "device": "line:M"},
]


def model(directory: Path, **changes: object) -> NetworkModel:
    path = directory / "network.json"
    path.write_text(json.dumps({"schema": 1, "feeder": "f", "devices": DEVICES, "usage_points": POINTS, **changes}))
    return read_network_model(path)


@pytest.fixture
def info(postgres: Postgres, schema: str) -> str:
    migrate(postgres.url(), schema)
    return connection_info(postgres.url(), schema)


async def rows(connection: Connection, query: str) -> list[tuple[object, ...]]:
    return await (await connection.execute(query.encode())).fetchall()


async def test_the_tables_are_what_the_model_says(info: str, tmp_path: Path) -> None:
    async with await psycopg.AsyncConnection.connect(info) as connection:
        await publish_network(connection, model(tmp_path))
        assert await rows(connection, "SELECT * FROM network_device ORDER BY id") == [
            ("line:L", "line", "transformer:T", None, None, None),
            ("line:M", "line", None, None, None, None),
            ("transformer:T", "transformer", None, 7.8, 48.4, 400.0),
        ]
        assert await rows(connection, "SELECT * FROM network_usage_point ORDER BY usage_point") == [
            ("UP1", "line:L", "transformer:T", 7.81, 48.41, 230.9),
            ("UP2", "line:M", None, None, None, None),
        ]


async def test_what_is_no_more_in_the_model_goes(info: str, tmp_path: Path) -> None:
    async with await psycopg.AsyncConnection.connect(info) as connection:
        await publish_network(connection, model(tmp_path))
        await publish_network(connection, model(tmp_path, usage_points=POINTS[:1]))
        assert await rows(connection, "SELECT usage_point FROM network_usage_point") == [("UP1",)]


@pytest.mark.parametrize(
    ("field", "value"), [("position", [200.0, 0.0]), ("position", [1.0]), ("rated_kva", 0.0), ("rated_kva", "400")]
)
def test_a_place_or_rating_that_cannot_be_is_refused(tmp_path: Path, field: str, value: object) -> None:
    with pytest.raises(NetworkModelError, match=rf"devices\.0\.{field}"):
        model(tmp_path, devices=[{**DEVICES[0], field: value}, *DEVICES[1:]])


async def test_a_meter_is_registered_with_its_cadence(info: str) -> None:
    shipment = [ShippedDevice("A", "rl-dsp", "UP1", "g"), ShippedDevice("B", "sparkplug-mesh", "UP2", "g", "C1")]
    query = "SELECT serial, interval_length_s, report_every_s FROM end_device ORDER BY serial"
    async with await psycopg.AsyncConnection.connect(info) as connection:
        await register(connection, shipment, now_s=0)
        assert await rows(connection, query) == [("A", 900, 900), ("B", 900, 14_400)]
        await register(connection, [replace(device, interval_length_s=60) for device in shipment], now_s=0)
        assert await rows(connection, query) == [("A", 60, 60), ("B", 60, 960)]


async def test_a_meter_is_registered_with_the_wire_and_the_facts_that_it_was_shipped_with(info: str) -> None:
    acme = ShippedDevice(
        "A", "acme", "UP1", "g", wire="rl-dsp", interval_length_s=300, report_every_s=600, register_range_wh=10**7
    )
    async with await psycopg.AsyncConnection.connect(info) as connection:
        (device,) = await register(connection, [acme], now_s=0)
        # It is in an earlier shipment now.
        found = await register(connection, [ShippedDevice("B", "rl-dsp", "UP2", "g")], now_s=0)
    assert [each.driver for each in found if each.serial == "A"] == [device.driver]
    driver = device.driver
    assert (driver.vendor_profile, driver.interval_length_s, driver.report_every_s) == ("acme", 300, 600)
    assert driver.register_range_wh == 10**7
    assert driver.mqtt == driver_for("rl-dsp").mqtt


async def test_what_is_due_follows_from_the_cadence(info: str) -> None:
    shipment = [ShippedDevice("A", "rl-dsp", "UP1", "g"), ShippedDevice("B", "sparkplug-mesh", "UP2", "g", "C1")]
    day_s, morning_s = 1_767_225_600, 1_767_225_600 + 8 * 3600

    async def due(at_s: int) -> list[tuple[object, ...]]:
        """By vendor: how many, and the first, the last and the deadline of the first, in minutes of the day."""
        minute = "extract(epoch FROM {} - to_timestamp(%s))::integer / 60"
        found = await connection.execute(
            f"SELECT vendor_profile, count(*), {minute.format('min(interval_start)')},"
            f" {minute.format('max(interval_start)')}, {minute.format('min(deadline)')}"
            " FROM due_reading(to_timestamp(%s), to_timestamp(%s), to_timestamp(%s)) GROUP BY 1 ORDER BY 1".encode(),
            [day_s, day_s, day_s, day_s, day_s + 86_400, at_s],
        )
        return await found.fetchall()

    async with await psycopg.AsyncConnection.connect(info) as connection:
        # In the middle of an interval: that one is owed already.
        await register(connection, shipment, now_s=day_s + 1000)
        # Late after its end, the 15 minutes or four hours of the profile, and five minutes.
        assert await due(morning_s) == [("rl-dsp", 29, 15, 435, 50), ("sparkplug-mesh", 14, 15, 210, 275)]
        # 07:30 is due at 08:05, not before.
        assert (await due(morning_s + 299))[0][1] == 29
        assert (await due(morning_s + 300))[0][1] == 30
