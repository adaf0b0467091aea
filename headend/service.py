"""The head-end as one object: start, answer grants, settle, stop; or run for ever on the wall clock."""

import asyncio
import contextlib
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import orjson
from prometheus_client import start_http_server

from headend.clock import Clock
from headend.commands import issue as commands
from headend.commands.envelope import CommandSigner
from headend.errors import BrokerRefused, BrokerUnavailable, MetricsPortError
from headend.links.direct import DirectIntake
from headend.links.modbus.poller import Poller
from headend.links.mqtt import MqttLink, Session
from headend.links.sparkplug.host import SparkplugHost
from headend.links.sparkplug.intake import SparkplugIntake
from headend.log import logger
from headend.metrics import Metrics
from headend.outages.model import NetworkModel, read_network_model
from headend.outages.publish import publish_network
from headend.outages.watch import OutageWatch
from headend.reads.budgets import Budgets
from headend.reads.dead_letters import DeadLetters
from headend.reads.ingest import Ingest
from headend.reads.record import Recorder, communication_states
from headend.reads.recovery import BackOff, Recovery
from headend.reads.resume import no_recovery, resume
from headend.registry import EndDevice, ShippedDevice, read_shipment, register
from headend.roles import ROLES
from headend.settings import HeadEndSettings
from headend.store import writer
from headend.store.database import Connection, Database
from headend.store.settled import settle_what_is_stored


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
        self._role = ROLES[settings.role]
        self._clock = clock
        self.metrics = Metrics()
        self._database = Database(settings, self.metrics, prepare=writer.prepare)
        self._devices: list[EndDevice] = []
        self._link: MqttLink | None = None
        self._host: SparkplugHost | None = None
        self._edges: SparkplugIntake | None = None
        self._back_off = BackOff(settings.reconnect_first_s, settings.reconnect_max_s)
        self._connect_attempts = 0
        self._connect_at_s: float | None = None
        self._commanded: list[str] = []
        self._received_before = 0
        self._fence_count = 0
        self._renewing = False
        self._failure: Exception | None = None
        self._wake = asyncio.Event()
        self._running = contextlib.AsyncExitStack()
        # A fence of an earlier life may still be with the broker.
        self._life = f"{random.getrandbits(64):016x}"

    async def start(self) -> None:
        """Migrate, register the shipment, rebuild the schedules, connect and subscribe.

        Raises ShipmentError, NetworkModelError, CommandKeyError, DatabaseUnavailable, DatabaseRefused, SchemaTooNew,
        BrokerUnavailable, BrokerRefused, MetricsPortError. Tries to reach database and broker for `startup_timeout_s`
        each.
        """
        settings = self._settings
        self._signer = CommandSigner.from_file(settings.command_key)
        shipment = read_shipment(settings.shipment, command_public_key=self._signer.public_key())
        model = NetworkModel() if settings.network_model is None else read_network_model(settings.network_model)
        try:
            await self._start(shipment, model)
        except BaseException:
            await self._running.aclose()
            raise
        logger().info("head-end started", devices=len(self._devices), role=settings.role)

    async def _start(self, shipment: Sequence[ShippedDevice], model: NetworkModel) -> None:
        settings = self._settings
        await self._database.start()
        self._running.push_async_callback(self._database.stop)

        async def load(connection: Connection) -> Recovery:
            self._devices = await register(
                connection, shipment, now_s=self._clock.now(), interval_length_s=settings.interval_length_s
            )
            if not self._role.follows:
                return no_recovery(settings, self._devices)
            return await resume(connection, settings, self._devices, now_s=self._clock.now())

        self._recovery = await self._database.run(load)
        self._outages = OutageWatch(settings, model, self._devices, self._database, self.metrics)
        if self._role.follows:
            if settings.network_model is not None:
                await self._database.run(lambda connection: publish_network(connection, model))
            await self._database.run(lambda connection: self._outages.rebuild(connection, self._clock.now()))
        online = await self._database.run(communication_states)
        budgets = Budgets()
        recorder = Recorder(settings, self._devices, budgets, self._recovery, self._outages, online)
        self._ingest = Ingest(
            settings,
            self._clock,
            recorder,
            self._outages,
            self._database,
            self.metrics,
            letters=DeadLetters(settings, self._devices, budgets),
        )
        if self._role.listens:
            self._link = self._direct_link(recorder)
        self._poller = Poller(
            settings,
            self._clock,
            self._devices if self._role.polls else [],
            self._database,
            self.metrics,
            on_rows=self._ingest.stored,
            on_failure=self._fail,
        )
        if self._poller.is_needed:
            await self._database.run(self._poller.rebuild)
            self._running.push_async_callback(self._poller.stop)
        if self._role.follows and any(device.driver.capabilities.needs_collector for device in self._devices):
            self._host, self._edges = self._sparkplug_host(recorder)
        if settings.metrics_port is not None:
            self._serve_metrics(settings.metrics_port)
        self._writer = asyncio.create_task(self._ingest.run())
        self._writer.add_done_callback(self._writer_done)
        self._running.push_async_callback(self._stop_writer)
        # Before the first connection: of two, the second may be refused.
        self._running.push_async_callback(self._leave_broker)
        await self._first_connection()

    def _direct_link(self, recorder: Recorder) -> MqttLink:
        ingest, settings = self._ingest, self._settings
        intake = DirectIntake(settings, self._devices, recorder, on_fence=ingest.fence_read)
        link = MqttLink(
            settings,
            Session(
                settings.client_id,
                self._role.filters(settings.group, settings.client_id),
                certificate=settings.broker_certificate,
            ),
            on_message=lambda topic, payload, packet_id: ingest.receive(
                intake.receive, topic, payload, link=link, packet_id=packet_id
            ),
            on_chunk=ingest.chunk_read,
            on_lost=lambda: self._lost(link),
            on_failure=self._fail,
        )
        ingest.attach(link)
        return link

    def _sparkplug_host(self, recorder: Recorder) -> tuple[SparkplugHost, SparkplugIntake]:
        ingest = self._ingest
        host = SparkplugHost(
            self._settings,
            self._clock,
            on_message=lambda topic, payload: ingest.receive(intake.receive, topic, payload),
            on_chunk=ingest.chunk_read,
            on_lost=lambda: self._lost(host.link),
            on_failure=self._fail,
        )

        def ask_for_rebirth(edge: str) -> None:
            host.ask_for_rebirth(edge)
            self._commanded.append(edge)
            self.metrics.rebirths.inc()

        intake = SparkplugIntake(
            self._settings,
            self._devices,
            recorder,
            fence_node=host.fence_node,
            ask_for_rebirth=ask_for_rebirth,
            on_fence=ingest.fence_read,
            uncounted=ingest.not_ours,
        )
        ingest.attach(host.link)
        return host, intake

    def _serve_metrics(self, port: int) -> None:
        try:
            server, _ = start_http_server(port, registry=self.metrics.registry)
        except OSError as error:
            raise MetricsPortError(f"metrics port {port}: {error.strerror}; choose another or none") from error
        self._running.callback(server.server_close)
        self._running.callback(server.shutdown)

    async def _stop_writer(self) -> None:
        self._writer.remove_done_callback(self._writer_done)
        self._writer.cancel()
        await asyncio.gather(self._writer, return_exceptions=True)

    async def _leave_broker(self) -> None:
        if not self._writer.done() and any(link.connected for link in self._links()):
            for link in self._links():
                link.pause()
            try:
                async with asyncio.timeout(self._settings.stop_timeout_s):
                    await self._ingest.flush()
            except TimeoutError:
                logger().warning("stopped with messages not yet committed: the broker will send them again")
        if self._link is not None:
            await self._link.disconnect()
        if self._host is not None:
            await self._host.disconnect()

    def _links(self) -> list[MqttLink]:
        hosts = None if self._host is None else self._host.link
        return [link for link in (self._link, hosts) if link is not None]

    async def _connect(self) -> None:
        """Connect what is not connected. Raises BrokerUnavailable, BrokerRefused."""
        if self._link is not None and not self._link.connected:
            await self._link.connect()
        if self._host is not None and self._edges is not None and not self._host.link.connected:
            await self._host.connect()
            self._edges.connected(self._clock.now())

    async def _first_connection(self) -> None:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self._settings.startup_timeout_s
        delay_s = 0.1
        while True:
            try:
                await self._connect()
            except BrokerUnavailable:
                if self._settings.broker_may_be_away:
                    self._put_off_connection()
                    return
                if loop.time() + delay_s > deadline_s:
                    raise
            else:
                return
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, 2.0)

    def next_due(self) -> float | None:
        """The next instant (epoch s) at which `advance` has something to do; it may be the present one."""
        now_s = self._clock.now()
        wishes_s = [self._connect_at_s, self._poller.next_due_s(), now_s if self._renewing else None]
        if self._role.follows:
            wishes_s.append(self._outages.next_due_s(now_s))
            if self._connect_at_s is None:
                # Without the link nothing can be asked; the sweep comes after it.
                wishes_s.append(self._recovery.next_due_s(now_s))
        if self._edges is not None:
            wishes_s.append(self._edges.next_due_s())
        if self._host is not None and self._connect_at_s is None:
            wishes_s.append(self._host.next_due_s())
        due_s = [due_s for due_s in wishes_s if due_s is not None]
        return min(due_s, default=None)

    async def advance(self) -> None:
        """Do what is due at the clock's instant: ask edge nodes and meters, look for outages, reconnect, sweep."""
        self._raise_failure()
        now_s = self._clock.now()
        if self._renewing:
            await self._connect_anew()
        if self._host is not None:
            self._host.advance(now_s)
            if self._host.is_contradicted:
                await self._host.disconnect()
                self._lost(self._host.link)
        if self._edges is not None:
            self._edges.advance(now_s)
            self._ingest.recorded()
        self._poller.advance(now_s)
        if self._role.follows:
            look_s = self._outages.next_due_s(now_s)
            if look_s is not None and look_s <= now_s:
                await self._outages.look(now_s)
        if self._connect_at_s is not None:
            if self._connect_at_s > now_s:
                return
            await self._reconnect()
        if self._role.follows and self._connect_at_s is None:
            due_s = self._recovery.next_due_s(now_s)
            if due_s is not None and due_s <= now_s:
                await self._sweep(now_s)
        self._raise_failure()

    async def settle(self) -> Settled:
        """Return when everything before this call is received and committed and our own messages are with the broker.

        Without a connection: when everything received is committed. A lost database is waited for.
        """
        self._raise_failure()
        await self._poller.settle()
        connected = all(await asyncio.gather(*(self._passed(link) for link in self._links())))
        if not connected:
            flushed = asyncio.ensure_future(self._ingest.flush())
            await self._unless_failed(flushed)
        received, self._received_before = self._ingest.received - self._received_before, self._ingest.received
        commanded, self._commanded = list(dict.fromkeys(self._commanded)), []
        return Settled(connected=connected, received=received, commanded=commanded)

    async def _passed(self, link: MqttLink) -> bool:
        """Send a fence through a link and wait until all before it is committed. False if the link does not stand."""
        if not link.connected:
            return False
        self._fence_count += 1
        token = f"{self._life}-{self._fence_count}"
        passed = self._ingest.expect_fence(token, link)
        if self._host is not None and link is self._host.link:
            self._host.fence_self(token)
        else:
            link.publish(f"dt/{self._settings.group}/_fence/{self._settings.client_id}", token.encode())
        await self._unless_failed(passed)
        return passed.result() and await link.published()

    async def fence_devices(self, names: Collection[str], token: str) -> None:
        """Send a fence to these stations; returns on PUBACK where there is one, or when disconnected.

        A meter gets `{"fence": token}` on its command topic, a collector an NCMD with `Node Control/Fence`.
        """
        edges = frozenset[str]() if self._edges is None else self._edges.edges.intersection(names)
        if self._host is not None:
            for edge in sorted(edges):
                self._host.fence_edge(edge, token)
        payload = orjson.dumps({"fence": token})
        if self._link is not None and self._link.connected:
            for serial in names:
                if serial not in edges:
                    self._link.publish(f"cmd/{self._settings.group}/{serial}", payload)
            await self._link.published()

    def ingest_stats(self) -> dict[str, object]:
        """messages, rows, busy_s and receive_to_commit_ms {p50, p95, p99, max} of this life."""
        return self._ingest.stats()

    def renew(self) -> None:
        """Our certificate has changed, or whom we trust: connect anew at the next `advance`."""
        self._renewing = True
        self._wake.set()

    def hold(self) -> None:
        """Take in nothing more: what arrives is left unread, and unacknowledged, in the connections."""
        for link in self._links():
            link.hold()

    def drop(self) -> None:
        """Lose the connections that are held, and what is unread in them. Reconnecting goes by the back-off."""
        for link in self._links():
            link.drop()

    async def stop(self) -> None:
        """Commit and acknowledge what was received, leave broker and database. Bounded by `stop_timeout_s`."""
        await self._running.aclose()

    async def run_forever(self) -> None:
        """Production, on the wall clock: start, run, and stop in order when cancelled. Raises what `start` raises."""
        await self.start()
        try:
            await self.run_timers()
        finally:
            await self.stop()

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

    async def _reconnect(self) -> None:
        try:
            await self._connect()
        except (BrokerUnavailable, BrokerRefused) as error:
            self._put_off_connection()
            logger().warning("broker still away", error=str(error), attempt=self._connect_attempts)
            return
        self._connect_at_s = None
        self._connect_attempts = 0
        self._recovery.reconnected(self._clock.now())
        self.metrics.reconnects.inc()
        logger().warning("connected to the broker again", broker=self._settings.broker_host)

    async def _connect_anew(self) -> None:
        """What was not committed was not acknowledged: the broker sends it again."""
        self._renewing = False
        if not any(link.connected for link in self._links()):
            return
        if self._link is not None:
            await self._link.disconnect()
            self._lost(self._link)
        if self._host is not None:
            await self._host.disconnect()
            self._lost(self._host.link)
        await self._reconnect()

    async def _sweep(self, now_s: float) -> None:
        expired = self._recovery.expired(now_s)
        if expired:
            await commands.expire(self._database, expired, now_s=now_s)
        if not self._role.sees_all:
            for meter in await settle_what_is_stored(self._database, self._recovery.schedule, self._devices, now_s):
                self._recovery.heard(meter, now_s)
        asks = self._recovery.plan(now_s)
        if not asks:
            return
        issued = await commands.issue(
            self._database, self._signer, self._devices, asks, now_s=now_s, expiry_s=self._settings.command_expiry_s
        )
        for command in issued:
            self._recovery.issued(command.command_id, command.ask, command.expires_s)
            self._send(command)
        self.metrics.recovery_requests.inc(len(issued))
        logger().info("asked for missing intervals", meters=len(issued))

    def _send(self, command: commands.Command) -> None:
        device = command.device
        if self._host is not None and device.driver.capabilities.needs_collector:
            self._host.command(device.address, device.serial, command.envelope)
            self._commanded.append(device.address)
        else:
            assert self._link is not None, "only who listens to meters commands them"
            # Not kept by the broker for a meter that is away: it is asked when it is back.
            self._link.publish_once(f"cmd/{device.group}/{device.serial}", command.envelope)
            self._commanded.append(device.serial)

    def _lost(self, link: MqttLink) -> None:
        self._ingest.connection_lost(link)
        if self._edges is not None and link is not self._link:
            self._edges.disconnected()
        if self._connect_at_s is None:
            self._put_off_connection()
        self._wake.set()

    def _put_off_connection(self) -> None:
        # Without the group, which is another one in each run of the same seed.
        key = self._settings.client_id.replace(self._settings.group, "")
        delay_s = self._back_off.delay_s(self._connect_attempts, key)
        self._connect_attempts += 1
        self._connect_at_s = self._clock.now() + delay_s

    def _fail(self, error: Exception) -> None:
        self._failure = error
        self._ingest.connection_lost()
        self._wake.set()

    def _writer_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._fail(error)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def _unless_failed(self, future: asyncio.Future[bool] | asyncio.Future[None]) -> None:
        """Wait for `future`, but not beyond the end of the writer, who alone could fulfil it."""
        await asyncio.wait({future, self._writer}, return_when=asyncio.FIRST_COMPLETED)
        if self._writer.done():
            future.cancel()
            self._writer.result()
        self._raise_failure()
