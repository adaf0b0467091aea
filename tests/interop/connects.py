"""A wire tap between a client and its broker that reads the CONNECT packets (MQTT 3.1.1, section 3.1) on their way."""

from __future__ import annotations

import asyncio
import contextlib
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


@dataclass(frozen=True, slots=True)
class Connect:
    level: int
    client_id: str
    clean_session: bool
    keep_alive_s: int
    will: Will | None


class WireTap:
    """Passes bytes on between its own `port` and that of the broker; `connects` in their order."""

    def __init__(self, broker_port: int) -> None:
        self.connects: list[Connect] = []
        self._broker_port = broker_port
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> WireTap:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    def of(self, client_id: str) -> list[Connect]:
        return [connect for connect in self.connects if connect.client_id == client_id]

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
            first, body = await _packet(reader)
            self.connects.append(_connect(body))
            broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", self._broker_port)
            broker_writer.write(first + body)
            await asyncio.gather(_pass_on(reader, broker_writer), _pass_on(broker_reader, writer))
        writer.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


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
