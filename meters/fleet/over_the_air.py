"""What passes between collectors and their meters through a communications network (meters/fleet/crossing.py).

A collector says what has reached it when it has crossed the backhaul. What was lost follows as it always does:
intervals with a later block, events when the meter tries again, and commands when whoever sent them does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import compress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meters.device.records import CommandAnswer, Event, ProfileAnswer
from meters.device.state import NEVER_S, Rows, field
from meters.fleet.air import Air
from meters.fleet.air_events import AirEvents
from meters.fleet.attempts import Attempts
from meters.fleet.crossing import HEAD_BYTES, INTERVAL_BYTES, REGISTERS_BYTES, Crossing
from meters.fleet.deliveries import Deliveries, write_deliveries
from meters.fleet.images import Images
from meters.fleet.last_mile import Reach, Sayings
from meters.fleet.media import make_media
from meters.fleet.parts import Timers
from meters.fleet.urgency import urgency_of
from meters.radio.backhaul import Backhaul
from meters.radio.faults import NetworkFault, NetworkFaults
from meters.radio.passage import Cause, DeliveryClass
from meters.radio.setup import NetworkSetup


class OverTheAir:
    """The last mile of a shard whose collectors' networks `crossing` has."""

    def __init__(
        self, reach: Reach, sayings: Sayings, crossing: Crossing, images: Images, outage_report_s: float | None
    ) -> None:
        """`outage_report_s`: so long after it lost its own supply a collector reports all its meters that have none.

        None: it does not.
        """
        core = sayings.core
        self._reach = reach
        self._say = sayings
        self._core = core
        self._collectors = sayings.collectors
        self._crossing = crossing
        self._images = images
        self._outage_report_s = outage_report_s
        self._own: Air[int] = Air()
        """Collectors that have something to say of their own supply."""
        self._attempts = Attempts(len(core.entries))
        self._events = AirEvents(sayings, crossing, self._attempts, self._found)
        self._obeyed: tuple[DeliveryClass, int] = DeliveryClass.CONTROL, -1

    def timers(self) -> Timers:
        return *self._crossing.timers(), *self._images.timers(), self._own.due_s, self._attempts.due_s

    async def land(self, now_s: int) -> None:
        await self._crossing.land(now_s)
        self._images.land(now_s)
        for number in self._own.take(now_s):
            self._tell_mains(number)
        self._try(self._attempts.take(now_s))

    def flush(self) -> None:
        self._crossing.deliveries.flush()

    def export(self, directory: Path) -> None:
        core, names = self._core, self._collectors.names
        self._images.conclude()
        write_deliveries(
            self._crossing.deliveries.frames(), directory, core.setup.memory_path.stem,
            serials=core.serials, technology="plc" if self._say.facts.by_power_line else "mesh",
            via=[names[number] for number in self._collectors.of_row.tolist()],
            interval_length_s=self._say.facts.interval_length_s,
        )  # fmt: skip

    def disturb(self, fault: NetworkFault) -> None:
        self._crossing.disturb(fault)
        self._images.follow()

    def link_changed(self, numbers: Rows) -> None:
        self._crossing.note(numbers)
        self._images.follow()

    def close(self) -> None:
        self._crossing.deliveries.close()

    # From the meters.

    def tell(self, events: Sequence[Event]) -> None:
        rows = np.array([event.meter for event in events], dtype=np.intp)
        readable = self._reach.readable(rows)
        unlinked = ~np.isnan(self._core.state["uplink_lost_at_s"][rows])
        self._events.send(list(compress(events, readable)), historical=False)
        self._events.unlinked(list(compress(events, unlinked)))

    def regain(self, rows: Rows) -> None:
        self._attempts.back_since_s[rows] = self._core.now_s
        self._try(rows)

    def make_up(self, number: int, rows: Rows, ended_by_s: int) -> None:
        self._attempts.back_since_s[rows] = 0
        self._events.tell_untold(rows)
        until = self._say.unreported.until(rows, ended_by_s)
        behind = self._say.unreported.behind(rows, until)
        self._read(number, rows[behind], until[behind], ended_by_s)

    async def report(self, number: int, now_s: int) -> None:
        rows = self._collectors.rows(number)
        until = self._say.unreported.until(rows)
        behind = self._say.unreported.behind(rows, until)
        every_s = self._say.facts.report_every_s
        rows, until = rows[behind], until[behind]
        if self._say.voices.speaks(number):
            self._events.tell_untold(rows[self._reach.readable(rows)])
            self._read(number, rows, until, now_s - now_s % every_s - every_s)
        else:
            powered = bool(self._collectors.state["powered"][number])
            self._unread(rows, until, Cause.BACKHAUL if powered else Cause.COLLECTOR)

    def answer(self, row: int, answer: ProfileAnswer | CommandAnswer) -> None:
        delivery_class, about = self._obeyed
        intervals = 0
        if isinstance(answer, ProfileAnswer):
            size = HEAD_BYTES + INTERVAL_BYTES * len(answer.records)
            if answer.records:
                # They are reads, by whatever they were asked for.
                intervals = (answer.to_s - answer.from_s) // answer.interval_length_s
                about = answer.from_s
        else:
            size = HEAD_BYTES + (0 if answer.quantities is None else REGISTERS_BYTES)

        def arrive(_row: int) -> None:
            self._say.present(row)
            self._say.answer(row, answer)

        self._one_up(row, delivery_class, about, size, arrive, intervals=intervals)

    def supply_changed(self, touched: Rows, own: Rows) -> None:
        self._crossing.follow_supply(self._collectors.of_row[touched])
        self._images.follow()
        now_s = self._core.now_s
        for number in own.tolist():
            mains = bool(self._collectors.state["mains"][number])
            wait_s = 0.0 if mains or self._outage_report_s is None else self._outage_report_s
            self._own.put(int(np.ceil(now_s + wait_s)), (number,), number)

    # To the meters.

    def command(self, row: int, envelope: bytes) -> None:
        delivery_class, counter = urgency_of(envelope)

        async def arrive(which: Rows) -> NDArray[np.bool_]:
            there = bool(self._reach.readable(np.array([row]))[0])
            if there:
                self._obeyed = delivery_class, counter
                self._say.record.obey(row, envelope, self._reach)
            return np.full(len(which), there)

        self._crossing.down(row, delivery_class, counter, HEAD_BYTES + len(envelope), arrive)

    # Intervals.

    def _read(self, number: int, rows: Rows, until: NDArray[np.int64], block_before_s: int) -> None:
        """The collector asks these meters for their intervals up to these boundaries (m,)."""
        able = self._reach.readable(rows)
        lit = self._core.state["energised"][rows]
        self._unread(rows[~able & ~lit], until[~able & ~lit], Cause.DARK)
        self._unread(rows[~able & lit], until[~able & lit], Cause.RADIO)
        rows, until = rows[able], until[able]
        if not len(rows):
            return
        starts_s, counts = self._say.unreported.span(rows, until)

        async def arrive(which: Rows) -> NDArray[np.bool_]:
            if self._say.voices.speaks(number):
                self._found(rows[which])
                self._say.voices.present(number, rows[which], self._core.now_s)
                await self._say.block(number, rows[which], until[which], block_before_s)
            said: NDArray[np.bool_] = ~self._say.unreported.behind(rows[which], until[which])
            return said

        size = HEAD_BYTES + INTERVAL_BYTES * counts
        self._crossing.up(rows, DeliveryClass.READ, starts_s, size, arrive, intervals=counts)

    def _unread(self, rows: Rows, until: NDArray[np.int64], cause: Cause) -> None:
        """Nobody could even be asked."""
        if len(rows):
            starts_s, counts = self._say.unreported.span(rows, until)
            self._crossing.unsent(rows, DeliveryClass.READ, starts_s, cause, intervals=counts)

    # Who is there.

    def _found(self, rows: Rows) -> None:
        """The collector hears these meters, whether they run on or have said their last."""
        self._attempts.found(rows)
        field(self._core.state, "uplink_close_due_s")[rows[self._reach.readable(rows)]] = NEVER_S

    def _try(self, rows: Rows) -> None:
        """These meters register if they have to, and tell what they have not told."""
        rows = rows[self._reach.readable(rows)]
        unheard = self._attempts.back_since_s[rows] > 0
        for row in rows[unheard].tolist():
            self._register(row)
        self._events.tell_untold(rows[~unheard])

    def _register(self, row: int) -> None:
        def arrive(_row: int) -> None:
            own = np.array([row])
            self._found(own)
            self._reach.hear_from(own)

        about = -int(self._attempts.back_since_s[row])
        if not self._one_up(row, DeliveryClass.SYSTEM, about, HEAD_BYTES, arrive):
            self._attempts.later(np.array([row]), self._core.now_s)

    def _one_up(
        self,
        row: int,
        delivery_class: DeliveryClass,
        about: int,
        size_bytes: int,
        said: Callable[[int], None],
        *,
        intervals: int = 0,
    ) -> bool:
        """One frame that the collector turns into what it says: whether it reaches it."""
        number = int(self._collectors.of_row[row])

        async def arrive(which: Rows) -> NDArray[np.bool_]:
            speaks = self._say.voices.speaks(number)
            if speaks:
                said(row)
            return np.full(len(which), speaks)

        arrives = self._crossing.up(
            np.array([row]), delivery_class, np.array([about]), np.array([size_bytes]), arrive, intervals=intervals
        )
        return bool(arrives[0])

    def _tell_mains(self, number: int) -> None:
        """Unless it has changed again since: then that is to be told."""
        now_s = self._core.now_s
        self._say.voices.tell_mains(number, now_s)
        if self._outage_report_s is not None and not self._collectors.state["mains"][number]:
            rows = self._collectors.rows(number)
            self._say.voices.declare_dead(rows[~self._core.state["energised"][rows]], now_s)


def over_the_air(reach: Reach, sayings: Sayings, setup: NetworkSetup) -> OverTheAir:
    """The last mile of a shard by the model. `setup`: of its meters. Raises MemoryFailedError."""
    core, facts, collectors = sayings.core, sayings.facts, sayings.collectors
    crossing = Crossing(
        core,
        collectors,
        make_media(core, collectors, facts, setup),
        Backhaul(collectors.keys, setup.parameters.backhaul),
        Deliveries(core.setup.memory_path.with_suffix(".deliveries")),
        faults=NetworkFaults(setup.faults),
        hold_up_s=facts.hold_up_s,
    )
    images = Images(core, collectors, crossing, setup.parameters, reach.restart)
    outage_report_s = setup.parameters.plc.outage_report_s if facts.by_power_line else None
    return OverTheAir(reach, sayings, crossing, images, outage_report_s)
