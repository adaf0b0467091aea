"""The head-end, its database and its broker die and return: no reading is lost, none is doubled."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest

from headend.clock import ManualClock, WallClock
from headend.service import HeadEnd
from tests.headend.fleet import GROUP, LENGTH_S, START_S, Publisher, Shipment, reading, serial
from tests.headend.reader import Reader
from tests.headend.services import Mosquitto, Postgres, until, wait_for

pytest_plugins = ["tests.headend.fixtures"]

METERS = 20


@pytest.fixture
def shipment(tmp_path: Path) -> Shipment:
    return Shipment(tmp_path / "shipped", METERS)


@pytest.fixture
def publisher(mosquitto: Mosquitto) -> Iterator[Publisher]:
    publisher = Publisher(mosquitto.port, "publisher")
    yield publisher
    publisher.close()


def topic(meter: int) -> str:
    return f"dt/{GROUP}/{serial(meter)}/ds"


def publish_interval(publisher: Publisher, number: int) -> None:
    for meter in range(METERS):
        publisher.publish(topic(meter), reading(meter, START_S + (number + 1) * LENGTH_S))


def stored(database: Reader) -> int:
    return int(str(database.value("SELECT count(*) FROM stored_reading")))


def assert_each_once(database: Reader, count: int) -> None:
    assert stored(database) == count
    assert database.value("SELECT count(*) FROM interval_reading") == count
    assert database.value("SELECT count(*) FROM dead_letter") == 0


class Process:
    """`python -m headend`, as production starts it."""

    def __init__(self, shipment: Shipment, url: str, schema: str, port: int) -> None:
        self._environment = {
            **os.environ,
            "AMILAB_HEADEND_DATABASE_URL": url,
            "AMILAB_HEADEND_DATABASE_SCHEMA": schema,
            "AMILAB_HEADEND_BROKER_PORT": str(port),
            "AMILAB_HEADEND_BROKER_USERNAME": "headend",
            "AMILAB_HEADEND_BROKER_PASSWORD": "secret",
            "AMILAB_HEADEND_CLIENT_ID": schema,
            "AMILAB_HEADEND_GROUP": GROUP,
            "AMILAB_HEADEND_SHIPMENT": str(shipment.path),
            "AMILAB_HEADEND_COMMAND_KEY": str(shipment.key_path),
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "headend"], env=self._environment, stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None
        return code


@pytest.fixture
def process(postgres: Postgres, mosquitto: Mosquitto, schema: str, shipment: Shipment) -> Iterator[Process]:
    process = Process(shipment, postgres.url(), schema, mosquitto.port)
    yield process
    if process.process is not None:
        process.end(signal.SIGKILL)


def test_killed_at_random_moments_between_receive_and_commit(
    process: Process, publisher: Publisher, database: Reader
) -> None:
    moments = random.Random(20260115)
    process.start()
    kills, intervals = 6, 0
    over = threading.Event()

    def publish() -> int:
        number = 0
        while not over.is_set():
            publish_interval(publisher, number)
            number += 1
            over.wait(0.01)
        return number

    def run() -> None:
        nonlocal intervals
        intervals = publish()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        for _ in range(kills):
            time.sleep(moments.uniform(0.0, 0.3))
            process.end(signal.SIGKILL)
            process.start()
    finally:
        over.set()
        thread.join()
    wait_for(lambda: stored(database) >= intervals * METERS, "all readings")
    assert process.end(signal.SIGTERM) == 0
    assert_each_once(database, intervals * METERS)


def test_sigterm_commits_what_was_received(process: Process, publisher: Publisher, database: Reader) -> None:
    process.start()
    for number in range(20):
        publish_interval(publisher, number)
    assert process.end(signal.SIGTERM) == 0
    process.start()
    wait_for(lambda: stored(database) == 20 * METERS, "the rest")
    assert process.end(signal.SIGTERM) == 0
    assert_each_once(database, 20 * METERS)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START_S + 110 * LENGTH_S)


@pytest.fixture
async def head_end(
    postgres: Postgres, mosquitto: Mosquitto, schema: str, shipment: Shipment, clock: ManualClock
) -> AsyncIterator[HeadEnd]:
    settings = shipment.settings(
        postgres.url(), schema, mosquitto.port, pending_max_messages=500, batch_max_rows=100, stop_timeout_s=0.5
    )
    head_end = HeadEnd(settings, clock)
    await head_end.start()
    yield head_end
    await head_end.stop()


async def test_the_database_dies_mid_stream_and_returns(
    head_end: HeadEnd, publisher: Publisher, database: Reader, postgres: Postgres
) -> None:
    for number in range(10):
        publish_interval(publisher, number)
    await head_end.settle()
    database.close()
    postgres.stop()
    try:
        for number in range(10, 110):
            publish_interval(publisher, number)
        await until(publisher.is_idle, "PUBACKs")
        settling = asyncio.ensure_future(head_end.settle())
        retries = "amilab_headend_database_retries_total"
        await until(lambda: (head_end.metrics.registry.get_sample_value(retries) or 0) > 2, "some tries")
        # Bounded: 500 pending, one batch under way, and what one more read of the socket brought.
        messages = head_end.received - int(str(head_end.ingest_stats()["messages"]))
        assert messages < 500 + 100 + 700
        assert not settling.done()
    finally:
        await asyncio.to_thread(postgres.start)
    async with asyncio.timeout(60):
        assert (await settling).connected
    assert_each_once(database, 110 * METERS)


@pytest.mark.parametrize("code", ["53100", "25006"], ids=["disk full", "read-only standby"])
async def test_a_database_that_cannot_write_is_waited_for(
    head_end: HeadEnd, publisher: Publisher, database: Reader, code: str, capfd: pytest.CaptureFixture[str]
) -> None:
    database.rows("SELECT 1")
    connection = database._connection
    assert connection is not None
    connection.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END $$"
    )
    connection.execute("CREATE TRIGGER refuse BEFORE INSERT ON interval_reading EXECUTE FUNCTION refuse()")
    publish_interval(publisher, 0)
    await until(publisher.is_idle, "PUBACKs")
    settling = asyncio.ensure_future(head_end.settle())
    retries = "amilab_headend_database_retries_total"
    await until(lambda: (head_end.metrics.registry.get_sample_value(retries) or 0) > 2, "some tries")
    assert not settling.done()
    connection.execute("DROP TRIGGER refuse ON interval_reading")
    async with asyncio.timeout(30):
        await settling
    assert_each_once(database, METERS)
    told = [line for line in capfd.readouterr().err.splitlines() if '"level": "error"' in line]
    assert len(told) == 1
    assert "nothing is acknowledged until" in told[0]


async def test_the_broker_dies_and_returns(
    head_end: HeadEnd, publisher: Publisher, database: Reader, mosquitto: Mosquitto, clock: ManualClock
) -> None:
    publish_interval(publisher, 0)
    # What the broker has acknowledged and not delivered when it is killed would be for the gap recovery.
    await until(publisher.is_idle, "PUBACKs")
    await head_end.settle()
    mosquitto.kill()
    assert not (await head_end.settle()).connected
    first_due_s = head_end.next_due()
    assert first_due_s is not None
    assert 0.75 <= first_due_s - clock.now() <= 1.25
    clock.set(first_due_s)
    await head_end.advance()
    second_due_s = head_end.next_due()
    assert second_due_s is not None
    assert 1.5 <= second_due_s - clock.now() <= 2.5
    mosquitto.start()
    clock.set(second_due_s)
    await head_end.advance()
    assert (await head_end.settle()).connected
    await until(publisher.client.is_connected, "the publisher's return")
    publish_interval(publisher, 1)
    await until(publisher.is_idle, "PUBACKs")
    await head_end.settle()
    assert_each_once(database, 2 * METERS)


async def test_nothing_is_acknowledged_before_it_is_committed(
    postgres: Postgres, mosquitto: Mosquitto, schema: str, shipment: Shipment, publisher: Publisher, database: Reader
) -> None:
    settings = shipment.settings(postgres.url(), schema, mosquitto.port, stop_timeout_s=0.1)
    first = HeadEnd(settings, ManualClock(START_S + 86_400))
    await first.start()
    with psycopg.connect(postgres.url(), options=f"-csearch_path={schema}") as blocker:
        blocker.execute("LOCK TABLE interval_reading IN ACCESS EXCLUSIVE MODE")
        publish_interval(publisher, 0)
        await until(publisher.is_idle, "PUBACKs")
        await until(lambda: first.received == METERS, "the messages")
        # It received everything and stops without having committed: had it acknowledged, the broker would forget.
        await first.stop()
    second = HeadEnd(settings, ManualClock(START_S + 86_400))
    await second.start()
    assert (await second.settle()).received == METERS
    await second.stop()
    assert_each_once(database, METERS)


async def test_on_the_wall_clock_it_reconnects_by_itself(
    postgres: Postgres, mosquitto: Mosquitto, schema: str, shipment: Shipment
) -> None:
    settings = shipment.settings(postgres.url(), schema, mosquitto.port, reconnect_first_s=0.1)
    head_end = HeadEnd(settings, WallClock())
    await head_end.start()
    running = asyncio.ensure_future(head_end.run_timers())
    reconnects = "amilab_headend_reconnects_total"
    mosquitto.kill()
    mosquitto.start()
    await until(lambda: head_end.metrics.registry.get_sample_value(reconnects) == 1, "the reconnection")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await head_end.stop()
