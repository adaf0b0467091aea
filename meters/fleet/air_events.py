"""Events of meters on their way to the broker through a communications network: told, lost, and told again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from meters.device.records import Event, EventCode
from meters.device.state import Rows
from meters.fleet.attempts import Attempts
from meters.fleet.crossing import HEAD_BYTES, Crossing
from meters.fleet.last_mile import Sayings
from meters.fleet.telling import Telling
from meters.fleet.urgency import CLASS_OF
from meters.radio.passage import Cause, DeliveryClass


class AirEvents:
    """Events of a shard. What is lost, `attempts` has tried again; `found` hears which meters were heard."""

    def __init__(self, sayings: Sayings, crossing: Crossing, attempts: Attempts, found: Callable[[Rows], None]) -> None:
        self._say = sayings
        self._crossing = crossing
        self._attempts = attempts
        self._found = found
        self._telling = Telling(sayings.record)

    def tell_untold(self, rows: Rows) -> None:
        """What these meters, whom their collectors can reach, still have to tell."""
        untold = [event for row in rows.tolist() for event in self._telling.untold(row)]
        self.send(untold, historical=True)

    def send(self, events: Sequence[Event], *, historical: bool) -> None:
        """Events of such meters; who is not heard, or has supply but no way, tries later."""
        for delivery_class, group in self._together(events):
            self._send_together(delivery_class, group, historical=historical)

    def unlinked(self, events: Sequence[Event]) -> None:
        """Events of meters whose link to the collector is lost. They are told when it is back."""
        for delivery_class, group in self._together(events):
            self._crossing.unsent(_rows(group), delivery_class, _sequences(group), Cause.RADIO)

    def _together(self, events: Sequence[Event]) -> Iterator[tuple[DeliveryClass, list[Event]]]:
        """Those of one collector and class."""
        of_row = self._say.collectors.of_row
        together: defaultdict[tuple[int, DeliveryClass], list[Event]] = defaultdict(list)
        for event in events:
            together[int(of_row[event.meter]), CLASS_OF[EventCode(event.code)]].append(event)
        for (_, delivery_class), group in together.items():
            yield delivery_class, group

    def _send_together(self, delivery_class: DeliveryClass, events: Sequence[Event], *, historical: bool) -> None:
        rows, about = _rows(events), _sequences(events)
        size = np.array([HEAD_BYTES + len(event.detail) for event in events], dtype=np.int64)

        async def arrive(which: Rows) -> NDArray[np.bool_]:
            return np.array([self._heard(events[each], historical=historical) for each in which.tolist()], dtype=bool)

        for event in events:
            self._telling.sent(event)
        arrives = self._crossing.up(rows, delivery_class, about, size, arrive)
        for event, does in zip(events, arrives.tolist(), strict=True):
            if not does:
                self._telling.lost(event)
        if delivery_class is not DeliveryClass.GASP:
            self._attempts.later(rows[~arrives], self._say.core.now_s)

    def _heard(self, event: Event, *, historical: bool) -> bool:
        """An event would reach the broker now: whether the collector can say it."""
        row = event.meter
        if not self._say.voices.speaks(int(self._say.collectors.of_row[row])):
            self._telling.lost(event)
            return False
        self._found(np.array([row]))
        self._say.present(row)
        self._say.push(event, historical=historical)
        self._telling.arrived(event)
        earlier = [each for each in self._telling.untold(row) if each.sequence < event.sequence]
        self.send(earlier, historical=True)
        return True


def _rows(events: Sequence[Event]) -> Rows:
    return np.array([event.meter for event in events], dtype=np.intp)


def _sequences(events: Sequence[Event]) -> NDArray[np.int64]:
    return np.array([event.sequence for event in events], dtype=np.int64)
