"""From figures to a verdict: passed, failed, or invalid where the generator could not keep its schedule. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum

import numpy as np
import pyarrow as pa

from lab.loadtest.matching import Matched, lags_s
from lab.loadtest.settings import Generator, Objectives
from lab.verdict.context import Host
from lab.verdict.criteria import Criterion, CriterionResult

SCHEMA_VERSION = 1
SYSTEM = ("head-end", "broker", "database")
"""The parts that are under load."""
_END_TO_END = "end-to-end rule: an acknowledged read is never lost, doubled or changed"
_OBJECTIVE = "the load test's objectives"
_COUNTS = "client, head-end and database count the same readings"
_SCHEDULE = "a generator that is behind its schedule measures itself"


class Word(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    INVALID = "invalid"


EXIT_STATUS = {Word.PASSED: 0, Word.FAILED: 1, Word.INVALID: 4}
"""2 is bad input, 3 a part that crashed."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A line of Locust's statistics: the client's view. Times in ms, NaN without any."""

    kind: str
    name: str
    requests: int
    failures: int
    p50_ms: float
    p95_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class HeadEndView:
    """What the head-end says of itself."""

    messages: int
    rows: int
    receive_to_commit_ms: dict[str, float]


@dataclass(frozen=True, slots=True)
class GeneratorView:
    """`due`: duties whose instant came while their user was there; `failed`: not to be done, and connections."""

    due: int
    sent: int
    failed: int
    lag_p50_ms: float
    lag_p95_ms: float
    lag_max_ms: float

    @property
    def sent_share(self) -> float:
        return self.sent / self.due if self.due else math.nan


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything that a load test found. `busy_cores`: by part; `clock`: see lab/loadtest/stored.py."""

    shape: str
    meters: int
    users: int
    period_s: float
    interval_s: int
    duration_s: float
    intervals: Matched
    events: Matched | None
    operations: tuple[Operation, ...]
    headend: HeadEndView
    dead_letters: int
    generator: GeneratorView
    clock: str
    busy_cores: dict[str, float] = field(default_factory=dict)

    @property
    def rows_per_s(self) -> float:
        """Committed, from the first publish to the last commit, of those whose latency counts."""
        matched = self.intervals
        if not len(matched.published_s):
            return 0.0
        return len(matched.published_s) / max(float(matched.committed_s.max() - matched.published_s.min()), 1e-3)

    @property
    def errors(self) -> int:
        """Of clients, and messages that the head-end could not use."""
        return self.generator.failed + self.dead_letters


def generator_view(ledger: pa.Table, failed: int, unsent: int) -> GeneratorView:
    lags_ms = lags_s(ledger) * 1000
    p50, p95, most = (
        (float(np.percentile(lags_ms, percent)) for percent in (50, 95, 100)) if len(lags_ms) else (math.nan,) * 3
    )
    return GeneratorView(len(lags_ms) + unsent, len(lags_ms), failed, p50, p95, most)


@dataclass(frozen=True, slots=True)
class LoadVerdict:
    """`validity`: of the generator; `criteria`: of the system."""

    measured: Measured
    host: Host
    criteria: tuple[CriterionResult, ...]
    validity: tuple[CriterionResult, ...]

    @property
    def word(self) -> Word:
        if not all(result.passed for result in self.validity):
            return Word.INVALID
        return Word.PASSED if all(result.passed for result in self.criteria) else Word.FAILED

    @property
    def exit_status(self) -> int:
        return EXIT_STATUS[self.word]

    def to_json(self) -> dict[str, object]:
        """verdict.json of a load test. What could not be measured is null."""
        measured, found = self.measured, self.measured.intervals
        document = {
            "schema": SCHEMA_VERSION,
            "kind": "loadtest",
            "shape": measured.shape,
            "verdict": self.word.value,
            "passed": self.word is Word.PASSED,
            "host": asdict(self.host),
            "load": {
                "meters": measured.meters,
                "users": measured.users,
                "period_s": measured.period_s,
                "interval_s": measured.interval_s,
                "duration_s": measured.duration_s,
            },
            "client": {
                "published": found.published,
                "acknowledged": found.acknowledged,
                "errors": measured.generator.failed,
                "operations": [asdict(operation) for operation in measured.operations],
            },
            "headend": {**asdict(measured.headend), "dead_letters": measured.dead_letters},
            "database": {
                "rows": found.stored + found.unknown_rows + found.duplicate_rows,
                "lost": len(found.lost),
                "altered": found.altered,
                "duplicate_rows": found.duplicate_rows,
                "unknown_rows": found.unknown_rows,
                "rows_per_s": measured.rows_per_s,
                "publish_to_commit_ms": {
                    **{f"p{percent}": found.percentile_ms(percent) for percent in (50, 95, 99)},
                    "max": found.percentile_ms(100),
                },
                "commit_instant": measured.clock,
            },
            "events": _events(measured.events),
            "generator": {**asdict(measured.generator), "sent_share": measured.generator.sent_share},
            "busy_cores": measured.busy_cores,
            "criteria": [_criterion(result) for result in self.criteria],
            "validity": [_criterion(result) for result in self.validity],
        }
        return {name: _finite(value) for name, value in document.items()}


def judge(measured: Measured, host: Host, objectives: Objectives, generator: Generator) -> LoadVerdict:
    """Every criterion and every condition of validity, met or not."""
    return LoadVerdict(
        measured, host, tuple(_of_the_system(measured, objectives)), tuple(_of_the_generator(measured, generator))
    )


def _of_the_system(measured: Measured, objectives: Objectives) -> Iterator[CriterionResult]:
    found = measured.intervals
    database_rows = found.stored + found.unknown_rows + found.duplicate_rows
    nothing = found.published == 0
    values = [
        (
            Criterion("reads.lost", "<=", objectives.lost, _END_TO_END, "acknowledged by the broker, and not stored"),
            math.nan if nothing else len(found.lost),
        ),
        (
            Criterion("reads.altered", "==", 0, _END_TO_END, "stored, but not what the client published"),
            math.nan if nothing else found.altered,
        ),
        (
            Criterion("reads.duplicate_rows", "==", 0, _END_TO_END, "more than one row for a meter-interval"),
            math.nan if nothing else found.duplicate_rows,
        ),
        (
            Criterion("reads.unacknowledged", "==", 0, _COUNTS, "published, and never acknowledged by the broker"),
            math.nan if nothing else found.published - found.acknowledged,
        ),
        (
            Criterion("counts.difference", "==", 0, _COUNTS, "rows by the head-end's count against the database's"),
            abs(measured.headend.rows - database_rows),
        ),
        (
            Criterion("errors", "<=", objectives.errors, _OBJECTIVE, "failed requests, connections and dead letters"),
            measured.errors,
        ),
        (
            Criterion(
                "publish_to_commit.p95_ms",
                "<=",
                objectives.publish_to_commit_p95_ms,
                _OBJECTIVE,
                "from the client's publish to the commit, 95 %",
            ),
            found.percentile_ms(95),
        ),
    ]
    if measured.events is not None:
        events = measured.events
        criterion = Criterion("events.lost", "<=", objectives.lost, _END_TO_END, "last gasps and restores not stored")
        values.insert(1, (criterion, len(events.lost) if events.published else math.nan))
    return (_result(criterion, value) for criterion, value in values)


def _of_the_generator(measured: Measured, generator: Generator) -> Iterator[CriterionResult]:
    view = measured.generator
    validity = [
        (
            Criterion("generator.lag_p95_ms", "<=", generator.lag_p95_ms, _SCHEDULE, "how late a duty was begun, 95 %"),
            view.lag_p95_ms,
        ),
        (
            Criterion("generator.sent_share", ">=", generator.sent_share, _SCHEDULE, "of the duties that were due"),
            view.sent_share,
        ),
    ]
    return (_result(criterion, value) for criterion, value in validity)


def _result(criterion: Criterion, value: float) -> CriterionResult:
    return CriterionResult(criterion, value, criterion.passes(value))


def _events(events: Matched | None) -> dict[str, object] | None:
    if events is None:
        return None
    return {
        "published": events.published,
        "stored": events.stored,
        "lost": len(events.lost),
        "publish_to_commit_p95_ms": events.percentile_ms(95),
    }


def _criterion(result: CriterionResult) -> dict[str, object]:
    criterion = result.criterion
    return {
        "id": criterion.id,
        "target": criterion.target_text,
        "value": result.value,
        "passed": result.passed,
        "source": criterion.source,
    }


def _finite(value: object) -> object:
    """JSON has no NaN and no infinity: both become null."""
    if isinstance(value, dict):
        return {name: _finite(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def figure(result: CriterionResult) -> str:
    """A criterion's value. Shares are cut, times rounded up: what missed its target must not look as if it met it."""
    if math.isnan(result.value):
        return "not measured"
    if result.id.endswith("_share"):
        return f"{math.floor(result.value * 1e4) / 1e4:.4f}"
    if result.id.endswith("_ms"):
        return f"{math.ceil(result.value * 10) / 10:,.1f}"
    return f"{result.value:,.0f}"
