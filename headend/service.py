"""The head-end as one object: start, answer grants, settle, stop; or run for ever on the wall clock."""

import asyncio
import contextlib
from collections.abc import Collection
from dataclasses import dataclass

from headend.assembly import Assembly, assemble
from headend.clock import Clock
from headend.commands.service import CommandService
from headend.links.link import Notices
from headend.log import logger
from headend.metrics import Metrics
from headend.settings import HeadEndSettings


@dataclass(frozen=True, slots=True)
class Settled:
    """Whether all links stand; messages received, and stations commanded, since the last time.

    A station is a meter with a connection of its own, by serial, or a collector.
    """

    connected: bool
    received: int
    commanded: list[str]


class HeadEnd:
    """A head-end system for the devices of one shipment file and one group. Belongs to the loop that starts it."""

    def __init__(self, settings: HeadEndSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self.metrics = Metrics()
        self._parts: Assembly
        #: Whoever wants something done by devices asks it.
        self.commands: CommandService
        self._commanded: list[str] = []
        self._received_before = 0
        self._failure: Exception | None = None
        self._wake = asyncio.Event()
        self._running = contextlib.AsyncExitStack()

    async def start(self) -> None:
        """Migrate, register the shipment, rebuild the schedules, connect and subscribe.

        Raises ShipmentError, NetworkModelError, CommandKeyError, DatabaseUnavailable, DatabaseRefused, SchemaTooNew,
        BrokerUnavailable, BrokerRefused, MetricsPortError. Tries to reach database and broker for `startup_timeout_s`
        each.
        """
        notices = Notices(lost=self._lost, failed=self._fail, commanded=self._commanded.append, due=self._wake.set)
        async with contextlib.AsyncExitStack() as stack:
            self._parts = await assemble(self._settings, self._clock, self.metrics, notices, stack)
            await self._parts.reconnection.first()
            self._running = stack.pop_all()
        self.commands = self._parts.commands
        logger().info("head-end started", devices=len(self._parts.devices), role=self._settings.role)

    def next_due(self) -> float | None:
        """The next instant (epoch s) at which `advance` has something to do; it may be the present one."""
        parts, now_s = self._parts, self._clock.now()
        wishes_s = [parts.reconnection.next_due_s(), *(link.next_due_s() for link in parts.links)]
        wishes_s.append(parts.commands.next_due_s(now_s))
        if parts.outages is not None:
            wishes_s.append(parts.outages.next_due_s(now_s))
        if parts.sweep is not None and not parts.reconnection.is_waiting:
            # Without the links nothing can be asked; the sweep comes after them.
            wishes_s.append(parts.sweep.next_due_s(now_s))
        return min((due_s for due_s in wishes_s if due_s is not None), default=None)

    async def advance(self) -> None:
        """Do what is due at the clock's instant: ask edge nodes, look for outages, reconnect, command meters, sweep."""
        if self._failure is not None:
            raise self._failure
        parts, now_s = self._parts, self._clock.now()
        is_back = await parts.reconnection.renewed()
        for link in parts.links:
            await link.advance(now_s)
        if parts.outages is not None:
            await parts.outages.advance(now_s)
        is_back |= await parts.reconnection.advance(now_s)
        await parts.commands.advance(now_s)
        if parts.sweep is not None:
            if is_back:
                parts.sweep.reconnected(now_s)
            if not parts.reconnection.is_waiting:
                await parts.sweep.advance(now_s)
        if self._failure is not None:
            raise self._failure

    async def settle(self) -> Settled:
        """Return when everything before this call is received and committed and our own messages are with the broker.

        Without a connection: when everything received is committed. A lost database is waited for.
        """
        if self._failure is not None:
            raise self._failure
        parts = self._parts
        connected = all(await asyncio.gather(*(link.fence() for link in parts.links)))
        if not connected:
            await parts.committing.flush()
        if self._failure is not None:
            raise self._failure
        received, self._received_before = self.received - self._received_before, self.received
        commanded = list(dict.fromkeys(self._commanded))
        self._commanded.clear()
        return Settled(connected=connected, received=received, commanded=commanded)

    async def fence_devices(self, names: Collection[str], token: str) -> None:
        """Send a fence to these stations; returns on PUBACK where there is one, or when disconnected."""
        for link in self._parts.links:
            await link.fence_stations(names, token)

    @property
    def received(self) -> int:
        """Messages received in this life, committed or not; our own fences do not count."""
        return self._parts.ingest.received

    def ingest_stats(self) -> dict[str, object]:
        """messages, rows, busy_s and receive_to_commit_ms {p50, p95, p99, max} of this life."""
        return self._parts.committing.totals.stats()

    def renew(self) -> None:
        """Our certificate has changed, or whom we trust: connect anew at the next `advance`."""
        self._parts.reconnection.renew()
        self._wake.set()

    def hold(self) -> None:
        """Take in nothing more: what arrives is left unread, and unacknowledged, in the connections."""
        for link in self._parts.links:
            link.hold()

    def drop(self) -> None:
        """Lose the connections that are held, and what is unread in them. Reconnecting goes by the back-off."""
        for link in self._parts.links:
            link.drop()

    async def stop(self) -> None:
        """Commit and acknowledge what was received, leave broker and database. Bounded by `stop_timeout_s`."""
        await self._running.aclose()

    async def run_timers(self) -> None:
        """After `start`, under a wall clock: do what is due when it is due, until cancelled."""
        while True:
            await self.advance()
            due_s = self.next_due()
            self._wake.clear()
            delay_s = 60.0 if due_s is None else max(0.0, due_s - self._clock.now())
            try:
                # Never long: a wall clock may be set, and a message may bring a sweep forward.
                async with asyncio.timeout(min(delay_s, 5.0)):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _lost(self) -> None:
        self._parts.reconnection.lost()
        self._wake.set()

    def _fail(self, error: Exception) -> None:
        self._failure = error
        self._parts.committing.lost(None)
        self._wake.set()
