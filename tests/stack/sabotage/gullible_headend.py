"""A head-end that takes meters that cannot be reached for dark, as DDEATH and NDEATH invite one to."""

from collections.abc import Callable, Sequence

from headend.drivers import EndDeviceEvent, NamedValue
from headend.links.sparkplug.devices import Devices
from headend.registry import EndDevice
from headend.store.batch import Batch
from lab.parts.headend import HeadPart
from lab.parts.process import run_part

MADE_UP = 1_000_000
"""Sequence numbers of events that no meter had."""
gone = Devices.gone
born = Devices.birth
dark_since_s: dict[str, int] = {}


def into_the_dark(self: Devices, batch: Batch, device: EndDevice, now_s: float) -> None:
    gone(self, batch, device, now_s)
    down_s = dark_since_s.setdefault(device.serial, int(now_s))
    event = EndDeviceEvent(down_s, MADE_UP + down_s % MADE_UP, "last_gasp", "{}", None, None, False, down_s)
    self._recorder.event(batch, device, event, now_s)


def into_the_light(
    self: Devices, batch: Batch, device: EndDevice, values: Callable[[], Sequence[NamedValue]], now_s: float
) -> None:
    born(self, batch, device, values, now_s)
    down_s = dark_since_s.pop(device.serial, None)
    if down_s is not None:
        up_s = int(now_s)
        number = MADE_UP + up_s % MADE_UP
        event = EndDeviceEvent(up_s, number, "power_restore", "{}", None, None, True, down_s, up_s)
        self._recorder.event(batch, device, event, now_s)


if __name__ == "__main__":
    Devices.gone = into_the_dark  # type: ignore[method-assign] # that is the sabotage
    Devices.birth = into_the_light  # type: ignore[method-assign]
    run_part("sabotage", lambda _name: HeadPart().handlers())
