"""A head-end that takes meters that cannot be reached for dark, as DDEATH and NDEATH invite one to."""

from headend.drivers import EndDeviceEvent
from headend.links.sparkplug.intake import SparkplugIntake
from headend.links.sparkplug.payload import Payload
from headend.links.sparkplug.session import Definitions, EdgeSession
from headend.registry import EndDevice
from headend.store.batch import Batch
from lab.parts.headend import HeadPart
from lab.parts.process import run_part

MADE_UP = 1_000_000
"""Sequence numbers of events that no meter had."""
gone = SparkplugIntake._device_gone
born = SparkplugIntake._device_birth
dark_since_s: dict[str, int] = {}


def into_the_dark(self: SparkplugIntake, batch: Batch, device: EndDevice, now_s: float) -> None:
    gone(self, batch, device, now_s)
    down_s = dark_since_s.setdefault(device.serial, int(now_s))
    event = EndDeviceEvent(down_s, MADE_UP + down_s % MADE_UP, "last_gasp", "{}", None, None, False, down_s)
    self._recorder.event(batch, device, event, now_s)


def into_the_light(
    self: SparkplugIntake,
    batch: Batch,
    session: EdgeSession,
    device: EndDevice,
    message: Payload,
    definitions: Definitions,
    now_s: float,
) -> None:
    born(self, batch, session, device, message, definitions, now_s)
    down_s = dark_since_s.pop(device.serial, None)
    if down_s is not None:
        up_s = int(now_s)
        number = MADE_UP + up_s % MADE_UP
        event = EndDeviceEvent(up_s, number, "power_restore", "{}", None, None, True, down_s, up_s)
        self._recorder.event(batch, device, event, now_s)


if __name__ == "__main__":
    SparkplugIntake._device_gone = into_the_dark  # type: ignore[method-assign] # that is the sabotage
    SparkplugIntake._device_birth = into_the_light  # type: ignore[method-assign]
    run_part("sabotage", lambda _name: HeadPart().handlers())
