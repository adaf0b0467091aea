"""The life of an edge node's session, as the specification has it (Sparkplug 3.0, chapter 5). Pure.

Each connection raises `bdSeq`, and its will and its NBIRTHs carry that number. NBIRTH has `seq` 0, every message after
it the next one. An edge node that has a primary host is born only while that host says that it is online.
"""

from __future__ import annotations

from enum import Enum, auto

import orjson

_MODULUS = 256
FIRST_BD_SEQ_AFTER = _MODULUS - 1
"""What an edge node that was never connected has as its `bd_seq`: the first connection's is 0."""


class Move(Enum):
    """What a STATE of the host asks of the edge node."""

    STAY = auto()
    BE_BORN = auto()
    LEAVE = auto()
    """Publish NDEATH, disconnect, connect again and wait."""


class Session:
    """One edge node's, over all its connections."""

    def __init__(self, bd_seq: int, *, has_host: bool) -> None:
        self.bd_seq = bd_seq
        self.born = False
        """Whether NBIRTH was published over the present connection."""
        self._has_host = has_host
        self._host_online = False
        self._online_since_ms = 0
        self._host_said_ms = 0
        self._seq = 0

    def connecting(self) -> None:
        """A connection is about to be made: its will has the new `bd_seq`."""
        self.bd_seq = (self.bd_seq + 1) % _MODULUS
        self.ended()

    def ended(self) -> None:
        """The connection is gone. What the host says now, the next one will tell."""
        self.born = False
        self._host_online = False

    @property
    def may_be_born(self) -> bool:
        return self._host_online or not self._has_host

    def be_born(self) -> None:
        """NBIRTH is published, with `seq` 0: at first, or once more."""
        self.born = True
        self._seq = 0

    def next_seq(self) -> int:
        """The `seq` of the next message after NBIRTH."""
        self._seq = (self._seq + 1) % _MODULUS
        return self._seq

    def on_state(self, payload: bytes) -> Move:
        """The host's STATE. One that is no such thing, or that is older than what was said before, changes nothing."""
        said = _parse(payload)
        if said is None or not self._has_host:
            return Move.STAY
        online, timestamp_ms = said
        # An `online` is older than whatever was said before, an `offline` than the last `online` (5.4).
        if timestamp_ms < (self._host_said_ms if online else self._online_since_ms):
            return Move.STAY
        self._host_said_ms = max(self._host_said_ms, timestamp_ms)
        was_online, self._host_online = self._host_online, online
        if online:
            self._online_since_ms = timestamp_ms
            return Move.STAY if was_online else Move.BE_BORN
        return Move.LEAVE if was_online else Move.STAY


def _parse(payload: bytes) -> tuple[bool, int] | None:
    try:
        state = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(state, dict):
        return None
    online, timestamp_ms = state.get("online"), state.get("timestamp")
    if not isinstance(online, bool) or not isinstance(timestamp_ms, int) or isinstance(timestamp_ms, bool):
        return None
    return online, timestamp_ms
