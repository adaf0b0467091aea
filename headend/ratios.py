"""Instrument transformers: from what a meter counts at its terminals to the primary, which is billed. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

from headend.drivers import ABSENT, READING_COUNTERS, READING_MEASURES


@dataclass(frozen=True, slots=True)
class Ratios:
    """What the primary is of what the meter counts; 1 without transformers, or where the meter counts the primary.

    They are applied once, when a row is made of what the meter said. Registers stay as it shows them.
    """

    current: float = 1.0
    voltage: float = 1.0

    @property
    def power(self) -> float:
        """Of powers and energies."""
        return self.current * self.voltage

    def of(self, channel: str) -> float:
        """By the name of a channel of a Reading."""
        if channel.endswith(("_register_wh", "_register_varh")):
            return 1.0
        if channel.endswith(("_wh", "_varh", "_w", "_var")):
            return self.power
        return self.voltage if channel.endswith("_v") else self.current if channel.endswith("_a") else 1.0

    def counters(self, values: Sequence[int]) -> tuple[int, ...]:
        """Those of a Reading, of the primary, in whole units."""
        return tuple(
            value if value == ABSENT else round(value * self.of(name))
            for name, value in zip(READING_COUNTERS, values, strict=True)
        )

    def measures(self, values: Sequence[float]) -> tuple[float, ...]:
        """The same for what is measured."""
        return tuple(
            value if isnan(value) else value * self.of(name)
            for name, value in zip(READING_MEASURES, values, strict=True)
        )


NO_TRANSFORMERS = Ratios()
