"""A meter of class 1 that counts 10 % too much."""

from typing import Any

from lab.parts.fleet import FleetPart
from lab.parts.process import run_part
from meters.device.metrology import Metrology

INACCURATE_METER = 6
make = Metrology.__init__


def misadjust(self: Metrology, *arguments: Any, **more: Any) -> None:
    make(self, *arguments, **more)
    self._error[INACCURATE_METER] = 0.10


if __name__ == "__main__":
    Metrology.__init__ = misadjust  # type: ignore[method-assign] # that is the sabotage
    run_part("sabotage", lambda _name: FleetPart().handlers())
