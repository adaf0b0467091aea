"""The network swallows one reading of one meter, and every load profile that could make up for it.

With AMILAB_TEST_SPARE_PROFILES set, load profiles get through: then nothing must be lost.
"""

import os

from lab.parts.fleet import FleetPart
from lab.parts.process import run_part
from meters.carriers.meter_connection import Device

VICTIM = "AMI00000005"
NEEDLE = b"T00:45:00"
publish = Device.publish


def swallow(self: Device, leaf: str, payload: bytes) -> None:
    on_its_way = leaf == "ds" and NEEDLE in payload
    to_make_up = leaf == "lp" and "AMILAB_TEST_SPARE_PROFILES" not in os.environ
    if self.serial == VICTIM and (on_its_way or to_make_up):
        return
    publish(self, leaf, payload)


if __name__ == "__main__":
    Device.publish = swallow  # type: ignore[method-assign] # that is the sabotage
    run_part("sabotage", lambda _name: FleetPart().handlers())
