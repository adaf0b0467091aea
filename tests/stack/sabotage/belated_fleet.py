"""Every meter says that its supply came back three minutes later than it did."""

import re
from datetime import datetime, timedelta

from lab.parts.fleet import FleetPart
from lab.parts.process import run_part
from meters.carriers.meter_connection import Device

DELAY = timedelta(minutes=3)
publish = Device.publish


def delay(self: Device, leaf: str, payload: bytes) -> None:
    if leaf == "ev" and b"power_restore" in payload:
        payload = re.sub(rb'"up_at":"([^"]+)"', _later, payload)
    publish(self, leaf, payload)


def _later(found: re.Match[bytes]) -> bytes:
    return b'"up_at":"%s"' % (datetime.fromisoformat(found[1].decode()) + DELAY).isoformat().encode()


if __name__ == "__main__":
    Device.publish = delay  # type: ignore[method-assign] # that is the sabotage
    run_part("sabotage", lambda _name: FleetPart().handlers())
