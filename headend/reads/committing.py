"""The open batch, and the loop that commits it while the next one opens.

What arrives finds its batch size by itself: a batch grows while the one before is being written, and a little longer
where the sockets have more and nobody waits.
"""

import asyncio
from collections.abc import Callable

from headend.clock import Clock
from headend.log import logger
from headend.metrics import Metrics
from headend.reads.fences import Fences
from headend.reads.pending import Pending, Source
from headend.reads.totals import Totals
from headend.settings import HeadEndSettings
from headend.store.batch import Batch
from headend.store.commit import commit
from headend.store.database import Database
from headend.store.writer import Written


class Committing:
    """`on_committed(batch)` after each commit; `on_failure(error)` when the loop ends by a fault of ours."""

    def __init__(
        self,
        settings: HeadEndSettings,
        clock: Clock,
        database: Database,
        metrics: Metrics,
        *,
        on_committed: Callable[[Batch], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._database = database
        self._metrics = metrics
        self._on_committed = on_committed
        self._on_failure = on_failure
        self._sources: list[Source] = []
        self._throttled = False
        self._writing = False
        self._urgent = False
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._loop: asyncio.Task[None] | None = None
        #: What is open: whoever has something to be committed adds it here, and says so with `added`.
        self.open = Pending()
        self.fences: Fences[Source] = Fences()
        self.totals = Totals(metrics)

    def attach(self, source: Source) -> None:
        """A source that is paused when too much is pending."""
        self._sources.append(source)

    def record(self, rows: Callable[[Batch], None]) -> None:
        """Let `rows` add to the open batch something other than a message."""
        rows(self.open.batch)
        self.added()

    def added(self) -> None:
        """Something is in the open batch: let it be committed."""
        pending, settings = self.open, self._settings
        size = pending.size
        self._idle.clear()
        self._wake.set()
        if pending.fences or size >= settings.batch_max_rows:
            self._hurry.set()
        if size >= settings.pending_max_messages or pending.size_bytes >= settings.pending_max_bytes:
            self._throttled = True
            self._pause()

    def lost(self, source: Source | None) -> None:
        """What is not acknowledged will come again; packet identifiers of the old connection are void. None: of all."""
        for lost in self._sources if source is None else [source]:
            self.open.owed.pop(lost, None)
        self.fences.lost(source)

    def start(self) -> None:
        """Begin to commit."""
        self._loop = asyncio.create_task(self._run())
        self._loop.add_done_callback(self._ended)

    async def flush(self) -> None:
        """Wait until everything so far is committed; or nobody commits any more, by a fault that `on_failure` told."""
        while (self.open or self._writing) and self._loop is not None and not self._loop.done():
            self._urgent = True
            self._wake.set()
            self._hurry.set()
            self._idle.clear()
            await self._idle.wait()

    async def drain(self) -> None:
        """Take in nothing more, and commit what was received; what takes too long is left to the broker."""
        self._pause()
        try:
            async with asyncio.timeout(self._settings.stop_timeout_s):
                await self.flush()
        except TimeoutError:
            logger().warning("stopped with messages not yet committed: the broker will send them again")

    async def stop(self) -> None:
        """End, whatever is pending."""
        if self._loop is not None:
            self._loop.remove_done_callback(self._ended)
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
            self.fences.lost()
            self._idle.set()

    def _pause(self) -> None:
        for source in self._sources:
            source.pause()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self.open:
                await self._gather()
                pending, self.open = self.open, Pending()
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
            seen = self.open.messages
            left_s = deadline_s - loop.time()
            full = self.open.size >= self._settings.batch_max_rows
            if self._urgent or self.open.fences or full or left_s <= 0:
                return
            self._hurry.clear()
            try:
                async with asyncio.timeout(min(left_s, self._settings.batch_quiet_s)):
                    await self._hurry.wait()
            except TimeoutError:
                if self.open.messages == seen:
                    return

    async def _commit(self, pending: Pending) -> None:
        generations = {source: source.generation for source in pending.owed}
        self._metrics.pending.set(pending.messages)
        written = Written(0, 0, 0)
        if pending.batch:
            written = await commit(self._database, pending.batch, self._clock)
            self._on_committed(pending.batch)
        for source, packet_ids in pending.owed.items():
            if source.generation == generations[source]:
                source.acknowledge(packet_ids)
        if pending.batch:
            self.totals.committed(pending, written)
        self._metrics.pending.set(self.open.messages)
        self.fences.passed(pending.fences)
        if self._throttled:
            self._throttled = False
            for source in self._sources:
                source.resume()

    def _ended(self, loop: asyncio.Task[None]) -> None:
        if not loop.cancelled() and isinstance(error := loop.exception(), Exception):
            self._on_failure(error)
        self._idle.set()
