"""What a vendor's `wire.py` has for a meter with an MQTT connection of its own. Pure: values in, bytes out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from meters.device.records import CommandAnswer, Event, IntervalRecord, ProfileAnswer


class Said(NamedTuple):
    """A message: `leaf` is its topic below the meter's own (`home`)."""

    leaf: str
    payload: bytes


class MqttWire(Protocol):
    """Who the meter is to the broker, and what it says about its connection."""

    def client_id(self, group: str, serial: str) -> str: ...

    def home(self, group: str, serial: str) -> str:
        """The topic below which the meter publishes."""
        ...

    def command_topic(self, group: str, serial: str) -> str:
        """Where it is told something."""
        ...

    def will(self, serial: str) -> Said: ...

    def online(self, serial: str, device_time_s: int, boot: int) -> Iterable[Said]:
        """After a successful connection. `boot` counts the starts of the communication processor."""
        ...


class RecordingWire(MqttWire, Protocol):
    """Of a meter with a load profile and a log of events."""

    def reading(self, record: IntervalRecord, interval_length_s: int) -> Said:
        """An interval that has ended."""
        ...

    def event(self, event: Event) -> Said: ...

    def answer(self, answer: CommandAnswer) -> Said:
        """To any command but one for the load profile."""
        ...

    def load_profile(self, answer: ProfileAnswer) -> Iterable[Said]:
        """The answer to a command, in as many parts as it takes."""
        ...


class ReportingWire(MqttWire, Protocol):
    """Of a meter that counts, and reports what its registers show."""

    QUANTITY_STEPS: Mapping[str, float]
    """What the last digit of a quantity is worth (meters/device/quantities.py); of registers the facts say it."""

    def report(self, serial: str, device_time_s: int, quantities: Mapping[str, float]) -> Iterable[Said]:
        """`quantities`: what the meter shows now (meters/device/quantities.py)."""
        ...


REQUIRED = ("client_id", "home", "command_topic", "will", "online")
REQUIRED_RECORDING = (*REQUIRED, "reading", "event", "answer", "load_profile")
REQUIRED_REPORTING = (*REQUIRED, "QUANTITY_STEPS", "report")
