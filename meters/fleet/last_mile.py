"""What passes between collectors and their meters: intervals, events, commands and answers.

Here it passes at once and surely, but for last gasps. Through a communications network: meters/fleet/over_the_air.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from meters.carriers.sparkplug.edge import Message
from meters.device.draws import Purpose, uniform
from meters.device.facts import CollectedFacts
from meters.device.records import CommandAnswer, Event, EventCode, ProfileAnswer
from meters.device.state import Rows
from meters.fleet.collectors import Collectors
from meters.fleet.core import Core
from meters.fleet.edges import Edges
from meters.fleet.parts import Carrier, Timers
from meters.fleet.recording import Recording
from meters.fleet.unreported import Unreported
from meters.radio.faults import NetworkFault

_MESSAGES_PER_TURN = 64


class Reach(Carrier, Protocol):
    """The carrier, as far as it says which meters its collectors reach."""

    def readable(self, rows: Rows) -> NDArray[np.bool_]:
        """Which of these meters are there to be read."""
        ...

    def hear_from(self, rows: Rows) -> None:
        """The collectors have found that they reach these meters again."""

    def restart(self, rows: Rows) -> None:
        """Restart the communication processors of these meters, which run."""


class Sayings:
    """What collectors say of their meters' records, and keep count of. `voices` says it; `record` has it."""

    def __init__(
        self,
        core: Core,
        facts: CollectedFacts,
        collectors: Collectors,
        voices: Edges,
        record: Recording,
        unreported: Unreported,
    ) -> None:
        self.core = core
        self.facts = facts
        self.collectors = collectors
        self.voices = voices
        self.record = record
        self.unreported = unreported

    def push(self, event: Event, *, historical: bool) -> bool:
        """Say an event. Returns whether it was sent."""
        return self.voices.push(event, self.core.now_s, historical=historical)

    def present(self, row: int) -> None:
        """Say that the meter is there, if that is not known."""
        self.voices.present(int(self.collectors.of_row[row]), np.array([row]), self.core.now_s)

    def answer(self, row: int, answer: ProfileAnswer | CommandAnswer) -> None:
        """Say what a meter answers."""
        self.voices.send(int(self.collectors.of_row[row]), self.voices.answer(row, answer, self.core.now_s))

    def make_up(self, number: int, rows: Rows, until: NDArray[np.int64]) -> None:
        """Intervals up to these boundaries (m,) that could not be said when they were due."""
        behind = self.unreported.behind(rows, until)
        for row, closed in self.unreported.take(rows[behind], until[behind]):
            self.voices.send(number, self.voices.intervals(row, closed, self.core.now_s, historical=True))
        if behind.any():
            self.core.commit(rows[behind])

    async def block(self, number: int, rows: Rows, until: NDArray[np.int64], block_before_s: int) -> None:
        """Unsaid intervals up to these boundaries (m,); those that ended by `block_before_s` are late.

        Where the connection breaks meanwhile, the rest follows after the next connect.
        """
        batch: list[Message] = []
        for row, closed in self.unreported.take(rows, until):
            late = sum(end_s <= block_before_s for end_s, _ in closed)
            batch += self.voices.intervals(row, closed[:late], self.core.now_s, historical=True)
            batch += self.voices.intervals(row, closed[late:], self.core.now_s, historical=False)
            if len(batch) >= _MESSAGES_PER_TURN:
                self.voices.send(number, batch)
                batch = []
                await asyncio.sleep(0)
                if not self.voices.speaks(number):
                    break
        self.voices.send(number, batch)
        self.core.commit(rows)


class LastMile(Protocol):
    """Between collectors and their meters, as the carrier sees it."""

    def timers(self) -> Timers:
        """When something arrives."""
        ...

    async def land(self, now_s: int) -> None:
        """Hand over what arrives."""

    def flush(self) -> None:
        """Write what there is to be written of it. Raises MemoryFailedError."""

    def disturb(self, fault: NetworkFault, /) -> None:
        """A fault of the network is known from now on."""

    def close(self) -> None:
        """Write, and keep nothing open."""

    def export(self, directory: Path) -> None:
        """As `Carrier.export_deliveries`."""

    def tell(self, events: Sequence[Event]) -> None:
        """Committed events of meters."""

    def supply_changed(self, touched: Rows, own: Rows, /) -> None:
        """Supply of the `touched` meters is lost, or back, and with it that of these collectors."""

    def link_changed(self, numbers: Rows, /) -> None:
        """Links of meters to these collectors, or who runs, changed between two grants."""

    def regain(self, rows: Rows) -> None:
        """These meters are there to be read again."""

    def make_up(self, number: int, rows: Rows, ended_by_s: int) -> None:
        """Tell what came up, and what had ended by then, while these meters could not be heard."""

    async def report(self, number: int, now_s: int) -> None:
        """A block of the collector is due."""

    def command(self, row: int, envelope: bytes) -> None:
        """The collector has got a command for this meter."""

    def answer(self, row: int, answer: ProfileAnswer | CommandAnswer) -> None:
        """A meter answers a command."""


class AtOnce:
    """Whatever is said is heard, but for last gasps: those need a neighbour that still has supply."""

    def __init__(self, reach: Reach, sayings: Sayings) -> None:
        self._reach = reach
        self._say = sayings
        self._core = sayings.core

    def timers(self) -> Timers:
        return ()

    async def land(self, now_s: int) -> None:
        """Nothing is under way."""

    def flush(self) -> None:
        """Nothing is kept of what passes at once."""

    def disturb(self, _fault: NetworkFault) -> None:
        """There is no network to be disturbed."""

    def close(self) -> None:
        """Nothing is open."""

    def export(self, directory: Path) -> None:
        """Nothing is kept."""

    def tell(self, events: Sequence[Event]) -> None:
        for event in events:
            row = event.meter
            if not self._reach.reachable(row) or (event.code == EventCode.LAST_GASP and not self._relayed(row)):
                continue
            self._say.present(row)
            for earlier in self._say.record.pending(row):
                if earlier.sequence < event.sequence:
                    self._push(earlier, historical=True)
            self._push(event, historical=False)

    def supply_changed(self, _touched: Rows, own: Rows) -> None:
        for number in own.tolist():
            self._say.voices.tell_mains(number, self._core.now_s)

    def link_changed(self, _numbers: Rows) -> None:
        """Whatever is said passes."""

    def regain(self, rows: Rows) -> None:
        self._reach.hear_from(rows)

    def make_up(self, number: int, rows: Rows, ended_by_s: int) -> None:
        for row in rows.tolist():
            for event in self._say.record.pending(row):
                self._push(event, historical=True)
        self._say.make_up(number, rows, self._say.unreported.until(rows, ended_by_s))

    async def report(self, number: int, now_s: int) -> None:
        if not self._say.voices.speaks(number):
            return
        rows = self._say.collectors.rows(number)
        rows = rows[self._reach.readable(rows) & self._say.voices.born[rows]]
        every_s = self._say.facts.report_every_s
        block_before_s = now_s - now_s % every_s - every_s
        await self._say.block(number, rows, self._say.unreported.until(rows), block_before_s)

    def command(self, row: int, envelope: bytes) -> None:
        if self._reach.reachable(row):
            self._say.record.obey(row, envelope, self._reach)

    def answer(self, row: int, answer: ProfileAnswer | CommandAnswer) -> None:
        self._say.answer(row, answer)

    def _push(self, event: Event, *, historical: bool) -> None:
        if self._say.push(event, historical=historical):
            self._say.record.told(event)

    def _relayed(self, row: int) -> bool:
        """Whether a neighbour that still has supply hears the last gasp of the present outage."""
        down_at_s = int(self._core.state["down_at_s"][row])
        draw = uniform(self._core.keys[row : row + 1], Purpose.GASP_HEARD, down_at_s)[0]
        return bool(draw < self._say.facts.gasp_heard_share)
