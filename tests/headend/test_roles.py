"""A head-end in several processes: readings are shared, and what must stay in order goes through one."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack

import psycopg
import pytest

from headend.clock import ManualClock
from headend.service import HeadEnd
from tests.headend.fleet import GROUP, LENGTH_S, START_S, Publisher, Shipment, event, iso, reading, serial
from tests.headend.reader import Reader
from tests.headend.services import Mosquitto, Postgres, until

pytest_plugins = ["tests.headend.fixtures"]

WORKERS = 3
INTERVALS = 40

Start = Callable[..., Awaitable[HeadEnd]]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START_S + 60)


@pytest.fixture
async def head(
    postgres: Postgres, mosquitto: Mosquitto, schema: str, shipment: Shipment, clock: ManualClock
) -> AsyncIterator[Start]:
    """Starts a process of the head-end by its role and number."""
    async with AsyncExitStack() as stack:

        async def start(role: str, number: int = 0) -> HeadEnd:
            settings = shipment.settings(
                postgres.url(),
                schema,
                mosquitto.port,
                role=role,
                client_id=f"headend-{schema}-{role}-{number}",
                stop_timeout_s=0.1,
            )
            process = HeadEnd(settings, clock)
            await process.start()
            stack.push_async_callback(process.stop)
            return process

        yield start


@pytest.fixture
def publisher(mosquitto: Mosquitto) -> Iterator[Publisher]:
    publisher = Publisher(mosquitto.port, "publisher")
    yield publisher
    publisher.close()


def publish_readings(publisher: Publisher, clock: ManualClock, meters: int = 3) -> int:
    clock.set(START_S + INTERVALS * LENGTH_S)
    for number in range(INTERVALS):
        for meter in range(meters):
            publisher.publish(f"dt/{GROUP}/{serial(meter)}/ds", reading(meter, START_S + (number + 1) * LENGTH_S))
    return INTERVALS * meters


async def test_ingest_workers_share_the_readings(
    head: Start, publisher: Publisher, database: Reader, clock: ManualClock
) -> None:
    workers = [await head("ingest", number) for number in range(WORKERS)]
    sent = publish_readings(publisher, clock)
    await until(publisher.is_idle, "PUBACKs")
    received = [(await worker.settle()).received for worker in workers]
    assert sum(received) == sent
    assert min(received) > 0, received
    assert database.value("SELECT count(*) FROM stored_reading") == sent


async def test_what_a_worker_has_not_committed_another_does(
    head: Start, publisher: Publisher, database: Reader, clock: ManualClock, postgres: Postgres, schema: str
) -> None:
    first, second = await head("ingest", 0), await head("ingest", 1)
    with psycopg.connect(postgres.url(), options=f"-csearch_path={schema}") as blocker:
        blocker.execute("LOCK TABLE interval_reading IN ACCESS EXCLUSIVE MODE")
        sent = publish_readings(publisher, clock)
        await until(publisher.is_idle, "PUBACKs")
        # It leaves with its messages unacknowledged, and its session; a broker hands them on when the session ends.
        await first.stop()
    back = await head("ingest", 0)
    for process in (back, second):
        await process.settle()
    assert database.value("SELECT count(*) FROM stored_reading") == sent


async def test_events_and_readings_go_to_those_who_follow_them(
    head: Start, publisher: Publisher, database: Reader, clock: ManualClock
) -> None:
    worker, outages, poller = await head("ingest"), await head("outages"), await head("poller")
    sent = publish_readings(publisher, clock)
    began_s = START_S + 100
    for number in range(20):
        publisher.publish(f"dt/{GROUP}/{serial(1)}/ev", event("reboot", began_s + number, number + 1))
    await until(publisher.is_idle, "PUBACKs")
    assert (await worker.settle()).received == sent
    assert (await outages.settle()).received == 20
    assert (await poller.settle()).received == 0
    order = database.rows("SELECT sequence FROM end_device_event ORDER BY ingested_at")
    assert [row[0] for row in order] == [*range(1, 21)]


async def test_registers_on_a_shared_topic_stay_in_order(
    head: Start, publisher: Publisher, database: Reader, clock: ManualClock, shipment: Shipment
) -> None:
    """The first meter says registers only, on the topic by which the others' readings come in any order."""
    text = shipment.path.read_text()
    shipment.path.write_text(text.replace(f"{serial(0)},rl-dsp,", f"{serial(0)},rl-dsp-plain,"))
    processes = [await head("ingest", 0), await head("ingest", 1), await head("outages")]
    clock.set(START_S + INTERVALS * LENGTH_S)
    for number in range(INTERVALS + 1):
        end_s = START_S + number * LENGTH_S
        registers = {"ts": iso(end_s), "1.7.0": 400.0, "1.8.0": 1000.0 + 100 * number}
        publisher.publish(f"dt/{GROUP}/{serial(0)}/ds", json.dumps({"meter": registers}).encode())
        publisher.publish(f"dt/{GROUP}/{serial(1)}/ds", reading(1, end_s))
    await until(publisher.is_idle, "PUBACKs")
    for process in processes:
        await process.settle()
    derived = database.rows("SELECT import_wh, quality FROM stored_reading WHERE serial = %s", serial(0))
    assert derived == [(100, "actual")] * INTERVALS
    assert database.value("SELECT count(*) FROM stored_reading WHERE serial <> %s", serial(0)) == INTERVALS + 1
    assert database.rows("SELECT reason FROM dead_letter") == []


async def test_who_follows_does_not_ask_for_what_a_worker_has_stored(
    head: Start, publisher: Publisher, database: Reader, clock: ManualClock
) -> None:
    worker, outages = await head("ingest"), await head("outages")
    clock.set(START_S + INTERVALS * LENGTH_S)
    for number in range(INTERVALS):
        for meter in range(3):
            if (meter, number) != (2, 7):
                publisher.publish(f"dt/{GROUP}/{serial(meter)}/ds", reading(meter, START_S + (number + 1) * LENGTH_S))
    await until(publisher.is_idle, "PUBACKs")
    await worker.settle()
    clock.set(START_S + INTERVALS * LENGTH_S + 780)
    await outages.advance()
    settled = await outages.settle()
    assert settled.commanded == [serial(2)], "only the meter that is short of one"
