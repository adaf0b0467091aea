"""From messages to rows of the open batch. What is committed, and only that, is acknowledged."""

import time
from collections.abc import Callable

from headend.clock import Clock
from headend.drivers import DecodeError
from headend.reads.committing import Committing
from headend.reads.dead_letters import DeadLetters
from headend.reads.pending import Source
from headend.reads.traffic import Traffic
from headend.settings import HeadEndSettings
from headend.store.batch import Batch

#: Records one message: (batch, topic, payload, now_s). Raises DecodeError.
Receiver = Callable[[Batch, str, bytes, float], None]


class Ingest:
    """What all links hand their messages to."""

    def __init__(self, settings: HeadEndSettings, clock: Clock, committing: Committing, letters: DeadLetters) -> None:
        self._settings = settings
        self._clock = clock
        self._committing = committing
        self._letters = letters
        self._traffic = Traffic()
        self._chunk_messages = 0
        self._chunk_at_s = 0.0
        #: Messages of this life; our own fences do not count.
        self.received = 0

    def attach(self, source: Source) -> None:
        """A source that is paused when too much is pending."""
        self._committing.attach(source)

    def receive(
        self,
        receiver: Receiver,
        topic: str,
        payload: bytes,
        *,
        source: Source | None = None,
        packet_id: int = 0,
        carrier: str = "",
    ) -> None:
        """Let `receiver` record one message in the open batch; when that is committed, `source` acknowledges it.

        :param carrier: the collector that brought it, if one did.
        """
        if not self._chunk_messages:
            self._chunk_at_s = time.perf_counter()
        self._chunk_messages += 1
        pending = self._committing.open
        # QoS 0, which somebody else may send, has no packet identifier and wants no answer.
        if packet_id and source is not None:
            pending.owed.setdefault(source, []).append(packet_id)
        pending.size_bytes += len(payload)
        now_s, others = self._clock.now(), pending.uncounted
        try:
            if len(payload) > self._settings.payload_max_bytes:
                raise DecodeError("oversized", f"{len(payload)} bytes")
            receiver(pending.batch, topic, payload, now_s)
        except DecodeError as error:
            if self._letters.bury(pending.batch, topic, payload, error, now_s):
                pending.dead[error.reason] = pending.dead.get(error.reason, 0) + 1
        else:
            if pending.uncounted == others:
                self._traffic.count(pending.batch, carrier, len(payload), now_s)

    def fence_read(self, token: str) -> None:
        """The message that is being received is a fence of ours, which does not count."""
        self._committing.open.fences.append(token)
        self.not_ours()

    def not_ours(self) -> None:
        """The message that is being received was not sent to us."""
        self._committing.open.uncounted += 1
        self.received -= 1

    def chunk_read(self) -> None:
        """A link has handed over all that one read gave."""
        if not self._chunk_messages:
            return
        pending = self._committing.open
        pending.messages += self._chunk_messages
        self.received += self._chunk_messages
        pending.arrivals.append((self._chunk_at_s, self._chunk_messages))
        self._chunk_messages = 0
        self._committing.added()

    def record(self, rows: Callable[[Batch], None]) -> None:
        """Let `rows` add to the open batch something other than a message."""
        self._committing.record(rows)

    def close(self) -> None:
        """Let nothing stay that was only counted."""
        self.record(self._traffic.flush)

    def connection_lost(self, source: Source) -> None:
        """What is not acknowledged will come again; packet identifiers of the old connection are void."""
        self._committing.lost(source)

    async def fence(self, source: Source, send: Callable[[str], None]) -> bool:
        """Send a token by `send`; True when `source` brought it and all before it is committed, False if it is lost.

        It is lost, too, when nobody commits any more.
        """
        token, passed = self._committing.fences.expect(source)
        send(token)
        return await passed
