"""Attempts to do what one may not, with and without a certificate: refused, logged, and nobody else harmed."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from collections.abc import Callable
from functools import partial

import pytest

from lab.keys.keyring import SERVER
from lab.keys.pki import Authority
from lab.services.broker import DIRECTORY, BrokerProgram
from lab.services.broker_config import MAX_PACKET_BYTES, MOST_SUBSCRIPTIONS
from tests.lab.services.conftest import (
    Peer,
    Surroundings,
    content_type,
    correlation_data,
    response_topic,
    user_property,
)
from tests.lab.services.guarded import (
    COLLECTOR,
    HONEST,
    MODEST,
    VILLAIN,
    GuardedBroker,
    long_ago,
    next_week,
    signed_by,
)

OWN = f"dt/g1/{VILLAIN}/ds"


@pytest.fixture
async def guarded(surroundings: Surroundings, mosquitto: BrokerProgram) -> GuardedBroker:
    return await GuardedBroker.start(surroundings, mosquitto)


# Without a certificate that the broker trusts.


async def test_nobody_gets_in_without_tls(guarded: GuardedBroker) -> None:
    await guarded.refuses(None)
    await guarded.until_logged("SSL routines")
    await guarded.serves_others()


async def test_nobody_gets_in_without_a_certificate(guarded: GuardedBroker) -> None:
    await guarded.refuses(guarded.showing(None))
    await guarded.until_logged("peer did not return a certificate")
    await guarded.serves_others()


@pytest.mark.parametrize(
    ("whose", "logged"),
    [
        ("foreign", "certificate verify failed"),
        ("of the same name", "certificate verify failed"),
        ("expired", "certificate verify failed"),
        ("not yet valid", "certificate verify failed"),
        ("signed by a device", "certificate verify failed"),
        ("the broker's own", "certificate verify failed"),
    ],
)
async def test_certificates_that_are_not_trusted(guarded: GuardedBroker, whose: str, logged: str) -> None:
    ours = guarded.keyring.authority
    name = ours.certificate.subject.rfc4514_string().removeprefix("CN=")
    pem = {
        "foreign": lambda: Authority.create().issue("headend"),
        "of the same name": lambda: Authority.create(name).issue("headend"),
        "expired": lambda: ours.issue(VILLAIN, now=long_ago()),
        "not yet valid": lambda: ours.issue(VILLAIN, now=next_week()),
        "signed by a device": lambda: (
            signed_by(guarded.pem(VILLAIN).read_bytes()).issue("headend") + guarded.pem(VILLAIN).read_bytes()
        ),
        "the broker's own": lambda: (guarded.surroundings.directory / DIRECTORY / SERVER).read_bytes(),
    }[whose]()
    await guarded.refuses(guarded.forged(pem))
    await guarded.until_logged(logged)
    await guarded.serves_others()


async def test_a_revoked_certificate(guarded: GuardedBroker) -> None:
    stolen = guarded.forged(guarded.pem(VILLAIN).read_bytes())
    await (await guarded.connect(VILLAIN, tls=stolen)).close()
    guarded.keyring.revoke(VILLAIN)
    await guarded.broker.reload()
    await guarded.refuses(stolen)
    await guarded.until_logged("certificate verify failed")
    await guarded.serves_others()


async def test_tls_older_than_1_2(guarded: GuardedBroker) -> None:
    old = guarded.showing(guarded.pem(VILLAIN))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    # Else OpenSSL refuses on our side of the wire already.
    old.set_ciphers("ALL:@SECLEVEL=0")
    await guarded.refuses(old)
    await guarded.until_logged("unsupported protocol")
    await guarded.serves_others()


async def test_tls_1_2_is_enough(guarded: GuardedBroker) -> None:
    context = guarded.showing(guarded.pem(VILLAIN))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    device = await guarded.connect(VILLAIN, tls=context)
    device.publish(OWN, b"1.2")
    await device.all_acknowledged()
    await guarded.head.until_received(OWN, b"1.2")


# With an identity of one's own.


ANOTHERS_TOPICS = (
    f"dt/g1/{HONEST}/ds",
    f"dt/g1/{HONEST}",
    "dt/g1/_fence/hes",
    f"cmd/g1/{HONEST}",
    f"cmd/g1/{VILLAIN}",
    f"lab/g1/{HONEST}",
    f"lab/g1/{VILLAIN}",
    f"lab/g1/DCMD/{COLLECTOR}/_fence",
    f"spBv1.0/g1/DDATA/{COLLECTOR}/{VILLAIN}",
    f"spBv1.0/g1/NDEATH/{COLLECTOR}",
    "spBv1.0/STATE/g1-headend",
    "$SYS/broker/uptime",
    "$share/ingest/dt",
)
ANOTHERS_FILTERS = (
    "#",
    "+/#",
    "+/g1/+",
    f"+/g1/{HONEST}",
    "+/+/+",
    "lab/#",
    f"+/g1/DCMD/{COLLECTOR}/+",
    "dt/#",
    "cmd/#",
    "cmd/g1/+",
    f"cmd/g1/{HONEST}",
    f"cmd/g1/{VILLAIN}/#",
    "spBv1.0/#",
    f"spBv1.0/g1/DCMD/{COLLECTOR}/+",
    "$SYS/#",
    "$share/mine/dt/#",
    f"$share/mine/cmd/g1/{HONEST}",
    f"$share/mine/{VILLAIN}",
    f"$SYS/mine/{VILLAIN}",
)


async def test_publishing_as_another(guarded: GuardedBroker) -> None:
    assert await guarded.head.subscribe("spBv1.0/#") == 1
    for topic in ANOTHERS_TOPICS:
        await _forge(await guarded.connect(VILLAIN), topic)
        if not topic.startswith("$"):
            # Topics of its own mosquitto refuses to everybody, and without a word.
            await guarded.until_logged(f"guard: {VILLAIN} may not publish to {topic}")
    # Its own readings still count.
    device = await guarded.connect(VILLAIN)
    device.publish(OWN, b"genuine")
    await device.all_acknowledged()
    await guarded.head.until_received(OWN, b"genuine")
    assert guarded.stolen() == [(OWN, b"genuine")]
    await guarded.serves_others()


async def test_subscribing_to_what_is_another_s(guarded: GuardedBroker) -> None:
    device = await guarded.connect(VILLAIN)
    for topic_filter in ANOTHERS_FILTERS:
        assert await device.subscribe(topic_filter) == 0x80, topic_filter
        await guarded.until_logged(f"guard: {VILLAIN} may not subscribe to {topic_filter}")
    assert await device.subscribe(f"cmd/g1/{VILLAIN}") == 1
    await guarded.serves_others()
    guarded.head.publish(f"cmd/g1/{VILLAIN}", b"yours")
    await device.until_received(f"cmd/g1/{VILLAIN}", b"yours")
    assert device.received == [(f"cmd/g1/{VILLAIN}", b"yours")]


async def test_a_collector_reads_its_own_commands_and_the_host_s_state_only(guarded: GuardedBroker) -> None:
    collector = await guarded.connect(COLLECTOR)
    for own in (f"spBv1.0/g1/NCMD/{COLLECTOR}", f"spBv1.0/g1/DCMD/{COLLECTOR}/+", "spBv1.0/STATE/g1-headend"):
        assert await collector.subscribe(own) == 1
    for other in ("spBv1.0/g1/NCMD/COL0002", "spBv1.0/g1/DCMD/+/+", "spBv1.0/g1/DDATA/+/+", "cmd/g1/+"):
        assert await collector.subscribe(other) == 0x80
        await guarded.until_logged(f"guard: {COLLECTOR} may not subscribe to {other}")


async def test_taking_messages_out_of_a_shared_subscription(guarded: GuardedBroker) -> None:
    worker = await guarded.connect("headend-sparkplug")
    assert await worker.subscribe("$share/ingest/dt/#") == 1
    thief = await guarded.connect(VILLAIN)
    assert await thief.subscribe("$share/ingest/dt/#") == 0x80
    honest = await guarded.connect(HONEST)
    sent = [(f"dt/g1/{HONEST}/ds", str(number).encode()) for number in range(20)]
    for topic, payload in sent:
        honest.publish(topic, payload)
    await honest.all_acknowledged()
    await worker.until_received(*sent[-1])
    assert worker.received == sent


async def test_taking_over_the_session_of_another(guarded: GuardedBroker) -> None:
    thief = await guarded.connect(VILLAIN, client_id=HONEST)
    await guarded.until_logged("New client connected", f" as {VILLAIN} ", f"u'{VILLAIN}'")
    await guarded.serves_others()
    await _forge(thief, f"dt/g1/{HONEST}/ds")
    await guarded.until_logged(f"guard: {VILLAIN} may not publish to dt/g1/{HONEST}/ds")
    await guarded.serves_others()
    assert (f"dt/g1/{HONEST}/ds", b"forged") not in guarded.head.received


async def test_a_will_in_the_name_of_another(guarded: GuardedBroker) -> None:
    device = await guarded.connect(VILLAIN, will=(f"dt/g1/{HONEST}/st", b"gone"))
    device.writer.transport.abort()
    await guarded.until_logged(f"guard: {VILLAIN} may not publish to dt/g1/{HONEST}/st")
    await guarded.serves_others()
    assert (f"dt/g1/{HONEST}/st", b"gone") not in guarded.head.received


async def test_retaining(guarded: GuardedBroker) -> None:
    device = await guarded.connect(VILLAIN)
    await _forge(device, f"dt/any/{VILLAIN}/ds", retain=True)
    await guarded.until_logged(f"guard: {VILLAIN} may not retain a message at dt/any/{VILLAIN}/ds")
    assert await guarded.head.subscribe("dt/any/#") == 1
    await guarded.serves_others()
    assert guarded.stolen() == []


# Too much.


async def test_an_oversized_message(guarded: GuardedBroker) -> None:
    device = await guarded.connect(VILLAIN)
    device.publish(OWN, b"x" * MAX_PACKET_BYTES)
    assert not await device.read_packet()
    await guarded.until_logged(f"Client {VILLAIN} disconnected due to oversize packet")
    await guarded.serves_others()
    assert guarded.stolen() == []


async def test_messages_that_the_broker_would_have_to_keep(guarded: GuardedBroker) -> None:
    device = await guarded.connect(VILLAIN)
    device.publish(OWN, b"exactly once", qos=2)
    assert not await device.read_packet()
    await guarded.until_logged("QoS", VILLAIN)
    await guarded.serves_others()


@pytest.mark.parametrize("payload", [b"x", b"x" * 20_000])
async def test_a_flood_of_messages(guarded: GuardedBroker, payload: bytes) -> None:
    """By number, and by size."""
    flooder = await guarded.connect(VILLAIN, will=(f"dt/g1/{VILLAIN}/st", b"gone"))
    count = 5 * MODEST.burst_messages
    await _flood(flooder, payload, count)
    logged = await guarded.until_logged(f"guard: {VILLAIN} exceeds")
    assert "disconnected" in logged
    await guarded.serves_others()
    arrived = [message for message in guarded.stolen() if message[0] == OWN]
    most = MODEST.burst_messages if len(payload) == 1 else MODEST.burst_bytes // len(payload)
    assert flooder.acknowledged <= len(arrived) <= most + MODEST.messages_per_s * 60
    # That it is gone, everybody hears.
    assert (f"dt/g1/{VILLAIN}/st", b"gone") in guarded.head.received


async def test_a_flood_goes_on_over_new_connections(guarded: GuardedBroker) -> None:
    await _flood(await guarded.connect(VILLAIN), b"x", 5 * MODEST.burst_messages)
    for _ in range(3):
        again = await guarded.connect(VILLAIN)
        await _flood(again, b"x", MODEST.burst_messages)
        assert again.acknowledged < MODEST.burst_messages
        await guarded.serves_others()


async def test_nothing_passes_after_an_expulsion(guarded: GuardedBroker) -> None:
    """Its will may; without one, nothing that it says when it is back."""
    reading = b"x" * 20_000
    await _flood(await guarded.connect(VILLAIN), reading, 2 * MODEST.burst_bytes // len(reading))
    await guarded.serves_others()
    arrived = len(guarded.stolen())
    for _ in range(3):
        again = await guarded.connect(VILLAIN)
        again.publish(OWN, reading)
        assert not await again.read_packet(), "it was let pass"
    await guarded.serves_others()
    assert len(guarded.stolen()) == arrived


async def test_wills_are_no_way_round_the_limits(guarded: GuardedBroker) -> None:
    """One passes for nothing, so that everybody hears; not one for each expulsion."""
    gone = (f"dt/g1/{VILLAIN}/st", b"gone" * 5_000)
    for _ in range(5):
        await _flood(await guarded.connect(VILLAIN, will=gone), b"x" * 20_000, MODEST.burst_bytes // 10_000)
    await guarded.serves_others()
    assert guarded.stolen().count(gone) == 1


@pytest.mark.parametrize("make", [partial(user_property, b"x"), content_type, response_topic, correlation_data])
async def test_a_flood_in_the_properties_of_mqtt_5(guarded: GuardedBroker, make: Callable[[bytes], bytes]) -> None:
    large = make(b"x" * 20_000)
    device = await guarded.connect(VILLAIN, version=5)
    for number in range(MODEST.burst_messages // 2):
        device.publish(OWN, str(number).encode(), properties=large)
    while await device.read_packet():
        assert device.acknowledged < MODEST.burst_messages // 2, "all of it was taken"
    await guarded.until_logged(f"guard: {VILLAIN} exceeds")
    await guarded.serves_others()
    assert len(guarded.stolen()) <= MODEST.burst_bytes // 20_000


async def test_small_properties_are_let_pass(guarded: GuardedBroker) -> None:
    device = await guarded.connect(VILLAIN, version=5)
    for _ in range(MODEST.burst_messages // 2):
        device.publish(OWN, b"x", properties=user_property(b"unit", b"Wh"))
    await device.all_acknowledged()
    await guarded.serves_others()


async def test_a_flood_in_the_properties_of_wills(guarded: GuardedBroker) -> None:
    """Mosquitto shows them to nobody, so each counts as the largest packet."""
    large = user_property(b"x", b"x" * 20_000)
    gone = (f"dt/g1/{VILLAIN}/st", b"gone")
    for _ in range(20):
        device = await guarded.connect(VILLAIN, version=5, will=gone, will_properties=large)
        device.writer.transport.abort()
    # One that passes in its turn: what came before has been looked at.
    await guarded.until_logged(f"guard: {VILLAIN} exceeds")
    await guarded.serves_others()
    assert len(guarded.stolen()) <= MODEST.burst_bytes // MAX_PACKET_BYTES + 1


async def test_a_flood_in_the_properties_of_subscriptions(guarded: GuardedBroker) -> None:
    device = await guarded.connect(VILLAIN, version=5)
    for _ in range(20):
        device.subscribe_unheard(f"cmd/g1/{VILLAIN}", properties=user_property(b"x", b"x" * 20_000))
    while await device.read_packet():
        assert len(device.subscribed) < 20, "all of it was taken"
    await guarded.until_logged(f"guard: {VILLAIN} exceeds")
    await guarded.serves_others()


async def test_a_flood_in_the_properties_of_what_is_refused(guarded: GuardedBroker) -> None:
    for _ in range(20):
        device = await guarded.connect(VILLAIN, version=5)
        device.publish(f"dt/g1/{HONEST}/ds", b"", properties=user_property(b"x", b"x" * 20_000))
        await device.read_packet()
    await guarded.until_logged(f"guard: {VILLAIN} exceeds")
    await guarded.serves_others()


async def test_a_flood_of_unsubscriptions(guarded: GuardedBroker) -> None:
    device = await guarded.connect(VILLAIN)
    for _ in range(2 * MODEST.burst_messages):
        device.unsubscribe_unheard(f"cmd/g1/{VILLAIN}")
    while await device.read_packet():
        assert device.unsubscribed < 2 * MODEST.burst_messages, "all of it was taken"
    await guarded.until_logged(f"guard: {VILLAIN} exceeds")
    await guarded.serves_others()


async def test_a_flood_of_subscriptions(guarded: GuardedBroker) -> None:
    device = await guarded.connect(VILLAIN)
    for _ in range(2 * MODEST.burst_messages):
        device.subscribe_unheard(f"cmd/g1/{VILLAIN}")
    while await device.read_packet():
        assert len(device.subscribed) < 2 * MODEST.burst_messages, "all of it was taken"
    await guarded.until_logged(f"guard: {VILLAIN} exceeds")
    await guarded.serves_others()


async def test_subscriptions_without_end(guarded: GuardedBroker) -> None:
    """Any group's commands to itself a device may read, but each filter is kept."""
    device = await guarded.connect(VILLAIN)
    granted = [await device.subscribe(f"cmd/g{number}/{VILLAIN}") for number in range(3 * MOST_SUBSCRIPTIONS)]
    assert granted.count(1) <= MOST_SUBSCRIPTIONS
    assert granted[0] == 1
    assert granted[-1] == 0x80
    await guarded.until_logged(f"guard: {VILLAIN} may not subscribe any more, to cmd/")
    await guarded.serves_others()


async def test_a_flood_of_what_is_refused_anyway(guarded: GuardedBroker) -> None:
    for _ in range(2 * MODEST.burst_messages):
        await _forge(await guarded.connect(VILLAIN), f"dt/g1/{HONEST}/ds")
    await guarded.until_logged(f"guard: {VILLAIN} exceeds")
    await guarded.serves_others()


async def test_many_connections_of_one_identity(guarded: GuardedBroker) -> None:
    """A new one ends the one before."""
    peers = [await guarded.connect(VILLAIN, client_id=f"session {number}") for number in range(30)]
    ended = [await asyncio.wait_for(peer.read_packet(), 10) for peer in peers[:-1]]
    assert not any(ended)
    await guarded.until_logged(f"Client {VILLAIN} already connected, closing old connection")
    peers[-1].publish(OWN, b"the last")
    await peers[-1].all_acknowledged()
    await guarded.serves_others()


async def test_connections_that_never_say_who_they_are(guarded: GuardedBroker) -> None:
    silent = [await asyncio.open_connection("127.0.0.1", guarded.broker.port) for _ in range(100)]
    await guarded.serves_others()
    device = await guarded.connect(VILLAIN)
    device.publish(OWN, b"in between")
    await device.all_acknowledged()
    for _, writer in silent:
        writer.close()


async def test_the_head_end_is_not_limited(guarded: GuardedBroker) -> None:
    count = 3 * MODEST.burst_messages
    for _ in range(count):
        guarded.head.publish(f"cmd/g1/{VILLAIN}", b"x")
    await guarded.head.all_acknowledged()
    await guarded.serves_others()


async def _forge(peer: Peer, topic: str, *, retain: bool = False) -> None:
    """Publish what is refused. Brokers acknowledge it, or close the connection (MQTT 3.1.1, 3.3.5-2)."""
    peer.publish(topic, b"forged", retain=retain)
    await peer.read_packet()


async def _flood(peer: Peer, payload: bytes, count: int, topic: str = OWN) -> None:
    """Send until the broker has had enough."""
    for _ in range(count):
        peer.publish(topic, payload)
    while await peer.read_packet():
        assert peer.acknowledged < count, "all of it was taken"
