"""Meters that record by themselves: a clock, a load profile and an event log, and commands that they verify.

Within a second: intervals that end, supply timers, uplink timers, one commit to the durable memory, then what is to be
published. How it is published, and who can be reached, is the business of the shard's wire.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from numpy.typing import NDArray

from grid.world import WorldFrame
from meters.device.clock import Clocks
from meters.device.command import LoadProfileRead, Refused, verify
from meters.device.eventlog import EventLog
from meters.device.intervals import Recorder
from meters.device.memory import Event, IntervalRecord, Kept
from meters.device.state import NEVER_S, Rows
from meters.device.supply import Change, Changed, Supplies
from meters.errors import FleetError
from meters.fleet.shard import Shard, ShardSetup
from meters.vendors import rl_dsp
from meters.vendors.profile import Facts
from meters.vendors.rl_dsp import EventCode


@dataclass(frozen=True, slots=True)
class ProfileAnswer:
    """What the memory has of the intervals that start in [from_s, to_s), in answer to a command."""

    command_id: str
    device_time_s: int
    from_s: int
    to_s: int
    records: Sequence[IntervalRecord]


class RecordingShard(Shard):
    """The part of a meter that does not depend on how it is reached."""

    def __init__(self, setup: ShardSetup) -> None:
        super().__init__(setup)
        self._facts = cast(Facts, setup.profile.facts)
        self._public_keys = [Ed25519PublicKey.from_public_bytes(entry.command_public_key) for entry in self._entries]

    def _prepare(self, kept: Kept | None) -> None:
        self._clocks = Clocks(self._state, self._keys, self._facts)
        self._supplies = Supplies(self._state, self._keys, self._facts)
        self._recorder = Recorder(self._state, self._clocks, self._metrology, self._facts)
        self._log = EventLog(self._state, self._clocks, self._memory)
        if kept is None:
            self._clocks.begin(self._setup.start_s)
            self._recorder.begin(self._setup.start_s)

    # What the wire adds.

    @abstractmethod
    def _has_time_source(self, rows: Rows) -> NDArray[np.bool_]:
        """Which of `rows` are in touch with a source of time."""

    @abstractmethod
    def _tell(self, events: Sequence[Event]) -> None:
        """Push committed events of those meters that can be reached."""

    @abstractmethod
    async def _report(self, records: Sequence[IntervalRecord]) -> None:
        """These intervals have ended, and are committed."""

    @abstractmethod
    def _note_timers(self, now_s: int) -> Rows:
        """Which timers of the wire are due: note it in the state, for the commit. Returns the meters touched."""

    @abstractmethod
    async def _act_on_timers(self, now_s: int) -> None:
        """Do what `_note_timers` noted."""

    @abstractmethod
    def _act_on(self, changed: Changed) -> None:
        """What a change of supply, committed and told, means for the connection."""

    @abstractmethod
    def _reachable(self, row: int) -> bool:
        """Whether a message leaves the meter now."""

    @abstractmethod
    def _answer(self, row: int, answer: ProfileAnswer) -> None:
        """Publish the answer to a command. The meter is reachable."""

    # One second of simulated time.

    def _timers(self) -> tuple[NDArray[np.float64], ...]:
        state = self._state
        return (state["boundary_due_s"], state["supply_due_s"], state["uplink_close_due_s"])

    async def _run_second(self, now_s: int) -> None:
        ended = np.flatnonzero(self._state["boundary_due_s"] <= now_s)
        records = self._close_intervals(ended) if len(ended) else []
        changes = self._supplies.fire(now_s) if self._state["supply_due_s"].min(initial=NEVER_S) <= now_s else []
        noted = self._note_timers(now_s)
        for changed in changes:
            self._log_change(changed)
        events = self._log.take()
        touched = np.concatenate([ended, np.array([changed.row for changed in changes], dtype=np.intp), noted])
        if len(touched) or events:
            self._commit(touched, intervals=records, events=events)
        self._tell(events)
        await self._report(records)
        for changed in changes:
            self._act_on(changed)
        await self._act_on_timers(now_s)

    def _close_intervals(self, ended: Rows) -> list[IntervalRecord]:
        if self._physics is None:
            raise FleetError(f"an interval ends before {self._now_s} s, but no physical frame has come yet")
        due_s = self._state["boundary_due_s"][ended].copy()
        records = self._recorder.close(ended, due_s, self._physics, self._now_s)
        chosen = self._clocks.sync_wanted(ended) & self._has_time_source(ended)
        setting, at_s = ended[chosen], due_s[chosen]
        for row, moved_s in zip(setting.tolist(), self._clocks.synchronise(setting, at_s).tolist(), strict=True):
            if abs(moved_s) > self._facts.clock_event_threshold_s:
                self._state["status"][row] |= rl_dsp.Status.CLOCK_ADJUSTED
                self._log.enter(row, EventCode.CLOCK_ADJUSTED, {"by_s": round(moved_s, 3)}, self._now_s)
        return records

    def _commit(
        self,
        touched: Rows,
        *,
        intervals: Sequence[IntervalRecord] = (),
        events: Sequence[Event] = (),
        frame: bytes | None = None,
    ) -> None:
        self._memory.commit(self._now_s, self._state, touched, intervals=intervals, events=events, frame=frame)

    # Supply.

    def _first_frame(self, energised: NDArray[np.bool_], now_s: int) -> None:
        self._supplies.begin(energised, now_s)
        self._recorder.energise(energised)

    def _supply_changed(self, lost: Rows, back: Rows, now_s: int) -> None:
        self._recorder.lose(lost, now_s)
        self._recorder.regain(back, now_s)
        self._supplies.lose(lost, now_s)
        for changed in self._supplies.restore(back, now_s):
            self._log_change(changed)

    def _commit_frame(self, frame: WorldFrame, touched: Rows) -> None:
        events = self._log.take()
        self._commit(touched, events=events, frame=frame.to_bytes())
        self._tell(events)

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

    # Commands.

    def _obey(self, row: int, envelope: bytes) -> None:
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
        self._commit(np.array([row]), events=events)
        self._tell(events)
        if isinstance(verdict, LoadProfileRead) and self._reachable(row):
            self._answer(row, self._read_profile(row, verdict, math.floor(device_s)))

    def _read_profile(self, row: int, command: LoadProfileRead, device_time_s: int) -> ProfileAnswer:
        interval_s = self._facts.interval_length_s
        closed_s = (int(self._state["boundary"][row]) - 1) * interval_s
        oldest_s = (int(self._state["first_boundary"][row]) - 1) * interval_s
        from_s = max(command.from_s, oldest_s, closed_s - self._facts.load_profile_depth_s)
        to_s = max(from_s, min(command.to_s, closed_s))
        records = self._memory.intervals(row, range(from_s, to_s, interval_s))
        return ProfileAnswer(command.command_id, device_time_s, from_s, to_s, records)

    # Small things.

    def _device_timestamp(self, row: int, true_s: float) -> str:
        return rl_dsp.timestamp(math.floor(self._clocks.shown(row, true_s)))
