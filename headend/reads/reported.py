"""Meters that report themselves and keep no load profile: from registers at instants to intervals on their grid.

A boundary has the registers of the report that is nearest, not more than NEAR_S away, of the last one before it and the
first one after. So a boundary is decided when the first report after it comes. A boundary without a report nearby is
missed, and estimated over. Where the last boundary before a report was missed, its registers are on the straight line
between the two reports: a meter with a rhythm of its own may never report at a boundary. What a meter measures comes
with its registers, or in a report of its own shortly before.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from headend.drivers import ABSENT, DecodeError, MomentaryReport, RegisterReport, Registers
from headend.reads.plausibility import MAX_VOLTAGE_V, can_have_passed
from headend.reads.registers import NEAR_S, RegisterReads
from headend.registry import EndDevice
from headend.settings import HeadEndSettings
from headend.store.register_records import BoundaryReading, RegisterRows


@dataclass(slots=True)
class _Heard:
    """The last reports of a meter."""

    moment: MomentaryReport | None = None
    shown: tuple[float, Registers] | None = None


class ReportedRegisters:
    """Takes the reports of those among `devices` that report themselves and keep no load profile."""

    def __init__(self, settings: HeadEndSettings, devices: Sequence[EndDevice]) -> None:
        self._ahead_s = settings.clock_tolerance_s
        self._reach_s = settings.recovery_horizon_s
        self.reads = RegisterReads(
            device
            for device in devices
            if device.driver.capabilities.reports_itself and not device.driver.capabilities.keeps_load_profile
        )
        self._heard: dict[int, _Heard] = {}

    def momentary(self, _rows: RegisterRows, device: EndDevice, report: MomentaryReport, now_s: float) -> None:
        """What a meter measures now. Raises DecodeError for what it cannot."""
        self._check(device, report.at_s, now_s)
        if report.active_power_w != ABSENT and not can_have_passed(
            abs(report.active_power_w), 3600.0, device.max_power_w
        ):
            raise DecodeError("power_beyond_rating", f"{report.active_power_w} W")
        if any(voltage > MAX_VOLTAGE_V for voltage in report.voltages_v):
            raise DecodeError("beyond_voltage", f"{max(report.voltages_v):g} V")
        self._heard.setdefault(device.id, _Heard()).moment = report

    def registers(self, rows: RegisterRows, device: EndDevice, report: RegisterReport, now_s: float) -> None:
        """What a meter's registers show. Raises DecodeError for what they cannot; what is doubted is kept."""
        self._check(device, report.at_s, now_s)
        if max(report.import_register_wh, report.export_register_wh) >= device.driver.register_range_wh:
            raise DecodeError("beyond_register", f"{report.import_register_wh} Wh, {report.export_register_wh} Wh")
        heard = self._heard.setdefault(device.id, _Heard())
        moment, before = heard.moment, heard.shown
        if moment is None or report.at_s - moment.at_s > NEAR_S or (before and report.at_s <= before[0]):
            # Without power and voltages, or said before: of no boundary.
            return
        energies = (report.import_register_wh, report.export_register_wh)
        heard.shown = report.at_s, Registers(*energies, moment.active_power_w, moment.voltages_v, moment.channels)
        doubts = [
            doubt
            for reading in _at_boundaries(before, heard.shown, device.driver.interval_length_s)
            if (doubt := self.reads.take(rows, device, reading, now_s)) is not None
        ]
        if doubts:
            raise DecodeError(doubts[0].reason, "; ".join(doubt.detail for doubt in doubts))

    def _check(self, device: EndDevice, at_s: float, now_s: float) -> None:
        if device not in self.reads:
            raise DecodeError("wrong_protocol", f"{device.serial} is not known to report its registers")
        # A boundary is decided once: an instant that is not yet there would decide it too early.
        if not now_s - self._reach_s <= at_s <= now_s + self._ahead_s:
            raise DecodeError("implausible_time", f"{at_s} s is not near the present, nor what could be on its way")


def _at_boundaries(
    before: tuple[float, Registers] | None, after: tuple[float, Registers], length_s: int
) -> list[BoundaryReading]:
    """The boundaries that two reports after one another decide, in the order of time; the last one at any rate."""
    near_s = min(NEAR_S, length_s / 2)
    candidates = [after] if before is None else [before, after]
    boundaries = {int(after[0] // length_s) * length_s}
    if before is not None:
        following_s = -int(-before[0] // length_s) * length_s
        boundaries = {boundary_s for boundary_s in (following_s, *boundaries) if before[0] < boundary_s <= after[0]}
    found = []
    for boundary_s in sorted(boundaries):
        at_s, registers = min(candidates, key=lambda shown: abs(shown[0] - boundary_s))
        if abs(at_s - boundary_s) <= near_s:
            found.append(BoundaryReading(boundary_s, at_s, registers))
        elif before is not None and boundary_s == max(boundaries):
            found += _interpolated(boundary_s, before, after)
    return found


def _interpolated(
    boundary_s: int, before: tuple[float, Registers], after: tuple[float, Registers]
) -> list[BoundaryReading]:
    """Whole Wh on the straight line between two reports; nothing where a register went back."""
    (before_s, first), (after_s, last) = before, after
    share = (boundary_s - before_s) / (after_s - before_s)
    imported_wh = last.import_register_wh - first.import_register_wh
    exported_wh = last.export_register_wh - first.export_register_wh
    if min(imported_wh, exported_wh) < 0:
        return []
    shown = last._replace(
        import_register_wh=first.import_register_wh + int(imported_wh * share),
        export_register_wh=first.export_register_wh + int(exported_wh * share),
    )
    return [BoundaryReading(boundary_s, boundary_s, shown, interpolated=True)]
