"""From decoded values to the rows of a batch, and to those who have to know of them; the same for every protocol."""

import math
from collections.abc import Iterable, Sequence

import orjson

from headend.commands.lifecycle import State, Step
from headend.commands.service import CommandService
from headend.drivers import (
    ABSENT,
    READING_COUNTERS,
    READING_MEASURES,
    CommandAnswer,
    DecodeError,
    EndDeviceEvent,
    ProfilePart,
    Reading,
    counters_of,
    measures_of,
)
from headend.outages.watch import OutageWatch
from headend.ratios import NO_TRANSFORMERS
from headend.reads import budgets
from headend.reads.budgets import Budgets, Kind
from headend.reads.dead_letters import drop
from headend.reads.plausibility import YEAR_2000_S, Limits
from headend.reads.recovery import Recovery
from headend.registry import EndDevice
from headend.settings import HeadEndSettings
from headend.store import writer
from headend.store.register_records import OnDemandRow
from headend.store.writer import Batch

_AHEAD_S = 86_400


def check_time(time_s: float, now_s: float) -> None:
    """Raises DecodeError for an instant that no meter's clock can honestly show."""
    if not YEAR_2000_S <= time_s <= now_s + _AHEAD_S:
        raise DecodeError(
            "implausible_time", f"{time_s} s is before the year 2000 or more than a day ahead of the clock"
        )


class Recorder:
    """Appends to the batch that it is given; settles schedules and tells recovery, commands and outage watch.

    `online`: the state of communication of the meters, by id, where it is known (headend/store/devices.py).
    """

    def __init__(
        self,
        settings: HeadEndSettings,
        devices: Sequence[EndDevice],
        budgets: Budgets,
        recovery: Recovery,
        commands: CommandService,
        outages: OutageWatch,
        online: dict[int, bool],
    ) -> None:
        self._tolerance_s = settings.clock_tolerance_s
        self._budgets = budgets
        self._limits = [
            Limits.of(
                device.driver.interval_length_s,
                device.max_power_w,
                device.driver.register_range_wh,
                device.ratios.power,
            )
            for device in devices
        ]
        # Nearly no meter has some, and each reading asks.
        self._ratios = {device.index: device.ratios for device in devices if device.ratios != NO_TRANSFORMERS}
        self._recovery = recovery
        self._schedule = recovery.schedule
        self._unheard = recovery.unheard
        self._commands = commands
        self._outages = outages
        self._online = online

    def reading(
        self, batch: Batch, device: EndDevice, reading: Reading, length_s: int, origin: int, now_s: float
    ) -> bool:
        """An interval; False if it is implausible, and kept aside. `origin`: writer.REPORTED or writer.RECOVERED."""
        start_s = reading.end_s - length_s
        # It may be over by a clock that is fast, though not by ours.
        fault = self._limits[device.index].fault_of(reading, length_s, now_s + self._tolerance_s)
        if fault is not None:
            self._implausible(batch, device, reading, length_s, origin, fault, now_s)
            self._recovery.heard(device.index, now_s)
            return False
        counters, measures = counters_of(reading), measures_of(reading)
        if device.index in self._ratios:
            ratios = self._ratios[device.index]
            counters, measures = ratios.counters(counters), ratios.measures(measures)
        batch.add_reading(device.id, start_s, length_s, int(now_s * 1e6), origin, counters, measures)
        if not reading.complete:
            batch.has_absent = True
        if reading.others:
            rows = [(start_s, length_s, name, value) for name, value in reading.others]
            self._others(batch, device, rows, now_s)
        self._schedule.settle(device.index, start_s, length_s)
        if device.index in self._unheard:
            self._recovery.heard(device.index, now_s)
        return True

    def _implausible(
        self, batch: Batch, device: EndDevice, reading: Reading, length_s: int, origin: int, fault: str, now_s: float
    ) -> None:
        """It settles nothing: the interval is asked for."""
        channels: dict[str, float] = {
            name: value for name, value in zip(READING_COUNTERS, counters_of(reading), strict=True) if value != ABSENT
        }
        channels |= {
            name: value
            for name, value in zip(READING_MEASURES, measures_of(reading), strict=True)
            if not math.isnan(value)
        }
        channels |= dict(reading.others)
        start_s = reading.end_s - length_s
        text = orjson.dumps(channels).decode()
        if self._may_keep(batch, device, budgets.IMPLAUSIBLE, now_s, f"{fault}, interval of {start_s}", text):
            batch.implausible.append((device.id, float(start_s), length_s, fault, text, origin, now_s))

    def _others(
        self, batch: Batch, device: EndDevice, rows: Sequence[tuple[float, int, str, float]], now_s: float
    ) -> None:
        """(start, length, reading type, value) of what has no column of its own."""
        first = "" if not rows else f"{rows[0][2]} of {rows[0][0]}"
        if self._may_keep(batch, device, budgets.OTHER_READINGS, now_s, first, "", rows=len(rows)):
            batch.others += [(device.id, *row, now_s) for row in rows]

    def _may_keep(
        self, batch: Batch, device: EndDevice, kind: Kind, now_s: float, detail: str, example: str, *, rows: int = 1
    ) -> bool:
        """Within the device's budget; else it is counted."""
        hour_s = budgets.hour_of(device.driver.interval_length_s)
        if self._budgets.spend(device.serial, kind, now_s, rows=rows, hour_s=hour_s):
            return True
        drop(batch, device.group, device.serial, kind, now_s, example.encode(), detail, copies=rows)
        return False

    def repeated(
        self, batch: Batch, device: EndDevice, readings: Sequence[Reading], length_s: int, now_s: float
    ) -> None:
        """Intervals that were reported before, unless we missed them."""
        for reading in readings:
            if self._schedule.awaits(device.index, reading.end_s - length_s, length_s):
                self.reading(batch, device, reading, length_s, writer.REPORTED, now_s)

    def momentary_values(
        self, batch: Batch, device: EndDevice, values: Iterable[tuple[str, float, float]], now_s: float
    ) -> None:
        """(name, epoch s, value) of metrics that are no channel of ours."""
        rows = [(time_s, 0, name, value) for name, time_s, value in values]
        if rows:
            self._others(batch, device, rows, now_s)

    def event(self, batch: Batch, device: EndDevice, event: EndDeviceEvent, now_s: float) -> None:
        """An entry of the event log. Raises DecodeError, before anything is noted, for an implausible time."""
        for time_s in (event.device_time_s, event.down_s, event.up_s):
            if time_s is not None:
                check_time(time_s, now_s)
        self._recovery.heard(device.index, now_s)
        if not self._may_keep(batch, device, budgets.EVENTS, now_s, event.code, event.detail_json):
            return
        batch.events.append(
            (device.id, event.sequence, event.code, float(event.device_time_s), event.detail_json, now_s)
        )
        if event.refused_command is not None:
            self._refused(batch, device, event.refused_command, event.refused_reason, now_s)
        if event.restored:
            self._recovery.returned(device.index, now_s)
        if event.down_s is not None:
            up_s = None if event.up_s is None else float(event.up_s)
            down_s = float(event.down_s)
            doubt = self._outages.doubt(device, down_s, up_s, now_s)
            if doubt is None:
                gasp_s, back_s = (now_s, None) if up_s is None else (None, now_s)
                batch.interruptions.append((device.id, down_s, up_s, gasp_s, back_s))
            elif self._may_keep(
                batch, device, budgets.DOUBTFUL, now_s, f"{doubt}, {event.code} of {down_s}", event.detail_json
            ):
                batch.doubtful.append((device.id, down_s, up_s, doubt, now_s))

    def _refused(self, batch: Batch, device: EndDevice, command_id: str, reason: str | None, now_s: float) -> None:
        if self._recovery.refused(device.index, command_id, reason):
            batch.command_steps.append(Step(command_id, 1, State.REFUSED, now_s, reason).row())
        else:
            batch.command_steps += self._commands.refused(device, command_id, reason, now_s)

    def state(
        self,
        batch: Batch,
        device: EndDevice,
        now_s: float,
        *,
        online: bool,
        boot: int | None = None,
        time_s: float | None = None,
    ) -> None:
        """The meter says that it is there, or somebody says that it is not. `time_s`: the meter's clock."""
        earlier = batch.states.get(device.id)
        if earlier is not None:
            boot = earlier[2] if boot is None else boot
            time_s = earlier[3] if time_s is None else time_s
        batch.states[device.id] = (device.id, online, boot, time_s, now_s)
        self.communication(batch, device, now_s, online=online)
        if online:
            self._recovery.returned(device.index, now_s)
        else:
            self._recovery.went_offline(device.index)

    def is_online(self, device: EndDevice) -> bool | None:
        """Whether the meter can be reached, as far as we know."""
        return self._online.get(device.id)

    def communication(self, batch: Batch, device: EndDevice, now_s: float, *, online: bool) -> None:
        """Whether the meter can be reached: a row where that has changed."""
        if self._online.get(device.id) != online:
            self._online[device.id] = online
            if self._may_keep(batch, device, budgets.COMMUNICATIONS, now_s, "online" if online else "offline", ""):
                batch.communications[device.id, now_s] = online

    def answer(self, batch: Batch, device: EndDevice, part: ProfilePart, now_s: float) -> None:
        """A part of an answer to `load_profile.read`. Raises DecodeError, before anything, if it answers nothing."""
        length_s = part.interval_length_s
        check_time(part.from_s, now_s)
        check_time(part.to_s, now_s)
        fault = self._recovery.fault_of(device.index, part, device.driver.interval_length_s)
        if fault is not None:
            raise DecodeError("unsolicited_answer", fault)
        implausible = [
            reading.end_s - length_s
            for reading in part.readings
            if not self.reading(batch, device, reading, length_s, writer.RECOVERED, now_s)
        ]
        self._outages.recovered(part.from_s, part.to_s)
        self._recovery.heard(device.index, now_s)
        answer = self._recovery.answered(device.index, part, now_s, implausible=implausible)
        if answer is None:
            return
        states = [State.ACKNOWLEDGED] if answer.is_first else []
        states += [State.COMPLETED] if answer.is_last else [State.EXECUTING] if answer.is_first else []
        batch.command_steps += [Step(answer.command_id, 1, state, now_s).row() for state in states]
        batch.gaps += [
            (device.id, float(start_s), length_s, reason, answer.command_id, now_s) for start_s, reason in answer.gaps
        ]

    def command_answer(self, batch: Batch, device: EndDevice, answer: CommandAnswer, now_s: float) -> None:
        """An answer to any other command. Raises DecodeError, before anything, if it answers nothing."""
        check_time(answer.device_time_s, now_s)
        batch.command_steps += self._commands.answered(device, answer, now_s)
        self._recovery.heard(device.index, now_s)
        shown, at_s = answer.registers, answer.device_time_s
        if shown is not None:
            fault = self._limits[device.index].fault_of_registers(shown, at_s, now_s + self._tolerance_s)
            batch.on_demand.append(OnDemandRow(answer.command_id, device.id, at_s, shown, fault, now_s))
