"""One shard of meters: registers, clocks, supply, memory and connections under one simulated clock.

A grant (`advance`) runs everything that is due, second by second of simulated time, so that the same instants are
handled in the same order whatever grants the lab gives. Within a second: intervals that end, supply timers, uplink
timers, one commit to the durable memory, then what is to be published, then connection attempts.

What a meter *records* depends on the seed, the frames and the faults injected only. Connections decide what arrives.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from grid.world import WorldFrame
from meters import rl_dsp
from meters.clock import Clocks
from meters.command import LoadProfileRead, Refused, verify
from meters.device import Link
from meters.draws import Purpose, meter_keys, uniform
from meters.errors import FleetError
from meters.eventlog import EventLog
from meters.intervals import Recorder, wire_row
from meters.journal import write_journal
from meters.limits import allow_sockets
from meters.memory import IntervalRecord, Memory
from meters.metrology import Metrology
from meters.network import BrokerAddress, FleetSettled, Network
from meters.physics import Physics, cut
from meters.profile import VendorProfile, load_profile
from meters.rl_dsp import EventCode
from meters.shipment import ShipmentEntry
from meters.state import METER_STATE, NEVER_S, Rows, field
from meters.supply import Change, Changed, Supplies

__all__ = ["BrokerAddress", "Fleet", "FleetSettled"]

_FIRST_CONNECTS_WITHIN_S = 10.0
_PUBLISHES_PER_TURN = 256


class Fleet:
    """A shard. Row i is `meters[i]`, whose usage point is `world_rows[i]` of the physical frames."""

    def __init__(
        self,
        *,
        meters: Sequence[ShipmentEntry],
        world_rows: Sequence[int],
        memory_path: Path,
        broker: BrokerAddress,
        seed: int,
        start_s: int,
        interval_length_s: int | None = None,
    ) -> None:
        """`interval_length_s`: the capture period that the meters are set to, by default their profile's.

        Raises FleetError or ProfileError.
        """
        self._entries = tuple(meters)
        self._profile = _common_profile(self._entries)
        if interval_length_s is not None:
            self._profile = self._profile.at_interval(interval_length_s)
        self._facts = self._profile.facts
        if len(world_rows) != len(self._entries):
            raise FleetError(f"{len(self._entries)} meters but {len(world_rows)} world rows")
        self._row_of = {entry.serial: row for row, entry in enumerate(self._entries)}
        if len(self._row_of) != len(self._entries):
            raise FleetError("two meters of the fleet have the same serial")
        self._world_rows = np.asarray(world_rows, dtype=np.intp)
        self._all = np.arange(len(self._entries))
        self._memory_path = memory_path
        self._broker = broker
        self._seed = seed
        self._start_s = start_s
        self._now_s = start_s
        self._keys = meter_keys(seed, list(self._row_of))
        self._public_keys = [Ed25519PublicKey.from_public_bytes(entry.command_public_key) for entry in self._entries]
        self._metrology = Metrology(self._keys, self._facts)
        self._connect_due_s = np.full(len(self._entries), NEVER_S)
        self._attempts = np.zeros(len(self._entries), dtype=np.int64)
        self._attempts_in_all = np.zeros(len(self._entries), dtype=np.int64)
        self._physics: Physics | None = None
        self._resumed = False

    @property
    def profile(self) -> VendorProfile:
        return self._profile

    @property
    def refusals(self) -> int:
        """Connections and subscriptions that the broker refused, for instance for a wrong password."""
        return self._network.refusals

    @property
    def losses(self) -> int:
        """Connection attempts that failed, and connections that ended without the meter's doing."""
        return self._network.losses

    async def start(self) -> None:
        """Open the durable memory, or go on from it. Raises FleetError, MemoryFailedError, MemoryFullError.

        Connections are not made here but by timers within the first simulated seconds.
        """
        allow_sockets(len(self._entries))
        self._memory = Memory(self._memory_path, identity=self._identity())
        kept = self._memory.restore()
        self._state = np.zeros(len(self._entries), dtype=METER_STATE) if kept is None else kept.state
        self._clocks = Clocks(self._state, self._keys, self._facts)
        self._supplies = Supplies(self._state, self._keys, self._facts)
        self._recorder = Recorder(self._state, self._clocks, self._metrology, self._facts)
        self._network = Network(self._entries, self._broker, self, keep_alive_s=self._facts.keep_alive_s)
        self._log = EventLog(self._state, self._clocks, self._memory, self._network)
        if kept is None:
            field(self._state, "uplink_lost_at_s")[:] = np.nan
            for timer in ("supply_due_s", "uplink_close_due_s"):
                field(self._state, timer)[:] = NEVER_S
            self._clocks.begin(self._start_s)
            self._recorder.begin(self._start_s)
        else:
            self._now_s = kept.now_s
            self._resumed = kept.frame is not None
            if kept.frame is not None:
                self._physics = Physics.of(WorldFrame.from_bytes(kept.frame))
            # The sockets of the process before are closed.
            field(self._state, "uplink_close_due_s")[:] = NEVER_S
            self._connect_soon(self._connectable(self._all))
        await self._network.start()

    def next_due(self) -> float | None:
        """The earliest instant, in whole epoch seconds, at which any meter has something to do."""
        due_s = min(float(timers.min(initial=NEVER_S)) for timers in self._timers())
        return None if math.isinf(due_s) else float(max(math.ceil(due_s), self._now_s))

    async def advance(self, now_s: int, frame: WorldFrame | None) -> None:
        """Run everything due up to `now_s` under the frame so far, then adopt `frame` and react to supply changes.

        A frame older than `now_s` (only after a restart) holds from its own time on. Raises FleetError, MemoryFullError
        or MemoryFailedError.
        """
        # Without a barrier nobody settles, and this is the next to be called.
        self._network.raise_failure()
        if now_s < self._now_s:
            raise FleetError(f"granted {now_s} s after {self._now_s} s: time does not run backwards")
        if self._resumed and frame is None:
            raise FleetError("after a restart of a fleet process its first grant must carry the current frame")
        self._resumed = False
        if frame is not None and (self._physics is None or frame.sequence > self._physics.frame.sequence):
            if frame.time_s > now_s:
                raise FleetError(f"frame {frame.sequence} of {frame.time_s} s came with the grant of {now_s} s")
            own = cut(frame, self._world_rows)
            if self._physics is not None:
                bridge = self._physics.bridge(own, self._now_s)
                if bridge is not None:
                    self._adopt(bridge)
            await self._run_until(own.time_s)
            self._adopt(Physics.of(own))
        await self._run_until(now_s)

    async def settle(self) -> FleetSettled:
        """Returns when every device holds PUBACKs for all that it sent or knows that it is disconnected, and pending
        connects and drops have concluded. `next_due` may be earlier than before: failed attempts set timers.

        Raises what went wrong while a command was carried out, for instance MemoryFullError.
        """
        return await self._network.settle()

    async def await_fence(self, token: str, serials: Collection[str]) -> None:
        """Returns when each of these that is connected has received the fence on its command topic."""
        await self._network.await_fence(token, self._rows(serials).tolist())

    async def wait_disconnected(self) -> None:
        """After the broker was killed: returns when every device has noticed."""
        await self._network.wait_disconnected()

    def lose_uplink(self, serials: Collection[str]) -> None:
        """From now on nothing passes; the sockets are dropped when the broker would have missed the keep-alive."""
        rows = self._rows(serials)
        rows = rows[np.isnan(self._state["uplink_lost_at_s"][rows])]
        self._state["uplink_lost_at_s"][rows] = self._now_s
        self._state["uplink_close_due_s"][rows] = math.ceil(self._now_s + self._facts.silence_limit_s)
        self._connect_due_s[rows] = NEVER_S
        for row in rows:
            self._network.devices[row].mute()
        self._memory.commit(self._now_s, self._state, rows)

    def restore_uplink(self, serials: Collection[str]) -> None:
        """Meters whose socket is still open go on; others try to connect at a moment of their back-off."""
        rows = self._rows(serials)
        rows = rows[~np.isnan(self._state["uplink_lost_at_s"][rows])]
        lost_for_s = self._now_s - self._state["uplink_lost_at_s"][rows]
        self._state["uplink_lost_at_s"][rows] = np.nan
        self._state["uplink_close_due_s"][rows] = NEVER_S
        alive = self._supplies.alive(rows)
        # The attempts during the loss are not played out one by one: they could only fail.
        window_s = np.minimum(self._facts.reconnect_limit_s, np.maximum(lost_for_s, self._facts.reconnect_first_s))
        delay_s = window_s * uniform(self._keys[rows], Purpose.RECONNECT, self._attempts_in_all[rows])
        self._attempts_in_all[rows] += 1
        for row, is_alive, wait_s in zip(rows.tolist(), alive.tolist(), delay_s.tolist(), strict=True):
            if not is_alive:
                continue
            if self._network.devices[row].link is Link.MUTED:
                self._network.devices[row].unmute()
                self._log.publish_pending(row)
            else:
                self._connect_due_s[row] = self._now_s + max(1, math.ceil(wait_s))
        self._memory.commit(self._now_s, self._state, rows)

    def reboot(self, serials: Collection[str]) -> None:
        """Restart communication processors that run on supply: RAM and connection are gone at once."""
        rows = self._supplies.reboot(self._rows(serials), self._now_s)
        self._connect_due_s[rows] = NEVER_S
        self._state["uplink_close_due_s"][rows] = NEVER_S
        for row in rows:
            self._network.devices[row].forget()
        self._memory.commit(self._now_s, self._state, rows)

    def export_journal(self, directory: Path) -> None:
        """Write `<shard>.parquet` and `<shard>_events.parquet`; the shard's name is that of its memory file."""
        write_journal(self._memory, self._entries, directory, self._memory_path.stem, self._facts.interval_length_s)

    async def stop(self) -> None:
        """Leave the broker in order and close the memory."""
        await self._network.stop()
        self._memory.close()

    # One second of simulated time.

    async def _run_until(self, until_s: int) -> None:
        while (due_s := self.next_due()) is not None and due_s <= until_s:
            await self._run_second(int(due_s))
        self._now_s = max(self._now_s, until_s)

    async def _run_second(self, now_s: int) -> None:
        self._now_s = now_s
        ended = np.flatnonzero(self._state["boundary_due_s"] <= now_s)
        records: list[IntervalRecord] = []
        if len(ended):
            records = self._close_intervals(ended)
        touched = [ended]
        changes = self._supplies.fire(now_s) if self._state["supply_due_s"].min(initial=NEVER_S) <= now_s else []
        touched.append(np.array([changed.row for changed in changes], dtype=np.intp))
        dropped = np.flatnonzero(self._state["uplink_close_due_s"] <= now_s)
        self._state["uplink_close_due_s"][dropped] = NEVER_S
        touched.append(dropped)
        for changed in changes:
            self._log_change(changed)
        await self._commit_and_publish(np.concatenate(touched), records)
        for changed in changes:
            self._act_on(changed)
        for row in dropped:
            self._network.devices[row].drop()
        for row in np.flatnonzero(self._connect_due_s <= now_s):
            self._connect_due_s[row] = NEVER_S
            self._network.connect(int(row))

    def _close_intervals(self, ended: Rows) -> list[IntervalRecord]:
        if self._physics is None:
            raise FleetError(f"an interval ends before {self._now_s} s, but no physical frame has come yet")
        due_s = self._state["boundary_due_s"][ended].copy()
        records = self._recorder.close(ended, due_s, self._physics, self._now_s)
        has_source = self._supplies.alive(ended) & np.isnan(self._state["uplink_lost_at_s"][ended])
        chosen = self._clocks.sync_wanted(ended) & has_source
        setting, at_s = ended[chosen], due_s[chosen]
        for row, moved_s in zip(setting.tolist(), self._clocks.synchronise(setting, at_s).tolist(), strict=True):
            if abs(moved_s) > self._facts.clock_event_threshold_s:
                self._state["status"][row] |= rl_dsp.Status.CLOCK_ADJUSTED
                self._log.enter(row, EventCode.CLOCK_ADJUSTED, {"by_s": round(moved_s, 3)}, self._now_s)
        return records

    async def _commit_and_publish(self, touched: Rows, records: list[IntervalRecord]) -> None:
        events = self._log.take()
        if len(touched) or events:
            self._memory.commit(self._now_s, self._state, touched, intervals=records, events=events)
        self._log.publish(events)
        interval_s = self._facts.interval_length_s
        for count, record in enumerate(records, start=1):
            row = int(record[1])
            if self._network.devices[row].reachable:
                payload = rl_dsp.encode_reading(int(record[0]) + interval_s, wire_row(record))
                self._network.publish(row, "ds", payload)
            if count % _PUBLISHES_PER_TURN == 0:
                await asyncio.sleep(0)

    def _adopt(self, physics: Physics) -> None:
        frame, now_s = physics.frame, physics.frame.time_s
        if self._physics is None:
            self._supplies.begin(frame.energised, now_s)
            self._recorder.energise(frame.energised)
            first_s = uniform(self._keys, Purpose.FIRST_CONNECT, 0, 0, _FIRST_CONNECTS_WITHIN_S)
            able = self._connectable(self._all)
            self._connect_due_s[able] = np.ceil(now_s + first_s[able])
            touched = self._all
        else:
            was = self._state["energised"].copy()
            lost, back = np.flatnonzero(was & ~frame.energised), np.flatnonzero(~was & frame.energised)
            self._recorder.lose(lost, now_s)
            self._recorder.regain(back, now_s)
            self._supplies.lose(lost, now_s)
            for changed in self._supplies.restore(back, now_s):
                self._log_change(changed)
            touched = np.concatenate([lost, back])
        self._physics = physics
        events = self._log.take()
        self._memory.commit(now_s, self._state, touched, events=events, frame=frame.to_bytes())
        self._log.publish(events)

    # What follows from a change of supply.

    def _log_change(self, changed: Changed) -> None:
        row = changed.row
        down = {"down_at": self._device_timestamp(row, self._state["down_at_s"][row])}
        up = {"up_at": self._device_timestamp(row, self._state["up_at_s"][row])}
        match changed.change:
            case Change.LAST_GASP:
                self._log.enter(row, EventCode.LAST_GASP, down, self._now_s)
            case Change.MOMENTARY:
                self._log.enter(row, EventCode.MOMENTARY, down | up, self._now_s)
            case Change.RESTORED | Change.BOOTED:
                self._log.enter(row, EventCode.POWER_RESTORE, down | up, self._now_s)
            case Change.REBOOTED:
                self._log.enter(row, EventCode.REBOOT, {"cause": "watchdog"}, self._now_s)
            case Change.DIED | Change.FORGOTTEN:
                pass

    def _act_on(self, changed: Changed) -> None:
        row = changed.row
        device = self._network.devices[row]
        match changed.change:
            case Change.DIED:
                self._connect_due_s[row] = NEVER_S
                device.mute()
            case Change.FORGOTTEN:
                device.drop()
            case Change.BOOTED | Change.REBOOTED:
                device.forget()
                self._attempts[row] = 0
                self._connect_soon(self._connectable(np.array([row])))
            case Change.LAST_GASP | Change.MOMENTARY | Change.RESTORED:
                pass

    # What the network tells us.

    def on_joined(self, row: int) -> None:
        """The meter is online: say so, and push what it has to tell."""
        self._attempts[row] = 0
        online = rl_dsp.encode_online(math.floor(self._clocks.shown(row, self._now_s)), int(self._state["boots"][row]))
        self._network.publish(row, "st", online)
        self._log.publish_pending(row)

    def on_lost(self, row: int) -> None:
        """Exponential back-off with full jitter, on the simulated clock."""
        if not len(self._connectable(np.array([row]))):
            return
        exponent = min(int(self._attempts[row]), 16)
        window_s = min(self._facts.reconnect_limit_s, self._facts.reconnect_first_s * 2.0**exponent)
        key = self._keys[row : row + 1]
        wait_s = float(uniform(key, Purpose.RECONNECT, int(self._attempts_in_all[row]), 0.0, window_s)[0])
        self._attempts[row] += 1
        self._attempts_in_all[row] += 1
        self._connect_due_s[row] = self._now_s + max(1, math.ceil(wait_s))

    def on_command(self, row: int, envelope: bytes) -> None:
        """Verify, keep the counter, then act; or log and report the refusal."""
        device_s = self._clocks.shown(row, self._now_s)
        verdict = verify(
            envelope,
            serial=self._entries[row].serial,
            public_key=self._public_keys[row],
            clock_s=device_s,
            last_counter=int(self._state["command_counter"][row]),
            interval_length_s=self._facts.interval_length_s,
        )
        if isinstance(verdict, Refused):
            self._log.enter(
                row, EventCode.COMMAND_REFUSED, {"command": verdict.command_id, "reason": verdict.reason}, self._now_s
            )
        else:
            self._state["command_counter"][row] = verdict.counter
        events = self._log.take()
        self._memory.commit(self._now_s, self._state, np.array([row]), events=events)
        self._log.publish(events)
        if isinstance(verdict, LoadProfileRead) and self._network.devices[row].reachable:
            self._answer(row, verdict, device_s)

    def _answer(self, row: int, command: LoadProfileRead, device_s: float) -> None:
        interval_s = self._facts.interval_length_s
        closed_s = (int(self._state["boundary"][row]) - 1) * interval_s
        oldest_s = (int(self._state["first_boundary"][row]) - 1) * interval_s
        from_s = max(command.from_s, oldest_s, closed_s - self._facts.load_profile_depth_s)
        to_s = max(from_s, min(command.to_s, closed_s))
        records = self._memory.intervals(row, range(from_s, to_s, interval_s))
        for payload in rl_dsp.encode_load_profile(
            command_id=command.command_id,
            device_time_s=math.floor(device_s),
            from_s=from_s,
            to_s=to_s,
            interval_s=interval_s,
            rows=[(int(record[0]) + interval_s, wire_row(record)) for record in records],
        ):
            self._network.publish(row, "lp", payload)

    # Small things.

    def _timers(self) -> tuple[np.ndarray, ...]:
        state = self._state
        return (state["boundary_due_s"], state["supply_due_s"], state["uplink_close_due_s"], self._connect_due_s)

    def _rows(self, serials: Collection[str]) -> Rows:
        unknown = [serial for serial in serials if serial not in self._row_of]
        if unknown:
            raise FleetError(f"not in this fleet: {', '.join(unknown)}")
        return np.array([self._row_of[serial] for serial in serials], dtype=np.intp)

    def _connectable(self, rows: Rows) -> Rows:
        """Those of `rows` that have a running communication processor and an uplink."""
        connectable: Rows = rows[self._supplies.alive(rows) & np.isnan(self._state["uplink_lost_at_s"][rows])]
        return connectable

    def _connect_soon(self, rows: Rows) -> None:
        self._connect_due_s[rows] = self._now_s

    def _device_timestamp(self, row: int, true_s: float) -> str:
        return rl_dsp.timestamp(math.floor(self._clocks.shown(row, true_s)))

    def _identity(self) -> dict[str, object]:
        meters = blake2b(digest_size=16)
        for entry, world_row in zip(self._entries, self._world_rows.tolist(), strict=True):
            meters.update(f"{entry.serial} {entry.usage_point} {world_row}\n".encode())
        return {
            "seed": self._seed,
            "start_s": self._start_s,
            "profile": self._profile.name,
            "interval_length_s": self._facts.interval_length_s,
            "meters": meters.hexdigest(),
        }


def _common_profile(entries: Sequence[ShipmentEntry]) -> VendorProfile:
    names = sorted({entry.vendor_profile for entry in entries})
    if len(names) != 1:
        raise FleetError(f"a shard has meters of one vendor profile; this one has {', '.join(names) or 'no meters'}")
    return load_profile(names[0])
