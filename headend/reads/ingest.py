"""From messages to committed rows, and only then to acknowledgements.

Messages of all links collect in an open batch while the batch before is being written; the rate of the broker and the
speed of the database find their batch size by themselves. When too much is pending, the sockets are left unread.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from headend.clock import Clock
from headend.drivers import DecodeError
from headend.links.mqtt import MqttLink
from headend.metrics import LatencyHistogram, Metrics
from headend.outages.watch import OutageWatch
from headend.reads.dead_letters import DeadLetters
from headend.reads.record import Recorder
from headend.settings import HeadEndSettings
from headend.store import writer
from headend.store.commit import commit
from headend.store.database import Database
from headend.store.writer import Batch

#: Records one message: (topic, payload, now_s). Raises DecodeError.
Receiver = Callable[[str, bytes, float], None]


@dataclass(slots=True)
class _Pending:
    """An open batch and what is owed for it once it is committed."""

    batch: Batch = field(default_factory=Batch)
    messages: int = 0
    size_bytes: int = 0
    owed: dict[MqttLink, list[int]] = field(default_factory=dict)
    arrivals: list[tuple[float, int]] = field(default_factory=list)
    fences: list[str] = field(default_factory=list)
    uncounted: int = 0
    dead: dict[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.messages or self.batch)

    @property
    def size(self) -> int:
        """Messages, or rows if these are more: one message may come to many."""
        return max(self.messages, self.batch.size)


class Ingest:
    """Everything between the links and the tables."""

    def __init__(
        self,
        settings: HeadEndSettings,
        clock: Clock,
        recorder: Recorder,
        outages: OutageWatch,
        database: Database,
        metrics: Metrics,
        *,
        letters: DeadLetters,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._recorder = recorder
        self._outages = outages
        self._database = database
        self._metrics = metrics
        self._letters = letters
        self._links: list[MqttLink] = []
        self._open = _Pending(recorder.batch)
        self._writing = False
        self._throttled = False
        self._chunk_messages = 0
        self._chunk_at_s = 0.0
        self._urgent = False
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._fences: dict[str, tuple[MqttLink, asyncio.Future[bool]]] = {}
        self._latencies = LatencyHistogram()
        self._busy_s = 0.0
        self._busy_until_s = 0.0
        #: Totals of this life; our own fences do not count.
        self.received = 0
        self.messages = 0
        self.rows = 0

    def attach(self, link: MqttLink) -> None:
        """A link that is paused when too much is pending."""
        self._links.append(link)

    def stats(self) -> dict[str, object]:
        """messages, rows, busy_s (wall s with something pending), receive_to_commit_ms {p50, p95, p99, max}."""
        return {
            "messages": self.messages,
            "rows": self.rows,
            "busy_s": self._busy_s,
            "receive_to_commit_ms": self._latencies.as_ms(),
            "latency_histogram": self._latencies.to_dict(),
        }

    def stored(self, rows: int) -> None:
        """So many interval rows were committed past the messages: those of polled meters."""
        self.rows += rows

    # From the links.

    def receive(
        self, receiver: Receiver, topic: str, payload: bytes, *, link: MqttLink | None = None, packet_id: int = 0
    ) -> None:
        """Let `receiver` record one message in the open batch; when that is committed, `link` acknowledges it."""
        if not self._chunk_messages:
            self._chunk_at_s = time.perf_counter()
        self._chunk_messages += 1
        pending = self._open
        # QoS 0, which somebody else may send, has no packet identifier and wants no answer.
        if packet_id and link is not None:
            pending.owed.setdefault(link, []).append(packet_id)
        pending.size_bytes += len(payload)
        now_s = self._clock.now()
        try:
            if len(payload) > self._settings.payload_max_bytes:
                raise DecodeError("oversized", f"{len(payload)} bytes")
            receiver(topic, payload, now_s)
        except DecodeError as error:
            self._bury(topic, payload, error, now_s)

    def fence_read(self, token: str) -> None:
        """The message that is being received is a fence of ours, which does not count."""
        self._open.fences.append(token)
        self.not_ours()

    def not_ours(self) -> None:
        """The message that is being received was not sent to us."""
        self._open.uncounted += 1
        self.received -= 1

    def chunk_read(self) -> None:
        """A link has handed over all that one read gave."""
        if not self._chunk_messages:
            return
        pending = self._open
        pending.messages += self._chunk_messages
        self.received += self._chunk_messages
        pending.arrivals.append((self._chunk_at_s, self._chunk_messages))
        self._chunk_messages = 0
        self._idle.clear()
        self._wake.set()
        if pending.fences or pending.size >= self._settings.batch_max_rows:
            self._hurry.set()
        if (
            pending.size >= self._settings.pending_max_messages
            or pending.size_bytes >= self._settings.pending_max_bytes
        ):
            self._throttled = True
            for link in self._links:
                link.pause()

    def recorded(self) -> None:
        """Something other than a message was recorded: let it be written."""
        self._idle.clear()
        self._wake.set()

    def connection_lost(self, link: MqttLink | None = None) -> None:
        """What is not acknowledged will come again; packet identifiers of the old connection are void. None: of all."""
        for lost in self._links if link is None else [link]:
            self._open.owed.pop(lost, None)
            for token, (fenced, future) in list(self._fences.items()):
                if fenced is lost:
                    del self._fences[token]
                    if not future.done():
                        future.set_result(False)

    # For the service.

    def expect_fence(self, token: str, link: MqttLink) -> asyncio.Future[bool]:
        """A future that is True when the fence and all before it are committed, False when the connection is lost."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._fences[token] = link, future
        return future

    async def flush(self) -> None:
        """Wait until everything received so far is committed."""
        while self._open or self._writing:
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
            while self._open:
                await self._gather()
                pending, self._open = self._open, _Pending()
                self._recorder.batch = self._open.batch
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
            full = self._open.size >= self._settings.batch_max_rows
            if self._urgent or self._open.fences or full or left_s <= 0:
                return
            self._hurry.clear()
            try:
                async with asyncio.timeout(min(left_s, self._settings.batch_quiet_s)):
                    await self._hurry.wait()
            except TimeoutError:
                if self._open.messages == seen:
                    return

    async def _commit(self, pending: _Pending) -> None:
        generations = {link: link.generation for link in pending.owed}
        self._metrics.pending.set(pending.messages)
        written = writer.Written(0, 0, 0)
        if pending.batch:
            written = await commit(self._database, pending.batch, self._clock)
            if pending.batch.interruptions:
                self._outages.reported(self._clock.now())
        for link, packet_ids in pending.owed.items():
            if link.generation == generations[link]:
                link.acknowledge(packet_ids)
        if pending.batch:
            self._count(pending, written)
        for token in pending.fences:
            _, future = self._fences.pop(token, (None, None))
            if future is not None and not future.done():
                future.set_result(True)
        if self._throttled:
            self._throttled = False
            for link in self._links:
                link.resume()

    def _count(self, pending: _Pending, written: writer.Written) -> None:
        done_s = time.perf_counter()
        metrics = self._metrics
        # What was recorded without a message was on its way for no time.
        first_s = pending.arrivals[0][0] if pending.arrivals else done_s
        for arrived_s, count in pending.arrivals:
            self._latencies.add(done_s - arrived_s, count)
        self._busy_s += done_s - max(first_s, self._busy_until_s)
        self._busy_until_s = done_s
        messages = pending.messages - pending.uncounted
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
        for _, _, _, reason, *_ in pending.batch.implausible:
            metrics.implausible.labels(reason).inc()
        for (_, reason, _), dropped in pending.batch.dropped.items():
            metrics.dropped.labels(reason).inc(dropped.copies)
        if written.too_many:
            metrics.dropped.labels("too_many_revisions").inc(written.too_many)
        if written.refused:
            metrics.dead_letters.labels("refused_by_database").inc(written.refused)

    def _bury(self, topic: str, payload: bytes, error: DecodeError, now_s: float) -> None:
        pending = self._open
        if self._letters.bury(pending.batch, topic, payload, error, now_s):
            pending.dead[error.reason] = pending.dead.get(error.reason, 0) + 1
