"""Meters with an MQTT connection of their own: from topics and payloads to records (docs/wire-rl-dsp.md)."""

from collections.abc import Callable, Sequence

from headend.drivers import DecodeError, MqttDecoders
from headend.reads.record import Recorder, check_time
from headend.registry import EndDevice
from headend.settings import HeadEndSettings
from headend.store import writer

_Handler = Callable[[EndDevice, MqttDecoders, bytes, float], None]
_Route = tuple[_Handler, EndDevice, MqttDecoders]


class DirectIntake:
    """Takes what arrives under `dt/<group>/`. `on_fence(token)` is called for a fence of our own."""

    def __init__(
        self,
        settings: HeadEndSettings,
        devices: Sequence[EndDevice],
        recorder: Recorder,
        *,
        on_fence: Callable[[str], None],
    ) -> None:
        self._client_id = settings.client_id
        self._recorder = recorder
        self._on_fence = on_fence
        self._devices = {device.serial: device for device in devices}
        self._handlers: dict[str, _Handler] = {
            "ds": self._reading,
            "ev": self._event,
            "st": self._state,
            "lp": self._profile,
        }
        self._routes: dict[str, _Route] = {}

    def receive(self, topic: str, payload: bytes, now_s: float) -> None:
        """Record one message. Raises DecodeError."""
        route = self._routes.get(topic) or self._route(topic, payload)
        if route is not None:
            route[0](route[1], route[2], payload, now_s)

    def _route(self, topic: str, payload: bytes) -> _Route | None:
        """Where a topic goes that was not seen before; None for a fence. Raises DecodeError."""
        parts = topic.split("/")
        if len(parts) == 4 and parts[2] == "_fence":
            if parts[3] == self._client_id:
                self._on_fence(payload.decode("utf-8", "replace"))
            # Another head-end's fence says nothing to us.
            return None
        if len(parts) != 4 or parts[3] not in self._handlers:
            raise DecodeError("unknown_topic", "not dt/<group>/<source>/{ds,ev,st,lp}")
        device = self._devices.get(parts[2])
        if device is None:
            raise DecodeError("unknown_device", f"{parts[2]} is not in the registry")
        if device.group != parts[1]:
            raise DecodeError("wrong_group", f"{device.serial} is registered in group {device.group}")
        decoders = device.driver.mqtt
        if decoders is None:
            raise DecodeError("wrong_protocol", f"{device.serial} is registered as {device.driver.vendor_profile}")
        route = (self._handlers[parts[3]], device, decoders)
        self._routes[topic] = route
        return route

    def _reading(self, device: EndDevice, decoders: MqttDecoders, payload: bytes, now_s: float) -> None:
        reading = decoders.reading(payload)
        length_s = device.driver.interval_length_s
        check_time(reading.end_s - length_s, now_s)
        self._recorder.reading(device, reading, length_s, writer.REPORTED, now_s)

    def _event(self, device: EndDevice, decoders: MqttDecoders, payload: bytes, now_s: float) -> None:
        self._recorder.event(device, decoders.event(payload), now_s)

    def _state(self, device: EndDevice, decoders: MqttDecoders, payload: bytes, now_s: float) -> None:
        state = decoders.state(payload)
        time_s = state.device_time_s
        if time_s is not None:
            check_time(time_s, now_s)
        self._recorder.state(
            device, now_s, online=state.online, boot=state.boot, time_s=None if time_s is None else float(time_s)
        )

    def _profile(self, device: EndDevice, decoders: MqttDecoders, payload: bytes, now_s: float) -> None:
        self._recorder.answer(device, decoders.profile(payload), now_s)
