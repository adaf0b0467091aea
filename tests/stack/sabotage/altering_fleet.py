"""On the way to the head-end the energy of some readings changes: AMILAB_TEST_ALTERED says of how many meters."""

import os
import re

from lab.parts.fleet import FleetPart
from lab.parts.process import run_part
from meters.carriers.meter_connection import Device

ALTERED_METERS = int(os.environ.get("AMILAB_TEST_ALTERED", "1"))
NEEDLE = b'"ts":"2026-01-15T00:45:00+00:00"'
publish = Device.publish


def alter(self: Device, leaf: str, payload: bytes) -> None:
    if leaf == "ds" and NEEDLE in payload and self.row < ALTERED_METERS:
        payload = re.sub(rb'"1\.29\.0":(\d+)', lambda found: b'"1.29.0":%d' % (int(found[1]) + 1), payload)
    publish(self, leaf, payload)


if __name__ == "__main__":
    Device.publish = alter  # type: ignore[method-assign] # that is the sabotage
    run_part("sabotage", lambda _name: FleetPart().handlers())
