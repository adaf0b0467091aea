"""The meters at transformers: judged as all meters are, and counted by themselves, since no customer has them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from lab.verdict.compare import Comparison, compare
from lab.verdict.context import ClockFacts
from lab.verdict.keys import codes_of
from lab.verdict.owners import owners
from lab.verdict.read_run import collected, read_parquet
from lab.verdict.tables import FLEET, FRAMES, TRUTH, RunTables

TRANSFORMER_METERS = "transformer_meters.parquet"
"""In a run's directory; without it there are none."""


def take_out(run_dir: Path, tables: RunTables) -> tuple[RunTables, RunTables | None]:
    """The customers' tables of a run, and those of the transformers' meters, if it has any.

    Raises:
        TableError: with everything that is wrong with the files of the latter.
    """
    path = run_dir / TRANSFORMER_METERS
    if not path.exists():
        return tables, None
    truth, frames, fleet = collected(
        (
            lambda: read_parquet(run_dir / "truth_transformer_intervals.parquet", TRUTH),
            lambda: read_parquet(run_dir / "truth_transformer_frames.parquet", FRAMES),
            lambda: read_parquet(path, FLEET),
        )
    )
    journal, others_journal = _apart(tables.journal, fleet)
    stored, others_stored = _apart(tables.stored, fleet)
    registers, others_registers = _apart(tables.registers, fleet)
    own = RunTables(truth, frames, fleet, journal, stored, registers=registers)
    return replace(tables, journal=others_journal, stored=others_stored, registers=others_registers), own


def _apart(table: pa.Table, fleet: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The rows of the fleet's meters, and the others."""
    known: dict[str, int] = {}
    codes_of(fleet["usage_point"], known)
    metered = len(known)
    points = owners(table, fleet, known).points
    own = (points >= 0) & (points < metered)
    return table.filter(pa.array(own)), table.filter(pa.array(~own))


@dataclass(frozen=True, slots=True)
class TransformerMeters:
    """What became of their readings."""

    meters: int
    by_vendor: dict[str, int]
    comparison: Comparison

    @property
    def discrepancies(self) -> float:
        """What reads of meters and their class are judged by, in one figure; NaN without anything to judge."""
        reads, accuracy = self.comparison.reads, self.comparison.accuracy
        if not reads.expected:
            return float("nan")
        return (
            reads.unrecorded + reads.lost + reads.duplicate_rows + reads.altered + reads.estimates_off
        ) + accuracy.class_violations

    def to_json(self) -> dict[str, object]:
        """As in verdict.json, with the words of `reads` and `accuracy` there."""
        reads, accuracy = asdict(self.comparison.reads), self.comparison.accuracy
        shown = "expected unrecorded stored lost duplicate_rows altered late estimated recovered estimates_off"
        return {
            "meters": self.meters,
            "by_vendor": self.by_vendor,
            "reads": {name: reads[name] for name in shown.split()},
            "accuracy": {
                "max_abs_error_wh": accuracy.max_abs_error_wh,
                "class_violations": accuracy.class_violations,
            },
        }


def judge_transformers(tables: RunTables, clock: ClockFacts) -> TransformerMeters:
    """`tables` are those of the transformers' meters alone."""
    profiles, counts = np.unique(tables.fleet["vendor_profile"].cast(pa.string()).to_pylist(), return_counts=True)
    return TransformerMeters(
        meters=len(tables.fleet),
        by_vendor=dict(zip(profiles.tolist(), counts.tolist(), strict=True)),
        comparison=compare(tables, start_s=clock.start_s, end_s=clock.end_s, in_lockstep=clock.in_lockstep),
    )
