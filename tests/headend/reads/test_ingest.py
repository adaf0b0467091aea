"""Messages in, rows out: over a real broker into a real database."""

from collections.abc import AsyncIterator, Iterator

import pytest

from headend.clock import ManualClock
from headend.drivers import READING_COUNTERS, READING_MEASURES
from headend.drivers.obis import NET, OBIS
from headend.service import HeadEnd
from tests.headend.fleet import (
    GROUP,
    LENGTH_S,
    START_S,
    Publisher,
    Shipment,
    event,
    iso,
    reading,
    serial,
    state,
)
from tests.headend.reader import Reader
from tests.headend.services import Mosquitto, Postgres, until

pytest_plugins = ["tests.headend.fixtures"]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START_S + 60)


@pytest.fixture
async def head_end(
    postgres: Postgres, mosquitto: Mosquitto, schema: str, shipment: Shipment, clock: ManualClock
) -> AsyncIterator[HeadEnd]:
    head_end = HeadEnd(shipment.settings(postgres.url(), schema, mosquitto.port), clock)
    await head_end.start()
    yield head_end
    await head_end.stop()


@pytest.fixture
def publisher(mosquitto: Mosquitto) -> Iterator[Publisher]:
    publisher = Publisher(mosquitto.port, "publisher")
    yield publisher
    publisher.close()


def topic(meter: int, kind: str) -> str:
    return f"dt/{GROUP}/{serial(meter)}/{kind}"


async def test_a_reading_is_stored_with_its_three_times(
    head_end: HeadEnd, publisher: Publisher, database: Reader, clock: ManualClock
) -> None:
    publisher.send(topic(1, "ds"), reading(1, START_S + LENGTH_S))
    clock.set(START_S + LENGTH_S + 7)
    settled = await head_end.settle()
    assert (settled.connected, settled.received, settled.commanded) == (True, 1, [])
    assert (await head_end.settle()).received == 0
    assert database.rows(
        "SELECT serial, usage_point, extract(epoch FROM interval_start)::int8, interval_length_s, quality, origin,"
        " revision, extract(epoch FROM device_time)::int8, extract(epoch FROM committed_at)::int8 FROM stored_reading"
    ) == [(serial(1), "UP1", START_S, LENGTH_S, "actual", "reported", 0, START_S + LENGTH_S, START_S + LENGTH_S + 7)]
    assert database.value("SELECT abs(extract(epoch FROM clock_timestamp() - ingested_at)) < 60 FROM stored_reading")


async def test_every_channel_arrives_in_its_column(head_end: HeadEnd, publisher: Publisher, database: Reader) -> None:
    numbered = [name for name in READING_COUNTERS if name not in NET and name not in ("status", "max_demand_at_s")]
    sent: dict[str, object] = {OBIS[name]: number for number, name in enumerate(numbered, start=1)}
    expected: dict[str, object] = {name: number for number, name in enumerate(numbered, start=1)}
    for number, (name, (taken, given)) in enumerate(NET.items(), start=100):
        sent |= {taken: 0, given: number}
        expected[name] = -number
    for number, name in enumerate(READING_MEASURES):
        expected[name] = sent[OBIS[name]] = number / 8 if name.startswith("power_factor") else 20.5 + number
    sent |= {"96.10.1": 12, "1.6.0.5": "2026-01-14T18:45:00+00:00"}
    publisher.send(topic(0, "ds"), reading(0, START_S + LENGTH_S, **sent))
    await head_end.settle()
    (row,) = database.rows(f"SELECT {', '.join(expected)} FROM stored_reading")
    assert dict(zip(expected, row, strict=True)) == expected
    rest = "status, extract(epoch FROM max_demand_at)::int8"
    assert database.rows(f"SELECT {rest} FROM stored_reading") == [(12, START_S - 5 * 3600 - 900)]


async def test_what_a_meter_does_not_report_is_null_and_what_we_do_not_know_is_kept(
    head_end: HeadEnd, publisher: Publisher, database: Reader
) -> None:
    payload = f'{{"meter":{{"ts":"{iso(START_S + LENGTH_S)}","1.29.0":5,"32.7.0":230,"14.7.0":49.98}}}}'
    publisher.send(topic(0, "ds"), payload.encode())
    await head_end.settle()
    assert database.rows("SELECT import_wh, export_wh, voltage_l1_v, voltage_l2_v, status FROM stored_reading") == [
        (5, None, 230.0, None, None)
    ]
    assert database.rows("SELECT reading_type, value FROM other_reading") == [("14.7.0", 49.98)]


async def test_the_same_reading_twice_is_stored_once(head_end: HeadEnd, publisher: Publisher, database: Reader) -> None:
    for _ in range(2):
        publisher.send(topic(0, "ds"), reading(0, START_S + LENGTH_S))
    await head_end.settle()
    publisher.send(topic(0, "ds"), reading(0, START_S + LENGTH_S))
    await head_end.settle()
    assert database.value("SELECT count(*) FROM interval_reading") == 1
    assert head_end.metrics.registry.get_sample_value("amilab_headend_duplicates_total") == 2


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "in two batches"])
async def test_a_different_value_becomes_a_revision(
    head_end: HeadEnd, publisher: Publisher, database: Reader, together: bool
) -> None:
    for energy in (100, 200, 100, 300, 200):
        publisher.send(topic(0, "ds"), reading(0, START_S + LENGTH_S, **{"1.29.0": energy}))
        if not together:
            await head_end.settle()
    publisher.send(topic(1, "ds"), reading(1, START_S + LENGTH_S))
    await head_end.settle()
    assert database.rows("SELECT import_wh, revision FROM interval_reading WHERE meter_id = 1 ORDER BY revision") == [
        (100, 0),
        (200, 1),
        (300, 2),
    ]
    assert database.rows("SELECT import_wh, quality, revision FROM stored_reading WHERE serial = %s", serial(0)) == [
        (300, "revised", 2)
    ]
    assert database.value("SELECT count(*) FROM stored_reading") == 2


async def test_events_and_states(head_end: HeadEnd, publisher: Publisher, database: Reader) -> None:
    for _ in range(2):
        publisher.send(topic(2, "ev"), event("last_gasp", START_S + 5, 17, down_at=iso(START_S)))
    publisher.send(topic(2, "ev"), event("a code of tomorrow", START_S + 6, 18))
    publisher.send(topic(2, "st"), state("online", START_S))
    publisher.send(topic(2, "st"), state("offline"))
    await head_end.settle()
    assert database.rows("SELECT sequence, code, detail FROM end_device_event ORDER BY sequence") == [
        (17, "last_gasp", {"down_at": iso(START_S)}),
        (18, "a code of tomorrow", {}),
    ]
    assert database.rows("SELECT online, boot, extract(epoch FROM device_time)::int8 FROM device_state") == [
        (False, 1, START_S)
    ]


@pytest.mark.parametrize(
    ("where", "payload", "reason"),
    [
        (topic(0, "ds"), b"\x00\xff garbage", "not_json"),
        (topic(0, "ev"), b"[]", "bad_structure"),
        (topic(0, "st"), b'{"state":{"value":"asleep"}}', "bad_value"),
        (topic(0, "lp"), b'{"profile":{}}', "bad_structure"),
        (topic(0, "ds"), b"", "not_json"),
        (topic(0, "ds"), b" " * 70_000, "oversized"),
        (topic(0, "ev"), b" " * 70_000, "oversized"),
        (topic(0, "st"), b" " * 70_000, "oversized"),
        (topic(0, "lp"), b" " * 70_000, "oversized"),
        (f"dt/{GROUP}/_fence/somebody/else", b"x", "unknown_topic"),
        (f"dt/{GROUP}", b"x", "unknown_topic"),
        (topic(0, "xy"), b"x", "unknown_topic"),
        (topic(99, "ds"), reading(99, START_S), "unknown_device"),
        (topic(0, "ds"), reading(0, START_S + 2 * 86400), "implausible_time"),
        (topic(0, "ds"), reading(0, 900_000_000), "implausible_time"),
        (topic(0, "ev"), event("reboot", 900_000_000, 1), "implausible_time"),
    ],
)
async def test_what_cannot_be_stored_is_kept_raw_with_its_reason(
    head_end: HeadEnd, publisher: Publisher, database: Reader, where: str, payload: bytes, reason: str
) -> None:
    publisher.send(where, payload)
    publisher.send(topic(1, "ds"), reading(1, START_S + LENGTH_S))
    await head_end.settle()
    assert database.rows("SELECT topic, reason, payload FROM dead_letter") == [(where, reason, payload[:65536])]
    assert head_end.metrics.registry.get_sample_value("amilab_headend_dead_letters_total", {"reason": reason}) == 1
    assert database.value("SELECT count(*) FROM stored_reading") == 1


async def test_a_device_of_another_group_is_a_dead_letter(
    postgres: Postgres, mosquitto: Mosquitto, schema: str, shipment: Shipment, publisher: Publisher, database: Reader
) -> None:
    head_end = HeadEnd(
        shipment.settings(postgres.url(), schema, mosquitto.port, group="other"), ManualClock(START_S + 60)
    )
    await head_end.start()
    publisher.send(f"dt/other/{serial(0)}/ds", reading(0, START_S + LENGTH_S))
    await head_end.settle()
    await head_end.stop()
    assert database.rows("SELECT reason FROM dead_letter") == [("wrong_group",)]


async def test_figures_for_the_verdict(head_end: HeadEnd, publisher: Publisher) -> None:
    for number in range(3):
        publisher.send(topic(number, "ds"), reading(number, START_S + LENGTH_S))
    await head_end.settle()
    stats = head_end.ingest_stats()
    assert (stats["messages"], stats["rows"]) == (3, 3)
    latency = stats["receive_to_commit_ms"]
    assert isinstance(latency, dict)
    assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"] <= latency["max"]


async def test_messages_of_qos_0_are_stored_without_an_answer(
    head_end: HeadEnd, publisher: Publisher, database: Reader
) -> None:
    publisher.client.publish(topic(0, "ds"), reading(0, START_S + LENGTH_S), qos=0)
    publisher.send(topic(1, "ds"), reading(1, START_S + LENGTH_S))
    await head_end.settle()
    assert (await head_end.settle()).connected
    assert database.value("SELECT count(*) FROM stored_reading") == 2


async def test_what_comes_while_it_connects_anew_is_stored(
    head_end: HeadEnd, publisher: Publisher, database: Reader
) -> None:
    publisher.send(topic(0, "ds"), reading(0, START_S + LENGTH_S))
    head_end.renew()
    assert head_end.next_due() == START_S + 60, "at once"
    publisher.send(topic(1, "ds"), reading(1, START_S + LENGTH_S))
    await head_end.advance()
    publisher.send(topic(2, "ds"), reading(2, START_S + LENGTH_S))
    assert (await head_end.settle()).connected
    assert head_end.metrics.registry.get_sample_value("amilab_headend_reconnects_total") == 1
    assert database.value("SELECT count(*) FROM stored_reading") == 3


async def test_what_is_on_its_way_to_a_held_connection_is_lost_with_the_broker_to_the_last_byte(
    head_end: HeadEnd, mosquitto: Mosquitto, publisher: Publisher, database: Reader, clock: ManualClock
) -> None:
    """Whatever the kernel holds of it, which is more on one machine than on another."""
    publisher.send(topic(0, "ds"), reading(0, START_S + LENGTH_S))
    assert (await head_end.settle()).received == 1
    head_end.hold()
    for meter in (1, 2, 3):
        publisher.send(topic(meter, "ds"), reading(meter, START_S + LENGTH_S))
    mosquitto.kill()
    head_end.drop()
    settled = await head_end.settle()
    assert (settled.connected, settled.received) == (False, 0)
    assert database.value("SELECT count(*) FROM stored_reading") == 1
    due_s = head_end.next_due()
    assert due_s is not None
    assert due_s > clock.now(), "it connects again by its back-off"


async def test_fences_go_by_topics_of_the_labs_own(head_end: HeadEnd, mosquitto: Mosquitto) -> None:
    listener = Publisher(mosquitto.port, "listener", subscribe="#")
    await head_end.fence_devices([serial(0), serial(1)], "now")
    await until(lambda: len(listener.received) == 2, "both fences")
    listener.close()
    assert listener.received == [(f"lab/{GROUP}/{serial(meter)}", b"now") for meter in (0, 1)]
