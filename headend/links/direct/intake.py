"""Meters with an MQTT connection of their own: from topics and payloads to records (docs/drivers.md)."""

from collections.abc import Callable, Sequence
from typing import Any

from headend.drivers import (
    CommandAnswer,
    Decode,
    DecodeError,
    DeviceState,
    EndDeviceEvent,
    MomentaryReport,
    ProfilePart,
    Reading,
    RegisterReport,
    driver_failed,
)
from headend.reads.record import Recorder, check_time
from headend.reads.reported import ReportedRegisters
from headend.registry import EndDevice
from headend.roles import ROLES
from headend.settings import HeadEndSettings
from headend.store.batch import REPORTED, Batch

_Take = Callable[[Batch, EndDevice, Any, float], None]


class DirectIntake:
    """Takes what arrives under `dt/<group>/<serial>/`; what is below, and what it says, a meter's driver knows.

    `on_fence(token)` is called for a fence of our own.
    """

    def __init__(
        self,
        settings: HeadEndSettings,
        devices: Sequence[EndDevice],
        recorder: Recorder,
        *,
        reported: ReportedRegisters,
        on_fence: Callable[[str], None],
    ) -> None:
        self._client_id = settings.client_id
        self._role = ROLES[settings.role]
        self._recorder = recorder
        self._on_fence = on_fence
        self._devices = {device.serial: device for device in devices}
        self._takers_of_one: dict[type, _Take] = {
            Reading: self._reading,
            EndDeviceEvent: recorder.event,
            DeviceState: self._state,
            ProfilePart: recorder.answer,
            RegisterReport: reported.registers,
            MomentaryReport: reported.momentary,
            CommandAnswer: recorder.command_answer,
        }
        self._takers: dict[type, _Take] = {**self._takers_of_one, list: self._each}
        self._routes: dict[str, tuple[Decode, EndDevice]] = {}

    def receive(self, batch: Batch, topic: str, payload: bytes, now_s: float) -> None:
        """Record one message. Raises DecodeError."""
        route = self._routes.get(topic) or self._route(topic, payload)
        if route is not None:
            decode, device = route
            try:
                said = decode(payload)
            except DecodeError:
                raise
            except Exception as error:
                # The code may be another package's. Its fault costs this message: the head-end is everybody's.
                raise driver_failed(error) from error
            take = self._takers.get(type(said))
            if take is None:
                raise driver_failed(said)
            take(batch, device, said, now_s)

    def _route(self, topic: str, payload: bytes) -> tuple[Decode, EndDevice] | None:
        """Where a topic goes that was not seen before; None for a fence, and for what another role takes.

        Raises DecodeError.
        """
        parts = topic.split("/", 3)
        if len(parts) == 4 and parts[2] == "_fence" and "/" not in parts[3]:
            if parts[3] == self._client_id:
                self._on_fence(payload.decode("utf-8", "replace"))
            # Another head-end's fence says nothing to us.
            return None
        if len(parts) < 4 or parts[2].startswith("_"):
            raise DecodeError("unknown_topic", "not dt/<group>/<serial>/<what the meter's driver knows>")
        _, group, serial, rest = parts
        device = self._devices.get(serial)
        if device is None:
            raise DecodeError("unknown_device", f"{serial} is not in the registry")
        if device.group != group:
            raise DecodeError("wrong_group", f"{serial} is registered in group {device.group}")
        topics = device.driver.mqtt
        if topics is None:
            raise DecodeError("wrong_protocol", f"{serial} is registered as {device.driver.vendor_profile}")
        known = topics.get(rest)
        if known is None:
            raise DecodeError("unknown_topic", f"not dt/<group>/<serial>/{{{','.join(topics)}}}")
        if not self._role.takes(known):
            return None
        route = known.decode, device
        self._routes[topic] = route
        return route

    def _reading(self, batch: Batch, device: EndDevice, reading: Reading, now_s: float) -> None:
        length_s = device.driver.interval_length_s
        check_time(reading.end_s - length_s, now_s)
        self._recorder.reading(batch, device, reading, length_s, REPORTED, now_s)

    def _state(self, batch: Batch, device: EndDevice, state: DeviceState, now_s: float) -> None:
        time_s = state.device_time_s
        if time_s is not None:
            check_time(time_s, now_s)
        self._recorder.state(
            batch, device, now_s, online=state.online, boot=state.boot, time_s=None if time_s is None else float(time_s)
        )

    def _each(self, batch: Batch, device: EndDevice, records: Sequence[object], now_s: float) -> None:
        for record in records:
            if type(record) not in self._takers_of_one:
                raise driver_failed(record)
        for record in records:
            self._takers_of_one[type(record)](batch, device, record, now_s)
