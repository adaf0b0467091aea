"""What quiescence rests on, for each broker that a run may have (docs/wire-rl-dsp.md).

A message that was acknowledged to its device reaches a subscriber of the one filter `dt/<group>/#` before a fence which
the subscriber publishes afterwards, over its own connection.
"""

from __future__ import annotations

import asyncio

import pytest

from lab.services.broker import BrokerProgram, EmbeddedBroker
from lab.services.broker_config import collector_user, device_user, head_end_user
from tests.lab.services.conftest import Peer, Surroundings

HEAD_END = head_end_user("g1", "hes", "pw")
FENCE = "dt/g1/_fence/hes"
DEVICES = 60
ROUNDS = 250
MANY = 450


async def test_acknowledged_messages_come_before_a_later_fence(
    surroundings: Surroundings, program: BrokerProgram, peer: type[Peer]
) -> None:
    users = [device_user("g1", f"AMI{n:08}", f"u{n}", "pw") for n in range(DEVICES)]
    broker = EmbeddedBroker(surroundings.directory, surroundings.supervisor, [*users, HEAD_END], program)
    await broker.start()
    head = await peer.connect(broker.port, "hes", HEAD_END.username, HEAD_END.password)
    await head.subscribe("dt/g1/#")
    devices = [await peer.connect(broker.port, f"c{n}", user.username, user.password) for n, user in enumerate(users)]

    async def report(number: int, turn: int) -> set[tuple[str, bytes]]:
        # Several topics, and a number of messages that differs from device to device and from round to round.
        said = {
            (f"dt/g1/AMI{number:08}/{kind}", b"%d %d" % (turn, part))
            for part in range((number + turn) % 4)
            for kind in ("ds", "ev", "st")
        }
        for topic, payload in said:
            devices[number].publish(topic, payload)
        await devices[number].all_acknowledged()
        return said

    for turn in range(ROUNDS):
        head.received.clear()
        reports = await asyncio.gather(*(report(number, turn) for number in range(DEVICES)))
        head.publish(FENCE, b"%d" % turn)
        await head.until_received(FENCE, b"%d" % turn)
        expected = set().union(*reports)
        assert set(head.received[:-1]) == expected, f"round {turn}"
        assert len(head.received) == len(expected) + 1
    await asyncio.gather(head.close(), *(device.close() for device in devices))


@pytest.mark.parametrize(
    ("command", "fence", "heard"),
    [
        ("cmd/g1/AMI00000001", "lab/g1/AMI00000001", "+/g1/AMI00000001"),
        ("spBv1.0/g1/DCMD/AMI00000001/M%d", "lab/g1/DCMD/AMI00000001/_fence", "+/g1/DCMD/AMI00000001/+"),
    ],
)
async def test_a_command_comes_before_a_later_fence_to_its_station(
    surroundings: Surroundings, program: BrokerProgram, peer: type[Peer], command: str, fence: str, heard: str
) -> None:
    """Also when more are on their way than a broker has in flight: rumqttd, 100."""
    user = (collector_user if "%d" in command else device_user)("g1", "AMI00000001", "u1", "pw")
    broker = EmbeddedBroker(surroundings.directory, surroundings.supervisor, [user, HEAD_END], program)
    await broker.start()
    head = await peer.connect(broker.port, "hes", HEAD_END.username, HEAD_END.password)
    station = await peer.connect(broker.port, "c1", user.username, user.password)
    await station.subscribe(heard)
    for turn in range(ROUNDS):
        station.received.clear()
        said = [
            (command % part if "%d" in command else command, b"command %d" % part)
            for part in range(MANY if turn % 50 == 7 else turn % 5)
        ]
        for topic, payload in said:
            head.publish(topic, payload)
        await head.all_acknowledged()
        head.publish(fence, b"%d" % turn)
        await station.until_received(fence, b"%d" % turn)
        assert station.received == [*said, (fence, b"%d" % turn)], f"round {turn}"
    await asyncio.gather(head.close(), station.close())


async def test_a_will_is_published_before_the_broker_closes_a_half_closed_connection(
    surroundings: Surroundings, mosquitto: BrokerProgram, peer: type[Peer]
) -> None:
    """mosquitto only: rumqttd lets go of the connection first and publishes the will afterwards."""
    user = device_user("g1", "AMI00000001", "u1", "pw")
    broker = EmbeddedBroker(surroundings.directory, surroundings.supervisor, [user, HEAD_END], mosquitto)
    await broker.start()
    head = await peer.connect(broker.port, "hes", HEAD_END.username, HEAD_END.password)
    await head.subscribe("dt/g1/#")
    will = ("dt/g1/AMI00000001/st", b"offline")
    for turn in range(ROUNDS):
        head.received.clear()
        device = await peer.connect(broker.port, "c1", user.username, user.password, will)
        device.writer.write_eof()
        assert not await device.read_packet()
        head.publish(FENCE, b"%d" % turn)
        await head.until_received(FENCE, b"%d" % turn)
        assert head.received[:-1] == [will], f"round {turn}"
        await device.close()
    await head.close()


async def test_a_will_arrives_after_a_connection_is_lost(
    surroundings: Surroundings, program: BrokerProgram, peer: type[Peer]
) -> None:
    user = device_user("g1", "AMI00000001", "u1", "pw")
    broker = EmbeddedBroker(surroundings.directory, surroundings.supervisor, [user, HEAD_END], program)
    await broker.start()
    head = await peer.connect(broker.port, "hes", HEAD_END.username, HEAD_END.password)
    await head.subscribe("dt/g1/#")
    device = await peer.connect(broker.port, "c1", user.username, user.password, ("dt/g1/AMI00000001/st", b"offline"))
    await device.close()
    await head.until_received("dt/g1/AMI00000001/st", b"offline")
    await head.close()
