"""What the benches have in common: the machine that they ran on, and figures over several repetitions."""

import math
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from scipy.stats import t as student

_CONFIDENCE = 0.95


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
class Interval:
    """In which the geometric mean of a ratio lies, in 95 of 100 cases."""

    lower: float
    mean: float
    upper: float

    @classmethod
    def of(cls, ratios: Sequence[float]) -> "Interval":
        """By Student's distribution of the logarithms of paired measurements; at least two of them."""
        logarithms = [math.log(ratio) for ratio in ratios]
        mean, count = statistics.fmean(logarithms), len(logarithms)
        error = statistics.stdev(logarithms) / math.sqrt(count)
        reach = float(student.ppf((1.0 + _CONFIDENCE) / 2.0, count - 1)) * error
        return cls(math.exp(mean - reach), math.exp(mean), math.exp(mean + reach))

    def text(self) -> str:
        return f"{self.mean:.3f} (95 %: {self.lower:.3f} to {self.upper:.3f})"


@dataclass(frozen=True, slots=True)
class Result:
    """One bench: named figures with their units, each over its repetitions."""

    bench: str
    figures: dict[str, Spread]
    units: dict[str, str]
    """By figure; "" for a ratio."""
    ratios: Mapping[str, Interval] = field(default_factory=dict)
    """Of paired measurements."""

    def to_json(self) -> dict[str, object]:
        return {
            "bench": self.bench,
            "host": machine(),
            "figures": {name: {**asdict(spread), "unit": self.units[name]} for name, spread in self.figures.items()},
            "ratios": {name: asdict(interval) for name, interval in self.ratios.items()},
        }

    def table(self) -> str:
        """For people: median (minimum to maximum)."""
        lines = [f"{self.bench}: {machine()}"]
        for name, spread in self.figures.items():
            unit = self.units[name]
            lines.append(f"  {name:<58}{spread.text(0 if spread.median >= 100 else 2):>32} {unit}".rstrip())
        lines += [f"  {name:<58}{interval.text():>32}" for name, interval in self.ratios.items()]
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
