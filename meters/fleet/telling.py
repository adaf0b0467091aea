"""Which events of meters have reached their collector, where some get lost on the way and others overtake them."""

from __future__ import annotations

from collections import defaultdict

from meters.device.records import Event
from meters.fleet.recording import Recording


class Telling:
    """Between a log that knows how far all was told, and a network in which the order does not hold.

    Nothing of it is kept: after a restart what was told out of order is told again, with the same numbers.
    """

    def __init__(self, record: Recording) -> None:
        self._record = record
        self._on_way: defaultdict[int, set[int]] = defaultdict(set)
        """Sequences of each meter."""
        self._ahead: defaultdict[int, set[int]] = defaultdict(set)
        """Sequences that were told of each meter while earlier ones were not."""

    def untold(self, row: int) -> list[Event]:
        """What a meter still has to tell, and is not on its way, by sequence."""
        return [event for event in self._record.pending(row) if not self._is_known(event)]

    def sent(self, event: Event) -> None:
        """It is on its way."""
        self._on_way[event.meter].add(event.sequence)

    def lost(self, event: Event) -> None:
        """It has not arrived, and is to be told again, if it is worth that."""
        self._on_way[event.meter].discard(event.sequence)

    def forget(self, row: int) -> None:
        """Nothing that the meter has sent arrives any more."""
        self._on_way.pop(row, None)

    def arrived(self, event: Event) -> None:
        """It has been told."""
        row = event.meter
        self._on_way[row].discard(event.sequence)
        ahead = self._ahead[row]
        ahead.add(event.sequence)
        told = None
        for earlier in self._record.pending(row):
            if earlier.sequence not in ahead:
                break
            told = earlier
        if told is not None:
            self._record.told(told)
            ahead -= {sequence for sequence in ahead if sequence <= told.sequence}

    def _is_known(self, event: Event) -> bool:
        return event.sequence in self._on_way[event.meter] or event.sequence in self._ahead[event.meter]
