"""Meters behind collectors: what their births and data say, recorded (docs/wire-sparkplug.md)."""

from collections.abc import Callable, Sequence

from headend.drivers import (
    CommandAnswer,
    DecodeError,
    DeviceReport,
    EndDeviceEvent,
    NamedValue,
    ProfilePart,
    driver_failed,
)
from headend.reads.record import Recorder, check_time
from headend.registry import EndDevice
from headend.store.batch import REPORTED, Batch


class Devices:
    """The registered ones of a group."""

    def __init__(self, devices: Sequence[EndDevice], recorder: Recorder, *, group: str) -> None:
        self._devices = {device.serial: device for device in devices}
        self._recorder = recorder
        self._group = group
        self._lengths_s: dict[str, int] = {}
        self._born_s: dict[str, float] = {}

    def named(self, serial: str, edge: str) -> EndDevice:
        """The meter of this name behind this collector. Raises DecodeError."""
        device = self._devices.get(serial)
        if device is None:
            raise DecodeError("unknown_device", f"{serial} is not in the registry")
        if device.driver.sparkplug is None:
            raise DecodeError("wrong_protocol", f"{serial} is registered as {device.driver.vendor_profile}")
        if device.group != self._group:
            raise DecodeError("wrong_group", f"{serial} is registered in group {device.group}")
        if device.address != edge:
            raise DecodeError("wrong_collector", f"{serial} is registered behind {device.address}")
        return device

    def birth(self, batch: Batch, device: EndDevice, values: Callable[[], Sequence[NamedValue]], now_s: float) -> None:
        """A DBIRTH. `values()`: its metrics. Raises DecodeError."""
        self._born_s[device.serial] = now_s
        boot, time_s = None, None
        try:
            report = self._report(device, values(), now_s, birth=True)
            if report.boot is not None:
                boot, time_s = report.boot[0], float(report.boot[1])
        finally:
            # It is there, whatever its values are worth.
            self._recorder.state(batch, device, now_s, online=True, boot=boot, time_s=time_s)
        self._recorder.repeated(batch, device, report.readings, report.interval_length_s, now_s)
        self._recorder.momentary_values(batch, device, report.others, now_s)

    def data(self, batch: Batch, device: EndDevice, values: Sequence[NamedValue], now_s: float) -> None:
        """A DDATA. Raises DecodeError."""
        report = self._report(device, values, now_s, birth=False)
        if report.boot is not None:
            self._recorder.state(batch, device, now_s, online=True, boot=report.boot[0], time_s=float(report.boot[1]))
        if report.event is not None:
            self._recorder.event(batch, device, report.event, now_s)
        if isinstance(report.answer, CommandAnswer):
            self._recorder.command_answer(batch, device, report.answer, now_s)
        elif report.answer is not None:
            self._recorder.answer(batch, device, report.answer, now_s)
        else:
            for reading in report.readings:
                self._recorder.reading(batch, device, reading, report.interval_length_s, REPORTED, now_s)
        self._recorder.momentary_values(batch, device, report.others, now_s)

    def died(self, batch: Batch, device: EndDevice, time_ms: int | None, now_s: float) -> None:
        """A DDEATH. It counts from the time that it says (5.11), if that is after the birth and not to come."""
        born_s = self._born_s.get(device.serial, now_s)
        said_s = now_s if time_ms is None else time_ms / 1000
        self.gone(batch, device, min(max(said_s, born_s), now_s))

    def gone(self, batch: Batch, device: EndDevice, now_s: float) -> None:
        """It cannot be reached, as far as its collector knows, or without that."""
        if self._recorder.is_online(device) is not False:
            self._recorder.state(batch, device, now_s, online=False)

    def _report(self, device: EndDevice, values: Sequence[NamedValue], now_s: float, *, birth: bool) -> DeviceReport:
        """What the message says, all of it plausible. Raises DecodeError."""
        decode = device.driver.sparkplug
        assert decode is not None
        length_s = self._lengths_s.get(device.serial, device.driver.interval_length_s)
        try:
            report = decode(values, length_s, birth=birth)
        except DecodeError:
            raise
        except Exception as error:
            # The code may be another package's. Its fault costs this message: the head-end is everybody's.
            raise driver_failed(error) from error
        _require_records(report)
        for reading in report.readings:
            check_time(reading.end_s - report.interval_length_s, now_s)
        for _, time_s, _ in report.others:
            check_time(time_s, now_s)
        if report.boot is not None:
            check_time(report.boot[1], now_s)
        self._lengths_s[device.serial] = report.interval_length_s
        return report


def _require_records(report: object) -> None:
    """Raises DecodeError for what is none of the records that a driver may return."""
    if not isinstance(report, DeviceReport):
        raise driver_failed(report)
    if not isinstance(report.event, EndDeviceEvent | None):
        raise driver_failed(report.event)
    if not isinstance(report.answer, ProfilePart | CommandAnswer | None):
        raise driver_failed(report.answer)
