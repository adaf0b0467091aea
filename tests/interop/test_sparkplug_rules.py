"""Our collector and our host against the rules of Sparkplug 3.0, as a plain MQTT client sees them from outside.

Nothing here decodes with a library of either side: `sparkplug_wire` reads the bytes, `connects` the CONNECT packets.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from meters.vendors.sparkplug_mesh.wire import INTERVAL_METRICS
from tests import left_out
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
from tests.interop.connects import CLOSED, CONNECT, DISCONNECT, PUBLISH, SUBSCRIBE, WireTap
from tests.interop.listener import Heard, Listener
from tests.interop.sparkplug_rules import check_connects, check_edge, names_of
from tests.interop.sparkplug_wire import BOOLEAN, Metric, Payload, encode, intervals
from tests.meters.meter_broker import MOSQUITTO

CLIENT_ID = f"{GROUP}-{COLLECTOR}"
HOST_ID = "hes"
COUNT = 4
SILENCE_S = 90
"""1.5 times the keep-alive."""

pytestmark = left_out.unless(MOSQUITTO, *left_out.MOSQUITTO)


@pytest.fixture
async def collected(tmp_path: Path, tap: WireTap) -> AsyncIterator[Callable[..., Collected]]:
    made: list[Collected] = []

    def make(count: int = COUNT, **options: Any) -> Collected:
        made.append(Collected(tmp_path, tap.port, count=count, **options))
        return made[-1]

    yield make
    for one in made:
        await one.fleet.stop()


class Edge:
    """Everything heard of the collector, and a way to command it."""

    def __init__(self, collected: Collected, listener: Listener, tap: WireTap) -> None:
        self._fleet = collected.fleet
        self._listener = listener
        self._tap = tap
        self._fences = 0

    async def heard(self) -> list[Heard]:
        await self._listener.caught_up()
        return self._listener.of("NBIRTH", "DBIRTH", "NDATA", "DDATA", "NDEATH", "DDEATH")

    async def kinds(self, since: int = 0) -> list[str]:
        return [message.kind for message in (await self.heard())[since:]]

    async def command(self, name: str, datatype: int, value: bool | str) -> None:
        """Returns when the collector has acted on it."""
        self._publish(name, datatype, value)
        await self.fence()

    async def fence(self) -> None:
        """Returns when the collector has acted on all that was published here, or has lost its connection."""
        self._fences += 1
        self._listener.publish(f"lab/{GROUP}/NCMD/{COLLECTOR}", f"fence-{self._fences}".encode())
        await self._fleet.await_fence(f"fence-{self._fences}", [COLLECTOR])
        await self._fleet.settle()

    async def checked(self) -> tuple[list[int], list[int]]:
        """bdSeq of each CONNECT and of each NBIRTH, after all rules were held against all that was heard."""
        connects = check_connects(self._tap.of(CLIENT_ID), group=GROUP, edge=COLLECTOR)
        births = check_edge(await self.heard(), group=GROUP, edge=COLLECTOR)
        return connects, births

    def _publish(self, name: str, datatype: int, value: bool | str) -> None:
        metric = Metric(name=name, timestamp_ms=START_S * 1000, datatype=datatype, value=value)
        self._listener.publish(f"spBv1.0/{GROUP}/NCMD/{COLLECTOR}", encode(Payload(START_S * 1000, None, (metric,))))


def tell_state(listener: Listener, *, online: bool, timestamp_s: int) -> None:
    state = orjson.dumps({"online": online, "timestamp": timestamp_s * 1000})
    listener.publish(f"spBv1.0/STATE/{HOST_ID}", state, qos=1, retain=True)


async def test_a_session_begins_with_births_whose_seq_goes_on_beyond_255(
    collected: Callable[..., Collected], listener: Listener, tap: WireTap
) -> None:
    many = collected(260)
    await many.fleet.start()
    await many.go(START_S + REPORT_EVERY_S + 60)
    edge = Edge(many, listener, tap)
    connects, births = await edge.checked()
    assert connects == births
    kinds = await edge.kinds()
    assert kinds[:261] == ["NBIRTH"] + ["DBIRTH"] * 260
    assert set(kinds[261:]) == {"DDATA"}
    seqs = [message.spb.seq for message in await edge.heard()]
    assert seqs == [number % 256 for number in range(len(seqs))]


async def test_intervals_stand_together_oldest_first_with_the_values_of_the_journal(
    collected: Callable[..., Collected], listener: Listener, tap: WireTap
) -> None:
    some = collected()
    await some.fleet.start()
    await some.go(START_S + 2 * REPORT_EVERY_S + 60)
    edge = Edge(some, listener, tap)
    await edge.checked()
    names = names_of(listener.of("DBIRTH"))
    journal = some.journal()
    assert len(journal) == COUNT * 2 * REPORT_EVERY_S // LENGTH_S
    for row in range(COUNT):
        blocks = [intervals(message.spb.metrics, names) for message in listener.of("DDATA", device=serial(row))]
        assert [len(block) for block in blocks] == [REPORT_EVERY_S // LENGTH_S] * 2
        told = [interval for block in blocks for interval in block]
        kept = [entry for entry in journal if entry["serial"] == serial(row)]
        assert [timestamp_ms for timestamp_ms, _ in told] == [
            int((entry["interval_start"].timestamp() + LENGTH_S) * 1000) for entry in kept
        ]
        for (_, metrics), entry in zip(told, kept, strict=True):
            assert list(metrics) == list(as_metrics(entry))
            assert metrics == pytest.approx(as_metrics(entry), rel=1e-6)


async def test_each_connection_has_a_will_and_a_bd_seq_of_its_own(
    collected: Callable[..., Collected], listener: Listener, tap: WireTap
) -> None:
    some = collected()
    await some.fleet.start()
    edge = Edge(some, listener, tap)
    now_s = START_S
    for number in range(1, 4):
        now_s += 120
        await some.go(now_s)
        some.fleet.lose_uplink([COLLECTOR])
        now_s += SILENCE_S + 30
        await some.go(now_s)
        # Nobody said DISCONNECT: it is the broker that publishes the NDEATH.
        await listener.until(lambda: len(listener.of("NDEATH")) == number, "the will")  # noqa: B023 - awaited at once
        some.fleet.restore_uplink([COLLECTOR])
    await some.go(now_s + 120)
    connects, births = await edge.checked()
    assert len(connects) == 4
    assert connects == births
    assert await edge.kinds() == (["NBIRTH"] + ["DBIRTH"] * COUNT + ["NDEATH"]) * 3 + ["NBIRTH"] + ["DBIRTH"] * COUNT
    await some.fleet.stop()
    # After DISCONNECT the broker publishes no will: the collector says it by itself.
    await listener.until(lambda: len(listener.of("NDEATH")) == 4, "the last NDEATH")
    await edge.checked()
    said, left = tap.sent(CLIENT_ID, PUBLISH, DISCONNECT)[-2:]
    assert (said.topic, left.kind) == (f"spBv1.0/{GROUP}/NDEATH/{COLLECTOR}", DISCONNECT)


async def test_a_rebirth_repeats_all_births_with_the_same_bd_seq(
    collected: Callable[..., Collected], listener: Listener, tap: WireTap
) -> None:
    some = collected()
    await some.fleet.start()
    await some.go(START_S + REPORT_EVERY_S + 60)
    edge = Edge(some, listener, tap)
    before = await edge.kinds()
    assert before.count("DDATA") == COUNT
    await edge.command("Node Control/Rebirth", BOOLEAN, False)
    assert await edge.kinds() == before, "false asks for nothing"
    await edge.command("Node Control/Rebirth", BOOLEAN, True)
    assert await edge.kinds(len(before)) == ["NBIRTH"] + ["DBIRTH"] * COUNT
    connects, births = await edge.checked()
    assert births == connects * 2
    # Aliases are those of the new births, and seq goes on from them.
    await some.go(START_S + 2 * REPORT_EVERY_S + 60)
    assert (await edge.kinds()).count("DDATA") == 2 * COUNT
    await edge.checked()


async def test_a_birth_repeats_the_last_interval_that_was_reported(
    collected: Callable[..., Collected], listener: Listener, tap: WireTap
) -> None:
    some = collected()
    await some.fleet.start()
    await some.go(START_S + 60)
    await listener.caught_up()
    first = listener.of("DBIRTH", device=serial(0))[0].spb
    channels = [metric for metric in first.metrics if str(metric.name).startswith("Interval/")]
    assert [metric.is_null for metric in channels if metric.name != "Interval/Length"] == [True] * len(INTERVAL_METRICS)
    assert first.named("Interval/Length").value == LENGTH_S
    assert first.named("Interval/1.8.0").properties == {"engUnit": "Wh"}
    await some.go(START_S + REPORT_EVERY_S + 60)
    edge = Edge(some, listener, tap)
    await edge.command("Node Control/Rebirth", BOOLEAN, True)
    await edge.checked()
    last = max(
        (entry for entry in some.journal() if entry["serial"] == serial(0)), key=lambda entry: entry["interval_start"]
    )
    birth = listener.of("DBIRTH", device=serial(0))[-1].spb
    for name, value in as_metrics(last).items():
        assert birth.named(name).value == pytest.approx(value, rel=1e-6)
        assert birth.named(name).timestamp_ms == (START_S + REPORT_EVERY_S) * 1000


async def test_a_collector_on_its_battery_says_so_in_ndata(
    collected: Callable[..., Collected], listener: Listener, tap: WireTap
) -> None:
    some = collected()
    await some.fleet.start()
    await some.go(START_S + 60)
    await some.switch(0, energised=False)
    await some.go(START_S + 75)
    await some.switch(0, energised=True)
    await some.go(START_S + 300)
    edge = Edge(some, listener, tap)
    await edge.checked()
    (birth,) = listener.of("NBIRTH")
    mains = birth.spb.named("Power/Mains")
    assert mains.value is True
    told = [(message.spb.timestamp_ms, message.spb.metrics) for message in listener.of("NDATA")]
    assert [(time_ms, metric.alias, metric.value) for time_ms, (metric,) in told] == [
        ((START_S + 60) * 1000, mains.alias, False),
        ((START_S + 75) * 1000, mains.alias, True),
    ]
    assert listener.of("NDEATH", "DDEATH") == []


async def test_a_meter_out_of_reach_is_dead_until_it_is_born_again(
    collected: Callable[..., Collected], listener: Listener, tap: WireTap
) -> None:
    some = collected()
    await some.fleet.start()
    await some.go(START_S + 60)
    edge = Edge(some, listener, tap)
    born = len(await edge.heard())
    some.fleet.lose_uplink([serial(1)])
    await some.go(START_S + REPORT_EVERY_S + 120)
    later = (await edge.heard())[born:]
    assert [(message.kind, message.device) for message in later if message.device == serial(1)] == [
        ("DDEATH", serial(1))
    ]
    assert len(listener.of("DDATA")) == COUNT - 1
    some.fleet.restore_uplink([serial(1)])
    await some.go(START_S + 2 * REPORT_EVERY_S + 120)
    await edge.checked()
    own = [message for message in listener.heard if message.device == serial(1)]
    assert [message.kind for message in own[:3]] == ["DBIRTH", "DDEATH", "DBIRTH"]
    names = names_of(own[2:3])
    told = [interval for message in own[3:] for interval in intervals(message.spb.metrics, names)]
    assert [timestamp_ms for timestamp_ms, _ in told] == [
        (START_S + number * LENGTH_S) * 1000 for number in range(1, 2 * REPORT_EVERY_S // LENGTH_S + 1)
    ]


async def test_nothing_is_said_before_the_primary_host_is_online(
    collected: Callable[..., Collected], listener: Listener, tap: WireTap
) -> None:
    some = collected(primary_host=HOST_ID)
    await some.fleet.start()
    await some.go(START_S + REPORT_EVERY_S + 120)
    edge = Edge(some, listener, tap)
    assert await edge.kinds() == []
    tell_state(listener, online=True, timestamp_s=START_S)
    await edge.fence()
    await some.go(START_S + REPORT_EVERY_S + 240)
    connects, births = await edge.checked()
    assert births == connects[-1:]
    late = listener.of("DDATA")
    assert {message.device for message in late} == {serial(row) for row in range(COUNT)}
    assert all(metric.is_historical for message in late for metric in message.spb.metrics)


async def test_while_the_primary_host_is_offline_nothing_is_said(
    collected: Callable[..., Collected], listener: Listener, tap: WireTap
) -> None:
    tell_state(listener, online=True, timestamp_s=START_S)
    await listener.caught_up()
    some = collected(primary_host=HOST_ID)
    await some.fleet.start()
    await some.go(START_S + 60)
    edge = Edge(some, listener, tap)
    births = ["NBIRTH"] + ["DBIRTH"] * COUNT
    assert await edge.kinds() == births

    tell_state(listener, online=False, timestamp_s=START_S - 1)
    await edge.fence()
    await some.go(START_S + 120)
    assert await edge.kinds() == births, "an offline older than the last online is of an earlier session"

    tell_state(listener, online=False, timestamp_s=START_S)
    await listener.until(lambda: listener.of("NDEATH"), "NDEATH")
    await some.go(START_S + REPORT_EVERY_S + 120)
    assert await edge.kinds() == [*births, "NDEATH"]
    assert len(tap.of(CLIENT_ID)) == 2, "it connects again and waits"

    tell_state(listener, online=True, timestamp_s=START_S + REPORT_EVERY_S + 120)
    await edge.fence()
    await some.go(START_S + REPORT_EVERY_S + 240)
    connects, numbers = await edge.checked()
    assert numbers == connects
    assert await edge.kinds() == [*births, "NDEATH", *births, *["DDATA"] * COUNT]


async def test_it_subscribes_to_its_commands_at_qos_1_before_it_is_born(
    collected: Callable[..., Collected], listener: Listener, tap: WireTap
) -> None:
    tell_state(listener, online=True, timestamp_s=START_S)
    await listener.caught_up()
    some = collected(primary_host=HOST_ID, in_lockstep=False)
    await some.fleet.start()
    await some.go(START_S + 60)
    await listener.until(lambda: len(listener.of("DBIRTH")) == COUNT, "the births")
    first, second, *_ = tap.sent(CLIENT_ID)
    assert (first.kind, second.kind) == (CONNECT, SUBSCRIBE)
    assert second.filters == [
        (f"spBv1.0/{GROUP}/NCMD/{COLLECTOR}", 1),
        (f"spBv1.0/{GROUP}/DCMD/{COLLECTOR}/+", 1),
        (f"spBv1.0/STATE/{HOST_ID}", 1),
    ]
    again = [packet.filters for packet in tap.sent(CLIENT_ID, SUBSCRIBE)[1:]]
    assert all(qos == 1 for filters in again for _, qos in filters)
    assert tap.sent(CLIENT_ID, PUBLISH)[0].topic == f"spBv1.0/{GROUP}/NBIRTH/{COLLECTOR}"


@pytest.mark.parametrize(
    ("host", "lie"),
    [
        ("another", b'{"online":true,"timestamp":%d}' % (START_S * 1000)),
        (HOST_ID, b'{"online":true,"timestamp":%d}' % (START_S * 1000 - 1)),
        (HOST_ID, b'{"online":"true","timestamp":%d}' % (START_S * 1000)),
        (HOST_ID, b'{"online":true}'),
        (HOST_ID, b"ONLINE"),
        (HOST_ID, b""),
    ],
)
async def test_only_its_hosts_own_online_that_is_not_an_old_one_brings_births(
    collected: Callable[..., Collected], listener: Listener, tap: WireTap, host: str, lie: bytes
) -> None:
    tell_state(listener, online=False, timestamp_s=START_S)
    await listener.caught_up()
    some = collected(primary_host=HOST_ID)
    await some.fleet.start()
    await some.go(START_S + 60)
    edge = Edge(some, listener, tap)
    listener.publish(f"spBv1.0/STATE/{host}", lie, qos=1)
    await edge.fence()
    assert await edge.kinds() == []
    tell_state(listener, online=True, timestamp_s=START_S)
    await listener.until(lambda: len(listener.of("DBIRTH")) == COUNT, "the births")
    await edge.checked()


async def test_it_is_back_only_when_the_broker_has_read_that_it_left(
    collected: Callable[..., Collected], listener: Listener, tap: WireTap
) -> None:
    """Or else the broker takes its new connection for a take-over, and publishes a second NDEATH: the old will."""
    tell_state(listener, online=True, timestamp_s=START_S)
    await listener.caught_up()
    some = collected(primary_host=HOST_ID)
    await some.fleet.start()
    await some.go(START_S + 60)
    edge = Edge(some, listener, tap)
    await edge.checked()
    tap.late_s = 0.1
    tell_state(listener, online=False, timestamp_s=START_S)
    await edge.fence()
    await some.go(START_S + 120)
    own = [packet for packet in tap.packets if packet.client_id == CLIENT_ID]
    ended = next(
        place
        for place, packet in enumerate(own)
        if (packet.connection, packet.kind, packet.from_client) == (own[0].connection, CLOSED, False)
    )
    began = [place for place, packet in enumerate(own) if packet.kind == CONNECT]
    assert began[0] < ended < began[1], "it has one connection at a time"
    await listener.caught_up()
    assert len(listener.of("NDEATH")) == 1
