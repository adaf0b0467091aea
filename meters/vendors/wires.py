"""The wire that a profile speaks: the code or the data of a vendor's folder, as its carrier wants it.

Raises ProfileError: what is there is no such wire.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, cast

from meters.carriers.modbus.register_map import RegisterMap, parse_register_map
from meters.carriers.wire import REQUIRED_RECORDING, REQUIRED_REPORTING, RecordingWire, ReportingWire
from meters.device.facts import PolledFacts
from meters.errors import ProfileError
from meters.vendors.profile import VendorProfile
from meters.vendors.registry import wire_module, wire_text

if TYPE_CHECKING:
    from meters.carriers.sparkplug.device_metrics import DeviceMetrics

REGISTERS = "registers.toml"


def check_wire(profile: VendorProfile) -> None:
    """Whether the meters can be made: before a process of theirs starts, and as `meters/fleet/compose.py` chooses."""
    capabilities = profile.capabilities
    if capabilities.needs_gateway:
        registers_of(profile)
    elif capabilities.needs_collector:
        device_metrics(profile)
    elif capabilities.keeps_load_profile:
        recording_wire(profile)
    else:
        reporting_wire(profile)


def recording_wire(profile: VendorProfile) -> RecordingWire:
    """Of meters with a load profile and an MQTT connection each."""
    return cast(RecordingWire, _checked(profile, REQUIRED_RECORDING))


def reporting_wire(profile: VendorProfile) -> ReportingWire:
    """Of meters that count, and report their registers over MQTT."""
    return cast(ReportingWire, _checked(profile, REQUIRED_REPORTING))


def device_metrics(profile: VendorProfile) -> DeviceMetrics:
    """Of meters behind collectors."""
    # Protocol buffers are for those alone who have such a meter.
    from meters.carriers.sparkplug.device_metrics import REQUIRED, DeviceMetrics, IntervalWire

    return DeviceMetrics(cast(IntervalWire, _checked(profile, REQUIRED)))


def registers_of(profile: VendorProfile) -> RegisterMap:
    """The registers of meters on Modbus. They must not contradict the profile's facts."""
    assert isinstance(profile.facts, PolledFacts), "only what is polled has registers"
    registers = _parsed(wire_text(profile, REGISTERS), f"{REGISTERS} of {profile.wire}")
    if faults := registers.faults(
        counting_step_wh=profile.facts.counting_step_wh, register_roll_over_wh=profile.facts.register_roll_over_wh
    ):
        raise ProfileError(f"profile {profile.name}: " + "; ".join(faults))
    return registers


@cache
def _parsed(text: str, origin: str) -> RegisterMap:
    return parse_register_map(text, origin=origin)


def _checked(profile: VendorProfile, required: tuple[str, ...]) -> object:
    module = wire_module(profile)
    if missing := [name for name in required if not hasattr(module, name)]:
        raise ProfileError(f"{module.__name__}: a wire of meters like {profile.name} has {', '.join(missing)} too")
    return module
