"""Images of firmware on their way to the meters of collectors, and meters that restart with them.

How fast they spread, meters/radio/firmware.py says. How much each meter has is kept with its state, and what became of
its image is one row of the deliveries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from meters.device.state import NEVER_S, Rows, field
from meters.device.supply import Phase
from meters.fleet.collectors import Collectors
from meters.fleet.core import Core
from meters.fleet.crossing import Crossing
from meters.fleet.deliveries import frame_records
from meters.fleet.parts import Timers
from meters.radio.faults import NetworkFault
from meters.radio.firmware import Spread, restart_s
from meters.radio.parameters import NetworkParameters
from meters.radio.passage import Cause, DeliveryClass, Direction

EVERY_S = 60
"""Whoever has all of an image, and whoever restarts with it, is seen at multiples of this: each second at which
something happens is a grant. Who does not run on supply then looks again after it. An assumption of amilab's."""


@dataclass(slots=True, eq=False)
class _Going:
    """An image on its way through the network of one collector: `records` of FILED, `held_by` (n,) the last Cause by
    which each meter got nothing."""

    wave: NetworkFault
    rows: Rows
    spread: Spread
    records: NDArray[np.void]
    held_by: NDArray[np.uint8]


class Images:
    """Those for the meters of a shard. `restart` restarts communication processors, and says `follow` here."""

    def __init__(
        self,
        core: Core,
        collectors: Collectors,
        crossing: Crossing,
        parameters: NetworkParameters,
        restart: Callable[[Rows], None],
    ) -> None:
        self._core = core
        self._collectors = collectors
        self._crossing = crossing
        self._firmware = parameters.firmware
        self._backhaul_bps = parameters.backhaul.bps
        self._restart = restart
        self._going: dict[int, _Going] = {}
        self._due_s = np.full(len(collectors.names), NEVER_S)
        self._seen = np.full(len(collectors.names), -1)
        self._restart_due_s = field(core.state, "image_restart_due_s")

    def timers(self) -> Timers:
        """When somebody has all of an image, and when somebody restarts."""
        return self._due_s, self._restart_due_s

    def land(self, now_s: int) -> None:
        """Do what is due."""
        self.follow()
        due = np.flatnonzero(self._restart_due_s <= now_s)
        if len(due):
            runs = self._core.state["phase"][due] == Phase.ON
            self._restart_due_s[due] = np.where(runs, NEVER_S, now_s + EVERY_S)
            self._core.state["upgrading"][due[runs]] = True
            if runs.any():
                self._restart(due[runs])

    def follow(self) -> None:
        """Whatever has changed at this instant changes how images spread from now on."""
        now_s = self._core.now_s
        self._crossing.follow_supply(np.array(list(self._going), dtype=np.intp))
        for number in np.flatnonzero((self._seen != self._crossing.changes) | (self._due_s <= now_s)).tolist():
            self._look_at(number, now_s)

    def conclude(self) -> None:
        """Write how far the images have come."""
        for going in self._going.values():
            self._write_lacking(going, self._core.now_s)

    def _look_at(self, number: int, now_s: int) -> None:
        self._seen[number] = self._crossing.changes[number]
        wave = self._crossing.faults.wave(self._collectors.names[number], now_s)
        before = self._going.get(number)
        if before is not None and (wave is None or before.wave.but_for_its_end != wave.but_for_its_end):
            self._run(before, now_s)
            self._write_lacking(before, now_s)
            del self._going[number]
        if wave is None:
            if before is not None:
                self._crossing.medium(number).share_with_bulk(0.0)
            self._due_s[number] = NEVER_S
            return
        going = self._going.get(number)
        if going is None:
            going = self._going[number] = self._begin(number, wave, now_s)
        self._run(going, now_s)
        self._due_s[number] = self._go_on(number, going)

    def _begin(self, number: int, wave: NetworkFault, now_s: int) -> _Going:
        """Begin it, or go on after a restart of this process."""
        rows, own, state = self._collectors.rows(number), self._collectors.span(number), self._core.state
        had_bytes, at_s = state["image_bytes"][own], state["image_at_s"][own]
        fresh = state["image_of_s"][rows] != wave.from_s
        had_bytes[fresh] = 0.0
        # The collector has to have it first.
        at_s[fresh] = now_s + wave.image_bytes * 8.0 / self._backhaul_bps
        state["image_of_s"][rows] = wave.from_s
        state["image_restart_due_s"][rows[fresh]] = NEVER_S
        records = self._new_records(rows, wave, now_s) if fresh.any() else self._kept_records(rows, wave, now_s)
        self._core.commit(rows)
        spread = Spread.begun(float(wave.image_bytes), had_bytes, at_s)
        return _Going(wave, rows, spread, records, np.zeros(len(rows), dtype=np.uint8))

    def _new_records(self, rows: Rows, wave: NetworkFault, now_s: int) -> NDArray[np.void]:
        records = frame_records(
            len(rows), row=rows, direction=Direction.DOWN, delivery_class=DeliveryClass.FIRMWARE, attempts=1,
            lit=self._core.state["energised"][rows], about=wave.from_s, sent_s=now_s,
        )  # fmt: skip
        records["number"] = self._crossing.deliveries.sent(records.copy())
        return records

    def _kept_records(self, rows: Rows, wave: NetworkFault, now_s: int) -> NDArray[np.void]:
        """Those that a process before has begun with. If it was killed before it wrote some, they are new."""
        frames = self._crossing.deliveries.frames()
        own = (frames["delivery_class"] == DeliveryClass.FIRMWARE) & (frames["about"] == wave.from_s)
        known: NDArray[np.void] = frames[own & np.isin(frames["row"], rows)]
        unwritten = rows[~np.isin(rows, known["row"])]
        if len(unwritten):
            known = np.concatenate((known, self._new_records(unwritten, wave, now_s)))
        return known[np.argsort(known["row"])]

    def _run(self, going: _Going, now_s: int) -> None:
        """Up to now at the pace so far."""
        done = going.spread.run(now_s)
        if not len(done):
            return
        rows, records = going.rows[done], going.records
        records["arrived_s"][done] = now_s
        records["bytes"][done] = np.round(going.spread.sent_bytes[done])
        records["cause"][done] = going.held_by[done]
        self._crossing.deliveries.concluded(records[done])
        restart_due_s = restart_s(self._core.keys[rows], now_s, going.wave.from_s, self._firmware)
        self._restart_due_s[rows] = np.ceil(restart_due_s / EVERY_S) * EVERY_S
        self._core.commit(rows)

    def _go_on(self, number: int, going: _Going) -> float:
        """At the pace from now on. Returns when the next meter has all of it."""
        medium, spread, rows = self._crossing.medium(number), going.spread, going.rows
        cut = ~np.isnan(self._core.state["uplink_lost_at_s"][rows])
        lacking = spread.lacking & ~cut
        pace = medium.image_pace(lacking, self._firmware.airtime_share)
        held_by = np.where(cut, np.uint8(Cause.RADIO), pace.held_by)
        pace = replace(pace, gained_bytes_s=np.where(lacking, pace.gained_bytes_s, 0.0), held_by=held_by)
        spread.pace = pace
        held = spread.lacking & (held_by != Cause.ON_TIME)
        going.held_by[held] = held_by[held]
        hops = medium.hops
        going.records["hops"] = np.where(hops > 0, hops, going.records["hops"])
        medium.share_with_bulk(self._firmware.airtime_share if pace.flows else 0.0)
        # Behind it, not at it: what rounding has left is there by then, too.
        return float(np.floor(spread.next_s / EVERY_S + 1) * EVERY_S)

    def _write_lacking(self, going: _Going, now_s: int) -> None:
        """What has been sent to those who have not got all of it."""
        self._run(going, now_s)
        lacking = np.flatnonzero(going.spread.lacking)
        going.records["bytes"][lacking] = np.round(going.spread.sent_bytes[lacking])
        slow = going.held_by[lacking] == Cause.ON_TIME
        going.records["cause"][lacking] = np.where(slow, np.uint8(Cause.RADIO), going.held_by[lacking])
        self._crossing.deliveries.concluded(going.records[lacking])
