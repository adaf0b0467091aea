"""The connections of a shard: who is connected, what is under way, and when all of it has come to rest."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from meters.command import fence_token
from meters.device import Device, Limits
from meters.errors import FleetError
from meters.shipment import ShipmentEntry

_KEEP_ALIVE_TICK_S = 5.0
_LEAVE_LIMIT_S = 5.0
_CONNECTS_AT_ONCE = 64
"""Below the listen backlog of common brokers (100): a dropped SYN costs a second."""

_log = structlog.get_logger("meters.network")


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where the broker listens."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class FleetSettled:
    """The shard has come to rest."""

    sent: int
    """Messages published since the last settle."""
    fresh: list[str]
    """Serials that connected and subscribed since the last settle."""
    connected: int
    """Meters that are connected now."""


class Owner(Protocol):
    """What the network tells the fleet, by row."""

    def on_joined(self, row: int) -> None:
        """The meter is connected and subscribed."""

    def on_lost(self, row: int) -> None:
        """A connection or an attempt at one has failed."""

    def on_command(self, row: int, envelope: bytes) -> None:
        """A message other than a fence arrived on the meter's command topic."""


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


class Network:
    """All devices of a shard. Must be created inside a running event loop."""

    def __init__(
        self, entries: Sequence[ShipmentEntry], broker: BrokerAddress, owner: Owner, *, keep_alive_s: int
    ) -> None:
        gate = asyncio.Semaphore(_CONNECTS_AT_ONCE)
        limits = Limits(keep_alive_s)
        self.devices = [Device(row, entry, self, gate, limits) for row, entry in enumerate(entries)]
        self.refusals = 0
        """Connections and subscriptions that the broker refused."""
        self.losses = 0
        """Attempts that failed and connections that ended without the meter's doing."""
        self._broker = broker
        self._address: tuple[int, Any] = (socket.AF_INET, None)
        self._owner = owner
        self._busy = _Roll()
        self._attached = _Roll()
        self._online: set[int] = set()
        self._sent = 0
        self._fresh: list[str] = []
        self._fences: dict[str, list[_Roll]] = {}
        self._stopping = False
        self._failure: BaseException | None = None
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Resolve the broker's name. Raises FleetError."""
        host, port = self._broker.host, self._broker.port
        try:
            found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise FleetError(f"the broker's host {host!r} cannot be resolved: {error}") from error
        self._address = (found[0][0], found[0][4])
        self._tick()

    def connect(self, row: int) -> None:
        self.devices[row].connect(self._address)

    def publish(self, row: int, leaf: str, payload: bytes) -> None:
        """The device must be reachable."""
        self._sent += 1
        self.devices[row].publish(leaf, payload)

    async def settle(self) -> FleetSettled:
        """Returns when no connect, no drop and no PUBACK is under way. Raises what failed in a callback meanwhile."""
        await self._wait(self._busy)
        settled = FleetSettled(self._sent, list(dict.fromkeys(self._fresh)), len(self._online))
        self._sent, self._fresh = 0, []
        return settled

    async def await_fence(self, token: str, rows: Collection[int]) -> None:
        """Returns when each of `rows` has received the fence or is not connected."""
        missing = _Roll([row for row in rows if row in self._online and token not in self.devices[row].fences])
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

    # The hub of the devices.

    def joined(self, device: Device) -> None:
        self._fresh.append(device.serial)
        self._owner.on_joined(device.row)

    def lost(self, device: Device) -> None:
        self.losses += 1
        if not self._stopping:
            self._owner.on_lost(device.row)

    def refused(self, device: Device, reason: str) -> None:
        if self.refusals == 0:
            # Once for the shard: with a wrong password there will be thousands.
            _log.warning("broker refuses a meter", serial=device.serial, reason=reason)
        self.refusals += 1

    def received(self, device: Device, payload: bytes) -> None:
        token = fence_token(payload)
        if token is None:
            self._owner.on_command(device.row, payload)
            return
        device.fences.append(token)
        for missing in self._fences.get(token, ()):
            missing.put(device.row, False)

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

    def changed(self, device: Device) -> None:
        row = device.row
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
