"""From messages to committed rows, and only then to acknowledgements.

Messages collect in an open batch while the batch before is being written; the rate of the broker and the speed of the
database find their batch size by themselves. When too much is pending, the socket is left unread.
"""

import asyncio
import hashlib
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from headend import writer
from headend.clock import Clock
from headend.database import Connection, Database
from headend.drivers import DecodeError, MqttDecoders, Reading
from headend.metrics import LatencyHistogram, Metrics
from headend.mqtt import MqttLink
from headend.outages.watch import OutageWatch
from headend.recovery import Recovery
from headend.registry import EndDevice
from headend.settings import HeadEndSettings
from headend.writer import Batch

_YEAR_2000_S = 946_684_800
_AHEAD_S = 86_400

_Handler = Callable[[EndDevice, MqttDecoders, bytes, float], None]


@dataclass(slots=True)
class _Pending:
    """An open batch and what is owed for it once it is committed."""

    batch: Batch = field(default_factory=Batch)
    messages: int = 0
    size_bytes: int = 0
    packet_ids: list[int] = field(default_factory=list)
    arrivals: list[tuple[float, int]] = field(default_factory=list)
    fences: list[str] = field(default_factory=list)
    dead: dict[str, int] = field(default_factory=dict)


class Ingest:
    """Everything between the MQTT link and the tables."""

    def __init__(
        self,
        settings: HeadEndSettings,
        clock: Clock,
        devices: Sequence[EndDevice],
        recovery: Recovery,
        outages: OutageWatch,
        database: Database,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._recovery = recovery
        self._outages = outages
        self._settle = recovery.schedule.settle
        self._database = database
        self._metrics = metrics
        self._devices = {device.serial: device for device in devices}
        self._handlers: dict[str, _Handler] = {
            "ds": self._reading,
            "ev": self._event,
            "st": self._state,
            "lp": self._profile,
        }
        self._routes: dict[str, tuple[_Handler, EndDevice, MqttDecoders]] = {}
        self._link: MqttLink | None = None
        self._open = _Pending()
        self._writing = False
        self._throttled = False
        self._chunk_messages = 0
        self._chunk_at_s = 0.0
        self._urgent = False
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._fences: dict[str, asyncio.Future[bool]] = {}
        self._latencies = LatencyHistogram()
        self._busy_s = 0.0
        self._busy_until_s = 0.0
        #: Totals of this life; our own fences do not count.
        self.received = 0
        self.messages = 0
        self.rows = 0

    def attach(self, link: MqttLink) -> None:
        """The link that is paused and acknowledged to."""
        self._link = link

    def stats(self) -> dict[str, object]:
        """messages, rows, busy_s (wall s with something pending), receive_to_commit_ms {p50, p95, p99, max}."""
        return {
            "messages": self.messages,
            "rows": self.rows,
            "busy_s": self._busy_s,
            "receive_to_commit_ms": self._latencies.as_ms(),
            "latency_histogram": self._latencies.to_dict(),
        }

    # From the link.

    def receive(self, topic: str, payload: bytes, packet_id: int) -> None:
        """Decode one message into the open batch."""
        if not self._chunk_messages:
            self._chunk_at_s = time.perf_counter()
        self._chunk_messages += 1
        pending = self._open
        # QoS 0, which somebody else may send, has no packet identifier and wants no answer.
        if packet_id:
            pending.packet_ids.append(packet_id)
        pending.size_bytes += len(payload)
        now_s = self._clock.now()
        try:
            if len(payload) > self._settings.payload_max_bytes:
                raise DecodeError("oversized", f"{len(payload)} bytes")
            route = self._routes.get(topic) or self._route(topic, payload)
            if route is not None:
                route[0](route[1], route[2], payload, now_s)
        except DecodeError as error:
            self._bury(topic, payload, error, now_s)

    def chunk_read(self) -> None:
        """The link has handed over all that one read gave."""
        pending = self._open
        pending.messages += self._chunk_messages
        self.received += self._chunk_messages
        pending.arrivals.append((self._chunk_at_s, self._chunk_messages))
        self._chunk_messages = 0
        self._idle.clear()
        self._wake.set()
        if pending.fences or pending.messages >= self._settings.batch_max_rows:
            self._hurry.set()
        if (
            pending.messages >= self._settings.pending_max_messages
            or pending.size_bytes >= self._settings.pending_max_bytes
        ) and self._link is not None:
            self._throttled = True
            self._link.pause()

    def connection_lost(self) -> None:
        """What is not acknowledged will come again; packet identifiers of the old connection are void."""
        self._open.packet_ids.clear()
        for future in self._fences.values():
            if not future.done():
                future.set_result(False)
        self._fences.clear()

    # For the service.

    def expect_fence(self, token: str) -> asyncio.Future[bool]:
        """A future that is True when the fence and all before it are committed, False when the connection is lost."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._fences[token] = future
        return future

    async def flush(self) -> None:
        """Wait until everything received so far is committed."""
        while self._open.messages or self._writing:
            self._urgent = True
            self._wake.set()
            self._hurry.set()
            self._idle.clear()
            await self._idle.wait()

    async def run(self) -> None:
        """Write batches until cancelled. An exception here is a fault of ours, not of the surroundings."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._open.messages:
                await self._gather()
                pending, self._open = self._open, _Pending()
                self._urgent = False
                self._writing = True
                await self._commit(pending)
                self._writing = False
            self._urgent = False
            self._idle.set()

    async def _gather(self) -> None:
        """Let the open batch grow while the socket has more and nobody is waiting."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self._settings.batch_max_wait_s
        while True:
            seen = self._open.messages
            left_s = deadline_s - loop.time()
            if self._urgent or self._open.fences or seen >= self._settings.batch_max_rows or left_s <= 0:
                return
            self._hurry.clear()
            try:
                async with asyncio.timeout(min(left_s, self._settings.batch_quiet_s)):
                    await self._hurry.wait()
            except TimeoutError:
                if self._open.messages == seen:
                    return

    async def _commit(self, pending: _Pending) -> None:
        link = self._link
        assert link is not None
        generation = link.generation
        self._metrics.pending.set(pending.messages)
        written = writer.Written(0, 0, 0)
        if pending.batch:

            async def work(connection: Connection) -> writer.Written:
                return await writer.write(connection, pending.batch, committed_s=self._clock.now())

            written = await self._database.run(work)
            if pending.batch.interruptions:
                self._outages.reported(self._clock.now())
        if link.generation == generation:
            link.acknowledge(pending.packet_ids)
        if pending.batch:
            self._count(pending, written)
        for token in pending.fences:
            future = self._fences.pop(token, None)
            if future is not None and not future.done():
                future.set_result(True)
        if self._throttled:
            self._throttled = False
            link.resume()

    def _count(self, pending: _Pending, written: writer.Written) -> None:
        done_s = time.perf_counter()
        metrics = self._metrics
        first_s = pending.arrivals[0][0]
        for arrived_s, count in pending.arrivals:
            self._latencies.add(done_s - arrived_s, count)
        self._busy_s += done_s - max(first_s, self._busy_until_s)
        self._busy_until_s = done_s
        messages = pending.messages - len(pending.fences)
        self.messages += messages
        self.rows += written.inserted + written.revisions
        metrics.messages.inc(messages)
        metrics.rows.inc(written.inserted + written.revisions)
        metrics.duplicates.inc(written.duplicates)
        metrics.revisions.inc(written.revisions)
        metrics.receive_to_commit.observe(done_s - first_s)
        metrics.batch_rows.observe(pending.batch.rows)
        metrics.pending.set(self._open.messages)
        for reason, count in pending.dead.items():
            metrics.dead_letters.labels(reason).inc(count)

    # Message by message.

    def _route(self, topic: str, payload: bytes) -> tuple[_Handler, EndDevice, MqttDecoders] | None:
        """Where a topic goes that was not seen before; None for a fence. Raises DecodeError."""
        parts = topic.split("/")
        if len(parts) == 4 and parts[2] == "_fence":
            if parts[3] == self._settings.client_id:
                self._open.fences.append(payload.decode("utf-8", "replace"))
                self.received -= 1
            # Another head-end's fence says nothing to us.
            return None
        if len(parts) != 4 or parts[3] not in self._handlers:
            raise DecodeError("unknown_topic", "not dt/<group>/<source>/{ds,ev,st,lp}")
        device = self._devices.get(parts[2])
        if device is None:
            raise DecodeError("unknown_device", f"{parts[2]} is not in the registry")
        if device.group != parts[1]:
            raise DecodeError("wrong_group", f"{device.serial} is registered in group {device.group}")
        decoders = device.driver.mqtt
        if decoders is None:
            raise DecodeError("wrong_protocol", f"{device.serial} is registered as {device.driver.vendor_profile}")
        route = (self._handlers[parts[3]], device, decoders)
        self._routes[topic] = route
        return route

    def _reading(self, device: EndDevice, decoders: MqttDecoders, payload: bytes, now_s: float) -> None:
        reading = decoders.reading(payload)
        length_s = device.driver.interval_length_s
        if not _YEAR_2000_S <= reading.end_s - length_s <= now_s + _AHEAD_S:
            raise _implausible(reading.end_s - length_s)
        self._add(device, reading, length_s, writer.REPORTED, now_s)

    def _add(self, device: EndDevice, reading: Reading, length_s: int, origin: int, now_s: float) -> None:
        end_s, counters, voltages, others, complete = reading
        start_s = end_s - length_s
        batch = self._open.batch
        batch.add_reading(device.id, start_s, length_s, int(now_s * 1e6), origin, counters, voltages)
        if not complete:
            batch.has_absent = True
        for reading_type, value in others:
            batch.others.append((device.id, start_s, length_s, reading_type, value, now_s))
        self._settle(device.index, start_s, length_s)

    def _event(self, device: EndDevice, decoders: MqttDecoders, payload: bytes, now_s: float) -> None:
        event = decoders.event(payload)
        for time_s in (event.device_time_s, event.down_s, event.up_s):
            if time_s is not None and not _YEAR_2000_S <= time_s <= now_s + _AHEAD_S:
                raise _implausible(time_s)
        batch = self._open.batch
        batch.events.append(
            (device.id, event.sequence, event.code, float(event.device_time_s), event.detail_json, now_s)
        )
        if event.refused_command is not None and self._recovery.refused(device.index, event.refused_command):
            batch.finished_commands.append((event.refused_command, "refused", event.refused_reason, now_s))
        if event.restored:
            self._recovery.returned(device.index, now_s)
        if event.down_s is not None:
            self._interruption(device, event.down_s, event.up_s, now_s)

    def _interruption(self, device: EndDevice, down_s: int, up_s: int | None, now_s: float) -> None:
        gasp_s, back_s = (now_s, None) if up_s is None else (None, now_s)
        self._open.batch.interruptions.append(
            (device.id, float(down_s), None if up_s is None else float(up_s), gasp_s, back_s)
        )

    def _state(self, device: EndDevice, decoders: MqttDecoders, payload: bytes, now_s: float) -> None:
        state = decoders.state(payload)
        time_s = state.device_time_s
        if time_s is not None and not _YEAR_2000_S <= time_s <= now_s + _AHEAD_S:
            raise _implausible(time_s)
        earlier = self._open.batch.states.get(device.id)
        boot = state.boot if state.boot is not None or earlier is None else earlier[2]
        device_time_s = float(time_s) if time_s is not None else (earlier[3] if earlier else None)
        self._open.batch.states[device.id] = (device.id, state.online, boot, device_time_s, now_s)
        if state.online:
            self._recovery.returned(device.index, now_s)
        else:
            self._recovery.went_offline(device.index)

    def _profile(self, device: EndDevice, decoders: MqttDecoders, payload: bytes, now_s: float) -> None:
        part = decoders.profile(payload)
        length_s = part.interval_length_s
        if not _YEAR_2000_S <= part.from_s <= part.to_s <= now_s + _AHEAD_S:
            raise _implausible(part.from_s)
        for reading in part.readings:
            self._add(device, reading, length_s, writer.RECOVERED, now_s)
        self._outages.recovered(part.from_s, part.to_s)
        answer = self._recovery.answered(device.index, part, now_s)
        if answer is not None:
            batch = self._open.batch
            batch.finished_commands.append((answer.command_id, "answered", None, now_s))
            batch.gaps += [
                (device.id, float(start_s), length_s, reason, answer.command_id, now_s)
                for start_s, reason in answer.gaps
            ]

    def _bury(self, topic: str, payload: bytes, error: DecodeError, now_s: float) -> None:
        limit = self._settings.payload_max_bytes
        detail = error.detail
        if len(payload) > limit:
            detail = f"{detail}; kept are the first {limit}, SHA-256 of all {hashlib.sha256(payload).hexdigest()}"
        pending = self._open
        # Details quote what was sent; text columns hold no NUL.
        detail = detail.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
        pending.batch.dead_letters.append((uuid.uuid4(), now_s, topic, bytes(payload[:limit]), error.reason, detail))
        pending.dead[error.reason] = pending.dead.get(error.reason, 0) + 1


def _implausible(time_s: int) -> DecodeError:
    return DecodeError("implausible_time", f"{time_s} s is before the year 2000 or more than a day ahead of the clock")
