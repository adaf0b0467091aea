"""A meter loses its memory: what it measures it reports, but does not keep."""

from collections.abc import Sequence
from typing import Any

from lab.parts.fleet import FleetPart
from lab.parts.process import run_part
from meters.device.memory import Memory
from meters.device.records import IntervalRecord

FORGETFUL_METER = 3
keep = Memory.commit


def forget(self: Memory, *arguments: Any, intervals: Sequence[IntervalRecord] = (), **more: Any) -> None:
    keep(self, *arguments, intervals=[record for record in intervals if record.meter != FORGETFUL_METER], **more)


if __name__ == "__main__":
    Memory.commit = forget  # type: ignore[method-assign] # that is the sabotage
    run_part("sabotage", lambda _name: FleetPart().handlers())
