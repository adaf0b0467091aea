"""Injected against detected outages: which are the same, which were missed, which never were. Pure.

Words (docs/verdict.md; IEEE Std 1366-2022). Both sides are customers and the spans in which they were dark.

matched      an injected and a detected interruption, one to one, whose customer-minutes overlap by at least half:
             those that both have / those that either has. Sustained ones among themselves, momentary ones too
false        a sustained detected one that is not matched
localised    of the matched, those whose device darkens the same meters as the one that was really open; of a single
             phase that was open: those that concerns the same meters, dark or not, that have this phase and tell of
             its loss. A detected one that names a phase is taken at its word
SAIDI        customer-minutes of sustained interruptions / customers served (here: meters). What a customer lives
             through without a break is one interruption, however many devices had a hand in it

Where nothing was injected, nothing can be missed: recall, localised and the momentary share are 1, since all of none
were found. Such a run still says whether detection keeps quiet: `false` counts, and a SAIDI of 0 that is detected as
more is infinitely wrong.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lab.verdict.detected import DetectedOutage
from lab.verdict.outages import MOMENTARY_AT_MOST_S, InjectedOutage

LEAST_OVERLAP = 0.5
NEUTRAL = "N"
CLOCK_S = 2.0
"""Meters show whole seconds of clocks that are a little off: spans are widened by this before they are compared."""

Spans = Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Match:
    injected: InjectedOutage
    detected: DetectedOutage
    overlap: float
    localised: bool

    @property
    def detect_s(self) -> float:
        """Simulated seconds from the loss of supply to its detection."""
        return self.detected.detected_s - self.injected.start_s


@dataclass(frozen=True, slots=True)
class Indices:
    """IEEE Std 1366-2022: SAIDI and CAIDI in minutes, SAIFI and MAIFI in interruptions per customer served."""

    saidi_min: float
    saifi: float
    maifi: float

    @property
    def caidi_min(self) -> float:
        return self.saidi_min / self.saifi if self.saifi else math.nan


@dataclass(frozen=True, slots=True)
class Detection:
    """`injected`, `detected` and `matches` are the sustained ones, `momentary_…` the others."""

    injected: tuple[InjectedOutage, ...]
    detected: tuple[DetectedOutage, ...]
    momentary_injected: tuple[InjectedOutage, ...]
    momentary_detected: tuple[DetectedOutage, ...]
    matches: tuple[Match, ...]
    momentary_matches: tuple[Match, ...]
    true_indices: Indices
    detected_indices: Indices

    @property
    def false(self) -> tuple[DetectedOutage, ...]:
        matched = {match.detected.name for match in self.matches}
        return tuple(outage for outage in self.detected if outage.name not in matched)

    @property
    def recall(self) -> float:
        return len(self.matches) / len(self.injected) if self.injected else 1.0

    @property
    def precision(self) -> float:
        return len(self.matches) / len(self.detected) if self.detected else 1.0

    @property
    def localised(self) -> float:
        return sum(match.localised for match in self.matches) / len(self.matches) if self.matches else 1.0

    @property
    def momentary_share(self) -> float:
        """Of the injected momentary interruptions, those that were recorded as such."""
        return len(self.momentary_matches) / len(self.momentary_injected) if self.momentary_injected else 1.0

    @property
    def saidi_error_pct(self) -> float:
        """Infinite where a SAIDI of 0 was detected as more."""
        true, found = self.true_indices.saidi_min, self.detected_indices.saidi_min
        if true == 0.0:
            return 0.0 if found == 0.0 else math.inf
        return abs(found - true) / true * 100.0

    def detect_percentile_s(self, percent: float) -> float:
        """NaN where nothing was detected."""
        return float(np.percentile([m.detect_s for m in self.matches], percent)) if self.matches else math.nan


def judge_outages(
    injected: Sequence[InjectedOutage],
    detected: Sequence[DetectedOutage],
    reach: Mapping[str, frozenset[str]],
    *,
    customers: int,
    start_s: float,
    end_s: float,
    phases: Mapping[str, frozenset[str]] | None = None,
) -> Detection:
    """Compare what happened in [start_s, end_s) with what a head-end says of it.

    `injected`: at the meters only. `reach`: device id → the meters' usage points that it darkens. `customers` served.
    `phases`: of usage points, as far as they are known; those alone whose loss anybody hears of.
    """
    within = [outage for outage in detected if start_s - CLOCK_S <= outage.start_s < end_s]
    sustained = tuple(outage for outage in injected if not outage.momentary)
    brief = tuple(outage for outage in injected if outage.momentary)
    found = tuple(outage for outage in within if not outage.momentary)
    found_brief = tuple(outage for outage in within if outage.momentary)
    return Detection(
        injected=sustained,
        detected=found,
        momentary_injected=brief,
        momentary_detected=found_brief,
        matches=_matches(sustained, found, reach, phases or {}, end_s),
        momentary_matches=_matches(brief, found_brief, reach, phases or {}, end_s),
        true_indices=_indices((_injected_spans(outage, end_s) for outage in injected), customers, start_s, end_s),
        detected_indices=_indices((_detected_spans(outage) for outage in within), customers, start_s, end_s),
    )


def _injected_spans(outage: InjectedOutage, end_s: float) -> dict[str, tuple[float, float]]:
    until_s = end_s if outage.end_s is None else outage.end_s
    return dict.fromkeys(outage.usage_points, (outage.start_s, until_s))


def _detected_spans(outage: DetectedOutage) -> dict[str, tuple[float, float]]:
    return {
        share.usage_point: (share.from_s, outage.run_end_s if share.to_s is None else share.to_s)
        for share in outage.shares
    }


def overlap(one: Spans, other: Spans) -> float:
    """Customer-time that both have / customer-time that either has, each span widened by CLOCK_S at both ends."""

    def total(spans: Spans) -> float:
        return sum(to_s - from_s + 2 * CLOCK_S for from_s, to_s in spans.values())

    shared = sum(
        max(0.0, min(one[point][1], other[point][1]) - max(one[point][0], other[point][0]) + 2 * CLOCK_S)
        for point in one.keys() & other.keys()
    )
    return shared / (total(one) + total(other) - shared)


def nearest(injected: Iterable[InjectedOutage], detected: DetectedOutage) -> tuple[InjectedOutage, float] | None:
    """The one that has most in common with what was detected, and their overlap; None where none has anything."""
    spans = _detected_spans(detected)
    overlaps = [(truth, overlap(_injected_spans(truth, detected.run_end_s), spans)) for truth in injected]
    truth, share = max(overlaps, key=lambda pair: pair[1], default=(None, 0.0))
    return None if truth is None or share == 0.0 else (truth, share)


def _matches(
    injected: Sequence[InjectedOutage],
    detected: Sequence[DetectedOutage],
    reach: Mapping[str, frozenset[str]],
    phases: Mapping[str, frozenset[str]],
    end_s: float,
) -> tuple[Match, ...]:
    found = [_detected_spans(outage) for outage in detected]
    candidates = []
    for row, truth in enumerate(injected):
        spans = _injected_spans(truth, end_s)
        for column, other_spans in enumerate(found):
            value = overlap(spans, other_spans)
            if value >= LEAST_OVERLAP:
                candidates.append((-value, row, column))
    rows: set[int] = set()
    columns: set[int] = set()
    matches = []
    for value, row, column in sorted(candidates):
        if row not in rows and column not in columns:
            rows.add(row)
            columns.add(column)
            truth, other = injected[row], detected[column]
            matches.append(Match(truth, other, -value, _localised(truth, other, reach, phases)))
    return tuple(sorted(matches, key=lambda match: match.injected.start_s))


def _localised(
    truth: InjectedOutage,
    detected: DetectedOutage,
    reach: Mapping[str, frozenset[str]],
    phases: Mapping[str, frozenset[str]],
) -> bool:
    """Whether both concern the same. What names no phase is judged by its device alone."""
    if detected.device is None:
        return False
    named = _concerned(reach.get(detected.device), detected.phase or truth.conductor, phases)
    return named is not None and named == _concerned(reach.get(truth.device_id), truth.conductor, phases)


def _concerned(
    points: frozenset[str] | None, conductor: str | None, phases: Mapping[str, frozenset[str]]
) -> frozenset[str] | None:
    """Whom a device concerns if this conductor of it opens. Without a neutral all are concerned."""
    if points is None or conductor is None or conductor == NEUTRAL:
        return points
    return frozenset(point for point in points if conductor in phases.get(point, (conductor,)))


def _indices(outages: Iterable[Spans], customers: int, start_s: float, end_s: float) -> Indices:
    by_customer: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for spans in outages:
        for point, span in spans.items():
            by_customer[point].append(span)
    minutes, sustained, momentary = 0.0, 0, 0
    for spans_of_one in by_customer.values():
        for from_s, to_s in _joined(spans_of_one):
            if to_s - from_s > MOMENTARY_AT_MOST_S:
                sustained += 1
                minutes += max(0.0, min(to_s, end_s) - max(from_s, start_s)) / 60.0
            else:
                momentary += 1
    if not customers:
        return Indices(0.0, 0.0, 0.0)
    return Indices(minutes / customers, sustained / customers, momentary / customers)


def _joined(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Spans that touch or overlap as one."""
    joined: list[tuple[float, float]] = []
    for from_s, to_s in sorted(spans):
        if joined and from_s <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], to_s))
        else:
            joined.append((from_s, to_s))
    return joined
