"""Our host against the rules of Sparkplug 3.0, as a plain MQTT client sees it from outside.

The edge node that it talks to is made of bytes written by hand (`sparkplug_wire`).
"""

from __future__ import annotations

import base64
import csv
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import orjson
import pytest

from headend.clock import ManualClock
from headend.service import HeadEnd
from tests import left_out
from tests.headend.fleet import GROUP, HEADER, LENGTH_S, START_S, Shipment, opened
from tests.headend.services import Postgres
from tests.interop.connects import Connect, WireTap
from tests.interop.listener import Heard, Listener
from tests.interop.sparkplug_wire import BOOLEAN, FLOAT, INT64, STRING, UINT32, UINT64, Metric, Payload, encode
from tests.meters.meter_broker import MOSQUITTO, Broker

pytest_plugins = ["tests.headend.fixtures"]
pytestmark = left_out.unless(MOSQUITTO, *left_out.MOSQUITTO)

EDGE = "COL0001"
DEVICE = "AMI00000001"
HOST_ID = "hes"
STATE_TOPIC = f"spBv1.0/STATE/{HOST_ID}"
REBIRTH_EVERY_S = 5
BLOCK_S = 14_400
CHANNELS = {
    **{f"Interval/{obis}": INT64 for obis in ("1.8.0", "2.8.0", "1.29.0", "2.29.0")},
    **{f"Interval/{phase}.29.0": INT64 for phase in (21, 41, 61, 22, 42, 62)},
    **{f"Interval/{obis}": INT64 for obis in ("1.7.0", "2.7.0")},
    **{f"Interval/{phase}.7.0": FLOAT for phase in (32, 52, 72)},
    "Interval/96.10.1": UINT32,
}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path)
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture
async def listener(broker: Broker) -> AsyncIterator[Listener]:
    listener = await Listener(broker.port).open()
    yield listener
    listener.close()


@pytest.fixture
async def tap(broker: Broker) -> AsyncIterator[WireTap]:
    tap = await WireTap(broker.port).open()
    yield tap
    await tap.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START_S + 60)


@pytest.fixture
def shipped(tmp_path: Path) -> Shipment:
    shipped = Shipment(tmp_path / "shipped", count=0)
    key = base64.urlsafe_b64encode(shipped.public_key.public_bytes_raw()).rstrip(b"=").decode()
    with shipped.path.open("w", newline="") as file:
        csv.writer(file).writerows([HEADER, [DEVICE, "sparkplug-mesh", "UP1", GROUP, EDGE, "pw", key, EDGE]])
    return shipped


@pytest.fixture
async def head_end(
    postgres: Postgres, listener: Listener, tap: WireTap, schema: str, shipped: Shipment, clock: ManualClock
) -> AsyncIterator[HeadEnd]:
    settings = shipped.settings(postgres.url(), schema, tap.port, sparkplug_host_id=HOST_ID)
    head_end = HeadEnd(settings, clock)
    await head_end.start()
    yield head_end
    await head_end.stop()


class Edge:
    """An edge node with one meter, that numbers its messages as it is told."""

    def __init__(self, listener: Listener, head_end: HeadEnd) -> None:
        self._listener = listener
        self._head_end = head_end
        self._seq = 0

    def is_born(self, *, with_device: bool = True) -> None:
        self._seq = 0
        rebirth = Metric("Node Control/Rebirth", timestamp_ms=START_S * 1000, datatype=BOOLEAN, value=False)
        bd_seq = Metric("bdSeq", timestamp_ms=START_S * 1000, datatype=UINT64, value=3)
        self.says("NBIRTH", (bd_seq, rebirth))
        if not with_device:
            return
        length = Metric("Interval/Length", 0, START_S * 1000, UINT32, LENGTH_S)
        channels = (
            Metric(name, alias, START_S * 1000, datatype, is_null=True)
            for alias, (name, datatype) in enumerate(CHANNELS.items(), start=1)
        )
        self.says("DBIRTH", (length, *channels))

    def reports(self, *, skipping: int = 0, first_alias: int = 1) -> None:
        """One interval, after `skipping` messages that are lost."""
        self._seq += skipping
        metrics = (
            Metric(
                alias=alias,
                timestamp_ms=(START_S + LENGTH_S) * 1000,
                value=231.0 if datatype == FLOAT else 5,
                value_field={FLOAT: 12, UINT32: 10}.get(datatype, 11),
            )
            for alias, datatype in enumerate(CHANNELS.values(), start=first_alias)
        )
        self.says("DDATA", tuple(metrics))

    async def is_heard(self) -> None:
        """Returns when the head-end has all that was said, and the broker what it said at that."""
        await self._listener.caught_up()
        await self._head_end.settle()
        await self._head_end.settle()

    def says(self, kind: str, metrics: tuple[Metric, ...]) -> None:
        topic = f"spBv1.0/{GROUP}/{kind}/{EDGE}" + (f"/{DEVICE}" if kind.startswith("D") else "")
        self._listener.publish(topic, encode(Payload(START_S * 1000, self._seq % 256, metrics)))
        self._seq += 1

    async def commands(self) -> list[Heard]:
        """What the head-end told this edge node so far, each held against the rules of a command."""
        await self.is_heard()
        await self._listener.caught_up()
        told = [message for message in self._listener.of("NCMD", "DCMD") if f"/{EDGE}" in message.topic]
        for message in told:
            assert (message.qos, message.retain) == (0, False)
            assert message.spb.timestamp_ms is not None
            assert message.spb.seq is None, "only edge nodes number their messages"
            assert all(metric.timestamp_ms is not None for metric in message.spb.metrics)
        return told

    async def rebirths(self) -> int:
        """How often it was asked for a rebirth, and for nothing else."""
        told = await self.commands()
        for message in told:
            assert message.kind == "NCMD"
            assert [(metric.name, metric.value) for metric in message.spb.metrics] == [("Node Control/Rebirth", True)]
        return len(told)


@pytest.fixture
def edge(listener: Listener, head_end: HeadEnd) -> Edge:
    return Edge(listener, head_end)


def sparkplug_connects(tap: WireTap) -> list[Connect]:
    """Those with a STATE as their will; the head-end has a second connection for other meters."""
    return [connect for connect in tap.connects if connect.will is not None]


def states(listener: Listener) -> list[dict[str, object]]:
    """The STATE messages so far, each held against the rules."""
    told = listener.of("STATE")
    for message in told:
        assert (message.topic, message.qos, message.retain) == (STATE_TOPIC, 1, True)
    bodies = [orjson.loads(message.payload) for message in told]
    assert all(body.keys() == {"online", "timestamp"} for body in bodies)
    return bodies


async def test_its_will_has_the_timestamp_of_its_state(
    head_end: HeadEnd, listener: Listener, tap: WireTap, clock: ManualClock
) -> None:
    await listener.until(lambda: states(listener), "STATE")
    (online,) = states(listener)
    assert online == {"online": True, "timestamp": (START_S + 60) * 1000}
    (connect,) = sparkplug_connects(tap)
    assert (connect.level, connect.clean_session) == (4, True)
    assert connect.will is not None
    assert (connect.will.topic, connect.will.qos, connect.will.retain) == (STATE_TOPIC, 1, True)
    assert orjson.loads(connect.will.payload) == {**online, "online": False}

    # Nobody says DISCONNECT: it is the broker that publishes the will.
    await tap.drop()
    await listener.until(lambda: len(states(listener)) == 2, "the will")
    assert states(listener)[1] == {**online, "online": False}

    for _ in range(10):
        if len(sparkplug_connects(tap)) == 2:
            break
        due_s = head_end.next_due()
        assert due_s is not None
        clock.set(max(due_s, clock.now()))
        await head_end.advance()
        await head_end.settle()
    await listener.until(lambda: len(states(listener)) == 3, "STATE again")
    again = states(listener)[2]
    assert again["online"] is True
    assert again["timestamp"] == int(clock.now() * 1000) > (START_S + 60) * 1000
    will = sparkplug_connects(tap)[1].will
    assert will is not None
    assert orjson.loads(will.payload) == {**again, "online": False}


@pytest.mark.parametrize("after_s", [0, 540])
async def test_it_says_that_it_leaves(head_end: HeadEnd, listener: Listener, clock: ManualClock, after_s: int) -> None:
    came_s = int(clock.now())
    clock.set(came_s + after_s)
    # At once: the broker's echo of the first STATE may still be under way, and must not be taken for a contradiction.
    await head_end.stop()
    await listener.until(lambda: len(states(listener)) == 2, "STATE")
    assert states(listener) == [
        {"online": True, "timestamp": came_s * 1000},
        {"online": False, "timestamp": (came_s + after_s) * 1000},
    ]


async def test_it_contradicts_whoever_says_that_it_is_offline(head_end: HeadEnd, listener: Listener) -> None:
    await listener.until(lambda: states(listener), "STATE")
    await head_end.settle()
    late = orjson.dumps({"online": False, "timestamp": (START_S + 60) * 1000})
    listener.publish(STATE_TOPIC, late, qos=1, retain=True)
    await listener.until(lambda: len(states(listener)) == 3, "a STATE of its own")
    assert states(listener)[2]["online"] is True


async def test_an_orderly_session_gives_no_reason_for_commands(edge: Edge) -> None:
    edge.is_born()
    for _ in range(260):
        edge.reports()
    edge.is_born()
    edge.reports()
    assert await edge.rebirths() == 0


async def test_a_gap_in_seq_asks_for_a_rebirth_at_most_every_5_s(edge: Edge, clock: ManualClock) -> None:
    edge.is_born()
    edge.reports(skipping=1)
    assert await edge.rebirths() == 1
    edge.reports(skipping=1)
    await edge.is_heard()
    clock.set(clock.now() + REBIRTH_EVERY_S - 1)
    edge.reports(skipping=1)
    assert await edge.rebirths() == 1
    clock.set(clock.now() + 1)
    edge.reports(skipping=1)
    assert await edge.rebirths() == 2
    edge.is_born()
    await edge.is_heard()
    clock.set(clock.now() + REBIRTH_EVERY_S)
    edge.reports()
    assert await edge.rebirths() == 2


@pytest.mark.parametrize("what", ["no birth at all", "no birth of the device", "an alias that no birth has"])
async def test_what_has_no_birth_asks_for_a_rebirth(edge: Edge, what: str) -> None:
    if what != "no birth at all":
        edge.is_born(with_device=what != "no birth of the device")
    edge.reports(first_alias=100 if what == "an alias that no birth has" else 1)
    assert await edge.rebirths() == 1


async def test_missing_intervals_are_asked_for_by_a_signed_dcmd(
    edge: Edge, head_end: HeadEnd, shipped: Shipment, clock: ManualClock
) -> None:
    edge.is_born()
    until_s = (START_S // BLOCK_S + 2) * BLOCK_S
    while (due_s := head_end.next_due()) is not None and due_s <= until_s and not await edge.commands():
        clock.set(max(due_s, clock.now()))
        await head_end.advance()
        await head_end.settle()
    (command,) = await edge.commands()
    assert command.topic == f"spBv1.0/{GROUP}/DCMD/{EDGE}/{DEVICE}"
    (metric,) = command.spb.metrics
    assert metric.name == "Device Control/Command"
    assert metric.datatype in (None, STRING)
    assert isinstance(metric.value, str)
    claims = opened(metric.value.encode(), shipped.public_key)
    assert (claims["sub"], claims["purpose"]) == (DEVICE, "load_profile.read")
