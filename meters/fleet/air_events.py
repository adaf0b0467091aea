"""Events of meters on their way to the broker through a communications network: told, lost, and told again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from meters.device.records import Event, EventCode
from meters.device.state import Rows
from meters.fleet.attempts import Attempts
from meters.fleet.crossing import HEAD_BYTES, Crossing
from meters.fleet.last_mile import Sayings
from meters.fleet.telling import Telling
from meters.fleet.urgency import CLASS_OF
from meters.radio.passage import DeliveryClass


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
        """Events of such meters; who has supply, but no way, tries later."""
        of_row, energised = self._say.collectors.of_row, self._say.core.state["energised"]
        together: defaultdict[tuple[int, DeliveryClass], list[Event]] = defaultdict(list)
        for event in events:
            together[int(of_row[event.meter]), CLASS_OF[EventCode(event.code)]].append(event)
        for (_, delivery_class), group in together.items():
            rows = np.array([event.meter for event in group], dtype=np.intp)
            sends = self._crossing.has_way(rows) | ~energised[rows]
            self._attempts.later(rows[~sends], self._say.core.now_s)
            sent = [event for event, able in zip(group, sends.tolist(), strict=True) if able]
            if sent:
                self._send_together(rows[sends], delivery_class, sent, historical=historical)

    def _send_together(
        self, rows: Rows, delivery_class: DeliveryClass, events: Sequence[Event], *, historical: bool
    ) -> None:
        about = np.array([event.sequence for event in events], dtype=np.int64)
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
