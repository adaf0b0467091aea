"""Our host against the rules of Sparkplug 3.0, as a plain MQTT client sees it from outside.

The edge node that it talks to is made of bytes written by hand (`sparkplug_wire`).
"""

from __future__ import annotations

import base64
import csv
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from headend.clock import ManualClock
from headend.service import HeadEnd
from tests import left_out
from tests.headend.fleet import GROUP, HEADER, LENGTH_S, START_S, Shipment, opened
from tests.headend.reader import Reader
from tests.headend.services import Postgres
from tests.interop.connects import CLOSED, CONNECT, DISCONNECT, PUBLISH, SUBACK, SUBSCRIBE, Connect, Packet, WireTap
from tests.interop.listener import Heard, Listener
from tests.interop.sparkplug_rules import check_command
from tests.interop.sparkplug_wire import BOOLEAN, FLOAT, INT64, STRING, UINT32, Metric, Payload, encode
from tests.meters.meter_broker import MOSQUITTO

pytest_plugins = ["tests.headend.fixtures"]
pytestmark = left_out.unless(MOSQUITTO, *left_out.MOSQUITTO)

EDGE = "COL0001"
DEVICE = "AMI00000001"
HOST_ID = "hes"
STATE_TOPIC = f"spBv1.0/STATE/{HOST_ID}"
REBIRTH_EVERY_S = 5
BLOCK_S = 14_400
BD_SEQ_ALIAS, COMMAND_ALIAS = 501, 77
CHANNELS = {
    **{f"Interval/{obis}": INT64 for obis in ("1.8.0", "2.8.0", "1.29.0", "2.29.0")},
    **{f"Interval/{phase}.29.0": INT64 for phase in (21, 41, 61, 22, 42, 62)},
    **{f"Interval/{obis}": INT64 for obis in ("1.7.0", "2.7.0")},
    **{f"Interval/{phase}.7.0": FLOAT for phase in (32, 52, 72)},
    "Interval/96.10.1": UINT32,
}


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
def reorder_timeout_s() -> float:
    return 0.0


@pytest.fixture
async def head_end(
    postgres: Postgres,
    listener: Listener,
    tap: WireTap,
    schema: str,
    shipped: Shipment,
    clock: ManualClock,
    reorder_timeout_s: float,
) -> AsyncIterator[HeadEnd]:
    settings = shipped.settings(
        postgres.url(),
        schema,
        tap.port,
        sparkplug_host_id=HOST_ID,
        sparkplug_reorder_timeout_s=reorder_timeout_s,
    )
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
        self.takes_commands = True

    def is_born(self, *, with_device: bool = True) -> None:
        self._seq = 0
        rebirth = Metric("Node Control/Rebirth", timestamp_ms=START_S * 1000, datatype=BOOLEAN, value=False)
        bd_seq = Metric("bdSeq", BD_SEQ_ALIAS, START_S * 1000, INT64, 3)
        self.says("NBIRTH", (bd_seq, rebirth))
        if not with_device:
            return
        length = Metric("Interval/Length", 0, START_S * 1000, UINT32, LENGTH_S)
        channels = (
            Metric(name, alias, START_S * 1000, datatype, is_null=True)
            for alias, (name, datatype) in enumerate(CHANNELS.items(), start=1)
        )
        command = Metric("Device Control/Command", COMMAND_ALIAS, START_S * 1000, STRING, is_null=True)
        self.says("DBIRTH", (length, *channels, command) if self.takes_commands else (length, *channels))

    def reports(
        self, *, skipping: int = 0, first_alias: int = 1, seq: int | None = None, end_s: int = START_S + LENGTH_S
    ) -> None:
        """One interval, after `skipping` messages that are lost, or with this `seq`."""
        self._seq = self._seq + skipping if seq is None else seq
        metrics = (
            Metric(
                alias=alias,
                timestamp_ms=end_s * 1000,
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

    def says(self, kind: str, metrics: tuple[Metric, ...], *, time_s: int = START_S) -> None:
        topic = f"spBv1.0/{GROUP}/{kind}/{EDGE}" + (f"/{DEVICE}" if kind.startswith("D") else "")
        self._listener.publish(topic, encode(Payload(time_s * 1000, self._seq % 256, metrics)))
        self._seq += 1

    def dies(self, *, bd_seq: int) -> None:
        metric = Metric("bdSeq", None, START_S * 1000, INT64, bd_seq)
        self._listener.publish(f"spBv1.0/{GROUP}/NDEATH/{EDGE}", encode(Payload(START_S * 1000, None, (metric,))))

    async def commands(self) -> list[Heard]:
        """What the head-end told this edge node so far, each held against the rules of a command."""
        await self.is_heard()
        await self._listener.caught_up()
        told = [message for message in self._listener.of("NCMD", "DCMD") if f"/{EDGE}" in message.topic]
        for message in told:
            check_command(message)
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


async def comes_back(head_end: HeadEnd, tap: WireTap, clock: ManualClock) -> None:
    """Live on until it has connected a second time."""
    for _ in range(10):
        if len(sparkplug_connects(tap)) == 2:
            break
        await head_end.settle()
        clock.set(max(head_end.next_due() or 0.0, clock.now()))
        await head_end.advance()


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

    await comes_back(head_end, tap, clock)
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


@pytest.mark.parametrize("reorder_timeout_s", [2.0])
async def test_within_the_reorder_timeout_what_is_missing_may_come_late(
    edge: Edge, head_end: HeadEnd, clock: ManualClock, database: Reader
) -> None:
    edge.is_born()
    clock.set(START_S + 4 * LENGTH_S)
    for seq in (3, 4, 2):
        edge.reports(seq=seq, end_s=START_S + (seq - 1) * LENGTH_S)
        assert await edge.rebirths() == 0
        assert database.value("SELECT count(*) FROM stored_reading") == (3 if seq == 2 else 0)
    clock.set(clock.now() + 10)
    await head_end.advance()
    edge.reports(seq=5, end_s=START_S + 4 * LENGTH_S)
    assert await edge.rebirths() == 0
    assert database.value("SELECT count(*) FROM stored_reading") == 4
    assert database.rows("SELECT reason FROM dead_letter") == []


@pytest.mark.parametrize("reorder_timeout_s", [2.0])
async def test_after_the_reorder_timeout_a_rebirth_is_asked_for(
    edge: Edge, head_end: HeadEnd, clock: ManualClock, database: Reader
) -> None:
    edge.is_born()
    clock.set(START_S + 2 * LENGTH_S)
    edge.reports(seq=3)
    assert await edge.rebirths() == 0
    due_s = head_end.next_due()
    assert due_s is not None
    assert due_s <= clock.now() + 2
    clock.set(clock.now() + 1.9)
    await head_end.advance()
    assert await edge.rebirths() == 0
    clock.set(clock.now() + 0.1)
    await head_end.advance()
    assert await edge.rebirths() == 1
    assert database.value("SELECT count(*) FROM stored_reading") == 1, "what was held is not lost"
    assert database.rows("SELECT reason FROM dead_letter") == []


@pytest.mark.parametrize("what", ["no birth at all", "no birth of the device", "an alias that no birth has"])
async def test_what_has_no_birth_asks_for_a_rebirth(edge: Edge, what: str) -> None:
    if what != "no birth at all":
        edge.is_born(with_device=what != "no birth of the device")
    edge.reports(first_alias=100 if what == "an alias that no birth has" else 1)
    assert await edge.rebirths() == 1


async def commanded(edge: Edge, head_end: HeadEnd, clock: ManualClock) -> Heard:
    """The first command that missing intervals are asked for by."""
    until_s = (START_S // BLOCK_S + 2) * BLOCK_S
    while (due_s := head_end.next_due()) is not None and due_s <= until_s and not await edge.commands():
        clock.set(max(due_s, clock.now()))
        await head_end.advance()
        await head_end.settle()
    (command,) = await edge.commands()
    assert command.topic == f"spBv1.0/{GROUP}/DCMD/{EDGE}/{DEVICE}"
    return command


@pytest.mark.parametrize("takes_commands", [True, False])
async def test_missing_intervals_are_asked_for_by_a_signed_dcmd(
    edge: Edge, head_end: HeadEnd, shipped: Shipment, clock: ManualClock, takes_commands: bool
) -> None:
    """By the alias that the birth gave the metric; by its name where the birth has no such metric."""
    edge.takes_commands = takes_commands
    edge.is_born()
    (metric,) = (await commanded(edge, head_end, clock)).spb.metrics
    expected = (None, COMMAND_ALIAS) if takes_commands else ("Device Control/Command", None)
    assert (metric.name, metric.alias) == expected
    assert isinstance(metric.value, str)
    claims = opened(metric.value.encode(), shipped.public_key)
    assert (claims["sub"], claims["purpose"]) == (DEVICE, "load_profile.read")


async def test_no_dcmd_goes_out_before_the_birth_that_says_how_to_write_it(
    edge: Edge, head_end: HeadEnd, shipped: Shipment
) -> None:
    """By its name it would be wrong for a meter whose birth gives an alias, and the other way round."""
    (made,) = await head_end.commands.request("ping", [DEVICE], by="somebody", within_s=3600)
    await head_end.advance()
    assert await edge.commands() == []
    edge.is_born()
    (told,) = await edge.commands()
    assert told.topic == f"spBv1.0/{GROUP}/DCMD/{EDGE}/{DEVICE}"
    (metric,) = told.spb.metrics
    assert (metric.name, metric.alias) == (None, COMMAND_ALIAS)
    assert isinstance(metric.value, str)
    assert opened(metric.value.encode(), shipped.public_key)["jti"] == made.command_id


@pytest.mark.parametrize("reorder_timeout_s", [2.0])
async def test_a_fence_does_not_wait_for_what_waits_for_its_predecessor(
    edge: Edge, head_end: HeadEnd, clock: ManualClock, database: Reader
) -> None:
    """Its timeout runs on the head-end's clock, which may stand still until the fence has passed."""
    edge.is_born()
    clock.set(START_S + 2 * LENGTH_S)
    edge.reports(seq=3)
    await edge.is_heard()
    assert (await head_end.settle()).connected
    assert database.value("SELECT count(*) FROM stored_reading") == 0
    due_s = head_end.next_due()
    assert due_s is not None
    clock.set(max(due_s, clock.now() + 2.0))
    await head_end.advance()
    await edge.is_heard()
    assert database.value("SELECT count(*) FROM stored_reading") == 1
    edge.is_born()
    edge.reports(seq=9, end_s=START_S + 2 * LENGTH_S)
    await edge.is_heard()
    assert database.value("SELECT count(*) FROM stored_reading") == 1
    await head_end.stop()
    assert database.value("SELECT count(*) FROM stored_reading") == 2, "nor is anything lost when it leaves"


async def test_a_fence_to_itself_is_an_ncmd_like_any_other(edge: Edge, head_end: HeadEnd, listener: Listener) -> None:
    await edge.is_heard()
    await listener.caught_up()
    fences = [message for message in listener.of("NCMD") if message.topic.split("/")[3].startswith("_fence-")]
    assert fences
    for message in fences:
        check_command(message)


async def test_a_fence_that_the_broker_lost_is_sent_again(head_end: HeadEnd, tap: WireTap) -> None:
    lost: list[Packet] = []

    def loses(packet: Packet) -> bool:
        if lost or packet.kind != PUBLISH or "/NCMD/_fence-" not in packet.topic:
            return False
        lost.append(packet)
        return True

    tap.loses = loses
    assert (await head_end.settle()).connected
    assert len(lost) == 1


async def test_it_is_back_only_when_the_broker_has_read_that_it_left(
    head_end: HeadEnd, listener: Listener, tap: WireTap, clock: ManualClock
) -> None:
    """An `offline` that is newer than its birth takes a newer birth, and no will of the old connection follows it."""
    await listener.until(lambda: states(listener), "STATE")
    await head_end.settle()
    (connect,) = sparkplug_connects(tap)
    (birth,) = states(listener)
    tap.late_s = 0.1
    lie = {"online": False, "timestamp": (START_S + 3600) * 1000}
    listener.publish(STATE_TOPIC, orjson.dumps(lie), qos=1, retain=True)
    await comes_back(head_end, tap, clock)
    await listener.until(lambda: len(states(listener)) == 5, "its new birth")
    await listener.caught_up()
    assert states(listener) == [
        birth,
        lie,
        birth,
        {"online": False, "timestamp": birth["timestamp"]},
        {"online": True, "timestamp": (START_S + 3600) * 1000 + 1},
    ]
    own = [packet for packet in tap.packets if packet.client_id == connect.client_id]
    ended = next(
        place
        for place, packet in enumerate(own)
        if (packet.connection, packet.kind, packet.from_client) == (own[0].connection, CLOSED, False)
    )
    began = [place for place, packet in enumerate(own) if packet.kind == CONNECT]
    assert began[0] < ended < began[1]


async def test_it_subscribes_then_says_that_it_is_there_and_then_anything_else(
    head_end: HeadEnd, listener: Listener, tap: WireTap, edge: Edge
) -> None:
    edge.is_born(with_device=False)
    edge.reports()
    assert await edge.rebirths() == 1
    (connect,) = sparkplug_connects(tap)
    mine = [packet for packet in tap.packets if packet.client_id == connect.client_id]
    kinds = [packet.kind for packet in mine if packet.kind in (CONNECT, SUBSCRIBE, SUBACK) or packet.from_client]
    assert kinds[:4] == [CONNECT, SUBSCRIBE, SUBACK, PUBLISH]
    assert mine[[packet.kind for packet in mine].index(SUBSCRIBE)].filters == [
        (f"spBv1.0/{GROUP}/#", 1),
        (STATE_TOPIC, 1),
    ]
    topics = [packet.topic for packet in tap.sent(connect.client_id, PUBLISH)]
    assert topics[0] == STATE_TOPIC
    assert f"spBv1.0/{GROUP}/NCMD/{EDGE}" in topics


async def test_its_death_comes_before_its_disconnect(head_end: HeadEnd, tap: WireTap) -> None:
    (connect,) = sparkplug_connects(tap)
    await head_end.stop()
    last = tap.sent(connect.client_id, PUBLISH, DISCONNECT)[-2:]
    assert [packet.kind for packet in last] == [PUBLISH, DISCONNECT]
    assert last[0].topic == STATE_TOPIC


def reachable(database: Reader) -> list[tuple[object, ...]]:
    """Whether the device could be reached, and since when."""
    return database.rows("SELECT online, extract(epoch FROM at)::int8 FROM device_communication ORDER BY at")


@pytest.mark.parametrize(
    ("said_s", "counts_s"), [(170, 170), (20, 120), (10_000, 180)], ids=["its own", "before the birth", "to come"]
)
async def test_a_device_is_dead_since_its_ddeath_says(
    head_end: HeadEnd, edge: Edge, clock: ManualClock, database: Reader, said_s: int, counts_s: int
) -> None:
    clock.set(START_S + 120)
    edge.is_born()
    await edge.is_heard()
    clock.set(START_S + 180)
    edge.says("DDEATH", (), time_s=START_S + said_s)
    await edge.is_heard()
    # Of the last instant alone if both fall on one.
    born = [(True, START_S + 120)] if counts_s > 120 else []
    assert reachable(database) == [*born, (False, START_S + counts_s)]
    assert database.rows("SELECT online FROM device_state") == [(False,)]
    assert database.rows("SELECT online FROM collector") == [(True,)]
    assert await edge.rebirths() == 0
    edge.reports()
    assert await edge.rebirths() == 1, "it has to be born again"
    assert database.value("SELECT count(*) FROM stored_reading") == 0


async def test_with_its_edge_node_all_devices_are_dead_from_when_that_is_heard(
    head_end: HeadEnd, edge: Edge, clock: ManualClock, database: Reader
) -> None:
    clock.set(START_S + 120)
    edge.is_born()
    await edge.is_heard()
    clock.set(START_S + 180)
    edge.dies(bd_seq=2)
    await edge.is_heard()
    assert reachable(database) == [(True, START_S + 120)], "the will of an earlier session"
    edge.dies(bd_seq=3)
    await edge.is_heard()
    assert reachable(database) == [(True, START_S + 120), (False, START_S + 180)]
    assert database.rows("SELECT online FROM device_state") == [(False,)]
    assert database.rows("SELECT online, extract(epoch FROM changed_at)::int8 FROM collector") == [
        (False, START_S + 180)
    ]
    # What is said under the births of before means nothing any more.
    edge.reports()
    await edge.is_heard()
    assert database.rows("SELECT reason FROM dead_letter") == [("no_birth",)]
    assert database.value("SELECT count(*) FROM stored_reading") == 0
