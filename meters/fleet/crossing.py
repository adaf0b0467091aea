"""Carries frames between meters and broker by the model of meters/radio, and keeps what became of each.

Upwards a frame crosses the medium to the collector, and from there the backhaul; downwards the other way round. What
arrives is handed over in whole seconds, meter reads in coarser steps: they are so many that nearly each second would be
a grant.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meters.device.state import NEVER_S, Rows, field
from meters.device.supply import Phase
from meters.fleet.air import Air
from meters.fleet.collectors import Collectors
from meters.fleet.core import Core
from meters.fleet.deliveries import Deliveries, frame_records
from meters.fleet.media import Medium
from meters.fleet.parts import Timers
from meters.radio.backhaul import Backhaul
from meters.radio.faults import NetworkFault, NetworkFaults
from meters.radio.frames import Frames
from meters.radio.passage import Cause, DeliveryClass, Direction, Passage

READS_EVERY_S = 60
"""Meter reads that reach the broker are handed over at multiples of it. An assumption of amilab's."""

# Sizes on the air are assumptions of amilab's: there is no wire between collector and meter.
HEAD_BYTES = 40
"""Of any frame: addresses, security, and what it is."""
INTERVAL_BYTES = 24
"""Of an interval in a block: differences of registers, of what a meter measures besides, and a status."""
REGISTERS_BYTES = 120

Arrive = Callable[[Rows], Awaitable[NDArray[np.bool_]]]
"""Hand over those (k,) of the frames of a call: whether each (k,) could be."""


@dataclass(frozen=True, slots=True, eq=False)
class Sent:
    """Frames of one call, of one collector and class. `records`: of FILED; `arrive` gets indices into them."""

    number: int
    delivery_class: DeliveryClass
    records: NDArray[np.void]
    arrive: Arrive


@dataclass(frozen=True, slots=True, eq=False)
class UnderWay:
    """Some frames of `sent` that reach the collector, or their receiver, at the same second, each `at_s` (k,).

    `again`: they have arrived before.
    """

    sent: Sent
    which: Rows
    at_s: NDArray[np.float64]
    at_collector: bool
    again: bool = False


class Crossing:
    """The frames of a shard's meters; `media[c]` is that of collector c."""

    def __init__(
        self,
        core: Core,
        collectors: Collectors,
        media: Sequence[Medium],
        backhaul: Backhaul,
        deliveries: Deliveries,
        *,
        faults: NetworkFaults,
        hold_up_s: float,
    ) -> None:
        """`hold_up_s`: how long a meter can send without supply."""
        self._core = core
        self._collectors = collectors
        self._media = media
        self._backhaul = backhaul
        self._air: Air[UnderWay] = Air()
        self.faults = faults
        self.changes = np.zeros(len(media), dtype=np.int64)
        """(c,) counts what has changed of each medium: who has supply, and what disturbs it."""
        self._fault_due_s = np.full(1, NEVER_S)
        self._hold_up_s = hold_up_s
        self.deliveries = deliveries
        self._lit = [np.ones(0, dtype=bool)] * len(media)
        self._running = np.zeros(len(media), dtype=bool)
        self._energised = field(core.state, "energised")
        self._phase = field(core.state, "phase")
        self._down_at_s = field(core.state, "down_at_s")
        self._follow_faults()

    def timers(self) -> Timers:
        """When something arrives, and when a fault begins or ends."""
        return self._air.due_s, self._fault_due_s

    def up(
        self,
        rows: Rows,
        delivery_class: DeliveryClass,
        about: NDArray[np.int64],
        size_bytes: NDArray[np.int64],
        arrive: Arrive,
        *,
        intervals: NDArray[np.int64] | int = 0,
    ) -> NDArray[np.bool_]:
        """Frames of meters of one collector that are sent now: which (m,) reach it."""
        number = int(self._collectors.of_row[rows[0]])
        frames = self._frames(number, rows, delivery_class, about, size_bytes, float(self._core.now_s))
        passage = self.medium(number).up(frames, self._down_at_s[rows] + self._hold_up_s)
        sent = self._sent(number, rows, frames, passage, Direction.UP, arrive, intervals=intervals)
        self._put(sent, passage.arrives_s, at_collector=True)
        self._put(sent, passage.again_s, at_collector=True, again=True)
        return passage.arrives

    def down(self, row: int, delivery_class: DeliveryClass, about: int, size_bytes: int, arrive: Arrive) -> None:
        """A frame to a meter, which the broker hands to its collector now."""
        number = int(self._collectors.of_row[row])
        rows, abouts, sizes = np.array([row]), np.array([about]), np.array([size_bytes])
        now_s = float(self._core.now_s)
        frames = self._frames(number, rows, delivery_class, abouts, sizes, now_s)
        there_s = self._backhaul.down(frames.at(number, now_s)).arrives_s
        passage = self.medium(number).down(frames.at(frames.rows, there_s))
        sent = self._sent(number, rows, frames, passage, Direction.DOWN, arrive)
        self._put(sent, passage.arrives_s, at_collector=False)
        self._put(sent, passage.again_s, at_collector=False, again=True)

    def unsent(
        self,
        rows: Rows,
        delivery_class: DeliveryClass,
        about: NDArray[np.int64],
        cause: Cause,
        *,
        intervals: NDArray[np.int64] | int = 0,
    ) -> None:
        """Frames that were due now, but could not even be sent."""
        self.deliveries.sent(
            frame_records(
                len(rows),
                row=rows,
                direction=Direction.UP,
                delivery_class=delivery_class,
                cause=cause,
                about=about,
                lit=self._energised[rows],
                sent_s=self._core.now_s,
                intervals=intervals,
            )
        )

    def follow_supply(self, numbers: Rows) -> None:
        """Tell the media of these collectors who has supply, where that has changed."""
        for number in np.unique(numbers).tolist():
            self.medium(number)

    def note(self, numbers: Rows) -> None:
        """Something else has changed for these collectors' meters: their own link."""
        self.changes[numbers] += 1

    def disturb(self, fault: NetworkFault) -> None:
        """A fault of the network is known from now on."""
        self.faults.add(fault)
        self._follow_faults()

    def _follow_faults(self) -> None:
        self.changes += 1
        for medium in self._media:
            medium.disturb(self.faults, self._core.now_s)
        self._fault_due_s[0] = self.faults.next_change_s(self._core.now_s)

    async def land(self, now_s: int) -> None:
        """Hand over what has arrived by now."""
        if self._fault_due_s[0] <= now_s:
            self._follow_faults()
        while arrived := self._air.take(now_s):
            for item in arrived:
                if item.at_collector:
                    self._onward(item)
                else:
                    await self._hand_over(item, now_s)

    def _onward(self, item: UnderWay) -> None:
        """From the collector to the broker."""
        sent = item.sent
        if not self._collectors.state["powered"][sent.number]:
            if not item.again:
                self._lose(sent, item.which, Cause.COLLECTOR)
            return
        own = sent.records[item.which]
        frames = Frames.of(
            np.full(len(own), sent.number), item.at_s, sent.delivery_class, own["about"], own["bytes"].astype(np.int64)
        )
        at_s = np.full(len(sent.records), np.inf)
        passage = self._backhaul.up(frames)
        at_s[item.which] = passage.arrives_s
        slow = (passage.cause != Cause.ON_TIME) & (own["cause"] == Cause.ON_TIME)
        sent.records["cause"][item.which[slow]] = passage.cause[slow]
        self._put(sent, at_s, at_collector=False, again=item.again)

    async def _hand_over(self, item: UnderWay, now_s: int) -> None:
        done = await item.sent.arrive(item.which)
        if item.again:
            return
        records = item.sent.records
        records["arrived_s"][item.which[done]] = now_s
        self.deliveries.concluded(records[item.which[done]])
        if not done.all():
            up = records["direction"][0] == Direction.UP
            powered = bool(self._collectors.state["powered"][item.sent.number])
            cause = (Cause.BACKHAUL if powered else Cause.COLLECTOR) if up else Cause.DARK
            self._lose(item.sent, item.which[~done], cause)

    def _lose(self, sent: Sent, which: Rows, cause: Cause) -> None:
        sent.records["cause"][which] = cause
        self.deliveries.concluded(sent.records[which])

    def _sent(
        self,
        number: int,
        rows: Rows,
        frames: Frames,
        passage: Passage,
        direction: Direction,
        arrive: Arrive,
        *,
        intervals: NDArray[np.int64] | int = 0,
    ) -> Sent:
        """Keep that they are sent; those that never arrive with the reason at once."""
        records = frame_records(
            len(rows), row=rows, direction=direction, delivery_class=frames.delivery_class, hops=passage.hops,
            attempts=passage.attempts, lit=self._energised[rows], about=frames.about, sent_s=frames.sent_s,
            bytes=np.where(passage.attempts > 0, frames.size_bytes, 0), intervals=intervals,
        )  # fmt: skip
        records["cause"] = np.where(passage.arrives, np.uint8(Cause.COLLECTOR), passage.cause)
        self.deliveries.sent(records)
        mine = records.copy()
        mine["cause"] = passage.cause
        return Sent(number, DeliveryClass(int(frames.delivery_class[0])), mine, arrive)

    def _put(self, sent: Sent, at_s: NDArray[np.float64], *, at_collector: bool, again: bool = False) -> None:
        """Frames (m,) that are there at these instants; inf: never."""
        step_s = READS_EVERY_S if sent.delivery_class is DeliveryClass.READ else 1
        together: defaultdict[int, list[int]] = defaultdict(list)
        for place in np.flatnonzero(np.isfinite(at_s)).tolist():
            together[math.ceil(at_s[place] / step_s) * step_s].append(place)
        for due_s, places in sorted(together.items()):
            which = np.array(places, dtype=np.intp)
            first = which[np.argmin(at_s[which])]
            order = (sent.delivery_class.rank, float(at_s[first]), float(sent.records["row"][first]))
            item = UnderWay(sent, which, at_s[which], at_collector, again)
            self._air.put(max(due_s, self._core.now_s), order, item)

    def _frames(
        self,
        number: int,
        rows: Rows,
        delivery_class: DeliveryClass,
        about: NDArray[np.int64],
        size_bytes: NDArray[np.int64],
        sent_s: float,
    ) -> Frames:
        return Frames.of(rows - self._collectors.first[number], sent_s, delivery_class, about, size_bytes)

    def medium(self, number: int) -> Medium:
        """That of a collector, which knows who has supply."""
        own = self._collectors.span(number)
        lit = self._energised[own] & (self._phase[own] == Phase.ON)
        running = bool(self._collectors.state["powered"][number])
        if running != self._running[number] or not np.array_equal(lit, self._lit[number]):
            self._lit[number], self._running[number] = lit, running
            self.changes[number] += 1
            dark_since_s = np.where(self._energised[own], np.nan, self._down_at_s[own])
            self._media[number].supply(lit, running, self._core.now_s, dark_since_s)
        return self._media[number]
