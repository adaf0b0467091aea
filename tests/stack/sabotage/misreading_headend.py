"""A head-end that once reads a polled meter wrongly: AMILAB_TEST_MISREAD says by how much, and of which channel."""

import os

from headend.reads.registers import Doubt, RegisterReads
from headend.registry import EndDevice
from headend.store.register_records import BoundaryReading, RegisterRows
from lab.parts.headend import HeadPart
from lab.parts.process import run_part

CHANNEL, BY = os.environ.get("AMILAB_TEST_MISREAD", "current_l1_a=0.5").split("=")
MISREAD_METER = "AMI00000003"
MISREAD_BOUNDARY_S = 1_768_438_800  # 2026-01-15T01:00:00Z
take = RegisterReads.take


def misread(
    self: RegisterReads, rows: RegisterRows, device: EndDevice, reading: BoundaryReading, now_s: float
) -> Doubt | None:
    if device.serial == MISREAD_METER and reading.boundary_s == MISREAD_BOUNDARY_S:
        shown = reading.registers
        channels = {**shown.channels, CHANNEL: shown.channels[CHANNEL] + float(BY)}
        if CHANNEL.endswith(("_varh", "_w", "_var")):
            channels[CHANNEL] = round(channels[CHANNEL])
        reading = BoundaryReading(reading.boundary_s, reading.at_s, shown._replace(channels=channels))
    return take(self, rows, device, reading, now_s)


if __name__ == "__main__":
    RegisterReads.take = misread  # type: ignore[method-assign] # that is the sabotage
    run_part("sabotage", lambda _name: HeadPart().handlers())
