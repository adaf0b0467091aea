"""How urgent it is what meters tell by themselves."""

from __future__ import annotations

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
