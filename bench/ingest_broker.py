"""The broker of the bench of ingest, and the readings that are put into it beforehand."""

import asyncio
import contextlib
import multiprocessing
import socket
import struct
import threading
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from lab.processes.supervisor import ProcessSpec, Supervisor
from lab.services.broker import EmbeddedBroker, find_broker
from lab.services.broker_config import BrokerUser
from lab.services.host import give_to, unprivileged_identity
from lab.services.ports import ReservedPort

GROUP = "bench"
FILTER = f"dt/{GROUP}/#"
BARE = "bare-subscriber"
METERS = 1506
START_S = 1_768_435_200
LENGTH_S = 900


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the bench's broker is, and its version."""

    port: int
    version: str
    user: BrokerUser


def topic(number: int) -> str:
    return f"dt/{GROUP}/AMI{number % METERS:08d}/ds"


def payload(number: int) -> bytes:
    """Reading `number` of a run: meter number mod METERS, interval number div METERS (docs/wire-rl-dsp.md)."""
    ts = datetime.fromtimestamp(START_S + (number // METERS + 1) * LENGTH_S, UTC).isoformat()
    energy = 100 + number % 900
    third = energy // 3
    return (
        f'{{"meter":{{"ts":"{ts}","1.8.0":{48_000_000 + number},"2.8.0":0,"1.29.0":{energy},"2.29.0":0,'
        f'"21.29.0":{third},"41.29.0":{third},"61.29.0":{third},"22.29.0":0,"42.29.0":0,"62.29.0":0,'
        f'"1.7.0":{energy * 4},"2.7.0":0,"32.7.0":231.4,"52.7.0":230.9,"72.7.0":232.0,"96.10.1":0,'
        f'"5.8.0":{9_000_000 + number},"6.8.0":0,"7.8.0":0,"8.8.0":71,"5.29.0":{third},"6.29.0":0,"7.29.0":0,'
        f'"8.29.0":0,"1.6.0":5120,"1.6.0.5":"2026-01-02T17:45:00+00:00","21.7.0":{third * 4},"22.7.0":0,'
        f'"41.7.0":{third * 4},"42.7.0":0,"61.7.0":{third * 4},"62.7.0":0,'
        f'"23.7.0":{third},"24.7.0":0,"43.7.0":{third},"44.7.0":0,"63.7.0":{third},"64.7.0":0,'
        f'"31.7.0":{third / 50:.3f},"51.7.0":{third / 50:.3f},"71.7.0":{third / 50:.3f},'
        f'"33.7.0":0.974,"53.7.0":0.974,"73.7.0":0.974}}}}'
    ).encode()


def publish(port: int, user: tuple[str, str], first: int, count: int) -> None:
    """Publish readings `first` … as fast as the broker takes them, and return when it has acknowledged them all."""

    def field(data: bytes) -> bytes:
        return struct.pack(">H", len(data)) + data

    def packet(kind: int, body: bytes) -> bytes:
        length = bytearray()
        size = len(body)
        while True:
            size, digit = divmod(size, 128)
            length.append(digit | (128 if size else 0))
            if not size:
                return bytes([kind]) + bytes(length) + body

    with socket.create_connection(("127.0.0.1", port)) as connection, connection.makefile("rb") as answers:
        name, password = (text.encode() for text in user)
        client_id = f"publisher-{uuid.uuid4().hex[:8]}".encode()
        connect = (
            field(b"MQTT") + b"\x04\xc2" + struct.pack(">H", 600) + field(client_id) + field(name) + field(password)
        )
        connection.sendall(packet(0x10, connect))
        if answers.read(4)[3]:
            raise ConnectionError("the broker refused the publisher")
        sent = acknowledged = 0
        while acknowledged < count:
            chunk = range(first + sent, first + min(sent + 500, count))
            connection.sendall(
                b"".join(
                    packet(0x32, field(topic(n).encode()) + struct.pack(">H", n % 65535 + 1) + payload(n))
                    for n in chunk
                )
            )
            sent += len(chunk)
            answers.read(4 * (sent - acknowledged))
            acknowledged = sent


async def prefill(broker: Broker, first: int, count: int) -> None:
    process = multiprocessing.get_context("spawn").Process(
        target=publish, args=(broker.port, (broker.user.username, broker.user.password), first, count)
    )
    process.start()
    await asyncio.to_thread(process.join, 120)
    if process.exitcode != 0:
        raise RuntimeError("the publisher failed")


@contextlib.asynccontextmanager
async def open_broker(work: Path, supervisor: Supervisor) -> AsyncIterator[Broker]:
    """mosquitto without its disk, which is not what is measured here; or the broker of the wheel."""
    program = find_broker()
    user = BrokerUser("bench", "bench", ("#",), ("#",))
    if program.path is None:
        embedded = EmbeddedBroker(work, supervisor, [user], program)
        await embedded.start()
        yield Broker(embedded.port, program.version, user)
        embedded.close()
        return
    directory = work / "bench-broker"
    directory.mkdir()
    with ReservedPort() as reserved:
        configuration = directory / "mosquitto.conf"
        configuration.write_text(
            f"listener {reserved.port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_type error\n"
            "max_queued_messages 0\nmax_inflight_messages 0\nset_tcp_nodelay true\n"
        )
        identity = unprivileged_identity()
        give_to(configuration, identity)
        give_to(directory, identity)
        argv = [str(program.path), "-c", str(configuration)]
        await supervisor.start(ProcessSpec("broker", argv, directory=directory, identity=identity))

        async def answers() -> bool:
            try:
                _, stream = await asyncio.open_connection("127.0.0.1", reserved.port)
            except OSError:
                return False
            stream.close()
            return True

        await supervisor.until_ready("broker", answers)
        yield Broker(reserved.port, program.version, user)


def forget_session(broker: Broker, client_id: str) -> None:
    """A session that stayed behind would collect what is published for the next measurement."""
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=True)
    client.username_pw_set(broker.user.username, broker.user.password)
    connected = threading.Event()
    client.on_connect = lambda *_: connected.set()
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    if not connected.wait(10):
        raise RuntimeError("the broker did not answer")
    client.disconnect()
    client.loop_stop()
