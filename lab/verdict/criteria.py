"""What a run is measured by: each criterion with its target and where the target is from."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from lab.errors import UserError
from lab.verdict.communications import Communications
from lab.verdict.compare import AccuracyCounts, Comparison, ReadCounts
from lab.verdict.detection import Detection
from lab.verdict.phase_losses import PhaseLosses
from lab.verdict.read_reasons import REGISTRATION
from lab.verdict.tables import CLASSES
from lab.verdict.transformers import TransformerMeters
from lab.verdict.voltage_events import VoltageEvents

_ONTARIO = "Ontario AMI functional specification v2 (2007)"
_END_TO_END = "end-to-end rule: a recorded read is never lost, doubled or changed"
_RFC_8036 = "RFC 8036, 4.2, of a mesh"
_IEEE_1366 = "IEEE Std 1366-2022"
_NAN = float("nan")


class CriteriaError(UserError):
    """Targets that cannot be used. `faults` lists them all."""


@dataclass(frozen=True, slots=True)
class Criterion:
    id: str
    operator: Literal["==", ">=", "<="]
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
        if self.operator == "==":
            return value == self.target
        return value >= self.target if self.operator == ">=" else value <= self.target


CRITERIA = (
    Criterion("reads.unrecorded", "==", 0, "a meter records each interval with supply", "expected, but not recorded"),
    Criterion("reads.lost", "==", 0, _END_TO_END, "expected, but neither stored nor estimated"),
    Criterion("reads.duplicate_rows", "==", 0, _END_TO_END, "more than one current row for a meter-interval"),
    Criterion("reads.altered", "==", 0, _END_TO_END, "stored as actual, but not what the meter recorded"),
    Criterion(
        "reads.estimates_conserve",
        "==",
        0,
        "what missed polls enclose is split, flagged and sums to the register difference",
        "runs of estimates of polled meters that do not sum to what their registers say",
    ),
    Criterion(
        "accuracy.class_violations",
        "==",
        0,
        "each meter's accuracy class and register step, as its profile states them",
        "recorded energy outside the meter's class",
    ),
    Criterion(
        "reads.success_rate",
        ">=",
        0.98,
        _ONTARIO,
        "actual reads stored within their deadline / expected; with a modelled power line without late ones of meters "
        "that had not registered yet: 5 to 10 % do not at once (smart-energy.com, Hybrid G3-PLC)",
    ),
    Criterion("reads.identical_rate", ">=", 0.999, _ONTARIO, "of the reads received, identical to the meter's"),
    Criterion(
        "transformers.discrepancies",
        "==",
        0,
        "a meter at a transformer is a meter: the same rules, and its own class",
        "of transformers' meters: unrecorded, lost, doubled, altered, estimated off, outside the class",
    ),
    Criterion(
        "outages.recall",
        "==",
        1,
        f"every sustained interruption is found; sustained: more than 5 min ({_IEEE_1366})",
        "sustained outages found / injected",
    ),
    Criterion(
        "outages.false",
        "==",
        0,
        "a crew is sent for each outage; a lost uplink is none",
        "sustained outages reported that never were",
    ),
    Criterion(
        "outages.localised",
        "==",
        1,
        "the device that is open, or one in series that meters cannot tell from it",
        "of those found, at the right device",
    ),
    Criterion(
        "outages.momentary_recorded",
        "==",
        1,
        f"up to 5 min an interruption is momentary and counts for MAIFI, not for SAIDI ({_IEEE_1366})",
        "momentary interruptions recorded as such / injected",
    ),
    Criterion(
        "outages.saidi_error_pct",
        "<=",
        1,
        f"SAIDI from the meters instead of from the fault log, defined by {_IEEE_1366}; the limit is amilab's own",
        "difference to the true SAIDI, per cent",
    ),
    Criterion(
        "phases.recall",
        "==",
        1,
        "amilab's own: a lost phase that darkens nobody is told of, and so is its end, by meters that keep a log",
        "phases lost for more than 5 min that were told of / those that meters can tell of",
    ),
    Criterion(
        "phases.false",
        "==",
        0,
        "amilab's own: a crew looks for a blown fuse where a phase is lost",
        "lost phases told of that never were",
    ),
    Criterion(
        "voltage.altered",
        "==",
        0,
        _END_TO_END,
        "sags and swells that are stored, but not as they are in the meter's log",
    ),
    *(
        Criterion(
            f"network.{limit.name}",
            ">=",
            0.98,
            _RFC_8036,
            f"{limit.meaning}: arrived within {limit.told} of being wanted",
        )
        for limit in CLASSES.values()
    ),
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
        "reads.estimates_conserve": reads.estimates_off,
        "reads.success_rate": reads.success_rate,
        "reads.identical_rate": reads.identical_rate,
    }
    if not reads.expected:
        counts = dict.fromkeys(counts, _NAN)
    return {**counts, "accuracy.class_violations": accuracy.class_violations if accuracy.compared else _NAN}


def outage_values(detection: Detection) -> dict[str, float]:
    """The figures of the criteria on outages; see lab/verdict/detection.py for a run in which nothing was injected."""
    return {
        "outages.recall": detection.recall,
        "outages.false": len(detection.false),
        "outages.localised": detection.localised,
        "outages.momentary_recorded": detection.momentary_share,
        "outages.saidi_error_pct": detection.saidi_error_pct,
    }


def evaluate(
    comparison: Comparison,
    criteria: tuple[Criterion, ...],
    detection: Detection | None = None,
    transformers: TransformerMeters | None = None,
    phases: PhaseLosses | None = None,
    communications: Communications | None = None,
    voltage: VoltageEvents | None = None,
) -> tuple[CriterionResult, ...]:
    """What does not apply is left out: not passed.

    That is outages to a head-end that says nothing of them, transformers in a run without meters there, phases where no
    meter lost one beside a supply that could tell of it, nor told of any, voltage where no meter told of a sag or
    swell, and the network where no mesh is modelled.
    """
    figures = values(comparison)
    if detection is not None:
        figures |= outage_values(detection)
    if transformers is not None:
        figures["transformers.discrepancies"] = transformers.discrepancies
    if phases is not None and phases.applies:
        figures |= {"phases.recall": phases.recall, "phases.false": len(phases.false)}
    if voltage is not None:
        figures["voltage.altered"] = len(voltage.altered)
    if communications is not None:
        figures |= communications.deliveries.criteria()
        # They wait in the meter, and reads.lost sees to it that they come.
        figures["reads.success_rate"] = comparison.reads.success_rate_but(
            communications.reasons.late.get(REGISTRATION, 0)
        )
    return tuple(CriterionResult(c, figures[c.id], c.passes(figures[c.id])) for c in criteria if c.id in figures)
