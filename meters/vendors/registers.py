"""The Modbus registers of a vendor's meter: `registers.toml` in its folder."""

from __future__ import annotations

from functools import cache

from meters.carriers.modbus.register_map import RegisterMap, parse_register_map
from meters.device.facts import PolledFacts
from meters.errors import ProfileError
from meters.vendors.profile import VendorProfile
from meters.vendors.registry import wire_text

REGISTERS = "registers.toml"


def registers_of(profile: VendorProfile) -> RegisterMap:
    """The map of the wire that the profile speaks. Raises ProfileError, also if it contradicts the profile's facts."""
    assert isinstance(profile.facts, PolledFacts), "only what is polled has registers"
    text = wire_text(profile, REGISTERS)
    registers = _parsed(text, f"{REGISTERS} of {profile.wire}")
    if faults := registers.faults(
        counting_step_wh=profile.facts.counting_step_wh, register_roll_over_wh=profile.facts.register_roll_over_wh
    ):
        raise ProfileError(f"profile {profile.name}: " + "; ".join(faults))
    return registers


@cache
def _parsed(text: str, origin: str) -> RegisterMap:
    return parse_register_map(text, origin=origin)
