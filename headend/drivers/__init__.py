"""Drivers: what the head-end knows of each vendor profile. Sans-IO: bytes in, tuples out, DecodeError for the rest.

Hot values are plain tuples in the order of READING_COUNTERS and READING_VOLTAGES, so that a batch can lie in two flat
arrays without an object per reading.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple, Protocol

#: Integer channels of an interval reading, in the order of every counters tuple, array row and COPY row.
READING_COUNTERS = (
    "import_register_wh",
    "export_register_wh",
    "import_wh",
    "export_wh",
    "import_l1_wh",
    "import_l2_wh",
    "import_l3_wh",
    "export_l1_wh",
    "export_l2_wh",
    "export_l3_wh",
    "import_power_w",
    "export_power_w",
    "status",
)
READING_VOLTAGES = ("voltage_l1_v", "voltage_l2_v", "voltage_l3_v")

#: Stands for "not reported" in a counters tuple; in a voltages tuple NaN does.
ABSENT = -(2**63)


class DecodeError(Exception):
    """A payload is not what the profile's document says. `reason` is one word for counting, `detail` for reading."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Reading(NamedTuple):
    """One interval, closed at `end_s` of the meter's clock (epoch s).

    `others`: (reading type, value) that are not canonical. `complete`: no canonical channel is absent.
    """

    end_s: int
    counters: tuple[int, ...]
    voltages: tuple[float, ...]
    others: tuple[tuple[str, float], ...]
    complete: bool


class EndDeviceEvent(NamedTuple):
    """An entry of the meter's event log. `detail_json`: a JSON object.

    The next three are for recovery. `down_s`, `up_s`: the meter lost supply, and has it again, at these instants of its
    clock; `down_s` is None for events of any other kind.
    """

    device_time_s: int
    sequence: int
    code: str
    detail_json: str
    refused_command: str | None
    refused_reason: str | None
    restored: bool
    down_s: int | None = None
    up_s: int | None = None


class DeviceState(NamedTuple):
    """Whether the meter is connected; a will has neither time nor boot count."""

    online: bool
    device_time_s: int | None
    boot: int | None


class ProfilePart(NamedTuple):
    """One part of a load-profile answer, covering starts in [from_s, to_s)."""

    command_id: str
    device_time_s: int
    from_s: int
    to_s: int
    part: int
    parts: int
    interval_length_s: int
    readings: list[Reading]


Transport = Literal["mqtt", "sparkplug", "modbus"]


@dataclass(frozen=True, slots=True)
class MqttDecoders:
    """What a meter with an MQTT connection of its own publishes, by the last level of the topic: ds, ev, st, lp."""

    reading: Callable[[bytes], Reading]
    event: Callable[[bytes], EndDeviceEvent]
    state: Callable[[bytes], DeviceState]
    profile: Callable[[bytes], ProfilePart]


class NamedValue(NamedTuple):
    """A metric of a Sparkplug device under the name that its birth gave it; the value is None where it is null."""

    name: str
    time_ms: int | None
    value: int | float | bool | str | bytes | None


class DeviceReport(NamedTuple):
    """What one DBIRTH or DDATA says. `others`: (name, epoch s, value). `boot`: (starts, epoch s of the meter's clock).

    With an `answer`, the readings are those of its part.
    """

    interval_length_s: int
    readings: list[Reading]
    event: EndDeviceEvent | None
    answer: ProfilePart | None
    others: list[tuple[str, float, float]]
    boot: tuple[int, int] | None


class DecodeReport(Protocol):
    """Takes the metrics of a message apart. `length_s`: the capture period as told before, `birth`: it is a DBIRTH."""

    def __call__(self, values: Iterable[NamedValue], length_s: int, *, birth: bool) -> DeviceReport: ...


@dataclass(frozen=True, slots=True)
class Driver:
    """A vendor profile as the head-end needs it: its protocol, its cadence and, by protocol, its pure decoders.

    Each decoder raises only DecodeError. A protocol's group of decoders is there where `protocol` says so.
    """

    vendor_profile: str
    protocol: Transport
    interval_length_s: int
    report_every_s: int
    #: In each of three phases; a meter behind current transformers has its own in the shipment file.
    max_current_a: float = 100.0
    #: A register shows 0 after the last value below.
    register_range_wh: int = 1_000_000_000
    mqtt: MqttDecoders | None = None
    sparkplug: DecodeReport | None = None

    @property
    def is_polled(self) -> bool:
        """It has no memory of intervals: what a poll missed, no command brings."""
        return self.protocol == "modbus"


def driver_for(vendor_profile: str) -> Driver:
    """The driver of a vendor profile. Raises KeyError for an unknown one; `known_profiles` lists them."""
    return _drivers()[vendor_profile]


def known_profiles() -> tuple[str, ...]:
    """The vendor profiles that have a driver."""
    return tuple(_drivers())


@cache
def _drivers() -> dict[str, Driver]:
    # Imported late: a driver module imports the types above.
    from headend.drivers import rl_dsp, sdm630, sparkplug

    drivers = (
        rl_dsp.DRIVER,
        sdm630.DRIVER,
        *sparkplug.DRIVERS,
    )
    return {driver.vendor_profile: driver for driver in drivers}
