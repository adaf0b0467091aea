"""A Modbus TCP gateway: connections on one port, whose requests it has answered one after the other.

Its own, over asyncio. pymodbus's server answers the first of several requests in a segment only, cannot decode a
quantity of 0 or 126, and answers what it cannot decode with function code 0x80 (`ServerRequestHandler` of 3.16.1).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from meters.carriers.modbus.frames import FramingError, Requests, answered
from meters.errors import FleetError

Answer = Callable[[int, bytes], bytes | None]
"""From unit identifier and the request's PDU to the answer's PDU; None: nobody can answer that."""

MOST_CONNECTIONS = 8
"""amilab's own: an embedded gateway has few."""
SOCKETS = 1 + 2 * MOST_CONNECTIONS
"""Of one gateway: its listener, its connections, and as many that it has not yet seen end."""

_IN_A_TURN = 64
"""Requests of one connection that are answered before anybody else has a turn."""
_LISTEN_ATTEMPTS = 50
_LISTEN_PAUSE_S = 0.02


class Gateway:
    """Listens at host:port while it is open.

    With a connection too many it drops the one that has been silent for longest, so that nobody keeps the others out by
    holding connections.
    """

    def __init__(self, host: str, port: int, answer: Answer) -> None:
        self._address = (host, port)
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._connections: dict[_Connection, None] = {}
        """The one that has been silent for longest comes first."""

    @property
    def is_open(self) -> bool:
        """Whether it accepts connections."""
        return self._server is not None

    async def open(self) -> None:
        """Listen. Raises FleetError if the port is taken."""
        if self._server is not None:
            return
        host, port = self._address
        for _ in range(_LISTEN_ATTEMPTS):
            try:
                self._server = await asyncio.get_running_loop().create_server(
                    lambda: _Connection(self), host, port, backlog=MOST_CONNECTIONS
                )
            except OSError:
                # The listener before may not be gone yet.
                await asyncio.sleep(_LISTEN_PAUSE_S)
            else:
                return
        raise FleetError(f"a Modbus gateway cannot listen on {host}:{port}: is the port taken?")

    def close(self) -> None:
        """Drop all connections and accept no more."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in list(self._connections):
            connection.drop()

    def began(self, connection: _Connection) -> None:
        """A client has connected."""
        while len(self._connections) >= MOST_CONNECTIONS:
            next(iter(self._connections)).drop()
        self._connections[connection] = None

    def spoke(self, connection: _Connection) -> None:
        """A request has come."""
        if connection in self._connections:
            self._connections[connection] = self._connections.pop(connection)

    def ended(self, connection: _Connection) -> None:
        """A connection is gone, or given up."""
        self._connections.pop(connection, None)

    def answer(self, unit: int, pdu: bytes) -> bytes | None:
        """As `Answer`."""
        return self._answer(unit, pdu)


class _Connection(asyncio.Protocol):
    """A client's: it is read from only as fast as it takes its answers, and holds one read of bytes at most."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._requests = Requests()
        self._is_open = False
        self._blocked = False
        self._at_work = False
        self._reads = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._is_open = True
        self._gateway.began(self)

    def connection_lost(self, _error: Exception | None) -> None:
        self._is_open = False
        self._gateway.ended(self)

    def data_received(self, data: bytes) -> None:
        self._requests.feed(data)
        if not self._at_work:
            self._work()

    def pause_writing(self) -> None:
        self._blocked = True

    def resume_writing(self) -> None:
        self._blocked = False
        if self._is_open and not self._at_work:
            self._work()

    def drop(self) -> None:
        """End it at once, whatever is still to be sent."""
        self._is_open = False
        self._gateway.ended(self)
        self._transport.abort()

    def _work(self) -> None:
        """Answer what has come, and go on reading when nothing is left of it."""
        self._at_work = False
        if not self._is_open or self._blocked:
            return
        answers = []
        try:
            for _ in range(_IN_A_TURN):
                request = self._requests.take()
                if request is None:
                    break
                pdu = self._gateway.answer(request.unit, request.pdu)
                if pdu is not None:
                    answers.append(answered(request, pdu))
                self._gateway.spoke(self)
            else:
                self._at_work = True
        except FramingError:
            self._transport.write(b"".join(answers))
            self._transport.close()
            self._is_open = False
            return
        if answers:
            self._transport.write(b"".join(answers))
        reads = not (self._at_work or self._blocked)
        if reads != self._reads:
            self._reads = reads
            (self._transport.resume_reading if reads else self._transport.pause_reading)()
        if self._at_work:
            asyncio.get_running_loop().call_soon(self._work)
