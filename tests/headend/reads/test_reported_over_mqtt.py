"""Meters of another distribution's driver, which report registers on topics of their own, over a real broker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from headend.clock import ManualClock
from headend.drivers import catalogue
from headend.service import HeadEnd
from tests.headend.fleet import GROUP, LENGTH_S, START_S, Publisher, Shipment, reading, serial
from tests.headend.reader import Reader
from tests.headend.services import Mosquitto, Postgres

pytest_plugins = ["tests.headend.fixtures"]

ACME = Path(__file__).parents[2] / "vendors" / "acme"
TALKER, OTHER = 0, 1


@pytest.fixture(autouse=True)
def with_acme(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    catalogue._drivers.cache_clear()
    monkeypatch.syspath_prepend(ACME)
    yield
    catalogue._drivers.cache_clear()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START_S)


@pytest.fixture
def make(
    postgres: Postgres, mosquitto: Mosquitto, schema: str, shipment: Shipment, clock: ManualClock
) -> Callable[..., HeadEnd]:
    text = shipment.path.read_text().splitlines()
    text[1 + TALKER] = text[1 + TALKER].replace("rl-dsp", "acme-talker")
    shipment.path.write_text("\n".join(text) + "\n")

    def make(**changed: object) -> HeadEnd:
        return HeadEnd(shipment.settings(postgres.url(), schema, mosquitto.port, **changed), clock)

    return make


@pytest.fixture
async def publisher(mosquitto: Mosquitto) -> AsyncIterator[Publisher]:
    publisher = Publisher(mosquitto.port, "meters")
    yield publisher
    publisher.close()


def says(publisher: Publisher, at_s: int, import_wh: int) -> None:
    payload = f"{START_S + at_s};{import_wh};0;-250;231.4;230.1;nan"
    publisher.send(f"dt/{GROUP}/{serial(TALKER)}/telegram/now", payload.encode())


def intervals(database: Reader) -> list[tuple[object, ...]]:
    return database.rows(
        "SELECT extract(epoch FROM interval_start)::int8 - %s, import_wh, quality FROM stored_reading"
        " WHERE serial = %s ORDER BY 1",
        START_S,
        serial(TALKER),
    )


async def test_reports_become_intervals_over_a_restart_and_what_is_said_twice_counts_once(
    make: Callable[..., HeadEnd], publisher: Publisher, clock: ManualClock, database: Reader
) -> None:
    head_end = make()
    await head_end.start()
    publisher.send(f"dt/{GROUP}/{serial(TALKER)}/hello", b"here")
    for at_s, import_wh in ((0, 1000), (60, 1010), (900, 1150), (960, 1160)):
        clock.set(START_S + at_s)
        says(publisher, at_s, import_wh)
        await head_end.settle()
    await head_end.stop()
    clock.set(START_S + 2760)
    says(publisher, 900, 1150)
    says(publisher, 2705, 1450)
    head_end = make()
    await head_end.start()
    says(publisher, 2760, 1455)
    await head_end.settle()
    assert intervals(database) == [(0, 150, "actual"), (900, 150, "estimated"), (1800, 150, "estimated")]
    assert database.rows(
        "SELECT extract(epoch FROM boundary)::int8 - %s, extract(epoch FROM read_at)::int8 - %s, active_power_w"
        " FROM register_reading ORDER BY 1",
        START_S,
        START_S,
    ) == [(0, 0, -250), (900, 900, -250), (2700, 2705, -250)]
    end = "SELECT import_register_wh, export_power_w, voltage_l1_v, voltage_l3_v FROM stored_reading WHERE quality = %s"
    assert database.rows(end, "actual") == [(1150, 250, 231.4, None)]
    assert database.rows("SELECT online FROM device_state") == [(True,)]
    assert database.value("SELECT count(*) FROM dead_letter") == 0
    await head_end.stop()


async def test_one_that_shows_what_cannot_be_costs_nobody_else_anything(
    make: Callable[..., HeadEnd], publisher: Publisher, clock: ManualClock, database: Reader
) -> None:
    head_end = make()
    await head_end.start()
    clock.set(START_S + LENGTH_S)
    says(publisher, 0, 500_000)
    says(publisher, 900, 3)
    for payload in (b"", b"nan;1;1;1;1;1;1", b"1;2", b"1e400;1e400;1;1;1;1;1", b"\xff"):
        publisher.send(f"dt/{GROUP}/{serial(TALKER)}/telegram/now", payload)
    publisher.send(f"dt/{GROUP}/{serial(TALKER)}/ds", reading(TALKER, START_S + LENGTH_S))
    publisher.send(f"dt/{GROUP}/{serial(OTHER)}/telegram/now", b"")
    publisher.send(f"dt/{GROUP}/{serial(OTHER)}/ds", reading(OTHER, START_S + LENGTH_S))
    await head_end.settle()
    await head_end.stop()
    assert intervals(database) == []
    assert database.rows("SELECT serial FROM stored_reading") == [(serial(OTHER),)]
    assert database.rows("SELECT reason, count(*) FROM dead_letter GROUP BY 1 ORDER BY 1") == [
        ("bad_structure", 4),
        ("implausible_time", 1),
        ("register_backwards", 1),
        ("unknown_topic", 2),
    ]


async def test_registers_go_to_the_one_process_that_hears_things_in_order(
    make: Callable[..., HeadEnd], publisher: Publisher, clock: ManualClock, database: Reader
) -> None:
    parts = [make(role=role, client_id=f"he-{role}") for role in ("ingest", "outages")]
    for part in parts:
        await part.start()
    clock.set(START_S + LENGTH_S)
    says(publisher, 0, 1000)
    says(publisher, 900, 1100)
    publisher.send(f"dt/{GROUP}/{serial(OTHER)}/ds", reading(OTHER, START_S + LENGTH_S))
    received = [(await part.settle()).received for part in parts]
    assert received == [1, 2]
    assert intervals(database) == [(0, 100, "actual")]
    for part in parts:
        await part.stop()
