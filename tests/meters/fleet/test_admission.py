"""Brokers that do not let meters in, and brokers of another make."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import resource
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from meters.errors import FleetError, MemoryFullError
from meters.fleet.fleet import BrokerAddress, Fleet
from tests import left_out
from tests.meters.meter_broker import MOSQUITTO, Broker
from tests.meters.meter_yard import START_S, Ear, World, grant, make_fleet, shipment, uneven_power_w, until

needs_mosquitto = left_out.unless(MOSQUITTO, *left_out.MOSQUITTO)


def guarded(directory: Path, passwords: dict[str, str]) -> Broker:
    file = directory / "passwords"
    file.write_text("".join(f"{name}:{password}\n" for name, password in passwords.items()))
    file.chmod(0o600)
    subprocess.run(["mosquitto_passwd", "-U", str(file)], check=True, timeout=30)
    configuration = f"allow_anonymous false\npassword_file {file}\n"
    # Started as root, mosquitto would change to a user that may not read the file.
    return Broker(directory, configuration=configuration + "user root\n")


@needs_mosquitto
async def test_a_wrong_password_is_counted_logged_once_and_retried(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    entries = shipment(4, "t1")
    broker = guarded(tmp_path, {entries[0].username: entries[0].password, entries[1].username: "other"})
    request.addfinalizer(broker.kill)
    broker.start()
    fleet = make_fleet(entries, broker.port, tmp_path / "shard.db")
    await fleet.start()
    with structlog.testing.capture_logs() as logs:
        await grant(fleet, START_S + 200, {START_S: World(uneven_power_w(4)).frame(START_S)})
    assert (await fleet.settle()).connected == 1
    # Three meters, several attempts each, at most one a second and in the end one a minute.
    assert 3 * 4 <= fleet.refusals <= 3 * 60
    assert len(logs) == 1
    assert "uthori" in logs[0]["reason"]
    assert entries[1].password not in str(logs)
    await fleet.stop()


async def refuse_subscriptions(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A broker as MQTT 3.1.1 has it in 3.2 and 3.9, that grants no subscription."""
    while header := await reader.read(1):
        length, shift = 0, 0
        while True:
            byte = (await reader.readexactly(1))[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
        body = await reader.readexactly(length)
        if header[0] >> 4 == 1:
            writer.write(b"\x20\x02\x00\x00")
        elif header[0] >> 4 == 8:
            writer.write(b"\x90\x03" + body[:2] + b"\x80")
        await writer.drain()
    writer.close()


async def test_a_refused_subscription_is_a_refusal(tmp_path: Path) -> None:
    async with await asyncio.start_server(refuse_subscriptions, "127.0.0.1", 0) as server:
        fleet = make_fleet(shipment(1, "t1"), server.sockets[0].getsockname()[1], tmp_path / "shard.db")
        await fleet.start()
        with structlog.testing.capture_logs() as logs:
            await grant(fleet, START_S + 60, {START_S: World(uneven_power_w(1)).frame(START_S)})
        settled = await fleet.settle()
        assert (settled.connected, settled.fresh) == (0, [])
        assert fleet.refusals >= 2
        assert [log["reason"] for log in logs] == ["subscription to the command topic refused"]
        await fleet.stop()


@pytest.fixture
def wheel_broker(tmp_path: Path) -> Iterator[Broker]:
    if importlib.util.find_spec("iotcore") is None:
        left_out.lacking(*left_out.IOTCORE)
    broker = Broker(tmp_path, from_wheel=True)
    broker.start()
    yield broker
    broker.kill()


async def test_a_fleet_on_the_broker_from_a_wheel(tmp_path: Path, wheel_broker: Broker) -> None:
    ear = await Ear("t1", wheel_broker.port).open()
    fleet = make_fleet(shipment(6, "t1"), wheel_broker.port, tmp_path / "shard.db")
    await fleet.start()
    world = World(uneven_power_w(6))
    frames = {START_S: world.frame(START_S), START_S + 900: world.frame(START_S + 900, m3=False)}
    await grant(fleet, START_S + 1600, frames)
    await until(lambda: len(ear.of("ds")) == 6 and bool(ear.of("ev")))
    assert ear.events("AMI00000004") == ["last_gasp"]
    assert (await fleet.settle()).connected == 5
    wheel_broker.kill()
    await fleet.wait_disconnected()
    wheel_broker.start()
    await grant(fleet, START_S + 1700)
    assert (await fleet.settle()).connected == 5
    await fleet.stop()
    ear.close()


async def test_a_broker_that_is_not_there_is_tried_again_and_again(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    fleet = make_fleet(shipment(3, "t1"), broker.port, tmp_path / "shard.db")
    await fleet.start()
    world = World(uneven_power_w(3))
    await grant(fleet, START_S + 905, {START_S: world.frame(START_S), START_S + 900: world.frame(START_S + 900)})
    assert 3 * 900 / 60 <= fleet.losses <= 3 * 200
    broker.start()
    await grant(fleet, START_S + 970)
    assert (await fleet.settle()).connected == 3
    await fleet.stop()
    broker.kill()


async def test_a_broker_that_comes_back_at_another_address_is_found_by_its_name(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = Broker(tmp_path)
    request.addfinalizer(broker.kill)
    addresses = {"broker": "127.0.0.1"}
    resolve = socket.getaddrinfo

    def by_name(host: str, *rest: Any, **more: Any) -> object:
        if host == "broker" and host not in addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(addresses.get(host, host), *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", by_name)
    broker.start()
    memory, world = tmp_path / "shard.db", World(uneven_power_w(3))
    fleet = make_fleet(shipment(3, "t1"), broker.port, memory, host="broker")
    await fleet.start()
    await grant(fleet, START_S + 100, {START_S: world.frame(START_S)})
    assert (await fleet.settle()).connected == 3
    broker.kill()
    await fleet.wait_disconnected()
    del addresses["broker"]
    await grant(fleet, START_S + 200)
    assert (await fleet.settle()).connected == 0
    broker.address = addresses["broker"] = "127.0.0.2"
    broker.start()
    await grant(fleet, START_S + 300)
    assert (await fleet.settle()).connected == 3
    await fleet.stop()

    # Who takes such a fleet's memory over while the broker is away has no reason to give up.
    broker.kill()
    del addresses["broker"]
    second = make_fleet(shipment(3, "t1"), broker.port, memory, host="broker")
    await second.start()
    await second.replay(START_S + 310, world.frame(START_S))
    assert (await second.settle()).connected == 0
    addresses["broker"] = broker.address
    broker.start()
    await grant(second, START_S + 500)
    assert (await second.settle()).connected == 3
    await second.stop()


async def test_a_host_that_does_not_exist(tmp_path: Path) -> None:
    fleet = Fleet(
        meters=shipment(1, "t1"), world_rows=[0], memory_path=tmp_path / "shard.db",
        broker=BrokerAddress("no-such-host.invalid", 1883), seed=1, start_s=START_S,
    )  # fmt: skip
    with pytest.raises(FleetError, match=r"host 'no-such-host\.invalid' cannot be resolved"):
        await fleet.start()


async def test_too_few_open_files_are_said_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 100))
    fleet = make_fleet(shipment(200, "t1"), 1883, tmp_path / "shard.db")
    with pytest.raises(
        FleetError, match=r"200 meters need \d+ open files, the system allows 100: raise the hard limit"
    ):
        await fleet.start()
    assert not (tmp_path / "shard-rl-dsp.sqlite").exists()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (100, 100)


async def test_a_full_disk_ends_the_fleet_with_the_name_of_the_file(small_disk: Path, broker: Broker) -> None:
    ear = await Ear("t1", broker.port).open()
    fleet = make_fleet(shipment(40, "t1"), broker.port, small_disk / "shard.db")
    await fleet.start()
    world = World(uneven_power_w(40))
    await grant(fleet, START_S + 20, {START_S: world.frame(START_S)})

    async def receive_garbage() -> None:
        for _ in range(1000):
            await ear.tell("AMI00000001", b"garbage")
            await fleet.settle()

    # Refusals are events, and events are kept: here they fill the disk while a message is being handled.
    with pytest.raises(MemoryFullError, match=r"disk/shard-rl-dsp\.sqlite: no space left"):
        await receive_garbage()
    with pytest.raises(MemoryFullError, match=r"disk/shard-rl-dsp\.sqlite: no space left"):
        await fleet.advance(START_S + 905, world.frame(START_S + 900))
    # The last word is kept as well, if there is room for it.
    with contextlib.suppress(MemoryFullError):
        await fleet.stop()
    ear.close()


async def test_a_broker_that_answers_nothing_does_not_hold_up_the_end(tmp_path: Path, broker: Broker) -> None:
    fleet = make_fleet(shipment(3, "t1"), broker.port, tmp_path / "shard.db")
    await fleet.start()
    await grant(fleet, START_S + 20, {START_S: World(uneven_power_w(3)).frame(START_S)})
    broker.pause()
    fleet.reboot(["AMI00000001"])
    # Its drop is not answered; a time limit ends it.
    assert (await fleet.settle()).connected == 2
    await fleet.stop()
