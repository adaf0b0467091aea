"""No event of any meter reaches the head-end: neither last gasp nor restore nor momentary interruption."""

from lab.parts.fleet import FleetPart
from lab.parts.process import run_part
from meters.carriers.meter_connection import Device

publish = Device.publish


def swallow(self: Device, leaf: str, payload: bytes) -> None:
    if leaf != "ev":
        publish(self, leaf, payload)


if __name__ == "__main__":
    Device.publish = swallow  # type: ignore[method-assign] # that is the sabotage
    run_part("sabotage", lambda _name: FleetPart().handlers())
