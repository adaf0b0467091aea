"""What meters with a modem of their own say and hear, through a cellular network (meters/radio/cellular.py).

Each has one connection of TCP: its frames keep their order, and what is lost on the way is late. A frame that arrives
when the connection is gone waits for the next one, as what has no PUBACK does; with a meter's RAM it is lost.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from grid.world import WorldFrame
from meters.carriers.wire import Said
from meters.device.state import NEVER_S, Rows, field
from meters.fleet.air import Air
from meters.fleet.core import Core
from meters.fleet.crowds import Crowds
from meters.fleet.deliveries import Deliveries, frame_records, write_deliveries
from meters.fleet.parts import Timers
from meters.fleet.urgency import urgency_of
from meters.radio.cellular import Cells
from meters.radio.faults import NetworkFault, NetworkFaults
from meters.radio.frames import Frames
from meters.radio.passage import Cause, DeliveryClass, Direction
from meters.radio.setup import NetworkSetup

READS_EVERY_S = 5
"""Meter reads that reach the broker are handed over at multiples of it: each second with arrivals is a grant. An
assumption of amilab's; cells deliver within some 10 s."""
HEAD_BYTES = 120
"""Of a frame besides its payload: topic, MQTT, TLS, TCP and IP. An assumption of amilab's."""


class Modems(Protocol):
    """The meters, as the lines see them."""

    def open_line(self, row: int) -> None:
        """The modem has attached: connect, if that is still wanted."""

    def fail_line(self, row: int) -> None:
        """The modem could not attach."""

    def put(self, row: int, said: Said) -> bool:
        """Hand what is said to the broker now. False: there is no connection."""
        ...

    def hear(self, row: int, payload: bytes) -> bool:
        """A command has arrived. False: there is no connection."""
        ...

    def change_service(self, lost: Rows, back: Rows) -> None:
        """These meters have no service any more, or have it again."""


@dataclass(slots=True, eq=False)
class _Frame:
    """`records`: of its call, of which it is number `place`. `life`: of the meter's RAM, when it was sent.

    `intervals`: so many from `about` on.
    """

    row: int
    direction: Direction
    delivery_class: DeliveryClass
    about: int
    content: Said | bytes
    life: int
    intervals: int = 0
    arrived: Callable[[], None] | None = None
    records: NDArray[np.void] | None = None
    place: int = 0

    @property
    def size_bytes(self) -> int:
        payload = self.content if isinstance(self.content, bytes) else self.content[1]
        return HEAD_BYTES + len(payload)


class CellLines:
    """The lines of a shard's meters, whose cells `setup` has, which is of the same meters."""

    def __init__(self, core: Core, setup: NetworkSetup, modems: Modems) -> None:
        """Raises MemoryFailedError: the file of deliveries cannot be opened."""
        self._core = core
        self._modems = modems
        self._cells = Cells(setup.positions(), core.keys, setup.parameters.cellular)
        self._faults = NetworkFaults(setup.faults)
        self._crowds = Crowds(self._cells.cell, core.world_rows, setup.members)
        self._air: Air[Callable[[], None]] = Air()
        self._out: list[_Frame] = []
        self._held: defaultdict[int, list[_Frame]] = defaultdict(list)
        self._last_due_s = np.zeros((2, len(core.entries)), dtype=np.int64)
        self._life = np.zeros(len(core.entries), dtype=np.int64)
        self._attached = np.zeros(len(core.entries), dtype=bool)
        self._counter = -1
        self._fault_due_s = np.full(1, NEVER_S)
        self._deliveries = Deliveries(core.setup.memory_path.with_suffix(".deliveries"))
        self._energised = field(core.state, "energised")
        self._follow_faults()

    @property
    def in_service(self) -> NDArray[np.bool_]:
        """(n,) who can attach at all."""
        return self._cells.in_service

    def timers(self) -> Timers:
        return self._air.due_s, self._fault_due_s

    def connect(self, rows: Sequence[int]) -> None:
        """These meters want to attach."""
        if not rows:
            return
        now_s, own = float(self._core.now_s), np.array(rows, dtype=np.intp)
        self._attached[own] = False
        passage = self._cells.attach(own, np.full(len(own), now_s), self._crowds.stirred(own, now_s))
        for row, attached_s in zip(rows, passage.arrives_s.tolist(), strict=True):
            if math.isfinite(attached_s):
                self._air.put(math.ceil(attached_s), (), partial(self._open, row))
            else:
                self._modems.fail_line(row)

    def _open(self, row: int) -> None:
        self._attached[row] = True
        self._modems.open_line(row)

    def say(
        self,
        row: int,
        said: Said,
        delivery_class: DeliveryClass,
        about: int | None,
        arrived: Callable[[], None] | None = None,
    ) -> None:
        """To the broker, with the next `send`. `about`: None of what answers the command that is being heard."""
        is_interval = about is not None and delivery_class is DeliveryClass.READ
        counter, life = self._counter if about is None else about, int(self._life[row])
        self._out.append(_Frame(row, Direction.UP, delivery_class, counter, said, life, int(is_interval), arrived))

    def see(self, frame: WorldFrame) -> None:
        """This frame is adopted next."""
        self._crowds.see(frame)

    def send(self) -> None:
        """All that was said since the last time leaves the meters now."""
        frames, self._out = self._out, []
        if frames:
            self._cross(frames)

    def hear(self, row: int, payload: bytes) -> None:
        """The broker sends this to a meter now."""
        delivery_class, counter = urgency_of(payload)
        self._cross([_Frame(row, Direction.DOWN, delivery_class, counter, payload, int(self._life[row]))])

    def resume(self, row: int) -> None:
        """The meter has a connection again: what waited for one goes on."""
        held = self._held.pop(row, [])
        if held:
            self._cross(held)

    def detach(self, row: int) -> None:
        """The modem does not run any more."""
        self._attached[row] = False

    def forget(self, row: int) -> None:
        """The meter's RAM is lost, and with it what it had to say. What the broker had for it, that keeps."""
        self._life[row] += 1
        self.detach(row)
        held = self._held.pop(row, [])
        self._lose([frame for frame in held if frame.direction is Direction.UP])
        if kept := [frame for frame in held if frame.direction is Direction.DOWN]:
            self._held[row] = kept
        self._out = [frame for frame in self._out if frame.row != row]

    def unsent(self, rows: Rows, delivery_class: DeliveryClass, about: NDArray[np.int64]) -> None:
        """These meters had something to say, an interval or an event (m,), and no connection to say it over."""
        if len(rows):
            lit, cut = self._energised[rows], ~np.isnan(self._core.state["uplink_lost_at_s"][rows])
            reading = delivery_class is DeliveryClass.READ
            # A gasp does not lack supply. Whoever has attached, and has no connection, waits for the broker.
            of_cell = np.where(cut | ~self._attached[rows], Cause.CELL, Cause.BACKHAUL)
            cause = np.where(reading & ~lit, Cause.DARK, of_cell)
            self._deliveries.sent(
                frame_records(
                    len(rows), row=rows, direction=Direction.UP, delivery_class=delivery_class, cause=cause,
                    about=about, lit=lit, sent_s=self._core.now_s, intervals=int(reading),
                )
            )  # fmt: skip

    def disturb(self, fault: NetworkFault) -> None:
        """A fault of the network is known from now on."""
        self._faults.add(fault)
        self._change_service()

    def land(self, now_s: int) -> None:
        """Hand over what has arrived by now."""
        if self._fault_due_s[0] <= now_s:
            self._change_service()
        while arrived := self._air.take(now_s):
            for hand_over in arrived:
                hand_over()

    def flush(self) -> None:
        """Write what became of frames. Raises MemoryFailedError."""
        self._deliveries.flush()

    def close(self) -> None:
        self._deliveries.close()

    def export(self, directory: Path) -> None:
        """As `Carrier.export_deliveries`."""
        write_deliveries(
            self._deliveries.frames(), directory, self._core.setup.memory_path.stem,
            serials=self._core.serials, technology="cellular", via=self._cells.cell,
            interval_length_s=self._core.profile.facts.interval_length_s,
        )  # fmt: skip

    # On the way.

    def _cross(self, frames: Sequence[_Frame]) -> None:
        """All of one direction, or what waited."""
        for direction in Direction:
            own = [frame for frame in frames if frame.direction is direction]
            if own:
                self._cross_one_way(own, direction)

    def _cross_one_way(self, frames: Sequence[_Frame], direction: Direction) -> None:
        now_s = float(self._core.now_s)
        rows = np.array([frame.row for frame in frames], dtype=np.intp)
        classes = np.array([frame.delivery_class for frame in frames], dtype=np.uint8)
        about = np.array([frame.about for frame in frames], dtype=np.int64)
        sizes = np.array([frame.size_bytes for frame in frames], dtype=np.int64)
        intervals = np.array([frame.intervals for frame in frames])
        reads = intervals > 0
        # All meters of a cell report when the same interval ends.
        crowd = np.where(reads, self._crowds.others(rows), self._crowds.stirred(rows, now_s))
        carry = self._cells.up if direction is Direction.UP else self._cells.down
        passage = carry(Frames.of(rows, now_s, classes, about, sizes), crowd)
        records = frame_records(
            len(rows), row=rows, direction=direction, delivery_class=classes, hops=passage.hops,
            attempts=passage.attempts, cause=Cause.CELL, lit=self._energised[rows], bytes=sizes, about=about,
            sent_s=now_s, intervals=intervals,
        )  # fmt: skip
        fresh = np.array([frame.records is None for frame in frames])
        self._deliveries.sent(kept := records[fresh])
        records["number"][fresh] = kept["number"]
        records["cause"] = passage.cause
        for place in np.flatnonzero(fresh).tolist():
            frames[place].records, frames[place].place = records, place
        self._put(frames, passage.arrives_s)

    def _put(self, frames: Sequence[_Frame], at_s: NDArray[np.float64]) -> None:
        """Frames that are there at these instants; inf: not over this connection. None overtakes one of its meter."""
        last_s = self._last_due_s[int(frames[0].direction)]
        due: defaultdict[int, list[_Frame]] = defaultdict(list)
        for place in np.argsort(at_s, kind="stable").tolist():
            frame = frames[place]
            if not math.isfinite(at_s[place]):
                self._held[frame.row].append(frame)
                continue
            step_s = READS_EVERY_S if frame.intervals else 1
            due_s = max(math.ceil(at_s[place] / step_s) * step_s, int(last_s[frame.row]))
            last_s[frame.row] = due_s
            due[due_s].append(frame)
        for due_s, together in due.items():
            self._air.put(due_s, (), partial(self._hand_over, together))

    def _hand_over(self, frames: Sequence[_Frame]) -> None:
        arrived = []
        for frame in frames:
            upwards = frame.direction is Direction.UP
            if upwards and frame.life != self._life[frame.row]:
                self._lose([frame])
                continue
            if not (self._put_up(frame) if upwards else self._put_down(frame)):
                self._held[frame.row].append(frame)
                continue
            arrived.append(frame)
            if frame.arrived is not None:
                frame.arrived()
        self._conclude(arrived, "arrived_s", self._core.now_s)

    def _lose(self, frames: Sequence[_Frame]) -> None:
        """Their meters have forgotten them."""
        self._conclude(frames, "cause", Cause.DARK)

    def _conclude(self, frames: Sequence[_Frame], name: str, value: float) -> None:
        """Keep what became of frames that were sent: this field of their records."""
        of_call: defaultdict[int, list[_Frame]] = defaultdict(list)
        for frame in frames:
            of_call[id(frame.records)].append(frame)
        for together in of_call.values():
            records = together[0].records
            assert records is not None, "they were sent"
            places = [frame.place for frame in together]
            records[name][places] = value
            self._deliveries.concluded(records[places])

    def _put_up(self, frame: _Frame) -> bool:
        assert not isinstance(frame.content, bytes), "meters say something below a topic"
        return self._modems.put(frame.row, frame.content)

    def _put_down(self, frame: _Frame) -> bool:
        assert isinstance(frame.content, bytes), "meters hear envelopes"
        self._counter = frame.about
        heard = self._modems.hear(frame.row, frame.content)
        self._counter = -1
        return heard

    # Service.

    def _change_service(self) -> None:
        before = self._cells.in_service
        self._follow_faults()
        after = self._cells.in_service
        self._crowds.stir(np.flatnonzero(before != after), self._core.now_s)
        self._modems.change_service(np.flatnonzero(before & ~after), np.flatnonzero(~before & after))

    def _follow_faults(self) -> None:
        self._cells.disturb(self._faults.of_cells(self._core.now_s))
        self._fault_due_s[0] = self._faults.next_change_s(self._core.now_s)
