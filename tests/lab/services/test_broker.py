from __future__ import annotations

import asyncio
import secrets
import uuid
from pathlib import Path

import pytest

from lab.errors import PartFailed, UserError
from lab.processes.reaper import Reaper
from lab.processes.supervisor import Supervisor
from lab.services.broker import BrokerProgram, EmbeddedBroker, find_broker
from lab.services.broker_config import BrokerUser, device_user, head_end_user, mosquitto_acl
from lab.services.host import make_private_directory
from lab.services.mqtt_probe import ConnectAnswer, probe
from tests.lab.services.conftest import Peer, Surroundings

HEAD_END = head_end_user("g1", "head end", 'p:w"\\#é ')
REFUSED = {ConnectAnswer.NOT_AUTHORISED, ConnectAnswer.BAD_CREDENTIALS, ConnectAnswer.CLOSED}


def a_device(number: int) -> BrokerUser:
    return device_user("g1", f"AMI{number:08}", f"g1-AMI{number:08}", secrets.token_urlsafe(12))


async def serve(surroundings: Surroundings, program: BrokerProgram, users: list[BrokerUser]) -> EmbeddedBroker:
    broker = EmbeddedBroker(surroundings.directory, surroundings.supervisor, users, program)
    await broker.start()
    return broker


async def test_lets_in_its_users_and_nobody_else(surroundings: Surroundings, program: BrokerProgram) -> None:
    device = a_device(1)
    broker = await serve(surroundings, program, [device, HEAD_END])
    assert broker.version == program.version

    async def answer(username: str | None, password: str | None) -> ConnectAnswer:
        return await probe(broker.host, broker.port, username, password, 5)

    assert await answer(device.username, device.password) is ConnectAnswer.ACCEPTED
    assert await answer(HEAD_END.username, HEAD_END.password) is ConnectAnswer.ACCEPTED
    assert await answer(device.username, HEAD_END.password) in REFUSED
    assert await answer(device.username.lower(), device.password) in REFUSED
    assert await answer(None, None) in REFUSED


async def test_a_device_reaches_its_own_topics_only(
    surroundings: Surroundings, mosquitto: BrokerProgram, peer: type[Peer]
) -> None:
    mine, other = a_device(1), a_device(2)
    broker = await serve(surroundings, mosquitto, [mine, other, HEAD_END])
    head = await peer.connect(broker.port, "hes", HEAD_END.username, HEAD_END.password)
    assert await head.subscribe("dt/g1/#") == 1
    for topic in ("dt/g1/AMI00000002/ds", "dt/g1/_fence/hes", "cmd/g1/AMI00000001", "dt/g2/AMI00000001/ds"):
        # One connection for each: a broker may close that of a publisher whom it refuses (MQTT 3.1.1, 3.3.5-2).
        forger = await peer.connect(broker.port, "d1", mine.username, mine.password)
        forger.publish(topic, b"forged")
        await forger.all_acknowledged()
        await forger.close()
    device = await peer.connect(broker.port, "d1", mine.username, mine.password)
    # mosquitto 2.0 grants a filter and then delivers nothing; so the proof is in what arrives.
    for topic_filter in ("cmd/g1/AMI00000001", "cmd/g1/AMI00000002", "cmd/#", "dt/g1/#"):
        await device.subscribe(topic_filter)
    device.publish("dt/g1/AMI00000001/ds", b"genuine")
    await device.all_acknowledged()
    for serial in ("AMI00000002", "AMI00000001"):
        head.publish(f"cmd/g1/{serial}", serial.encode())
    head.publish("dt/g1/_fence/hes", b"end")
    await head.until_received("dt/g1/_fence/hes", b"end")
    assert head.received == [("dt/g1/AMI00000001/ds", b"genuine"), ("dt/g1/_fence/hes", b"end")]
    await device.until_received("cmd/g1/AMI00000001", b"AMI00000001")
    # The filters that may be read overlap: a message may come once for each.
    assert set(device.received) == {("cmd/g1/AMI00000001", b"AMI00000001")}
    await asyncio.gather(head.close(), device.close())


async def test_returns_after_a_kill_on_the_same_port(
    surroundings: Surroundings, program: BrokerProgram, peer: type[Peer]
) -> None:
    device = a_device(1)
    broker = await serve(surroundings, program, [device, HEAD_END])
    port = broker.port
    client = await peer.connect(port, "d1", device.username, device.password)
    await broker.kill()
    assert not await client.read_packet()
    with pytest.raises(ConnectionRefusedError):
        await probe(broker.host, port, device.username, device.password, 5)
    await broker.restart()
    assert broker.port == port
    assert await probe(broker.host, port, device.username, device.password, 5) is ConnectAnswer.ACCEPTED
    await client.close()


async def test_two_brokers_side_by_side(surroundings: Surroundings, program: BrokerProgram, tmp_path: Path) -> None:
    first = await serve(surroundings, program, [HEAD_END])
    with Reaper(uuid.uuid4().hex) as reaper:
        supervisor = Supervisor(tmp_path / "logs", reaper)
        second = EmbeddedBroker(make_private_directory(reaper), supervisor, [HEAD_END], program)
        await second.start()
        assert first.port != second.port
        for broker in (first, second):
            answer = await probe(broker.host, broker.port, HEAD_END.username, HEAD_END.password, 5)
            assert answer is ConnectAnswer.ACCEPTED
        await supervisor.stop_all()


async def test_a_large_fleet_is_served_within_seconds(surroundings: Surroundings, program: BrokerProgram) -> None:
    devices = [a_device(number) for number in range(5_000)]
    broker = await serve(surroundings, program, [*devices, HEAD_END])
    last = devices[-1]
    assert await probe(broker.host, broker.port, last.username, last.password, 5) is ConnectAnswer.ACCEPTED


async def test_a_broker_that_is_not_started_over_the_state_of_another(
    surroundings: Surroundings, mosquitto: BrokerProgram
) -> None:
    broker = EmbeddedBroker(surroundings.directory, surroundings.supervisor, [HEAD_END], mosquitto)
    (surroundings.directory / "broker").mkdir()
    with pytest.raises(FileExistsError):  # a directory that is not fresh could hold another run's sessions
        await broker.start()


async def test_a_crash_while_starting_has_the_last_words(surroundings: Surroundings) -> None:
    # A program that every user can run, and that does not know mosquitto's options.
    fake = BrokerProgram("mosquitto", "mosquitto 2.0", Path("/bin/cat"))
    with pytest.raises(PartFailed) as failure:
        await EmbeddedBroker(surroundings.directory, surroundings.supervisor, [HEAD_END], fake).start()
    assert (failure.value.name, failure.value.returncode) == ("broker", 1)
    assert "invalid option -- 'c'" in "".join(failure.value.log_tail)


def test_an_unknown_choice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMILAB_BROKER", "rabbit")
    with pytest.raises(UserError, match="AMILAB_BROKER is 'rabbit'"):
        find_broker()


def test_users_that_would_break_the_configuration_are_refused() -> None:
    with pytest.raises(ValueError, match="one line"):
        mosquitto_acl([device_user("g1", "x", "a\nuser b", "pw")])
