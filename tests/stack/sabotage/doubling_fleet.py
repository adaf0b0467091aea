"""One meter sends everything twice, as a lost PUBACK would make it."""

from lab.parts.fleet import FleetPart
from lab.parts.process import run_part
from meters.carriers.meter_connection import Device

STUTTERING_METER = 4
publish = Device.publish


def stutter(self: Device, leaf: str, payload: bytes) -> None:
    publish(self, leaf, payload)
    if self.row == STUTTERING_METER:
        publish(self, leaf, payload)


if __name__ == "__main__":
    Device.publish = stutter  # type: ignore[method-assign] # that is the sabotage
    run_part("sabotage", lambda _name: FleetPart().handlers())
