"""Messages of edge nodes in the order of their `seq`, where a Reorder Timeout is set (Sparkplug 3.0, chapter 5). Pure.

One broker keeps the order of a connection; bridged or clustered ones may not. A message that comes before one that is
missing waits for it. After the timeout, what waits is handed on as it is, and the session asks for a rebirth.
All instants are epoch s.
"""

import math
from collections.abc import Set
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import DecodeError as NotProtobuf

from headend.links.sparkplug.schema import PayloadMessage
from headend.links.sparkplug.session import BDSEQ

#: Topic and payload.
Message = tuple[str, bytes]

_MODULUS = 256
_AHEAD = 64
"""What is further ahead is not out of order: the session is another. So many messages wait at most."""
_ORDERED = frozenset(("NDATA", "DBIRTH", "DDATA", "DDEATH"))


@dataclass(slots=True)
class _Line:
    """Of one edge node. `expected` is None while nothing is known of its session, whose number is `bdseq`; `waiting`:
    until when, and what."""

    expected: int | None = None
    bdseq: int | None = None
    waiting: dict[int, tuple[float, Message]] = field(default_factory=dict)

    def in_order(self) -> list[Message]:
        """What follows without a gap."""
        found = []
        while self.expected is not None and self.expected in self.waiting:
            found.append(self.waiting.pop(self.expected)[1])
            self.expected = (self.expected + 1) % _MODULUS
        return found

    @property
    def due_s(self) -> float:
        """Until when somebody waits; endless if nobody does."""
        return min((due_s for due_s, _ in self.waiting.values()), default=math.inf)

    def given_up(self) -> list[Message]:
        """All that waits, by its number, with its gaps."""
        expected = self.expected or 0
        ahead = sorted((seq - expected) % _MODULUS for seq in self.waiting)
        found = [self.waiting[(expected + distance) % _MODULUS][1] for distance in ahead]
        if ahead:
            self.expected = (expected + ahead[-1] + 1) % _MODULUS
        self.waiting.clear()
        return found


class Reordering:
    """`edges`: those that are known; messages of others, and all without a timeout, are handed on as they come."""

    def __init__(self, edges: Set[str], timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._lines = {edge: _Line() for edge in edges} if timeout_s else {}

    def heard(self, topic: str, payload: bytes, now_s: float) -> list[Message]:
        """What is in order with this message; nothing if it has to wait."""
        message = (topic, payload)
        parts = topic.split("/")
        line = self._lines.get(parts[3]) if len(parts) in (4, 5) else None
        if line is None:
            return [message]
        if parts[2] in ("NBIRTH", "NDEATH"):
            bdseq = _bdseq_of(payload)
            if parts[2] == "NDEATH" and line.expected is not None and bdseq != line.bdseq:
                # Of an earlier session: a will that comes late ends nothing.
                return [message]
            before = line.given_up()
            seq = _seq_of(payload) if parts[2] == "NBIRTH" else None
            line.expected, line.bdseq = None if seq is None else (seq + 1) % _MODULUS, bdseq
            return [*before, message]
        seq = _seq_of(payload) if parts[2] in _ORDERED and line.expected is not None else None
        if seq is None or line.expected is None:
            return [message]
        ahead = (seq - line.expected) % _MODULUS
        if ahead >= _MODULUS - _AHEAD or seq in line.waiting:
            # Too late, or said twice: the session judges.
            return [message]
        if ahead >= _AHEAD:
            before = line.given_up()
            line.expected = (seq + 1) % _MODULUS
            return [*before, message]
        line.waiting[seq] = now_s + self._timeout_s, message
        return line.in_order()

    def next_due_s(self) -> float | None:
        """When `overdue` has something."""
        return min((line.due_s for line in self._lines.values() if line.waiting), default=None)

    def overdue(self, now_s: float) -> list[Message]:
        """What has waited too long."""
        late = [line for line in self._lines.values() if line.due_s <= now_s]
        return [message for line in late for message in line.given_up()]

    def give_up(self) -> list[Message]:
        """All that waits: the connection is gone, and what becomes of the sessions is not known."""
        found = [message for line in self._lines.values() for message in line.given_up()]
        for line in self._lines.values():
            line.expected = None
        return found


def _seq_of(payload: bytes) -> int | None:
    """None where there is none that a session could take."""
    message = _parsed(payload)
    return message.seq if message is not None and message.HasField("seq") and message.seq < _MODULUS else None


def _bdseq_of(payload: bytes) -> int | None:
    message = _parsed(payload)
    metrics = [] if message is None else [metric for metric in message.metrics if metric.name == BDSEQ]
    return (metrics[0].long_value or metrics[0].int_value) if metrics else None


def _parsed(payload: bytes) -> Any:
    try:
        return PayloadMessage.FromString(payload)
    except NotProtobuf:
        return None
