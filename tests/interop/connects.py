"""A wire tap between a client and its broker that reads the packets (MQTT 3.1.1) on their way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from tests.interop.sparkplug_wire import Payload, decode


@dataclass(frozen=True, slots=True)
class Will:
    topic: str
    payload: bytes
    qos: int
    retain: bool

    @property
    def spb(self) -> Payload:
        return decode(self.payload)


CONNECT, PUBLISH, SUBSCRIBE, SUBACK, DISCONNECT, CLOSED = 1, 3, 8, 9, 14, 0
"""Kinds of packets (2.2.1); CLOSED stands for the end of what the sender sends."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet in the order of all. `connection` counts from 0."""

    connection: int
    client_id: str
    from_client: bool
    kind: int
    flags: int
    body: bytes

    @property
    def topic(self) -> str:
        """Of a PUBLISH."""
        return _field(self.body)[0].decode()

    @property
    def filters(self) -> list[tuple[str, int]]:
        """Of a SUBSCRIBE, each with its QoS."""
        found, rest = [], self.body[2:]
        while rest:
            name, rest = _field(rest)
            found.append((name.decode(), rest[0]))
            rest = rest[1:]
        return found


@dataclass(frozen=True, slots=True)
class Connect:
    level: int
    client_id: str
    clean_session: bool
    keep_alive_s: int
    will: Will | None


class WireTap:
    """Passes packets on between its own `port` and that of the broker; `connects` and all `packets` in their order.

    What a client sends is `late_s` late with the broker; what `loses` says yes to never gets there.
    """

    def __init__(self, broker_port: int) -> None:
        self.connects: list[Connect] = []
        self.packets: list[Packet] = []
        self.late_s = 0.0
        self.loses: Callable[[Packet], bool] = lambda packet: False
        self._broker_port = broker_port
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> WireTap:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    def of(self, client_id: str) -> list[Connect]:
        return [connect for connect in self.connects if connect.client_id == client_id]

    def sent(self, client_id: str, *kinds: int) -> list[Packet]:
        """What a client sent of these kinds, or at all."""
        return [
            packet
            for packet in self.packets
            if packet.from_client and packet.client_id == client_id and (not kinds or packet.kind in kinds)
        ]

    async def drop(self) -> None:
        """Cut all connections, as a network does: nobody says DISCONNECT."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self) -> None:
        self._server.close()
        await self.drop()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            header, body = await _packet(reader)
            number = len(self.connects)
            self.connects.append(_connect(body))
            self._note(number, True, header, body)
            broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", self._broker_port)
            broker_writer.write(header + body)
            try:
                await asyncio.gather(
                    self._pass_on(number, True, reader, broker_writer),
                    self._pass_on(number, False, broker_reader, writer),
                )
            finally:
                broker_writer.close()
        writer.close()

    async def _pass_on(
        self, number: int, from_client: bool, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                header, body = await _packet(reader)
                packet = self._note(number, from_client, header, body)
                if from_client and self.loses(packet):
                    continue
                if from_client and self.late_s:
                    await asyncio.sleep(self.late_s)
                writer.write(header + body)
                await writer.drain()
        self._note(number, from_client, bytes((CLOSED,)), b"")
        if not from_client:
            writer.close()
            return
        # It may be half an end: the other half is told by the broker.
        with contextlib.suppress(OSError):
            writer.write_eof()

    def _note(self, number: int, from_client: bool, header: bytes, body: bytes) -> Packet:
        client_id = self.connects[number].client_id
        packet = Packet(number, client_id, from_client, header[0] >> 4, header[0] & 0x0F, body)
        self.packets.append(packet)
        return packet


async def _packet(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Fixed header and the rest of one control packet."""
    header = await reader.readexactly(1)
    length, shift = 0, 0
    while True:
        byte = (await reader.readexactly(1))[0]
        header += bytes((byte,))
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return header, await reader.readexactly(length)


def _connect(body: bytes) -> Connect:
    _name, rest = _field(body)
    level, flags, keep_alive_s = rest[0], rest[1], int.from_bytes(rest[2:4], "big")
    client_id, rest = _field(rest[4:])
    will = None
    if flags & 0x04:
        topic, rest = _field(rest)
        payload, rest = _field(rest)
        will = Will(topic.decode(), payload, flags >> 3 & 3, bool(flags & 0x20))
    return Connect(level, client_id.decode(), bool(flags & 0x02), keep_alive_s, will)


def _field(data: bytes) -> tuple[bytes, bytes]:
    length = int.from_bytes(data[:2], "big")
    return data[2 : 2 + length], data[2 + length :]
