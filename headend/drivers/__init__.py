"""The vendor seam: a folder here for each vendor, and what a driver is made of (docs/drivers.md).

Whatever a driver needs can be imported from this package, in amilab and outside it. A driver is pure: bytes in, neutral
records out, DecodeError for the rest.
"""

from headend.drivers.catalogue import driver_for, known_profiles
from headend.drivers.driver import Capabilities, DecodeReport, Driver, MqttTopic
from headend.drivers.records import (
    ABSENT,
    ANSWER_STATES,
    READING_COUNTERS,
    READING_MEASURES,
    CommandAnswer,
    Decode,
    DecodeError,
    DeviceReport,
    DeviceState,
    EndDeviceEvent,
    EventCode,
    Message,
    MomentaryReport,
    NamedValue,
    ProfilePart,
    Reading,
    RegisterReport,
    Registers,
    StatusFlag,
    counters_of,
    driver_failed,
    measures_of,
)
from headend.drivers.register_map import RegisterMap

__all__ = [
    "ABSENT",
    "ANSWER_STATES",
    "READING_COUNTERS",
    "READING_MEASURES",
    "Capabilities",
    "CommandAnswer",
    "Decode",
    "DecodeError",
    "DecodeReport",
    "DeviceReport",
    "DeviceState",
    "Driver",
    "EndDeviceEvent",
    "EventCode",
    "Message",
    "MomentaryReport",
    "MqttTopic",
    "NamedValue",
    "ProfilePart",
    "Reading",
    "RegisterMap",
    "RegisterReport",
    "Registers",
    "StatusFlag",
    "counters_of",
    "driver_failed",
    "driver_for",
    "known_profiles",
    "measures_of",
]
