"""Outages in a mixed fleet: silence is judged by each meter's own cadence, and not while its collector is away.

The street of test_outages.py; the section behind d2 is metered through one collector, the rest directly.
"""

import json
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path

import psycopg
import pytest

from headend.clock import ManualClock
from headend.service import HeadEnd
from tests.headend.fleet import LENGTH_S, START_S, Shipment, iso, serial
from tests.headend.networks import street
from tests.headend.reader import Reader
from tests.headend.services import Mosquitto, Postgres
from tests.headend.sparkplug_edge import EdgeNode

pytest_plugins = ["tests.headend.fixtures"]

DOWN_S = START_S + 5 * LENGTH_S + 400
UP_S = DOWN_S + 2 * 3600
BLOCK_DUE_S = START_S + 14_400 + 120
SECTION = range(4, 10)
EDGE = "COL0001"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(DOWN_S - 60)


@pytest.fixture
def shipment(tmp_path: Path) -> Shipment:
    shipment = Shipment(tmp_path / "shipped", count=10)
    header, *lines = shipment.path.read_text().splitlines()
    lines = [
        line.replace("rl-dsp", "sparkplug-mesh") + EDGE if number in SECTION else line
        for number, line in enumerate(lines)
    ]
    shipment.path.write_text("\n".join([header, *lines]) + "\n")
    return shipment


@pytest.fixture
async def head_end(
    postgres: Postgres, mosquitto: Mosquitto, schema: str, shipment: Shipment, tmp_path: Path, clock: ManualClock
) -> AsyncIterator[HeadEnd]:
    model = street().model
    document = {
        "schema": 1,
        "feeder": "street",
        "devices": [{"id": name, "kind": model.kinds[name], "parent": above} for name, above in model.parents.items()],
        "usage_points": [{"id": point, "device": device} for point, device in model.feeding.items()],
    }
    network = tmp_path / "network.json"
    network.write_text(json.dumps(document))
    head_end = HeadEnd(
        shipment.settings(postgres.url(), schema, mosquitto.port, network_model=network, recovery_horizon_s=1), clock
    )
    await head_end.start()
    yield head_end
    await head_end.stop()


@pytest.fixture
def edge(mosquitto: Mosquitto, head_end: HeadEnd) -> Iterator[EdgeNode]:
    edge = EdgeNode(mosquitto.port, EDGE, host="nobody")
    edge.birth(*map(serial, SECTION))
    yield edge
    edge.close()


def gasp(edge: EdgeNode, meters: Iterable[int]) -> None:
    for meter in meters:
        edge.event(serial(meter), "last_gasp", DOWN_S + 50, 1, down_at=iso(DOWN_S))


def restore(edge: EdgeNode, meters: Iterable[int]) -> None:
    for meter in meters:
        edge.event(serial(meter), "power_restore", UP_S + 30, 2, down_at=iso(DOWN_S), up_at=iso(UP_S))


async def live(head_end: HeadEnd, clock: ManualClock, until_s: float) -> None:
    await head_end.settle()
    while (due_s := head_end.next_due()) is not None and due_s <= until_s:
        clock.set(max(due_s, clock.now()))
        await head_end.advance()
        await head_end.settle()
    clock.set(until_s)
    await head_end.settle()


def report(database: Reader) -> list[tuple[object, ...]]:
    return database.rows("SELECT status, device, customers FROM outage_report ORDER BY began_at, device")


async def all_but_one_come_back(head_end: HeadEnd, edge: EdgeNode, clock: ManualClock) -> None:
    clock.set(DOWN_S + 47)
    gasp(edge, SECTION)
    await live(head_end, clock, UP_S + 30)
    restore(edge, range(4, 9))


async def test_a_meter_is_not_silent_before_its_block_is_due(
    head_end: HeadEnd, edge: EdgeNode, clock: ManualClock, database: Reader
) -> None:
    await all_but_one_come_back(head_end, edge, clock)
    await live(head_end, clock, BLOCK_DUE_S - 1)
    assert report(database) == [("open", "d2", 6)]
    await live(head_end, clock, BLOCK_DUE_S + 3600)
    assert report(database) == [("sustained", "d2", 6), ("open", "d12", 1)]


async def test_while_its_collector_is_away_a_meter_is_not_silent(
    head_end: HeadEnd, edge: EdgeNode, clock: ManualClock, database: Reader
) -> None:
    await all_but_one_come_back(head_end, edge, clock)
    await head_end.settle()
    edge.node_death()
    await live(head_end, clock, BLOCK_DUE_S + 7200)
    assert report(database) == [("open", "d2", 6)]
    assert database.value("SELECT count(*) FROM communication_history WHERE NOT online") == 6


async def test_a_collector_without_uplink_is_no_outage(
    head_end: HeadEnd, edge: EdgeNode, clock: ManualClock, database: Reader
) -> None:
    await head_end.settle()
    edge.node_death()
    await live(head_end, clock, BLOCK_DUE_S + 14_400)
    assert report(database) == []


@pytest.mark.parametrize(
    ("quality", "status", "expected"),
    [
        (0, 0, [("open", f"d{number}", 1) for number in (10, 7, 8, 9)]),
        (0, None, [("open", f"d{number}", 1) for number in (10, 7, 8, 9)]),
        (1, None, [("open", "d2", 6)]),
        (1, 0, [("open", "d2", 6)]),
    ],
    ids=["measured throughout", "polled", "polled and estimated", "estimated"],
)
async def test_only_what_was_measured_shows_supply(
    head_end: HeadEnd,
    edge: EdgeNode,
    clock: ManualClock,
    database: Reader,
    postgres: Postgres,
    schema: str,
    quality: int,
    status: int | None,
    expected: list[tuple[object, ...]],
) -> None:
    clock.set(DOWN_S + 47)
    gasp(edge, [4, 5, 6, 7])
    await head_end.settle()
    with psycopg.connect(postgres.url(), options=f"-csearch_path={schema}") as connection:
        for meter_id in (9, 10):
            connection.execute(
                "INSERT INTO interval_reading (meter_id, interval_length_s, interval_start, device_time, received_at,"
                " committed_at, import_wh, status, revision, quality, origin)"
                " SELECT %s, %s, t, t, t, t, 5, %s, 0, %s, 0 FROM to_timestamp(%s) AS t",
                [meter_id, LENGTH_S, status, quality, START_S + 6 * LENGTH_S],
            )
    await live(head_end, clock, START_S + 7 * LENGTH_S + 600)
    assert report(database) == expected
