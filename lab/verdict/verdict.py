"""From tables to a verdict."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lab.verdict.communications import Communications, Read, judge_communications
from lab.verdict.compare import Comparison, compare
from lab.verdict.context import ClockFacts, IngestFacts, RunContext
from lab.verdict.criteria import CriterionResult, evaluate, with_targets
from lab.verdict.detected import detected_outages
from lab.verdict.detection import Detection, judge_outages
from lab.verdict.diagnosis import Explanation, explanations, off_window_note
from lab.verdict.names import name_notes
from lab.verdict.network_model import Network
from lab.verdict.outages import InjectedOutage, at_meters
from lab.verdict.phase_losses import PhaseLosses, judge_phases
from lab.verdict.read_reasons import Interruption
from lab.verdict.tables import RunTables, capability
from lab.verdict.transformers import TransformerMeters, judge_transformers
from lab.verdict.voltage_events import VoltageEvents, judge_voltage

SCHEMA_VERSION = 1
EXIT_PASSED, EXIT_FAILED = 0, 1


@dataclass(frozen=True, slots=True)
class FleetFacts:
    meters: int
    by_vendor: dict[str, int]
    by_protocol: dict[str, int]
    collectors: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """`outages`: those injected, at the meters. `detection`: None if the head-end says nothing of outages.

    `diagnosis`: sentences on what many differences have in common; `explanations`: which ones, of those on values.
    """

    context: RunContext
    fleet: FleetFacts
    comparison: Comparison
    outages: tuple[InjectedOutage, ...]
    criteria: tuple[CriterionResult, ...]
    detection: Detection | None = None
    diagnosis: tuple[str, ...] = ()
    explanations: tuple[Explanation, ...] = ()
    transformers: TransformerMeters | None = None
    """Their meters; in none of the other figures."""
    phases: PhaseLosses | None = None
    """None where nothing is to be said of lost phases, or the head-end does not say it."""
    communications: Communications | None = None
    """None of a run without a model of the communications network."""
    voltage: VoltageEvents | None = None
    """None without any sag or swell, or where the head-end does not say what it stores of them."""

    @property
    def passed(self) -> bool:
        return bool(self.criteria) and all(result.passed for result in self.criteria)

    @property
    def exit_status(self) -> int:
        """0 only when every criterion passed."""
        return EXIT_PASSED if self.passed else EXIT_FAILED

    def to_json(self) -> dict[str, object]:
        """verdict.json, schema 1, as plain values. What could not be measured is null."""
        context, reads, accuracy = self.context, self.comparison.reads, self.comparison.accuracy
        document = {
            "schema": SCHEMA_VERSION,
            "scenario": context.scenario,
            "seed": context.seed,
            "passed": self.passed,
            "headend": context.headend,
            "host": asdict(context.host),
            "feeder": asdict(context.feeder),
            "fleet": asdict(self.fleet),
            "clock": {
                "simulated_s": context.clock.simulated_s,
                "wall_s": context.clock.wall_s,
                "speed": context.clock.speed,
            },
            "reads": {
                "expected": reads.expected,
                "unrecorded": reads.unrecorded,
                "stored": reads.stored,
                "lost": reads.lost,
                "duplicate_rows": reads.duplicate_rows,
                "altered": reads.altered,
                "late": reads.late,
                "estimated": reads.estimated,
                "recovered": reads.recovered,
                "rejected_frames": context.rejected_frames,
            },
            "accuracy": {
                "max_abs_error_wh": accuracy.max_abs_error_wh,
                "class_violations": accuracy.class_violations,
            },
            "transformers": None if self.transformers is None else self.transformers.to_json(),
            "ingest": asdict(context.ingest) if context.ingest else _unknown(asdict(IngestFacts())),
            "outages": self._outages(),
            "phases": None if self.phases is None else self.phases.to_json(),
            "voltage": None if self.voltage is None else self.voltage.to_json(),
            "diagnosis": list(self.diagnosis),
            "criteria": [
                {
                    "id": result.id,
                    "target": result.criterion.target_text,
                    "value": result.value,
                    "passed": result.passed,
                    "source": result.criterion.source,
                }
                for result in self.criteria
            ],
        }
        if self.communications is not None:
            document["network"] = self.communications.to_json()
        return {name: _finite(value) for name, value in document.items()}

    def _outages(self) -> dict[str, object]:
        momentary = sum(outage.momentary for outage in self.outages)
        found = self.detection
        return {
            "injected": len(self.outages) - momentary,
            "detected": None if found is None else len(found.detected),
            "false": None if found is None else len(found.false),
            "recall": None if found is None else found.recall,
            "precision": None if found is None else found.precision,
            "localised": None if found is None else found.localised,
            "momentary_injected": momentary,
            "momentary_recorded": None if found is None else len(found.momentary_matches),
            "detect_s": {
                f"p{percent}": None if found is None else found.detect_percentile_s(percent) for percent in (50, 95)
            },
            "saidi_error_pct": None if found is None else found.saidi_error_pct,
        }


def _unknown(facts: dict[str, Any]) -> dict[str, Any]:
    """The same keys, every value null."""
    return {name: _unknown(value) if isinstance(value, dict) else None for name, value in facts.items()}


def _finite(value: object) -> object:
    """JSON has no NaN and no infinity: both become null."""
    if isinstance(value, dict):
        return {name: _finite(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    counted = pc.value_counts(column.cast(pa.string())).to_pylist()
    return {entry["values"]: entry["counts"] for entry in sorted(counted, key=lambda entry: str(entry["values"]))}


def _fleet(fleet: pa.Table, collectors: int) -> FleetFacts:
    return FleetFacts(len(fleet), _counts(fleet["vendor_profile"]), _counts(fleet["protocol"]), collectors)


def _mute(fleet: pa.Table) -> list[str]:
    """Usage points whose meters tell of no outage."""
    points: list[str] = fleet["usage_point"].filter(pa.array(~capability(fleet, "reports_outages"))).to_pylist()
    return points


def _points(fleet: pa.Table) -> list[str]:
    points: list[str] = fleet["usage_point"].cast(pa.string()).to_pylist()
    return points


def _detection(
    detected: pa.Table, fleet: pa.Table, seen: tuple[InjectedOutage, ...], network: Network | None, clock: ClockFacts
) -> Detection:
    points = _points(fleet)
    return judge_outages(
        seen,
        detected_outages(detected, run_end_s=clock.end_s),
        {} if network is None else network.reach(points),
        customers=len(points),
        start_s=clock.start_s,
        end_s=clock.end_s,
        phases=None if network is None else network.phases_told(_mute(fleet)),
    )


def judge(
    tables: RunTables,
    context: RunContext,
    *,
    outages: Sequence[InjectedOutage] = (),
    network: Network | None = None,
    targets: Mapping[str, float] | None = None,
    around: pa.Table | None = None,
    transformers: RunTables | None = None,
    phases: tuple[pa.Table, pa.Table] | None = None,
    events: tuple[pa.Table, pa.Table] | None = None,
    deliveries: pa.Table | None = None,
    interruptions: Sequence[Interruption] = (),
) -> Verdict:
    """The verdict on a run's tables (each conforming to its schema); `targets`: criterion id → the scenario's figure.

    `outages`: those injected; `network`: which device feeds whom, without which no outage can be localised.
    `around`: where nothing is stored of the judged window, what is stored of the day before and after it.
    `transformers`: the tables of the meters there, none of whose rows is in `tables`.
    `phases`: those that were lost, and what is stored of them. `events`: the meters' logs, and likewise.
    `deliveries`: frames of the communications network, if it was modelled; `interruptions`: of what lies behind it.

    Raises:
        CriteriaError: see criteria.with_targets.
    """
    criteria = with_targets(targets or {})
    clock = context.clock
    comparison = compare(tables, start_s=clock.start_s, end_s=clock.end_s, in_lockstep=clock.in_lockstep)
    seen = at_meters(outages, _points(tables.fleet))
    detection = None if tables.detected is None else _detection(tables.detected, tables.fleet, seen, network, clock)
    # Who has what the meters recorded, under their names, needs no diagnosis.
    differs = comparison.reads.altered > 0 or comparison.reads.lost > 0
    explained: tuple[Explanation, ...] = ()
    notes: tuple[str, ...] = ()
    if around is not None:
        tables = replace(tables, stored=around)
        notes = (off_window_note(around),)
    if differs and not len(tables.stored):
        notes = ("No reading of the judged window is stored.",)
    else:
        explained = tuple(explanations(tables)) if differs or around is not None else ()
        notes = (*notes, *name_notes(tables), *(explanation.sentence for explanation in explained))
    stations = None if transformers is None else judge_transformers(transformers, clock)
    lost = None if phases is None else judge_phases(*phases, tables.fleet, start_s=clock.start_s, end_s=clock.end_s)
    network_told: Communications | None = None
    if deliveries is not None:
        others = [Read(transformers, stations.comparison)] if transformers is not None and stations is not None else []
        network_told = judge_communications(
            deliveries, Read(tables, comparison), *others, clock=clock, outages=seen, interruptions=interruptions
        )
    voltage = None if events is None else judge_voltage(*events)
    results = evaluate(comparison, criteria, detection, stations, lost, network_told, voltage)
    fleet, told = _fleet(tables.fleet, context.collectors), (stations, lost, network_told, voltage)
    return Verdict(context, fleet, comparison, seen, results, detection, notes, explained, *told)
