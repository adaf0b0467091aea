"""A supervisor in a private directory, and an MQTT peer that sees every packet."""

from __future__ import annotations

import asyncio
import os
import ssl
import struct
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lab.errors import UserError
from lab.reaper import Reaper
from lab.services.broker import BrokerProgram, find_broker
from lab.services.host import make_private_directory
from lab.services.mqtt_probe import connect_packet
from lab.supervisor import Supervisor


@dataclass(frozen=True)
class Surroundings:
    """What a run gives to its services."""

    directory: Path
    supervisor: Supervisor
    reaper: Reaper


@pytest.fixture
async def surroundings() -> AsyncIterator[Surroundings]:
    with Reaper(uuid.uuid4().hex) as reaper:
        directory = make_private_directory(reaper)
        supervisor = Supervisor(directory / "logs", reaper)
        yield Surroundings(directory, supervisor, reaper)
        await supervisor.stop_all()


@dataclass
class Peer:
    """An MQTT 3.1.1 client without comfort: no reconnects, packets in the order in which they came."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    acknowledged: int = 0
    received: list[tuple[str, bytes]] = field(default_factory=list)
    subscribed: list[int] = field(default_factory=list)
    _sent: int = 0
    _identifier: int = 0

    @classmethod
    async def connect(
        cls,
        port: int,
        client_id: str,
        username: str | None,
        password: str | None,
        will: tuple[str, bytes] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> Peer:
        """Raises OSError or asyncio.IncompleteReadError if it is not let in."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
        packet = connect_packet(client_id, username, password)
        if will is not None:
            # The will stands between client id and user name; QoS 1: flags 0x04 (will) and 0x08.
            body = bytearray(packet[2 if packet[1] < 128 else 3 :])
            body[7] |= 0x0C
            at = 12 + len(client_id)
            body[at:at] = _text(will[0].encode()) + _text(will[1])
            packet = _packet(0x10, bytes(body))
        writer.write(packet)
        assert await reader.readexactly(4) in (b"\x20\x02\x00\x00", b"\x20\x02\x01\x00")
        return cls(reader, writer)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, qos: int = 1) -> None:
        self._identifier = self._identifier % 65_535 + 1
        self._sent += 1
        self.writer.write(
            _packet(0x30 | qos << 1 | retain, _text(topic.encode()) + struct.pack(">H", self._identifier) + payload)
        )

    async def subscribe(self, topic_filter: str) -> int:
        """The granted QoS, or 0x80 for a refusal."""
        self.subscribe_unheard(topic_filter)
        while not self.subscribed:
            assert await self.read_packet()
        return self.subscribed.pop()

    def subscribe_unheard(self, topic_filter: str) -> None:
        self._identifier = self._identifier % 65_535 + 1
        self.writer.write(_packet(0x82, struct.pack(">H", self._identifier) + _text(topic_filter.encode()) + b"\x01"))

    async def all_acknowledged(self) -> None:
        while self.acknowledged < self._sent:
            assert await self.read_packet(), "closed before everything was acknowledged"

    async def until_received(self, topic: str, payload: bytes) -> None:
        while (topic, payload) not in self.received[-1:]:
            assert await self.read_packet(), f"closed before {topic} came"

    async def read_packet(self) -> bool:
        """Take one packet in, acknowledging a PUBLISH; False at the end of the connection."""
        try:
            kind = (await self.reader.readexactly(1))[0]
        except (asyncio.IncompleteReadError, ConnectionError):
            return False
        length = shift = 0
        while True:
            digit = (await self.reader.readexactly(1))[0]
            length |= (digit & 0x7F) << shift
            shift += 7
            if digit < 128:
                break
        body = await self.reader.readexactly(length)
        match kind & 0xF0:
            case 0x30:
                size = int.from_bytes(body[:2])
                topic, rest = body[2 : 2 + size].decode(), body[2 + size :]
                if kind & 0x06:
                    self.writer.write(_packet(0x40, rest[:2]))
                    rest = rest[2:]
                self.received.append((topic, rest))
            case 0x40:
                self.acknowledged += 1
            case 0x90:
                self.subscribed.append(body[2])
        return True

    async def close(self) -> None:
        self.writer.close()
        await asyncio.gather(self.writer.wait_closed(), return_exceptions=True)


@pytest.fixture(params=["mosquitto", "iotcore"])
def program(request: pytest.FixtureRequest) -> BrokerProgram:
    """Each broker that this machine has."""
    return _found(request.param)


@pytest.fixture
def mosquitto() -> BrokerProgram:
    return _found("mosquitto")


def _found(kind: str) -> BrokerProgram:
    try:
        return find_broker(kind)
    except UserError as absent:
        if "CI" in os.environ:
            raise
        pytest.skip(str(absent))


@pytest.fixture
def peer() -> type[Peer]:
    return Peer


def _packet(kind: int, body: bytes) -> bytes:
    length = bytearray()
    rest = len(body)
    while True:
        rest, digit = divmod(rest, 128)
        length.append(digit | (0x80 if rest else 0))
        if not rest:
            return bytes([kind]) + bytes(length) + body


def _text(value: bytes) -> bytes:
    return struct.pack(">H", len(value)) + value
