"""A shard of meters of one vendor, composed of parts: supply, record and carrier, over one core.

A grant (`advance`) runs everything that is due, second by second of simulated time, so that the same instants are
handled in the same order whatever grants the lab gives. What a meter *records* depends on the seed, the frames and the
faults injected only. Connections decide what arrives.

Within a second: intervals that end, supply timers, timers of the carrier, one commit to the durable memory, then what
is to be published.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grid.world import WorldFrame
from meters.device.flow import Flow
from meters.device.physics import Physics, cut, secondary
from meters.device.relay import Cause
from meters.device.state import NEVER_S
from meters.errors import FleetError
from meters.fleet.core import Core
from meters.fleet.network import FleetSettled
from meters.fleet.parts import Carrier, Record, Supply
from meters.vendors.profile import VendorProfile


class Shard:
    """Row i is `entries[i]` of the core's setup."""

    def __init__(self, core: Core, carrier: Carrier, equip: Callable[[bool], tuple[Supply, Record]]) -> None:
        """`equip` makes supply and record when the memory is open; its argument says whether that is new."""
        self._core = core
        self._carrier = carrier
        self._equip = equip
        self._resumed = False

    @property
    def profile(self) -> VendorProfile:
        return self._core.profile

    @property
    def stations(self) -> frozenset[str]:
        """Names that fences and faults may address."""
        return self._carrier.stations

    @property
    def now_s(self) -> int:
        """The instant up to which the meters have lived; after a restart, where their memory ends."""
        return self._core.now_s

    def flow(self, flow: Flow) -> None:
        """Until the next grant time goes on like this; without it, it stands still."""
        self._core.flow = flow

    @property
    def carrier(self) -> Carrier:
        """How its meters are reached: what concerns connections is asked of it."""
        return self._carrier

    async def start(self) -> None:
        """Open the durable memory, or go on from it. Raises FleetError, MemoryFailedError, MemoryFullError."""
        kept = self._core.open()
        self._resumed = kept is not None and kept.frame is not None
        self._supply, self._record = self._equip(kept is None)
        await self._carrier.open(kept)

    def next_due(self) -> float | None:
        """The earliest instant, in whole epoch seconds, at which any meter has something to do."""
        due_s = min(self._timers_due_s(), self._carrier.registers_due_s)
        return None if math.isinf(due_s) else float(max(math.ceil(due_s), self._core.now_s))

    async def advance(self, now_s: int, frame: WorldFrame | None) -> None:
        """Run everything due up to `now_s` under the frame so far, then adopt `frame` and react to supply changes.

        A frame older than `now_s` (only after a restart) holds from its own time on. Raises FleetError, MemoryFullError
        or MemoryFailedError.
        """
        core = self._core
        # Without a barrier nobody settles, and this is the next to be called.
        self._carrier.raise_failure()
        core.flow = None
        if now_s < core.now_s:
            raise FleetError(f"granted {now_s} s after {core.now_s} s: time does not run backwards")
        if self._resumed and frame is None:
            raise FleetError("after a restart of a fleet process its first grant must carry the current frame")
        self._resumed = False
        if frame is not None and (core.physics is None or frame.sequence > core.physics.frame.sequence):
            if frame.time_s > now_s:
                raise FleetError(f"frame {frame.sequence} of {frame.time_s} s came with the grant of {now_s} s")
            own = secondary(cut(frame, core.world_rows), core.current_ratio, core.voltage_ratio)
            if core.physics is not None:
                bridge = core.physics.bridge(own, core.now_s)
                if bridge is not None:
                    self._adopt(bridge)
            await self._run_until(own.time_s, frame_follows=True)
            self._carrier.see(frame)
            self._adopt(Physics.of(own))
        await self._run_until(now_s)

    def operate_relay(self, serials: Collection[str], *, closed: bool, cause: Cause) -> None:
        """Move these meters' relays, as far as they are not there: kept first, then acted and told.

        Raises FleetError: they have none, or are not in this shard; MemoryFailedError.
        """
        core = self._core
        if not core.profile.capabilities.has_relay:
            raise FleetError(f"a {core.profile.name} has no relay: {', '.join(serials)}")
        moved = core.relays.put(core.rows(serials), closed=closed)
        self._record.note_relays(moved, closed=closed, cause=cause)
        events = self._record.take()
        core.commit(moved, events=events)
        core.relays.act(moved)
        self._carrier.tell(events)

    def take_switched(self) -> dict[int, bool]:
        """Whether relays that have moved since the last call are closed, by row of the physical frames.

        After a restart, all of them.
        """
        rows = self._core.world_rows
        return {int(rows[row]): closed for row, closed in self._core.relays.take().items()}

    async def settle(self) -> FleetSettled:
        """Returns when all that is under way has concluded; raises what went wrong meanwhile."""
        return await self._carrier.settle()

    def export_journal(self, directory: Path) -> None:
        """Write `<shard>.parquet` and `<shard>_events.parquet`; the shard's name is that of its memory file."""
        self._record.export(directory, self._core.setup.memory_path.stem)

    async def stop(self) -> None:
        """Leave the network in order and close the memory."""
        await self._carrier.close()
        self._core.memory.close()

    async def _run_until(self, until_s: int, *, frame_follows: bool = False) -> None:
        """`frame_follows`: at `until_s` itself a frame is adopted next, and registers are said after that."""
        core, carrier = self._core, self._carrier
        while True:
            timers_s, registers_s = self._timers_due_s(), carrier.registers_due_s
            if frame_follows and registers_s >= until_s:
                registers_s = NEVER_S
            if max(min(timers_s, registers_s), core.now_s) > until_s:
                break
            core.now_s = max(core.now_s, math.ceil(min(timers_s, registers_s)))
            if timers_s <= core.now_s:
                await self._run_second(core.now_s)
            if registers_s <= core.now_s:
                await carrier.report_registers(core.now_s)
        core.now_s = max(core.now_s, until_s)

    def _timers_due_s(self) -> float:
        timers = (self._core.state["supply_due_s"], *self._record.timers(), *self._carrier.timers())
        return min(float(each.min(initial=NEVER_S)) for each in timers)

    async def _run_second(self, now_s: int) -> None:
        ended, records = self._record.run(now_s, self._carrier)
        changes = self._supply.fire(now_s) if self._core.state["supply_due_s"].min(initial=NEVER_S) <= now_s else []
        noted = self._carrier.note_timers(now_s)
        self._record.note(changes)
        events = self._record.take()
        touched = np.concatenate([ended, np.array([changed.row for changed in changes], dtype=np.intp), noted])
        if len(touched) or events:
            self._core.commit(touched, intervals=records, events=events)
        self._carrier.tell(events)
        await self._carrier.report(records)
        for changed in changes:
            self._carrier.act_on(changed)
        await self._carrier.act_on_timers(now_s)

    def _adopt(self, physics: Physics) -> None:
        core, frame, now_s = self._core, physics.frame, physics.frame.time_s
        changes = []
        if core.physics is None:
            self._begin(frame.energised, now_s)
            self._record.phases_changed(frame.phase_energised, now_s)
            touched = core.everybody
        else:
            was = core.state["energised"].copy()
            lost, back = np.flatnonzero(was & ~frame.energised), np.flatnonzero(~was & frame.energised)
            self._record.supply_changed(lost, back, now_s)
            changes = [*self._supply.lose(lost, now_s), *self._supply.restore(back, now_s)]
            self._record.note(changes)
            self._carrier.supply_changed(lost, back, now_s)
            touched = np.concatenate([lost, back, self._record.phases_changed(frame.phase_energised, now_s)])
        core.physics = physics
        touched = np.union1d(touched, self._record.adopt(physics))
        events = self._record.take()
        core.commit(touched, events=events, frame=frame)
        self._carrier.tell(events)
        for changed in changes:
            self._carrier.act_on(changed)

    def _begin(self, energised: NDArray[np.bool_], now_s: int) -> None:
        self._supply.begin(energised, now_s)
        self._record.first_frame(energised, now_s)
        self._carrier.first_frame(energised, now_s)
