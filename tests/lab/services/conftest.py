"""A supervisor in a private directory, and an MQTT peer that sees every packet."""

from __future__ import annotations

import asyncio
import ssl
import struct
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lab.errors import UserError
from lab.processes.reaper import Reaper
from lab.processes.supervisor import Supervisor
from lab.services.broker import BrokerProgram, find_broker
from lab.services.host import make_private_directory
from lab.services.mqtt_probe import connect_packet
from tests import left_out


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


KEEP_ALIVE_S = 3600
"""It never pings, however long a test takes."""


@dataclass
class Peer:
    """An MQTT client without comfort: no reconnects, packets in the order in which they came. 3.1.1, or 5 to send."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    acknowledged: int = 0
    received: list[tuple[str, bytes]] = field(default_factory=list)
    subscribed: list[int] = field(default_factory=list)
    unsubscribed: int = 0
    _sent: int = 0
    _identifier: int = 0
    _version: int = 4

    @classmethod
    async def connect(
        cls,
        port: int,
        client_id: str,
        username: str | None,
        password: str | None,
        will: tuple[str, bytes] | None = None,
        tls: ssl.SSLContext | None = None,
        *,
        source: str | None = None,
        version: int = 4,
        will_properties: bytes = b"",
    ) -> Peer:
        """Raises OSError or asyncio.IncompleteReadError if it is not let in.

        :param source: our own address.
        :param version: the protocol's, 4 (3.1.1) or 5.
        """
        local = None if source is None else (source, 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, local_addr=local)
        packet = connect_packet(client_id, username, password)
        body = bytearray(packet[2 if packet[1] < 128 else 3 :])
        body[6] = version
        body[8:10] = struct.pack(">H", KEEP_ALIVE_S)
        body[10:10] = b"\0" * (version == 5)
        if will is not None:
            # The will stands between client id and user name; QoS 1: flags 0x04 (will) and 0x08.
            body[7] |= 0x0C
            at = 12 + len(client_id) + (version == 5)
            properties = _counted(will_properties) if version == 5 else b""
            body[at:at] = properties + _text(will[0].encode()) + _text(will[1])
        writer.write(_packet(0x10, bytes(body)))
        header = await reader.readexactly(2)
        answer = await reader.readexactly(header[1])
        assert header[0] == 0x20
        assert answer[1] == 0
        return cls(reader, writer, _version=version)

    def publish(
        self, topic: str, payload: bytes, *, retain: bool = False, qos: int = 1, properties: bytes = b""
    ) -> None:
        self._identifier = self._identifier % 65_535 + 1
        self._sent += 1
        head = _text(topic.encode()) + struct.pack(">H", self._identifier)
        self.writer.write(_packet(0x30 | qos << 1 | retain, head + self._properties(properties) + payload))

    async def subscribe(self, topic_filter: str) -> int:
        """The granted QoS, or 0x80 for a refusal."""
        self.subscribe_unheard(topic_filter)
        while not self.subscribed:
            assert await self.read_packet()
        return self.subscribed.pop()

    def subscribe_unheard(self, topic_filter: str, *, properties: bytes = b"") -> None:
        self._identifier = self._identifier % 65_535 + 1
        head = struct.pack(">H", self._identifier) + self._properties(properties)
        self.writer.write(_packet(0x82, head + _text(topic_filter.encode()) + b"\x01"))

    def unsubscribe_unheard(self, topic_filter: str) -> None:
        self._identifier = self._identifier % 65_535 + 1
        head = struct.pack(">H", self._identifier) + self._properties(b"")
        self.writer.write(_packet(0xA2, head + _text(topic_filter.encode())))

    def _properties(self, properties: bytes) -> bytes:
        return _counted(properties) if self._version == 5 else b""

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
                self.subscribed.append(body[-1])
            case 0xB0:
                self.unsubscribed += 1
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
    except UserError:
        if left_out.IN_CI:
            raise
        left_out.lacking(*(left_out.MOSQUITTO if kind == "mosquitto" else left_out.IOTCORE))


@pytest.fixture
def peer() -> type[Peer]:
    return Peer


def user_property(name: bytes, value: bytes) -> bytes:
    """MQTT 5, 2.2.2.2; so are `content_type` and its like below."""
    return b"\x26" + _text(name) + _text(value)


def content_type(value: bytes) -> bytes:
    return b"\x03" + _text(value)


def response_topic(value: bytes) -> bytes:
    return b"\x08" + _text(value)


def correlation_data(value: bytes) -> bytes:
    return b"\x09" + _text(value)


def _packet(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + _counted(body)


def _counted(body: bytes) -> bytes:
    """After its own length, as a variable byte integer."""
    length = bytearray()
    rest = len(body)
    while True:
        rest, digit = divmod(rest, 128)
        length.append(digit | (0x80 if rest else 0))
        if not rest:
            return bytes(length) + body


def _text(value: bytes) -> bytes:
    return struct.pack(">H", len(value)) + value
