"""What the benches have in common: the machine that they ran on, and figures over several repetitions."""

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Spread:
    """Minimum, median and maximum of several repetitions."""

    minimum: float
    median: float
    maximum: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(min(values), statistics.median(values), max(values))

    def text(self, digits: int = 2) -> str:
        return f"{self.median:,.{digits}f} ({self.minimum:,.{digits}f} to {self.maximum:,.{digits}f})"


@dataclass(frozen=True, slots=True)
class Result:
    """One bench: named figures with their units, each over its repetitions."""

    bench: str
    figures: dict[str, Spread]
    units: dict[str, str]
    """By figure; "" for a ratio."""

    def to_json(self) -> dict[str, object]:
        return {
            "bench": self.bench,
            "host": machine(),
            "figures": {name: {**asdict(spread), "unit": self.units[name]} for name, spread in self.figures.items()},
        }

    def table(self) -> str:
        """For people: median (minimum to maximum)."""
        lines = [f"{self.bench}: {machine()}"]
        for name, spread in self.figures.items():
            unit = self.units[name]
            lines.append(f"  {name:<58}{spread.text(0 if spread.median >= 100 else 2):>32} {unit}".rstrip())
        return "\n".join(lines)


def machine() -> str:
    """Processor, cores, Python."""
    model = platform.processor() or "unknown processor"
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    except OSError:
        # Not Linux: what Python knows has to do.
        pass
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}"
