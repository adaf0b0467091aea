"""What a run is measured by: each criterion with its target and where the target is from."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from lab.errors import UserError
from lab.verdict.compare import AccuracyCounts, Comparison, ReadCounts

_ONTARIO = "Ontario AMI functional specification v2 (2007)"
_END_TO_END = "end-to-end rule: a recorded read is never lost, doubled or changed"
_NAN = float("nan")


class CriteriaError(UserError):
    """Targets that cannot be used. `faults` lists them all."""


@dataclass(frozen=True, slots=True)
class Criterion:
    id: str
    operator: Literal["==", ">="]
    target: float
    source: str
    meaning: str

    @property
    def target_text(self) -> str:
        return f"{self.operator} {self.target:g}"

    def passes(self, value: float) -> bool:
        """Never for NaN: what could not be measured has not been met."""
        if math.isnan(value):
            return False
        return value == self.target if self.operator == "==" else value >= self.target


CRITERIA = (
    Criterion("reads.unrecorded", "==", 0, "a meter records each interval with supply", "expected, but not recorded"),
    Criterion("reads.lost", "==", 0, _END_TO_END, "expected, but neither stored nor estimated"),
    Criterion("reads.duplicate_rows", "==", 0, _END_TO_END, "more than one current row for a meter-interval"),
    Criterion("reads.altered", "==", 0, _END_TO_END, "stored as actual, but not what the meter recorded"),
    Criterion(
        "accuracy.class_violations",
        "==",
        0,
        "each meter's accuracy class and register step, as its profile states them",
        "recorded energy outside the meter's class",
    ),
    Criterion("reads.success_rate", ">=", 0.98, _ONTARIO, "actual reads stored within their deadline / expected"),
    Criterion("reads.identical_rate", ">=", 0.999, _ONTARIO, "of the reads received, identical to the meter's"),
)


@dataclass(frozen=True, slots=True)
class CriterionResult:
    criterion: Criterion
    value: float
    passed: bool

    @property
    def id(self) -> str:
        return self.criterion.id


def with_targets(targets: Mapping[str, float]) -> tuple[Criterion, ...]:
    """The criteria, those named in `targets` with the scenario's own figure.

    Raises:
        CriteriaError: an id that is not a criterion, or a target that is not a finite number.
    """
    known = {c.id for c in CRITERIA}
    faults = [
        f"{name!r} is not a criterion; there are {', '.join(sorted(known))}" for name in targets if name not in known
    ]
    faults += [
        f"the target of {name} is {target!r}, expected a finite number"
        for name, target in targets.items()
        if isinstance(target, bool) or not isinstance(target, int | float) or not math.isfinite(target)
    ]
    if faults:
        raise CriteriaError(faults)
    return tuple(replace(c, target=targets[c.id], source="scenario") if c.id in targets else c for c in CRITERIA)


def values(comparison: Comparison) -> dict[str, float]:
    """The figure of each criterion; NaN where nothing was there to be measured, so that an empty run cannot pass."""
    reads: ReadCounts = comparison.reads
    accuracy: AccuracyCounts = comparison.accuracy
    counts = {
        "reads.unrecorded": reads.unrecorded,
        "reads.lost": reads.lost,
        "reads.duplicate_rows": reads.duplicate_rows,
        "reads.altered": reads.altered,
        "reads.success_rate": reads.success_rate,
        "reads.identical_rate": reads.identical_rate,
    }
    if not reads.expected:
        counts = dict.fromkeys(counts, _NAN)
    return {**counts, "accuracy.class_violations": accuracy.class_violations if accuracy.compared else _NAN}


def evaluate(comparison: Comparison, criteria: tuple[Criterion, ...]) -> tuple[CriterionResult, ...]:
    figures = values(comparison)
    return tuple(CriterionResult(c, figures[c.id], c.passes(figures[c.id])) for c in criteria)
