"""What meters say over a connection of their own, in the words of their vendor's wire.

A meter with a load profile reports each interval when it ends, tells its events, and answers commands. One that counts
reports what its registers show, whenever its clock shows a multiple of `registers_every_s`. What it could not report
then it never does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, cast

import numpy as np

from meters.carriers.wire import RecordingWire, ReportingWire, Said
from meters.device.facts import ReportingFacts
from meters.device.records import CommandAnswer, Event, EventCode, IntervalRecord, ProfileAnswer
from meters.device.state import NEVER_S, NO_ROWS
from meters.fleet.core import Core
from meters.fleet.counting import Counting
from meters.fleet.parts import Carrier
from meters.fleet.recording import Recording
from meters.fleet.telling import Telling
from meters.fleet.urgency import CLASS_OF
from meters.radio.passage import DeliveryClass

_PUBLISHES_PER_TURN = 256


class Lines(Carrier, Protocol):
    """The connections that a voice speaks over."""

    def online(self, row: int) -> bool:
        """Whether the meter is connected and subscribed."""
        ...

    @property
    def network(self) -> bool:
        """Whether what is published may come late, or get lost with the meter's RAM."""
        ...

    def publish(
        self,
        row: int,
        said: Said,
        delivery_class: DeliveryClass,
        about: int | None = None,
        arrived: Callable[[], None] | None = None,
    ) -> None:
        """The meter is reachable.

        `about`: the start of an interval or the sequence of an event; None of what answers a command. `arrived` is
        called when it is with the broker.
        """

    def unsent(self, rows: Sequence[int], delivery_class: DeliveryClass, about: Sequence[int]) -> None:
        """These meters are not reachable, and had intervals or events to say (m,)."""


class Voice(Protocol):
    """What is said, and when."""

    def device_time_s(self, row: int) -> int:
        """What the meter's clock shows, in whole seconds."""
        ...

    @property
    def registers_due_s(self) -> float:
        """When registers are said next; NEVER_S: they are not."""
        ...

    async def report_registers(self, now_s: int) -> None:
        """What they show at `now_s`."""

    async def report(self, records: Sequence[IntervalRecord]) -> None:
        """Intervals that have ended, of those meters that are reachable."""

    def tell(self, events: Sequence[Event]) -> None:
        """Events of those meters that are online."""

    def tell_pending(self, row: int) -> None:
        """What came up while the meter, now online, was not."""

    def hear(self, row: int, payload: bytes) -> None:
        """A message came in."""

    def answer(self, row: int, answer: ProfileAnswer | CommandAnswer) -> None:
        """To a command."""

    def forget(self, row: int) -> None:
        """The meter's RAM is lost, and what was not with the broker."""


class RecordingVoice:
    """Of meters with a load profile."""

    registers_due_s = NEVER_S

    def __init__(self, core: Core, record: Recording, wire: RecordingWire, lines: Lines) -> None:
        self._record = record
        self._wire = wire
        self._lines = lines
        self._interval_length_s = core.profile.facts.interval_length_s
        self._telling = Telling(record) if lines.network else None

    def device_time_s(self, row: int) -> int:
        return self._record.device_time_s(row)

    async def report_registers(self, now_s: int) -> None:
        """They go with the intervals."""

    async def report(self, records: Sequence[IntervalRecord]) -> None:
        unsent = [record for record in records if not self._lines.reachable(record.meter)]
        starts_s = [record.interval_start_s for record in unsent]
        self._lines.unsent([record.meter for record in unsent], DeliveryClass.READ, starts_s)
        for count, record in enumerate(records, start=1):
            if self._lines.reachable(record.meter):
                said = self._wire.reading(record, self._interval_length_s)
                self._lines.publish(record.meter, said, DeliveryClass.READ, record.interval_start_s)
            if count % _PUBLISHES_PER_TURN == 0:
                await asyncio.sleep(0)

    def tell(self, events: Sequence[Event]) -> None:
        for event in events:
            # A push may find that the connection is gone.
            if self._lines.online(event.meter):
                self._publish(event)
            else:
                self._lines.unsent([event.meter], CLASS_OF[EventCode(event.code)], [event.sequence])

    def tell_pending(self, row: int) -> None:
        self.tell(self._record.pending(row) if self._telling is None else self._telling.untold(row))

    def _publish(self, event: Event) -> None:
        said, delivery_class = self._wire.event(event), CLASS_OF[EventCode(event.code)]
        if self._telling is None:
            self._lines.publish(event.meter, said, delivery_class, event.sequence)
            self._record.told(event)
        else:
            self._telling.sent(event)
            arrived = partial(self._telling.arrived, event)
            self._lines.publish(event.meter, said, delivery_class, event.sequence, arrived)

    def forget(self, row: int) -> None:
        if self._telling is not None:
            self._telling.forget(row)

    def hear(self, row: int, payload: bytes) -> None:
        self._record.obey(row, payload, self._lines)

    def answer(self, row: int, answer: ProfileAnswer | CommandAnswer) -> None:
        if isinstance(answer, CommandAnswer):
            self._lines.publish(row, self._wire.answer(answer), DeliveryClass.CONTROL)
            return
        for said in self._wire.load_profile(answer):
            self._lines.publish(row, said, DeliveryClass.READ)


class ReportingVoice:
    """Of meters that count. Their clocks are right to the second."""

    def __init__(self, core: Core, record: Counting, wire: ReportingWire, lines: Lines) -> None:
        self._core = core
        self._record = record
        self._wire = wire
        self._lines = lines
        self._every_s = cast(ReportingFacts, core.profile.facts).registers_every_s
        self._next_s = self._after(core.now_s - 1)

    def device_time_s(self, _row: int) -> int:
        return self._core.now_s

    @property
    def registers_due_s(self) -> float:
        # Before the first frame they show nothing.
        return NEVER_S if self._core.physics is None else self._next_s

    async def report_registers(self, now_s: int) -> None:
        self._next_s = self._after(now_s)
        everybody = self._core.everybody
        reachable = np.array([self._lines.reachable(row) for row in everybody.tolist()], dtype=bool)
        mute = everybody[~reachable & self._core.state["energised"]].tolist()
        self._lines.unsent(mute, DeliveryClass.READ, [now_s - self._every_s] * len(mute))
        rows = everybody[reachable]
        if not len(rows):
            return
        # Whoever goes on from this memory must not go back behind what was said.
        self._core.commit(NO_ROWS)
        for first in range(0, len(rows), _PUBLISHES_PER_TURN):
            part = rows[first : first + _PUBLISHES_PER_TURN]
            for row, quantities in zip(part.tolist(), self._record.shown(part, now_s), strict=True):
                if not self._lines.reachable(row):
                    continue
                for said in self._wire.report(self._core.entries[row].serial, now_s, quantities):
                    self._lines.publish(row, said, DeliveryClass.READ, now_s - self._every_s)
            await asyncio.sleep(0)

    async def report(self, records: Sequence[IntervalRecord]) -> None:
        """They have no intervals."""

    def tell(self, events: Sequence[Event]) -> None:
        """They have no events."""

    def tell_pending(self, row: int) -> None:
        """They have no events."""

    def hear(self, row: int, payload: bytes) -> None:
        """Nothing that they are told is for them to obey."""

    def answer(self, _row: int, _answer: ProfileAnswer | CommandAnswer) -> None:
        raise AssertionError("a meter that obeys nothing answers nothing")

    def forget(self, row: int) -> None:
        """What they could not say they never do."""

    def _after(self, now_s: int) -> int:
        return (now_s // self._every_s + 1) * self._every_s
