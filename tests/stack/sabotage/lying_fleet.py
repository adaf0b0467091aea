"""A meter that had supply all the time says that it was dark for five and a half minutes."""

from lab.parts.fleet import FleetPart
from lab.parts.process import run_part
from meters.carriers.meter_connection import Device
from meters.device.records import Event
from meters.vendors.rl_dsp.wire import event

LIAR_NEEDLE = b'"ts":"2026-01-15T00:45:00+00:00"'
LIE = '{"down_at":"2026-01-15T00:35:00+00:00","up_at":"2026-01-15T00:40:30+00:00"}'
publish = Device.publish


def lie(self: Device, leaf: str, payload: bytes) -> None:
    publish(self, leaf, payload)
    if leaf == "ds" and self.row == 0 and LIAR_NEEDLE in payload:
        publish(self, *event(Event(0, 1_000_000, "power_restore", 1_768_437_900, 0.0, LIE)))


if __name__ == "__main__":
    Device.publish = lie  # type: ignore[method-assign] # that is the sabotage
    run_part("sabotage", lambda _name: FleetPart().handlers())
