"""The connections of a shard: who is connected, what is under way, and when all of it has come to rest."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import structlog

from meters.carriers.connection import Connection, Hub, Limits, Route
from meters.carriers.tls import TlsFiles
from meters.errors import FleetError
from meters.fleet.fences import is_fence

_KEEP_ALIVE_TICK_S = 5.0
_LEAVE_LIMIT_S = 5.0
_CONNECTS_AT_ONCE = 64
"""Below the listen backlog of common brokers (100): a dropped SYN costs a second."""
_FENCES_REMEMBERED = 8

C = TypeVar("C", bound=Connection)

_log = structlog.get_logger("meters.fleet.network")


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where the broker listens, and what it takes to talk TLS to it, which then knows devices by their certificates."""

    host: str
    port: int
    tls: TlsFiles | None = None


@dataclass(frozen=True, slots=True)
class FleetSettled:
    """The shard has come to rest."""

    sent: int
    """Messages published since the last settle."""
    fresh: list[str]
    """Stations that connected and subscribed since the last settle: serials, or collectors."""
    connected: int
    """Meters that can be reached over a live connection now."""


class Owner(Protocol):
    """What the network tells its shard, by row of the connection."""

    def on_joined(self, row: int) -> None:
        """The device is connected and subscribed."""

    def on_lost(self, row: int) -> None:
        """A connection or an attempt at one has failed."""

    def on_message(self, row: int, topic: str, payload: bytes) -> None:
        """A message arrived that the device has subscribed to."""


class _Roll:
    """A set of rows, and an event that it is empty."""

    def __init__(self, rows: Collection[int] = ()) -> None:
        self.rows = set(rows)
        self.empty = asyncio.Event()
        if not self.rows:
            self.empty.set()

    def put(self, row: int, present: bool) -> None:
        if present:
            self.rows.add(row)
            self.empty.clear()
        else:
            self.rows.discard(row)
            if not self.rows:
                self.empty.set()


class Network(Generic[C]):
    """All connections of a shard. Must be created inside a running event loop."""

    def __init__(
        self,
        names: Sequence[str],
        make: Callable[[int, Hub, asyncio.Semaphore, Limits], C],
        broker: BrokerAddress,
        owner: Owner,
        *,
        keep_alive_s: int,
        resumed: bool = False,
    ) -> None:
        """`make` makes the connection of each row; `names` are those of the stations behind them.

        `resumed`: the shard goes on from a memory, and its broker may be away just now.
        """
        gate = asyncio.Semaphore(_CONNECTS_AT_ONCE)
        limits = Limits(keep_alive_s)
        self.devices = [make(row, self, gate, limits) for row in range(len(names))]
        self.refusals = 0
        """Connections and subscriptions that the broker refused."""
        self.losses = 0
        """Attempts that failed and connections that ended without the device's doing."""
        self._names = names
        self._broker = broker
        self._resumed = resumed
        self._route: asyncio.Task[Route] | None = None
        self._owner = owner
        self._busy = _Roll()
        self._attached = _Roll()
        self._online: set[int] = set()
        self._sent = 0
        self._fresh: list[str] = []
        self._fences: dict[str, list[_Roll]] = {}
        self._received: list[deque[str]] = [deque(maxlen=_FENCES_REMEMBERED) for _ in names]
        self._unflushed: set[int] = set()
        self._stopping = False
        self._failure: BaseException | None = None
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Resolve the broker's name, unless it may be away. Raises FleetError."""
        try:
            await self._find_broker()
        except OSError as error:
            if not self._resumed:
                raise FleetError(f"the broker's host {self._broker.host!r} cannot be resolved: {error}") from error
        self._tick()

    def connect(self, row: int) -> None:
        self.devices[row].connect(self._find_broker)

    async def _find_broker(self) -> Route:
        """The way to the broker, looked up once for all who ask until a connection is lost: it may have moved."""
        if self._route is None:
            self._route = self._loop.create_task(self._look_up())
        return await asyncio.shield(self._route)

    async def _look_up(self) -> Route:
        host, port = self._broker.host, self._broker.port
        found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return Route(found[0][0], found[0][4], host, self._broker.tls)

    def sent(self, row: int, count: int = 1, *, acknowledged: bool = True) -> None:
        """Note that the device publishes so many messages; those without an acknowledgement are flushed by `settle`."""
        self._sent += count
        if not acknowledged:
            self._unflushed.add(row)

    async def settle(self) -> FleetSettled:
        """Returns when no connect, no drop and no acknowledgement is under way, and the broker has what was sent.

        Raises what failed in a callback meanwhile.
        """
        while True:
            await self._wait(self._busy)
            if not self._unflushed:
                break
            for row in self._unflushed:
                self.devices[row].flush()
            self._unflushed.clear()
        settled = FleetSettled(self._sent, list(dict.fromkeys(self._fresh)), len(self._online))
        self._sent, self._fresh = 0, []
        return settled

    async def await_fence(self, token: str, rows: Collection[int]) -> None:
        """Returns when each of `rows` has received the fence or is not connected."""
        missing = _Roll([row for row in rows if row in self._online and token not in self._received[row]])
        waiting = self._fences.setdefault(token, [])
        waiting.append(missing)
        try:
            await self._wait(missing)
        finally:
            waiting.remove(missing)
        if not waiting:
            self._fences.pop(token, None)

    async def wait_disconnected(self) -> None:
        """Returns when no device has, or seeks, a connection that it knows of."""
        await self._wait(self._attached)

    async def stop(self) -> None:
        """Leave the broker in order, as far as it is there."""
        self._stopping = True
        if self._timer is not None:
            self._timer.cancel()
        for device in self.devices:
            device.leave()
        try:
            async with asyncio.timeout(_LEAVE_LIMIT_S):
                await self._attached.empty.wait()
        except TimeoutError:
            # The broker does not take our DISCONNECT.
            for device in self.devices:
                device.abandon()

    def raise_failure(self) -> None:
        """Raise what went wrong in a callback, where nobody could be told."""
        if self._failure is not None:
            raise self._failure

    async def _wait(self, roll: _Roll) -> None:
        await roll.empty.wait()
        self.raise_failure()

    def _tick(self) -> None:
        # Keep-alive is between us and the broker, and the broker lives on the wall clock.
        for row in tuple(self._online):
            self.devices[row].keep_alive()
        self._timer = self._loop.call_later(_KEEP_ALIVE_TICK_S, self._tick)

    def _fenced(self, row: int, token: str) -> None:
        self._received[row].append(token)
        for missing in self._fences.get(token, ()):
            missing.put(row, False)

    # The hub of the connections.

    def joined(self, row: int) -> None:
        self._fresh.append(self._names[row])
        self._owner.on_joined(row)

    def lost(self, row: int) -> None:
        self.losses += 1
        self._route = None
        if not self._stopping:
            self._owner.on_lost(row)

    def refused(self, row: int, reason: str) -> None:
        if self.refusals == 0:
            # Once for the shard: with a wrong password there will be thousands.
            _log.warning("broker refuses a device", name=self._names[row], reason=reason)
        self.refusals += 1

    def received(self, row: int, topic: str, payload: bytes) -> None:
        if is_fence(topic):
            self._fenced(row, payload.decode(errors="replace"))
        else:
            self._owner.on_message(row, topic, payload)

    def failed(self, error: BaseException) -> None:
        if self._failure is None:
            self._failure = error
        # Wake whoever waits; nothing will come to rest any more.
        for roll in (
            self._busy,
            self._attached,
            *(missing for waiting in self._fences.values() for missing in waiting),
        ):
            roll.empty.set()

    def changed(self, row: int) -> None:
        device = self.devices[row]
        busy, reachable = device.busy, device.reachable
        self._busy.put(row, busy)
        if reachable:
            if row not in self._online:
                self._online.add(row)
                self._attached.put(row, True)
            return
        self._attached.put(row, busy)
        if row in self._online:
            self._online.discard(row)
            for waiting in self._fences.values():
                for missing in waiting:
                    missing.put(row, False)
