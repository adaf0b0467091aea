"""A codec that is nobody's of ours on both sides of the wire: npm's sparkplug-payload 1.0.3 (EPL-2.0), run by node.

It reads what our collector says and what our head-end commands, and writes what our head-end is to take. What is not
as it should be in that release, and what is done about it:

- It reads no metric without a data type. The peer's script puts types and names back from the births.
- It reads and writes a UInt32 in `long_value`, where the specification has `int_value`. The script moves what is read;
  our head-end takes either.
- It cannot write a metric without a data type, which our head-end takes as well.
"""

from __future__ import annotations

import base64
import csv
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from headend.clock import ManualClock
from headend.service import HeadEnd
from tests import left_out
from tests.headend.fleet import GROUP as HOST_GROUP
from tests.headend.fleet import HEADER, Shipment, opened
from tests.headend.fleet import START_S as HOST_START_S
from tests.headend.reader import Reader
from tests.headend.services import Postgres
from tests.interop.collected import (
    COLLECTOR,
    GROUP,
    LENGTH_S,
    REPORT_EVERY_S,
    START_S,
    Collected,
    as_metrics,
    serial,
)
from tests.interop.environment import npm_environment
from tests.interop.listener import Heard, Listener
from tests.interop.peer import Line, Peer
from tests.meters.meter_broker import MOSQUITTO, Broker

pytest_plugins = ["tests.headend.fixtures"]
pytestmark = left_out.unless(MOSQUITTO, *left_out.MOSQUITTO)

COUNT = 3
EDGE, DEVICE = "NPM1", "AMI00000009"
BLOCK_S = 14_400
INTERVAL = {
    **dict.fromkeys(("Interval/1.8.0", "Interval/2.8.0", "Interval/1.29.0", "Interval/2.29.0"), "Int64"),
    **dict.fromkeys((f"Interval/{code}.29.0" for code in (21, 41, 61, 22, 42, 62)), "Int64"),
    **dict.fromkeys(("Interval/1.7.0", "Interval/2.7.0"), "Int64"),
    **dict.fromkeys(("Interval/32.7.0", "Interval/52.7.0", "Interval/72.7.0"), "Float"),
    "Interval/96.10.1": "UInt32",
}
COMMAND = "Device Control/Command"
ALIASES = {name: alias for alias, name in enumerate(("Interval/Length", *INTERVAL, COMMAND), start=20)}


class Codec:
    """The peer, asked one thing after the other."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._asked = 0

    async def decoded(self, heard: Heard) -> Line:
        return await self._answer(topic=heard.topic, payload=base64.b64encode(heard.payload).decode())

    async def encoded(self, payload: dict[str, Any]) -> bytes:
        return base64.b64decode((await self._answer(encode=payload))["payload"])

    async def _answer(self, **line: object) -> Line:
        self._asked += 1
        await self._peer.tell(**line)
        await self._peer.until(lambda lines: len(lines) == self._asked, "the answer")
        return self._peer.lines[-1]


@pytest.fixture(scope="session")
def sparkplug_payload() -> tuple[Path, Path]:
    return npm_environment("sparkplug-payload", "1.0.3", "protobufjs@6.11.6", "long@4.0.0")


@pytest.fixture
async def codec(sparkplug_payload: tuple[Path, Path]) -> AsyncIterator[Codec]:
    node, directory = sparkplug_payload
    peer = await Peer(node, "sparkplug_payload.cjs", directory).start()
    yield Codec(peer)
    await peer.stop()


@pytest.fixture
async def collected(broker: Broker, listener: Listener, tmp_path: Path) -> AsyncIterator[Collected]:
    made = Collected(tmp_path, broker.port, count=COUNT)
    await made.fleet.start()
    yield made
    await made.fleet.stop()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(HOST_START_S + 60)


@pytest.fixture
def shipped(tmp_path: Path) -> Shipment:
    shipped = Shipment(tmp_path / "shipped", count=0)
    key = base64.urlsafe_b64encode(shipped.public_key.public_bytes_raw()).rstrip(b"=").decode()
    with shipped.path.open("w", newline="") as file:
        csv.writer(file).writerows([HEADER, [DEVICE, "sparkplug-mesh", "UP9", HOST_GROUP, EDGE, "pw", key, EDGE]])
    return shipped


@pytest.fixture
async def head_end(
    postgres: Postgres, broker: Broker, schema: str, shipped: Shipment, clock: ManualClock
) -> AsyncIterator[HeadEnd]:
    head_end = HeadEnd(shipped.settings(postgres.url(), schema, broker.port), clock)
    await head_end.start()
    yield head_end
    await head_end.stop()


def values(line: Line) -> dict[str, Any]:
    return {metric["name"]: metric["value"] for metric in line["metrics"]}


async def test_it_reads_what_our_collector_says(codec: Codec, collected: Collected, listener: Listener) -> None:
    await collected.go(START_S + 2 * REPORT_EVERY_S + 60)
    await listener.caught_up()
    said = [await codec.decoded(heard) for heard in listener.of("NBIRTH", "DBIRTH", "DDATA")]
    assert [line["seq"] for line in said] == list(range(len(said)))
    node = said[0]
    assert node["topic"] == f"spBv1.0/{GROUP}/NBIRTH/{COLLECTOR}"
    assert values(node) == {
        "Node Control/Rebirth": False,
        "Power/Mains": True,
        "bdSeq": 0,
        "Properties/Meters": COUNT,
    }
    assert {metric["name"]: metric["type"] for metric in node["metrics"]}["bdSeq"] == "Int64"
    journal = collected.journal()
    assert len(journal) == COUNT * 2 * REPORT_EVERY_S // LENGTH_S
    for row in range(COUNT):
        birth, *data = [line for line in said if line["topic"].endswith(f"/{serial(row)}")]
        (register,) = [metric for metric in birth["metrics"] if metric["name"] == "Interval/1.8.0"]
        assert (register["value"], register["properties"]) == (None, {"engUnit": {"type": "String", "value": "Wh"}})
        assert values(birth)["Interval/Length"] == LENGTH_S
        told: dict[int, dict[str, Any]] = {}
        for metric in (metric for line in data for metric in line["metrics"]):
            told.setdefault(metric["timestamp"] // 1000, {})[metric["name"]] = metric["value"]
        kept = {
            int(entry["interval_start"].timestamp()) + LENGTH_S: as_metrics(entry)
            for entry in journal
            if entry["serial"] == serial(row)
        }
        assert told == {end_s: pytest.approx(metrics, rel=1e-6) for end_s, metrics in kept.items()}


async def test_our_collector_obeys_what_it_writes(codec: Codec, collected: Collected, listener: Listener) -> None:
    await collected.go(START_S + 60)
    await listener.until(lambda: len(listener.of("DBIRTH")) == COUNT, "the births")
    rebirth = {"name": "Node Control/Rebirth", "type": "Boolean", "value": True, "timestamp": START_S * 1000}
    payload = await codec.encoded({"timestamp": START_S * 1000, "metrics": [rebirth]})
    listener.publish(f"spBv1.0/{GROUP}/NCMD/{COLLECTOR}", payload)
    await listener.until(lambda: len(listener.of("DBIRTH")) == 2 * COUNT, "the births once more")


async def say(codec: Codec, listener: Listener, kind: str, seq: int, metrics: list[Line]) -> None:
    payload = await codec.encoded({"timestamp": HOST_START_S * 1000, "seq": seq, "metrics": metrics})
    device = f"/{DEVICE}" if kind.startswith("D") else ""
    listener.publish(f"spBv1.0/{HOST_GROUP}/{kind}/{EDGE}{device}", payload)


async def be_born(codec: Codec, listener: Listener) -> None:
    time_ms = HOST_START_S * 1000
    node = [
        {"name": "bdSeq", "type": "Int64", "value": 0, "timestamp": time_ms, "alias": 1},
        {"name": "Node Control/Rebirth", "type": "Boolean", "value": False, "timestamp": time_ms},
    ]
    await say(codec, listener, "NBIRTH", 0, node)
    unit = {"engUnit": {"type": "String", "value": "Wh"}}
    device = [
        {"name": name, "type": kind, "value": value, "timestamp": time_ms, "alias": ALIASES[name], "properties": unit}
        for name, kind, value in (
            ("Interval/Length", "UInt32", LENGTH_S),
            *((name, kind, None) for name, kind in INTERVAL.items()),
            (COMMAND, "String", None),
        )
    ]
    await say(codec, listener, "DBIRTH", 1, device)


async def settled(head_end: HeadEnd, listener: Listener) -> None:
    await listener.caught_up()
    await head_end.settle()
    await head_end.settle()


async def test_what_it_writes_lands_in_the_database(
    codec: Codec, head_end: HeadEnd, listener: Listener, database: Reader, clock: ManualClock
) -> None:
    await be_born(codec, listener)
    clock.set(HOST_START_S + LENGTH_S + 5)
    time_ms = (HOST_START_S + LENGTH_S) * 1000
    told = {"Interval/1.8.0": 48_211_345, "Interval/1.29.0": 131, "Interval/32.7.0": 231.5, "Interval/96.10.1": 4}
    data = [
        {"alias": ALIASES[name], "type": kind, "value": told.get(name, 0), "timestamp": time_ms}
        for name, kind in INTERVAL.items()
    ]
    await say(codec, listener, "DDATA", 2, data)
    await settled(head_end, listener)
    assert database.rows(
        "SELECT extract(epoch FROM interval_start)::int8, interval_length_s, import_register_wh, import_wh,"
        " voltage_l1_v, status, origin FROM stored_reading"
    ) == [(HOST_START_S, LENGTH_S, 48_211_345, 131, 231.5, 4, "reported")]
    assert database.rows("SELECT reason, detail FROM dead_letter") == []
    assert listener.of("NCMD", "DCMD") == [message for message in listener.of("NCMD") if "_fence" in message.topic]


async def test_it_reads_what_our_head_end_commands(
    codec: Codec, head_end: HeadEnd, listener: Listener, clock: ManualClock, shipped: Shipment
) -> None:
    def commands(kind: str) -> list[Heard]:
        return [message for message in listener.of(kind) if f"/{EDGE}" in message.topic]

    await be_born(codec, listener)
    await settled(head_end, listener)
    for birth in listener.of("NBIRTH", "DBIRTH"):
        await codec.decoded(birth)
    until_s = (HOST_START_S // BLOCK_S + 2) * BLOCK_S
    while (due_s := head_end.next_due()) is not None and due_s <= until_s and not commands("DCMD"):
        clock.set(max(due_s, clock.now()))
        await head_end.advance()
        await settled(head_end, listener)
        await listener.caught_up()
    (command,) = commands("DCMD")
    said = await codec.decoded(command)
    assert "seq" not in said
    claims = opened(values(said)[COMMAND].encode(), shipped.public_key)
    assert (claims["sub"], claims["purpose"]) == (DEVICE, "load_profile.read")

    # A number is missing.
    await say(codec, listener, "DDEATH", 9, [])
    await settled(head_end, listener)
    await listener.until(lambda: commands("NCMD"), "a request for births")
    (request,) = commands("NCMD")
    assert values(await codec.decoded(request)) == {"Node Control/Rebirth": True}
