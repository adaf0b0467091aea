"""A meter at a transformer that counts 10 % too much; those of customers are as they should be."""

from typing import Any

from lab.fleet.presets import TRANSFORMER_METER
from lab.parts.fleet import FleetPart
from lab.parts.process import run_part
from meters.device.facts import MeterFacts
from meters.device.metrology import Metrology
from meters.vendors.registry import load_profile

INACCURATE_STATION = 3
make = Metrology.__init__


def misadjust(self: Metrology, keys: Any, facts: MeterFacts, *arguments: Any, **more: Any) -> None:
    make(self, keys, facts, *arguments, **more)
    if facts == load_profile(TRANSFORMER_METER).facts:
        self._error[INACCURATE_STATION] = 0.10


if __name__ == "__main__":
    Metrology.__init__ = misadjust  # type: ignore[method-assign] # that is the sabotage
    run_part("sabotage", lambda _name: FleetPart().handlers())
