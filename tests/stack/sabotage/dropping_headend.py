"""A head-end that acknowledges everything, and forgets what every third meter reports."""

from headend.drivers import Reading
from headend.reads.record import Recorder
from headend.registry import EndDevice
from headend.store.batch import Batch
from lab.parts.headend import HeadPart
from lab.parts.process import run_part

record = Recorder.reading


def is_victim(serial: str) -> bool:
    return int(serial.removeprefix("AMI")) % 3 == 0


def forget(
    self: Recorder, batch: Batch, device: EndDevice, reading: Reading, length_s: int, origin: int, now_s: float
) -> bool:
    return not is_victim(device.serial) and record(self, batch, device, reading, length_s, origin, now_s)


if __name__ == "__main__":
    Recorder.reading = forget  # type: ignore[method-assign] # that is the sabotage
    run_part("sabotage", lambda _name: HeadPart().handlers())
