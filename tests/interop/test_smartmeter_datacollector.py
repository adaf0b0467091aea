"""Our head-end reads smartmeter-datacollector 2.0.0 (GPL-2.0), a process in an environment of its own.

The program itself parses what a meter pushes and publishes it by its sink "MQTT RL-DSP": registers only, as floats, at
QoS 0, the time with its own offset. Nothing of amilab's extension is there: no state, no events, no load profile.
"""

from __future__ import annotations

import asyncio
import base64
import csv
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from headend.clock import ManualClock
from headend.service import HeadEnd
from tests.headend.fleet import HEADER, Publisher, Shipment
from tests.headend.reader import Reader
from tests.headend.services import Postgres, until
from tests.interop.environment import environment
from tests.interop.peer import Peer
from tests.meters.meter_broker import Broker

pytest_plugins = ["tests.headend.fixtures"]

GROUP = "test"
SERIAL = "AMI00000007"
LENGTH_S = 900
SHOWN = {"1.7.0": 524, "2.7.0": 0, "1.8.0": 48_211_345, "2.8.0": 17, "5.8.0": 12, "8.8.0": 34}


@pytest.fixture(scope="session")
def collector() -> Path:
    return environment("smartmeter-datacollector", "2.0.0")


@pytest.fixture
def start_s() -> int:
    return int(time.time()) // LENGTH_S * LENGTH_S


@pytest.fixture
def clock(start_s: int) -> ManualClock:
    return ManualClock(start_s - 60)


@pytest.fixture
async def head_end(
    postgres: Postgres, broker: Broker, schema: str, tmp_path: Path, clock: ManualClock
) -> AsyncIterator[HeadEnd]:
    shipped = Shipment(tmp_path / "shipped", count=0)
    key = base64.urlsafe_b64encode(shipped.public_key.public_bytes_raw()).rstrip(b"=").decode()
    with shipped.path.open("w", newline="") as file:
        csv.writer(file).writerows([HEADER, [SERIAL, "rl-dsp-plain", "UP7", GROUP, SERIAL, "pw", key, ""]])
    head_end = HeadEnd(shipped.settings(postgres.url(), schema, broker.port), clock)
    await head_end.start()
    yield head_end
    await head_end.stop()


@pytest.fixture
async def meter(broker: Broker, collector: Path, tmp_path: Path) -> AsyncIterator[Peer]:
    directory = tmp_path / "collector"
    directory.mkdir()
    meter = await Peer(collector, "smartmeter_datacollector_meter.py", directory, broker.port, GROUP, SERIAL).start()
    await meter.until(lambda lines: {"ready": True} in lines, "the program")
    yield meter
    await meter.stop()


async def settled_until(head_end: HeadEnd, condition: Callable[[], object], what: str) -> None:
    try:
        async with asyncio.timeout(60):
            while not condition():
                await head_end.settle()
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"{what} did not come") from None


def intervals(database: Reader) -> list[tuple[object, ...]]:
    return database.rows(
        "SELECT extract(epoch FROM interval_start)::int8, import_register_wh, import_wh, import_power_w, quality"
        " FROM stored_reading WHERE serial = %s ORDER BY 1",
        SERIAL,
    )


def boundaries(database: Reader) -> list[tuple[object, ...]]:
    return database.rows(
        "SELECT extract(epoch FROM boundary)::int8, import_register_wh, interpolated FROM register_reading ORDER BY 1"
    )


async def test_registers_at_boundaries_make_actual_intervals_and_others_estimated_ones(
    head_end: HeadEnd, meter: Peer, database: Reader, clock: ManualClock, start_s: int, broker: Broker
) -> None:
    ear = Publisher(broker.port, "ear", subscribe=f"dt/{GROUP}/{SERIAL}/ds")

    async def push(at_s: int, import_wh: int) -> None:
        clock.set(at_s + 2)
        heard = len(ear.received)
        await meter.tell(at=at_s, registers=SHOWN | {"1.8.0": import_wh})
        await until(lambda: len(ear.received) > heard, "what the program publishes")
        await head_end.settle()

    await push(start_s, 1000)
    await settled_until(head_end, lambda: boundaries(database), "the first registers")
    await push(start_s + 900, 1090)
    await settled_until(head_end, lambda: len(intervals(database)) == 1, "an interval between two boundaries")
    # Now in a rhythm of its own: never at a boundary.
    await push(start_s + 1500, 1150)
    await push(start_s + 2400, 1240)
    await push(start_s + 3300, 1430)
    await settled_until(head_end, lambda: len(intervals(database)) == 3, "intervals by interpolation")

    assert intervals(database) == [
        (start_s, 1090, 90, 524, "actual"),
        (start_s + 900, None, 90, None, "estimated"),
        (start_s + 1800, None, 123, None, "estimated"),
    ]
    assert boundaries(database) == [
        (start_s, 1000, False),
        (start_s + 900, 1090, False),
        (start_s + 1800, 1180, True),
        (start_s + 2700, 1303, True),
    ]
    assert database.rows("SELECT topic, reason FROM dead_letter") == []
    said = json.loads(ear.received[0][1])["meter"]
    assert said.keys() == {"ts", *SHOWN}
    assert {type(value) for code, value in said.items() if code != "ts"} == {float}
    ear.close()
