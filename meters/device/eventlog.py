"""The event logs of a shard: each event is numbered, kept with the grant in which it came up, and then pushed.

An event that comes up while its meter is offline is pushed after the next connection. A last gasp is not: sent late it
would be no last gasp, and the power restore that follows says the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import orjson

from meters.device.clock import Clocks
from meters.device.memory import Memory
from meters.device.records import Event, EventCode
from meters.device.state import ShardState, field


class EventLog:
    """Events behind the fields `event_sequence` and `pushed_sequence` of a shard's state."""

    def __init__(self, state: ShardState, clocks: Clocks, memory: Memory) -> None:
        self._sequence = field(state, "event_sequence")
        self._pushed = field(state, "pushed_sequence")
        self._clocks = clocks
        self._memory = memory
        self._fresh: list[Event] = []

    def enter(self, row: int, code: EventCode, detail: Mapping[str, object], true_s: int) -> None:
        """A new event at `true_s`. It is to be taken and committed before it is published."""
        self._sequence[row] += 1
        device_s = math.floor(self._clocks.shown(row, true_s))
        text = orjson.dumps(detail).decode()
        self._fresh.append(Event(row, int(self._sequence[row]), code, device_s, float(true_s), text))

    def take(self) -> list[Event]:
        """The events entered since the last call, for the commit of the grant."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def pending(self, row: int) -> list[Event]:
        """What came up while the meter, now online, was not, as far as it is still worth telling."""
        told = int(self._pushed[row])
        if told >= self._sequence[row]:
            return []
        return [event for event in self._memory.events_after(row, told) if event.code != EventCode.LAST_GASP]

    def told(self, event: Event) -> None:
        """The event was pushed. Kept with the meter's next commit only: pushed twice, it carries the same number."""
        self._pushed[event.meter] = event.sequence
