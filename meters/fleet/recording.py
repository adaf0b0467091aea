"""Meters that record by themselves: a clock, a load profile and an event log, and commands that they verify."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from meters.device.clock import Clocks
from meters.device.command import Refused
from meters.device.eventlog import EventLog
from meters.device.facts import Facts
from meters.device.intervals import Recorder
from meters.device.journal import write_journal
from meters.device.metrology import Metrology
from meters.device.orders import Orders
from meters.device.outcomes import Outcome
from meters.device.phases import PhaseChange, PhaseWatch
from meters.device.physics import Physics
from meters.device.purposes import Answer
from meters.device.quantities import PHASE_NAMES
from meters.device.records import (
    CommandAnswer,
    Event,
    EventCode,
    IntervalRecord,
    ProfileAnswer,
    Status,
    timestamp,
)
from meters.device.relay import Cause
from meters.device.sags import Excursion, VoltageWatch
from meters.device.state import Rows
from meters.device.supply import Change, Changed
from meters.errors import FleetError
from meters.fleet.core import Core
from meters.fleet.parts import Carrier, Timers


class Recording:
    """The part of a meter with a load profile that does not depend on how it is reached."""

    def __init__(self, core: Core, *, new: bool) -> None:
        """`new`: nothing was kept, and the first intervals open at the start."""
        facts = cast(Facts, core.profile.facts)
        self._core = core
        self._facts = facts
        self._outages = core.profile.capabilities.reports_outages
        self.clocks = Clocks(core.state, core.keys, facts)
        self._recorder = Recorder(
            core.state, self.clocks, Metrology(core.keys, facts, rated_a=core.rated_a, connected=core.connected), facts
        )
        self._phases = PhaseWatch(core.state, facts.qualifying_delay_s)
        self._voltages = VoltageWatch(core.state, facts)
        self._log = EventLog(core.state, self.clocks, core.memory)
        self._orders = Orders(
            core.serials,
            [entry.command_public_key for entry in core.entries],
            core.state,
            self.clocks,
            core.memory,
            meter=lambda row, now_s: _Meter(core, self._recorder, facts, row, now_s),
            capabilities=[name for name, has in core.profile.capabilities.model_dump().items() if has is True],
        )
        if new:
            self.clocks.begin(core.setup.start_s)
            self._recorder.begin(core.setup.start_s)
        if core.physics is not None:
            self._recorder.resume(core.physics)

    def timers(self) -> Timers:
        return self._core.state["boundary_due_s"], self._core.state["phase_due_s"]

    def first_frame(self, energised: NDArray[np.bool_], _now_s: int) -> None:
        self._recorder.energise(energised)
        # Those without have been so for long.
        self.clocks.invalidate(np.flatnonzero(~energised))

    def supply_changed(self, lost: Rows, back: Rows, now_s: int) -> None:
        self._recorder.lose(lost, now_s)
        self._recorder.regain(back, now_s)
        self.clocks.invalidate(back[now_s - self._core.state["down_at_s"][back] > self._facts.clock_reserve_s])

    def phases_changed(self, lit: NDArray[np.bool_], now_s: int) -> Rows:
        touched, changes = self._phases.adopt(lit, now_s)
        self._log_phases(changes)
        return touched

    def adopt(self, physics: Physics) -> Rows:
        self._recorder.adopt(physics)
        ended = self._voltages.adopt(self._recorder.voltage_v, physics.frame.time_s)
        self._log_excursions(ended, physics.frame.time_s)
        return self._core.everybody

    def run(self, now_s: int, carrier: Carrier) -> tuple[Rows, list[IntervalRecord]]:
        ended = np.flatnonzero(self._core.state["boundary_due_s"] <= now_s)
        records = self._close_intervals(ended, carrier) if len(ended) else []
        told = self._phases.fire(now_s)
        self._log_phases(told)
        return np.concatenate([ended, np.array([change.row for change in told], dtype=np.intp)]), records

    def note(self, changes: Sequence[Changed]) -> None:
        for changed in changes:
            self._log_change(changed)

    def note_relays(self, rows: Rows, *, closed: bool, cause: Cause) -> None:
        code = EventCode.RELAY_CLOSED if closed else EventCode.RELAY_OPENED
        for row in rows.tolist():
            self._log.enter(row, code, {"cause": cause}, self._core.now_s)

    def take(self) -> list[Event]:
        return self._log.take()

    def pending(self, row: int) -> list[Event]:
        """What came up while the meter, now online, was not, as far as it is still worth telling."""
        return self._log.pending(row)

    def told(self, event: Event) -> None:
        """The event was pushed."""
        self._log.told(event)

    def device_time_s(self, row: int) -> int:
        """What the clock of the meter shows, in whole seconds."""
        return math.floor(self.clocks.shown(row, self._core.now_s))

    def export(self, directory: Path, shard: str) -> None:
        core = self._core
        write_journal(core.memory, core.serials, core.usage_points, directory, shard, self._facts.interval_length_s)

    def obey(self, row: int, envelope: bytes, carrier: Carrier) -> None:
        """Verify a command, act once, keep the outcome, then answer; or log and report the refusal."""
        core = self._core
        taken = self._orders.take(row, envelope, core.now_s)
        kept = None
        if isinstance(taken, Refused):
            detail = {"command": taken.command_id, "reason": taken.reason}
            self._log.enter(row, EventCode.COMMAND_REFUSED, detail, core.now_s)
        elif taken.is_new:
            kept = row, taken.counter, taken.outcome
        events = self._log.take()
        core.commit(np.array([row]), events=events, outcome=kept)
        carrier.tell(events)
        if not isinstance(taken, Refused) and carrier.reachable(row):
            carrier.answer(row, self._answer_of(row, taken.outcome))

    def _close_intervals(self, ended: Rows, carrier: Carrier) -> list[IntervalRecord]:
        core = self._core
        if core.physics is None:
            raise FleetError(f"an interval ends before {core.now_s} s, but no physical frame has come yet")
        due_s = core.state["boundary_due_s"][ended].copy()
        records = self._recorder.close(ended, due_s, core.now_s)
        chosen = self.clocks.sync_wanted(ended) & carrier.has_time_source(ended)
        setting, at_s = ended[chosen], due_s[chosen]
        for row, moved_s in zip(setting.tolist(), self.clocks.synchronise(setting, at_s).tolist(), strict=True):
            if abs(moved_s) > self._facts.clock_event_threshold_s:
                core.state["status"][row] |= Status.CLOCK_ADJUSTED
                self._log.enter(row, EventCode.CLOCK_ADJUSTED, {"by_s": round(moved_s, 3)}, core.now_s)
        return records

    def _log_change(self, changed: Changed) -> None:
        row, state, now_s = changed.row, self._core.state, self._core.now_s
        down = {"down_at": self._device_timestamp(row, state["down_at_s"][row])}
        up = {"up_at": self._device_timestamp(row, state["up_at_s"][row])}
        upgraded = bool(state["upgrading"][row])
        if changed.change in (Change.BOOTED, Change.REBOOTED):
            state["upgrading"][row] = False
        match changed.change:
            case Change.LAST_GASP if self._outages:
                self._log.enter(row, EventCode.LAST_GASP, down, now_s)
            case Change.MOMENTARY if self._outages:
                self._log.enter(row, EventCode.MOMENTARY, down | up, now_s)
            case Change.RESTORED | Change.BOOTED if self._outages:
                self._log.enter(row, EventCode.POWER_RESTORE, down | up, now_s)
            case Change.REBOOTED:
                cause = "firmware" if upgraded else "watchdog"
                self._log.enter(row, EventCode.REBOOT, {"cause": cause}, now_s)
            case _:
                pass

    def _log_phases(self, changes: Sequence[PhaseChange]) -> None:
        if not self._outages:
            return
        for row, phase, lost, down_at_s, up_at_s in changes:
            detail = {"phase": phase, "down_at": self._device_timestamp(row, down_at_s)}
            if not lost:
                detail["up_at"] = self._device_timestamp(row, up_at_s)
            self._log.enter(row, EventCode.PHASE_LOSS if lost else EventCode.PHASE_RESTORED, detail, self._core.now_s)

    def _log_excursions(self, ended: Sequence[Excursion], now_s: int) -> None:
        for row, phase, swell, extreme_v, from_s in ended:
            detail = {
                "phase": PHASE_NAMES[phase],
                "highest_v" if swell else "lowest_v": round(extreme_v, 1),
                "from": self._device_timestamp(row, from_s),
                "duration_s": round(now_s - from_s),
            }
            self._log.enter(row, EventCode.VOLTAGE_SWELL if swell else EventCode.VOLTAGE_SAG, detail, now_s)

    def _answer_of(self, row: int, outcome: Outcome) -> ProfileAnswer | CommandAnswer:
        command_id, device_s, result = outcome.command_id, outcome.device_time_s, outcome.result
        match self._orders.answer_of(outcome):
            case Answer.LOAD_PROFILE:
                from_s, to_s, interval_s = int(result["from"]), int(result["to"]), self._facts.interval_length_s
                records = self._core.memory.intervals(row, range(from_s, to_s, interval_s))
                return ProfileAnswer(command_id, device_s, from_s, to_s, interval_s, records)
            case Answer.REGISTERS:
                return CommandAnswer(command_id, device_s, result, outcome.fault)
            case Answer.DONE:
                return CommandAnswer(command_id, device_s, None, outcome.fault)

    def _device_timestamp(self, row: int, true_s: float) -> str:
        return timestamp(math.floor(self.clocks.shown(row, true_s)))


class _Meter:
    """One meter, as the effects of commands see it."""

    def __init__(self, core: Core, recorder: Recorder, facts: Facts, row: int, now_s: int) -> None:
        self._core = core
        self._recorder = recorder
        self._facts = facts
        self._row = row
        self._now_s = now_s

    @property
    def interval_length_s(self) -> int:
        return self._facts.interval_length_s

    def registers(self) -> Mapping[str, int | float]:
        return self._recorder.shown(self._row, self._now_s)

    def remembered(self, from_s: int, to_s: int) -> tuple[int, int]:
        state, interval_s = self._core.state, self._facts.interval_length_s
        closed_s = (int(state["boundary"][self._row]) - 1) * interval_s
        oldest_s = (int(state["first_boundary"][self._row]) - 1) * interval_s
        begins_s = max(from_s, oldest_s, closed_s - self._facts.load_profile_depth_s)
        return begins_s, max(begins_s, min(to_s, closed_s))
