"""Our head-end reads a foreign edge node: pysparkplug 0.6.1 (Apache-2.0, paho-mqtt < 2) in an environment of its own.

What is not as it should be in that release:

- Its NBIRTH has no `Node Control/Rebirth`, and asked for a rebirth it does nothing: only a new connection helps.
- The NDEATH that it publishes itself before it leaves has the bdSeq of its next connection. The specification has a
  host ignore such an NDEATH (it may be a late one). Its will has the right number.
- Its NDEATH has QoS 0.
- It decodes no command without data types, and none that has a `seq`. The peer's script puts the types back.
"""

from __future__ import annotations

import asyncio
import base64
import csv
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from headend.clock import ManualClock
from headend.service import HeadEnd
from tests.headend.fleet import HEADER, Publisher, Shipment
from tests.headend.reader import Reader
from tests.headend.services import Postgres, until
from tests.interop.environment import environment
from tests.interop.peer import Peer
from tests.meters.meter_broker import Broker, on_both_brokers

pytest_plugins = ["tests.headend.fixtures"]
pytestmark = on_both_brokers

GROUP = "test"
EDGE = "PSP1"
DEVICE = "AMI00000007"
LENGTH_S = 900
VALUES = {
    "Interval/1.8.0": ("INT64", 48_211_345),
    "Interval/2.8.0": ("INT64", 17),
    "Interval/1.29.0": ("INT64", 131),
    "Interval/2.29.0": ("INT64", 0),
    "Interval/21.29.0": ("INT64", 44),
    "Interval/41.29.0": ("INT64", 43),
    "Interval/61.29.0": ("INT64", 44),
    "Interval/22.29.0": ("INT64", 0),
    "Interval/42.29.0": ("INT64", 0),
    "Interval/62.29.0": ("INT64", 0),
    "Interval/1.7.0": ("INT64", 524),
    "Interval/2.7.0": ("INT64", 0),
    "Interval/32.7.0": ("FLOAT", 231.4),
    "Interval/52.7.0": ("FLOAT", 230.1),
    "Interval/72.7.0": ("FLOAT", 229.9),
    "Interval/96.10.1": ("UINT32", 4),
}

Row = list[object]


@pytest.fixture(scope="session")
def pysparkplug() -> Path:
    return environment("pysparkplug", "0.6.1", "paho-mqtt==1.6.1", "protobuf==7.36.2")


@pytest.fixture
def start_s() -> int:
    """The peer stamps its payloads by the wall clock, so the head-end's stands near it too."""
    return int(time.time()) // LENGTH_S * LENGTH_S


@pytest.fixture
def clock(start_s: int) -> ManualClock:
    return ManualClock(start_s + 60)


@pytest.fixture
async def start_head_end(
    postgres: Postgres, broker: Broker, schema: str, tmp_path: Path, clock: ManualClock
) -> AsyncIterator[Callable[[], Awaitable[HeadEnd]]]:
    shipped = Shipment(tmp_path / "shipped", count=0)
    key = base64.urlsafe_b64encode(shipped.public_key.public_bytes_raw()).rstrip(b"=").decode()
    with shipped.path.open("w", newline="") as file:
        csv.writer(file).writerows([HEADER, [DEVICE, "sparkplug-mesh", "UP7", GROUP, EDGE, "pw", key, EDGE]])
    head_ends: list[HeadEnd] = []

    async def start() -> HeadEnd:
        head_ends.append(HeadEnd(shipped.settings(postgres.url(), schema, broker.port), clock))
        await head_ends[-1].start()
        return head_ends[-1]

    yield start
    for head_end in head_ends:
        await head_end.stop()


@pytest.fixture
async def head_end(start_head_end: Callable[[], Awaitable[HeadEnd]]) -> HeadEnd:
    return await start_head_end()


@pytest.fixture
async def edge(broker: Broker, pysparkplug: Path) -> AsyncIterator[Peer]:
    edge = await Peer(pysparkplug, "pysparkplug_edge.py", "127.0.0.1", broker.port, GROUP, EDGE, DEVICE).start()
    yield edge
    await edge.stop()


def interval(end_s: int, **changed: object) -> list[Row]:
    """The metrics of one interval; `changed` is by the last part of the name, dots as underscores."""
    new = {"Interval/" + name.removeprefix("c").replace("_", "."): value for name, value in changed.items()}
    return [[name, kind, new.get(name, value), end_s * 1000] for name, (kind, value) in VALUES.items()]


def at_birth(time_s: int) -> list[Row]:
    """A meter that has reported nothing yet, with two metrics that are its vendor's own."""
    unread: list[Row] = [[name, kind, None, time_s * 1000] for name, (kind, _) in VALUES.items()]
    return [
        ["Interval/Length", "UINT32", LENGTH_S, time_s * 1000],
        *unread,
        ["Radio/RSSI", "INT32", -71, time_s * 1000],
        ["Case/Temperature", "FLOAT", 21.5, time_s * 1000],
    ]


async def settled_until(head_end: HeadEnd, condition: Callable[[], object], what: str) -> None:
    try:
        async with asyncio.timeout(30):
            while not condition():
                await head_end.settle()
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"{what} did not come") from None


def stored(database: Reader) -> list[tuple[object, ...]]:
    return database.rows(
        "SELECT extract(epoch FROM interval_start)::int8, interval_length_s, import_register_wh, import_wh,"
        " import_l2_wh, import_power_w, voltage_l1_v, status, quality, origin"
        " FROM stored_reading WHERE serial = %s ORDER BY 1",
        DEVICE,
    )


def others(database: Reader) -> set[tuple[object, ...]]:
    return set(database.rows("SELECT reading_type, value FROM other_reading"))


def rejected(database: Reader) -> list[tuple[object, ...]]:
    return database.rows("SELECT topic, reason, detail FROM dead_letter")


async def test_its_births_and_data_land_in_the_database(
    head_end: HeadEnd, edge: Peer, database: Reader, clock: ManualClock, start_s: int
) -> None:
    await edge.tell(do="connect", metrics=at_birth(start_s))
    await settled_until(head_end, lambda: len(others(database)) == 2, "the birth's own metrics")
    assert others(database) == {("Radio/RSSI", -71.0), ("Case/Temperature", 21.5)}
    assert database.rows("SELECT online FROM device_state") == [(True,)]
    clock.set(start_s + 2 * LENGTH_S + 5)
    await edge.tell(
        do="update",
        metrics=[
            *interval(start_s + LENGTH_S),
            *interval(start_s + 2 * LENGTH_S, c1_8_0=48_211_500, c1_29_0=155, c96_10_1=0),
            ["Case/Temperature", "FLOAT", 22.25, (start_s + 2 * LENGTH_S) * 1000],
        ],
    )
    await settled_until(head_end, lambda: len(stored(database)) == 2, "two intervals")
    assert stored(database) == [
        (start_s, LENGTH_S, 48_211_345, 131, 43, 524, 231.4, 4, "actual", "reported"),
        (start_s + LENGTH_S, LENGTH_S, 48_211_500, 155, 43, 524, 231.4, 0, "actual", "reported"),
    ]
    assert others(database) == {("Radio/RSSI", -71.0), ("Case/Temperature", 21.5), ("Case/Temperature", 22.25)}
    assert rejected(database) == []


async def test_its_deaths_and_second_session_do_no_harm(
    head_end: HeadEnd, edge: Peer, database: Reader, clock: ManualClock, start_s: int, broker: Broker, pysparkplug: Path
) -> None:
    def online() -> list[tuple[object, ...]]:
        return database.rows("SELECT online FROM device_state")

    await edge.tell(do="connect", metrics=at_birth(start_s))
    await settled_until(head_end, lambda: online() == [(True,)], "the birth")
    await edge.tell(do="deregister")
    await settled_until(head_end, lambda: online() == [(False,)], "DDEATH")
    await edge.tell(do="disconnect")
    await edge.until(lambda lines: {"done": "disconnect"} in lines, "its leave")

    again = await Peer(pysparkplug, "pysparkplug_edge.py", "127.0.0.1", broker.port, GROUP, EDGE, DEVICE).start()
    await again.tell(do="connect", metrics=at_birth(start_s))
    await settled_until(head_end, lambda: online() == [(True,)], "the birth in its second session")
    clock.set(start_s + LENGTH_S + 5)
    await again.tell(do="update", metrics=interval(start_s + LENGTH_S))
    await settled_until(head_end, lambda: len(stored(database)) == 1, "the interval of the second session")
    await again.tell(do="vanish")
    await settled_until(head_end, lambda: online() == [(False,)], "its will")
    await again.stop()
    assert rejected(database) == []


async def test_it_is_asked_for_a_rebirth_that_it_cannot_give(
    start_head_end: Callable[[], Awaitable[HeadEnd]],
    edge: Peer,
    broker: Broker,
    pysparkplug: Path,
    database: Reader,
    clock: ManualClock,
    start_s: int,
) -> None:
    bystander = Publisher(broker.port, "bystander", subscribe="spBv1.0/#")
    await edge.tell(do="connect", metrics=at_birth(start_s))
    await until(lambda: len(bystander.received) == 2, "births that no head-end hears")
    bystander.close()
    head_end = await start_head_end()
    clock.set(start_s + LENGTH_S + 5)
    await edge.tell(do="update", metrics=interval(start_s + LENGTH_S))
    await edge.tell(do="update", metrics=interval(start_s + LENGTH_S))
    await settled_until(head_end, lambda: len(rejected(database)) == 2, "data without a birth")
    await edge.until(lambda lines: any("commanded" in line for line in lines), "a request for a rebirth")
    assert [line["commanded"] for line in edge.lines if "commanded" in line] == [[["Node Control/Rebirth", True]]]
    assert {(topic, reason) for topic, reason, _ in rejected(database)} == {
        (f"spBv1.0/{GROUP}/DDATA/{EDGE}/{DEVICE}", "no_birth")
    }
    await edge.tell(do="vanish")

    again = await Peer(pysparkplug, "pysparkplug_edge.py", "127.0.0.1", broker.port, GROUP, EDGE, DEVICE).start()
    await again.tell(do="connect", metrics=at_birth(start_s))
    await again.tell(do="update", metrics=interval(start_s + LENGTH_S))
    await settled_until(head_end, lambda: stored(database), "the interval under a birth")
    await again.stop()
