"""A collector's messages in, rows out: over a real broker into a real database, beside meters of their own."""

import asyncio
import gc
import json
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from headend.clock import ManualClock
from headend.links.sparkplug.presence import ANSWERS, WITHIN_S
from headend.service import HeadEnd
from tests.headend.fleet import (
    GROUP,
    LENGTH_S,
    START_S,
    Publisher,
    Shipment,
    iso,
    opened,
    reading,
    serial,
)
from tests.headend.reader import Reader
from tests.headend.services import Postgres, until, wait_for
from tests.headend.sparkplug_edge import FLOAT, STRING, EdgeNode, M, payload
from tests.meters.meter_broker import Broker, on_both_brokers

pytest_plugins = ["tests.headend.fixtures"]

EDGE, OTHER = "COL0001", "COL0002"
MESH, PLC, DIRECT, BEHIND_OTHER = serial(0), serial(1), serial(2), serial(3)
BLOCK_S = 14_400


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START_S + 60)


@pytest.fixture
def shipment(tmp_path: Path) -> Shipment:
    shipment = Shipment(tmp_path / "shipped", count=4)
    header, *lines = shipment.path.read_text().splitlines()
    homes = (("sparkplug-mesh", EDGE), ("sparkplug-plc", EDGE), ("rl-dsp", ""), ("sparkplug-mesh", OTHER))
    lines = [line.replace("rl-dsp", profile) + address for line, (profile, address) in zip(lines, homes, strict=True)]
    shipment.path.write_text("\n".join([header, *lines]) + "\n")
    return shipment


@pytest.fixture
def make(
    postgres: Postgres, broker: Broker, schema: str, shipment: Shipment, clock: ManualClock
) -> Callable[..., HeadEnd]:
    def make(**changed: object) -> HeadEnd:
        settings = shipment.settings(postgres.url(), schema, broker.port, sparkplug_host_id="utility", **changed)
        return HeadEnd(settings, clock)

    return make


@pytest.fixture
def edge(broker: Broker) -> Iterator[EdgeNode]:
    edge = EdgeNode(broker.port, EDGE, host="utility")
    yield edge
    edge.close()


@pytest.fixture
def watcher(broker: Broker) -> Iterator[Publisher]:
    """Sees what is retained of the head-end's state, and may lie about it."""
    watcher = Publisher(broker.port, "watcher", subscribe="spBv1.0/STATE/utility")
    yield watcher
    watcher.close()


def communication(database: Reader) -> list[tuple[object, ...]]:
    return database.rows(
        "SELECT serial, extract(epoch FROM at)::int8, online FROM communication_history ORDER BY at, serial"
    )


def dead_letters(database: Reader) -> list[object]:
    return [row[0] for row in database.rows("SELECT reason FROM dead_letter ORDER BY ingested_at")]


async def live(head_end: HeadEnd, clock: ManualClock, until_s: float) -> None:
    while (due_s := head_end.next_due()) is not None and due_s <= until_s:
        clock.set(max(due_s, clock.now()))
        await head_end.advance()
        await head_end.settle()
    clock.set(until_s)
    await head_end.settle()


@on_both_brokers
async def test_a_block_of_intervals_beside_a_reading_of_rl_dsp(
    head_end: HeadEnd, edge: EdgeNode, broker: Broker, clock: ManualClock, database: Reader
) -> None:
    clock.set(START_S + BLOCK_S + 7)
    ends_s = range(START_S + LENGTH_S, START_S + BLOCK_S + 1, LENGTH_S)
    edge.birth(MESH, PLC)
    edge.block(MESH, ends_s)
    direct = Publisher(broker.port, "direct")
    direct.send(f"dt/{GROUP}/{DIRECT}/ds", reading(2, START_S + LENGTH_S))
    direct.close()
    settled = await head_end.settle()
    assert (settled.connected, settled.received, settled.commanded) == (True, 5, [])
    assert database.rows(
        "SELECT serial, count(*), min(origin), min(quality), count(voltage_l1_v), max(voltage_l2_v), min(revision)"
        " FROM stored_reading GROUP BY serial ORDER BY serial"
    ) == [(MESH, 16, "reported", "actual", 16, 230.1, 0), (DIRECT, 1, "reported", "actual", 1, 230.1, 0)]
    assert database.rows("SELECT online, bdseq, meters FROM collector") == [(True, 0, 3)]
    assert head_end.ingest_stats()["messages"] == 5
    assert edge.commands == []


async def test_comings_and_goings_are_kept_where_they_change(
    head_end: HeadEnd, edge: EdgeNode, clock: ManualClock, database: Reader
) -> None:
    edge.birth(MESH, PLC)
    await head_end.settle()
    clock.set(START_S + 120)
    edge.birth(MESH, PLC)
    await head_end.settle()
    clock.set(START_S + 180)
    edge.device_death(MESH, at_s=START_S + 170)
    await head_end.settle()
    clock.set(START_S + 240)
    edge.node_death(bdseq=9)
    await head_end.settle()
    assert database.rows("SELECT online FROM collector") == [(True,)], "the will of another session"
    edge.node_death()
    await head_end.settle()
    clock.set(START_S + 300)
    edge.birth(PLC)
    await head_end.settle()
    assert communication(database) == [
        (MESH, START_S + 60, True),
        (PLC, START_S + 60, True),
        (MESH, START_S + 170, False),
        (PLC, START_S + 240, False),
        (PLC, START_S + 300, True),
    ]
    assert database.value("SELECT count(*) FROM device_communication") == 5
    assert database.value("SELECT count(*) FROM interruption") == 0
    assert database.rows("SELECT online, boot FROM device_state ORDER BY meter_id") == [(False, 3), (True, 3)]


async def test_a_collector_on_its_battery_says_nothing_of_its_meters(
    head_end: HeadEnd, edge: EdgeNode, clock: ManualClock, database: Reader
) -> None:
    edge.birth(MESH, PLC)
    await head_end.settle()
    supply = "SELECT online, mains, extract(epoch FROM mains_since)::int8 FROM collector"
    assert database.rows(supply) == [(True, True, START_S + 60)]
    for at_s, mains in ((120, False), (150, False), (180, True)):
        clock.set(START_S + at_s)
        edge.supply(mains)
        await head_end.settle()
        assert database.rows(supply) == [(True, mains, START_S + (at_s if at_s != 150 else 120))]
    assert edge.commands == []
    assert communication(database) == [(MESH, START_S + 60, True), (PLC, START_S + 60, True)]
    assert database.value("SELECT count(*) FROM interruption") == 0


@on_both_brokers
async def test_the_broker_says_that_a_collector_is_gone(
    head_end: HeadEnd, broker: Broker, clock: ManualClock, database: Reader
) -> None:
    edge = EdgeNode(broker.port, EDGE, host="utility")
    edge.birth(MESH)
    await head_end.settle()
    clock.set(START_S + 90)
    edge.client._sock_close()
    edge.client.loop_stop()

    async def gone() -> bool:
        await head_end.settle()
        return database.value("SELECT online FROM collector") is False

    await eventually(gone)
    assert [row[2] for row in communication(database) if row[0] == MESH] == [True, False]


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(1000):
        if await condition():
            return
    raise TimeoutError


async def test_a_meter_that_is_not_among_the_births_cannot_be_reached(
    head_end: HeadEnd, edge: EdgeNode, database: Reader
) -> None:
    edge.birth(MESH, PLC)
    edge.birth(MESH)
    await head_end.settle()
    assert all(row[2] for row in communication(database)), "the births may not be complete"
    edge.block(MESH, [START_S + LENGTH_S])
    await head_end.settle()
    assert database.rows("SELECT online FROM device_state ORDER BY meter_id") == [(True,), (False,)]


async def test_collectors_that_do_not_come_are_away(head_end: HeadEnd, clock: ManualClock, database: Reader) -> None:
    await live(head_end, clock, START_S + 60 + 300)
    assert database.rows("SELECT edge_node, online, born_at FROM collector ORDER BY 1") == [
        (EDGE, False, None),
        (OTHER, False, None),
    ]
    assert communication(database) == [(meter, START_S + 360, False) for meter in (MESH, PLC, BEHIND_OTHER)]


async def test_events_and_interruptions(
    head_end: HeadEnd, edge: EdgeNode, clock: ManualClock, database: Reader
) -> None:
    edge.birth(MESH)
    edge.event(MESH, "power_restore", START_S + 50, 2, down_at=iso(START_S), up_at=iso(START_S + 40))
    await head_end.settle()
    assert database.rows("SELECT sequence, code, detail FROM end_device_event") == [
        (2, "power_restore", {"down_at": iso(START_S), "up_at": iso(START_S + 40)})
    ]
    assert database.rows(
        "SELECT extract(epoch FROM down_at)::int8, extract(epoch FROM up_at)::int8,"
        " extract(epoch FROM restore_received_at)::int8 FROM interruption"
    ) == [(START_S, START_S + 40, START_S + 60)]


async def test_what_a_birth_repeats_is_stored_if_we_missed_it(
    head_end: HeadEnd, edge: EdgeNode, clock: ManualClock, database: Reader
) -> None:
    clock.set(START_S + LENGTH_S + 5)
    edge.node_birth()
    edge.device_birth(MESH, reported_s=START_S + LENGTH_S)
    await head_end.settle()
    edge.node_birth()
    edge.device_birth(MESH, reported_s=START_S + LENGTH_S)
    await head_end.settle()
    assert database.value("SELECT count(*) FROM stored_reading") == 1
    assert head_end.metrics.registry.get_sample_value("amilab_headend_duplicates_total") == 0


@on_both_brokers
async def test_after_a_gap_births_are_asked_for_and_data_stored_all_the_same(
    head_end: HeadEnd, edge: EdgeNode, clock: ManualClock, database: Reader
) -> None:
    clock.set(START_S + 3 * LENGTH_S)
    edge.birth(MESH)
    edge.skip()
    edge.block(MESH, [START_S + LENGTH_S])
    assert (await head_end.settle()).commanded == [EDGE]
    await until(lambda: edge.rebirths == 1, "the request")
    assert database.value("SELECT count(*) FROM stored_reading") == 1
    edge.birth(MESH)
    edge.block(MESH, [START_S + 2 * LENGTH_S])
    assert (await head_end.settle()).commanded == []
    edge.skip()
    edge.block(MESH, [START_S + 3 * LENGTH_S])
    assert (await head_end.settle()).commanded == [], "not more often than every 5 s"
    await live(head_end, clock, clock.now() + 4)
    assert edge.rebirths == 1
    await live(head_end, clock, clock.now() + 1)
    await until(lambda: edge.rebirths == 2, "the second request")
    assert database.value("SELECT count(*) FROM stored_reading") == 3
    assert dead_letters(database) == []


@pytest.mark.parametrize(
    ("say", "reason", "asks"),
    [
        (lambda e: e.send(e.topic("DDATA", MESH), b"\xff\xff\xff"), "not_protobuf", False),
        (lambda e: e.send(e.topic("DDATA", MESH), b" " * 70_000), "oversized", False),
        (lambda e: e.data(MESH, [M(4, 1, "", 77_777)]), "unknown_alias", True),
        (lambda e: e.data(PLC, [M(4, 1, "", 5)]), "no_birth", True),
        (lambda e: e.device_birth(serial(9)), "unknown_device", False),
        (lambda e: e.device_birth(DIRECT), "wrong_protocol", False),
        (lambda e: e.device_birth(BEHIND_OTHER), "wrong_collector", False),
        (lambda e: e.block(MESH, [START_S + 3 * 86_400]), "implausible_time", False),
        (lambda e: e.event(MESH, "reboot", 900_000_000, 1), "implausible_time", False),
        (lambda e: e.send(e.topic("XDATA", MESH), b""), "unknown_topic", False),
        (lambda e: e.send(f"spBv1.0/{GROUP}/NBIRTH/COL9", payload([], seq=0)), "unknown_collector", False),
        (lambda e: e.send(f"spBv1.0/{GROUP}/NDATA/{OTHER}", payload([], seq=3)), "no_birth", True),
        (lambda e: e.send(f"dt/{GROUP}/{MESH}/ds", reading(0, START_S)), "wrong_protocol", False),
    ],
)  # fmt: skip
async def test_what_cannot_be_stored_is_kept_raw_with_its_reason(
    head_end: HeadEnd,
    edge: EdgeNode,
    database: Reader,
    say: Callable[[EdgeNode], None],
    reason: str,
    asks: bool,
) -> None:
    edge.birth(MESH)
    say(edge)
    assert bool((await head_end.settle()).commanded) == asks
    assert dead_letters(database) == [reason]
    assert database.value("SELECT count(*) FROM stored_reading") == 0


@on_both_brokers
async def test_collectors_whose_births_were_not_heard_are_asked_for_them_once(
    head_end: HeadEnd, edge: EdgeNode, clock: ManualClock
) -> None:
    edge.birth(MESH, PLC)
    await head_end.settle()
    assert head_end.next_due() == START_S + 60
    await head_end.advance()
    assert head_end.next_due() == START_S + 70
    clock.set(START_S + 70)
    await head_end.advance()
    assert (await head_end.settle()).commanded == [OTHER]
    clock.set(START_S + 80)
    await head_end.advance()
    assert (await head_end.settle()).commanded == []


@on_both_brokers
async def test_a_command_and_its_answer(
    head_end: HeadEnd, edge: EdgeNode, clock: ManualClock, shipment: Shipment, database: Reader
) -> None:
    edge.birth(MESH, PLC)
    await head_end.settle()
    clock.set(START_S + 3600 + 1)
    edge.block(PLC, range(START_S + LENGTH_S, START_S + 3600 + 1, LENGTH_S))
    await head_end.settle()
    clock.set(START_S + 3600 + 120)
    await head_end.advance()
    # The other profile reports only every four hours: it owes nothing yet. A collector that never came is asked too.
    assert (await head_end.settle()).commanded == ["COL0002", DIRECT]
    for hour in (2, 3, 4):
        clock.set(START_S + hour * 3600 + 1)
        edge.block(PLC, range(START_S + (hour - 1) * 3600 + LENGTH_S, START_S + hour * 3600 + 1, LENGTH_S))
        await head_end.settle()
    clock.set(START_S + BLOCK_S + 120)
    await head_end.advance()
    # The other collector never came: its meters are not asked. The meter that did not answer has not been heard of.
    assert (await head_end.settle()).commanded == [EDGE]
    await until(lambda: len(edge.commands) == 1, "the command")
    topic, metrics = edge.commands[0]
    assert topic == f"spBv1.0/{GROUP}/DCMD/{EDGE}/{MESH}"
    claims = opened(metrics["Device Control/Command"].encode(), shipment.public_key)
    assert (claims["sub"], claims["params"]) == (MESH, {"from": START_S, "to": START_S + BLOCK_S})
    has = [START_S + 2 * LENGTH_S, *range(START_S + 4 * LENGTH_S, START_S + BLOCK_S + 1, LENGTH_S)]
    edge.answer(MESH, claims, has, clock.now())
    await head_end.settle()
    assert database.rows(
        "SELECT origin, count(*) FROM stored_reading WHERE serial = %s GROUP BY origin", MESH
    ) == [("recovered", 14)]  # fmt: skip
    assert database.rows("SELECT extract(epoch FROM interval_start)::int8, reason FROM interval_gap ORDER BY 1") == [
        (START_S, "no_record"),
        (START_S + 2 * LENGTH_S, "no_record"),
    ]
    assert database.rows(
        "SELECT c.status FROM command c JOIN end_device d ON d.id = c.meter_id WHERE d.serial = %s", MESH
    ) == [("completed",)]


async def test_hostile_births_keep_no_memory_and_known_devices_go_on(
    head_end: HeadEnd, edge: EdgeNode, clock: ManualClock, database: Reader
) -> None:
    edge.birth(MESH)
    await head_end.settle()
    strangers = 120

    def births(first: int) -> None:
        for device in range(first, first + strangers):
            names = [M(4, 1, f"{device}/{number}/".ljust(100, "x"), number) for number in range(400)]
            edge.define(f"STRANGER{device}", names)

    # What the first of them leave in caches is no news.
    births(0)
    await head_end.settle()
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    births(strangers)
    await head_end.settle()
    # The batch that is written last stays with its writer until there is another.
    await head_end.settle()
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 3_000_000, "of some 20 MB of names"
    edge.block(MESH, [START_S + LENGTH_S])
    await head_end.settle()
    assert database.value("SELECT count(*) FROM stored_reading") == 1
    assert edge.rebirths == 0
    assert database.value("SELECT sum(copies) FROM dead_letter WHERE reason = 'unknown_device'") == 2 * strangers


async def test_a_device_with_too_many_metrics_costs_no_other_and_no_rebirth(
    head_end: HeadEnd, edge: EdgeNode, clock: ManualClock, database: Reader
) -> None:
    edge.birth(MESH)
    edge.define(PLC, [M(4, 1, f"metric {number}", number) for number in range(300)])
    edge.data(PLC, [M(4, 1, "", 5, typed=False)])
    edge.block(MESH, [START_S + LENGTH_S])
    await head_end.settle()
    assert dead_letters(database) == ["too_many_metrics", "refused_birth"]
    assert database.value("SELECT count(*) FROM stored_reading") == 1
    assert edge.rebirths == 0
    online = database.rows("SELECT d.serial, s.online FROM device_state s JOIN end_device d ON d.id = s.meter_id")
    assert dict(online)[MESH] is True


@on_both_brokers
async def test_fences_of_collectors_and_meters_go_by_topics_of_the_labs_own(
    head_end: HeadEnd, edge: EdgeNode, broker: Broker
) -> None:
    listener = Publisher(broker.port, "listener", subscribe=f"lab/{GROUP}/#")
    await head_end.fence_devices([EDGE, DIRECT], "7")
    await until(lambda: len(listener.received) == 2, "both fences")
    listener.close()
    assert sorted(listener.received) == [(f"lab/{GROUP}/{DIRECT}", b"7"), (f"lab/{GROUP}/NCMD/{EDGE}", b"7")]
    assert edge.named("Node Control/Fence") == []


@on_both_brokers
async def test_state_is_online_from_start_to_stop(
    make: Callable[[], HeadEnd], edge: EdgeNode, clock: ManualClock
) -> None:
    head_end = make()
    await head_end.start()
    await head_end.settle()
    await until(lambda: bool(edge.states), "the birth")
    await head_end.stop()
    stamp = int(clock.now() * 1000)
    await until(lambda: len(edge.states) == 2, "the death")
    assert edge.states == [{"online": True, "timestamp": stamp}, {"online": False, "timestamp": stamp}]


async def test_a_stale_will_is_contradicted(head_end: HeadEnd, watcher: Publisher, clock: ManualClock) -> None:
    await head_end.settle()
    online = b'{"online":true,"timestamp":%d}' % int(clock.now() * 1000)
    await until(lambda: bool(watcher.received), "the birth")
    watcher.send("spBv1.0/STATE/utility", b'{"online":false,"timestamp":5}')
    await head_end.settle()
    await until(lambda: len(watcher.received) == 3, "the answer")
    assert [payload for _, payload in watcher.received][-1] == online


def retained_state(port: int) -> bytes | None:
    """What somebody who comes now hears of the head-end."""
    late = Publisher(port, "late", subscribe="spBv1.0/STATE/utility")
    marks = "spBv1.0/STATE/utility/none"
    late.client.subscribe(marks)
    late.send(marks, b"mark")
    wait_for(lambda: (marks, b"mark") in late.received, "our own mark, which comes after what is retained")
    late.close()
    return next((payload for topic, payload in late.received if topic != marks), None)


@on_both_brokers
@pytest.mark.parametrize(
    "lie", [b"", b"offline", b"\xff", b"[]", b'{"online":true,"timestamp":5}', b'{"online":false,"timestamp":"x"}']
)
async def test_what_is_not_our_state_is_answered_at_once(
    head_end: HeadEnd, watcher: Publisher, clock: ManualClock, broker: Broker, lie: bytes
) -> None:
    online = b'{"online":true,"timestamp":%d}' % int(clock.now() * 1000)
    await head_end.settle()
    await until(lambda: bool(watcher.received), "the birth")
    watcher.client.publish("spBv1.0/STATE/utility", lie, qos=1, retain=True).wait_for_publish(20)
    await head_end.settle()
    await until(lambda: len(watcher.received) >= 3, "the answer")
    for _ in range(3):
        await head_end.settle()
    assert [payload for _, payload in watcher.received] == [online, lie, online], "and it does not answer itself"
    assert await asyncio.to_thread(retained_state, broker.port) == online


async def test_an_offline_that_is_newer_takes_a_newer_birth(
    head_end: HeadEnd, watcher: Publisher, edge: EdgeNode, clock: ManualClock, broker: Broker
) -> None:
    await head_end.settle()
    await until(lambda: bool(watcher.received), "the birth")
    lie_ms = int(clock.now() * 1000) + 3_600_000
    lie = b'{"online":false,"timestamp":%d}' % lie_ms
    watcher.client.publish("spBv1.0/STATE/utility", lie, qos=1, retain=True).wait_for_publish(20)
    await head_end.settle()
    await live(head_end, clock, clock.now() + 60)
    assert (await head_end.settle()).connected
    assert await asyncio.to_thread(retained_state, broker.port) == b'{"online":true,"timestamp":%d}' % (lie_ms + 1)


async def test_who_keeps_overwriting_our_state_is_answered_now_and_then(
    head_end: HeadEnd, watcher: Publisher, clock: ManualClock, broker: Broker
) -> None:
    await head_end.settle()
    await until(lambda: bool(watcher.received), "the birth")
    for _ in range(40):
        heard = len(watcher.received)
        watcher.client.publish("spBv1.0/STATE/utility", b"", qos=1, retain=True).wait_for_publish(20)
        await head_end.settle()
        await until(lambda heard=heard: len(watcher.received) > heard, "the lie")  # type: ignore[misc]  # bound now
    answers = sum(payload != b"" for _, payload in watcher.received) - 1
    assert answers == ANSWERS
    await live(head_end, clock, clock.now() + WITHIN_S + 1)
    assert await asyncio.to_thread(retained_state, broker.port) is not None, "later, once more"


async def test_two_hosts_of_one_name_do_not_shout_each_other_down(
    head_end: HeadEnd, make: Callable[..., HeadEnd], watcher: Publisher, clock: ManualClock, broker: Broker
) -> None:
    await head_end.settle()
    clock.set(clock.now() + 5)
    other = make(client_id="another")
    await other.start()
    newer = b'{"online":true,"timestamp":%d}' % int(clock.now() * 1000)
    await until(lambda: len(watcher.received) == 2, "both births")
    watcher.client.publish("spBv1.0/STATE/utility", b"", qos=1, retain=True).wait_for_publish(20)
    for _ in range(5):
        await head_end.settle()
        await other.settle()
    await until(lambda: len(watcher.received) > 3 and watcher.received[-1][1] == newer, "the newer one's answer")
    assert len(watcher.received) <= 6, "each has answered once, the newer one perhaps twice"
    await other.stop()
    await head_end.settle()
    await live(head_end, clock, clock.now() + 60)
    said = await asyncio.to_thread(retained_state, broker.port)
    assert said is not None
    assert json.loads(said)["online"] is True, "who is left says so"
    assert json.loads(said)["timestamp"] > json.loads(newer)["timestamp"], "so that collectors believe it"


@on_both_brokers
async def test_after_the_broker_was_killed_collectors_are_known_by_their_new_births(
    head_end: HeadEnd, broker: Broker, clock: ManualClock, database: Reader
) -> None:
    edge = EdgeNode(broker.port, EDGE, host="utility")
    edge.birth(MESH)
    await head_end.settle()
    broker.kill()
    edge.close()

    async def lost() -> bool:
        return not (await head_end.settle()).connected

    await eventually(lost)
    broker.start()
    clock.set(START_S + 100)
    await head_end.advance()
    assert (await head_end.settle()).connected
    edge = EdgeNode(broker.port, EDGE, host="utility", bdseq=1)
    await until(lambda: bool(edge.states), "the state")
    assert edge.states[0] == {"online": True, "timestamp": (START_S + 100) * 1000}
    edge.block(MESH, [START_S])
    assert (await head_end.settle()).commanded == [EDGE]
    edge.birth(MESH)
    clock.set(START_S + LENGTH_S)
    edge.block(MESH, [START_S + LENGTH_S])
    await head_end.settle()
    edge.close()
    assert dead_letters(database) == ["no_birth"]
    assert database.value("SELECT count(*) FROM stored_reading") == 1
    assert database.rows("SELECT bdseq FROM collector") == [(1,)]


@on_both_brokers
async def test_a_head_end_that_restarts_understands_nothing_before_the_births(
    make: Callable[[], HeadEnd], edge: EdgeNode, clock: ManualClock, database: Reader
) -> None:
    first = make()
    await first.start()
    edge.birth(MESH)
    await first.settle()
    await first.stop()
    clock.set(START_S + LENGTH_S + 3)
    second = make()
    await second.start()
    edge.block(MESH, [START_S + LENGTH_S])
    assert (await second.settle()).commanded == [EDGE]
    await until(lambda: edge.rebirths == 1, "the request")
    edge.birth(MESH)
    edge.block(MESH, [START_S + LENGTH_S])
    await second.settle()
    await second.stop()
    assert dead_letters(database) == ["no_birth"]
    assert database.value("SELECT count(*) FROM stored_reading") == 1
    assert [row for row in communication(database) if row[0] == MESH] == [(MESH, START_S + 60, True)]


async def test_metrics_of_another_make_are_kept_by_name(
    head_end: HeadEnd, edge: EdgeNode, clock: ManualClock, database: Reader
) -> None:
    edge.node_birth()
    born = [M(10, 21.5, "Inputs/Temperature"), M(FLOAT, 1.5, "Inputs/Power", 3), M(STRING, "x", "Model")]
    edge.send(edge.topic("DBIRTH", MESH), payload(born, seq=edge.next_seq()))
    edge.data(MESH, [M(FLOAT, 2.5, "", 3, (START_S + 30) * 1000, typed=False)])
    edge.data(MESH, [M(10, 22.5, "Inputs/Temperature", None, (START_S + 30) * 1000)])
    await head_end.settle()
    assert database.rows(
        "SELECT reading_type, value, extract(epoch FROM interval_start)::int8, interval_length_s FROM other_reading"
        " ORDER BY 3, 1"
    ) == [
        ("Inputs/Power", 1.5, START_S, 0),
        ("Inputs/Temperature", 21.5, START_S, 0),
        ("Inputs/Power", 2.5, START_S + 30, 0),
        ("Inputs/Temperature", 22.5, START_S + 30, 0),
    ]
    assert dead_letters(database) == []


async def test_without_sparkplug_meters_there_is_no_second_connection(
    postgres: Postgres, broker: Broker, schema: str, tmp_path: Path, clock: ManualClock, watcher: Publisher
) -> None:
    head_end = HeadEnd(
        Shipment(tmp_path / "others").settings(postgres.url(), schema, broker.port, sparkplug_host_id="utility"),
        clock,
    )
    await head_end.start()
    assert (await head_end.settle()).connected
    await head_end.stop()
    assert watcher.received == []


async def test_messages_of_many_rows_make_no_unbounded_batch(
    postgres: Postgres, broker: Broker, schema: str, shipment: Shipment, clock: ManualClock, edge: EdgeNode,
    database: Reader,
) -> None:  # fmt: skip
    most, block = 200, 60
    settings = shipment.settings(
        postgres.url(), schema, broker.port, sparkplug_host_id="utility", batch_max_rows=50, pending_max_messages=most
    )
    head_end = HeadEnd(settings, clock)
    await head_end.start()
    edge.birth(MESH)
    await head_end.settle()
    blocks = 40
    clock.set(START_S + blocks * block * LENGTH_S)
    with psycopg.connect(postgres.url(), options=f"-csearch_path={schema}") as blocker:
        blocker.execute("LOCK TABLE interval_reading IN ACCESS EXCLUSIVE MODE")
        for number in range(blocks):
            first = number * block + 1
            edge.block(MESH, [START_S + n * LENGTH_S for n in range(first, first + block)])
    await head_end.settle()
    assert database.value("SELECT count(*) FROM stored_reading") == blocks * block
    sample = head_end.metrics.registry.get_sample_value
    assert sample("amilab_headend_batch_rows_bucket", {"le": "500.0"}) == sample("amilab_headend_batch_rows_count")
    await head_end.stop()
