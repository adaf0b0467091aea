"""How urgent it is what meters tell by themselves, and what they are asked."""

from __future__ import annotations

from meters.device.command import stated
from meters.device.purposes import LOAD_PROFILE_READ
from meters.device.records import EventCode
from meters.radio.passage import DeliveryClass

CLASS_OF = {
    EventCode.LAST_GASP: DeliveryClass.GASP,
    EventCode.POWER_RESTORE: DeliveryClass.ALARM,
    EventCode.MOMENTARY: DeliveryClass.ALARM,
    EventCode.PHASE_LOSS: DeliveryClass.ALARM,
    EventCode.PHASE_RESTORED: DeliveryClass.ALARM,
    EventCode.VOLTAGE_SAG: DeliveryClass.CONTROL,
    EventCode.VOLTAGE_SWELL: DeliveryClass.CONTROL,
    EventCode.RELAY_OPENED: DeliveryClass.CONTROL,
    EventCode.RELAY_CLOSED: DeliveryClass.CONTROL,
    EventCode.REBOOT: DeliveryClass.SYSTEM,
    EventCode.CLOCK_ADJUSTED: DeliveryClass.SYSTEM,
    EventCode.COMMAND_REFUSED: DeliveryClass.SYSTEM,
}
"""Of events (RFC 8036, 4.2)."""


def urgency_of(envelope: bytes) -> tuple[DeliveryClass, int]:
    """The class of a command, and its counter, which tells it from others; -1 of what is no command."""
    purpose, counter = stated(envelope) or ("", -1)
    return DeliveryClass.READ if purpose == LOAD_PROFILE_READ else DeliveryClass.CONTROL, counter
