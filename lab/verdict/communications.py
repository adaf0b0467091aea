"""A run's communications network in its verdict: what was delivered, and why reads are late or missing."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa

from lab.verdict.compare import Comparison
from lab.verdict.context import ClockFacts
from lab.verdict.deliveries import Deliveries, judge_deliveries
from lab.verdict.messages import Frames
from lab.verdict.outages import InjectedOutage
from lab.verdict.read_reasons import Interruption, ReadReasons, read_reasons
from lab.verdict.read_run import collected, read_parquet
from lab.verdict.tables import DELIVERIES, DELIVERIES_DIRECTORY, RunTables, TableError

_NAMED = 5


@dataclass(frozen=True, slots=True)
class Communications:
    """`reasons`: of the customers' reads; `transformer_reasons`: of those at transformers, where there are meters."""

    deliveries: Deliveries
    reasons: ReadReasons
    transformer_reasons: ReadReasons | None = None

    def to_json(self) -> dict[str, object]:
        """As in verdict.json."""
        document = {**self.deliveries.to_json(), "late_or_missing_reads": self.reasons.to_json()}
        if self.transformer_reasons is not None:
            document["late_or_missing_transformer_reads"] = self.transformer_reasons.to_json()
        return document


@dataclass(frozen=True, slots=True)
class Read:
    """The tables of some meters, and how what is stored of them compares."""

    tables: RunTables
    comparison: Comparison

    def reasons(self, frames: Frames, interruptions: Iterable[Interruption]) -> ReadReasons:
        discrepancies = self.comparison.discrepancies
        return read_reasons(discrepancies, self.tables.fleet, frames, self.tables.truth, interruptions)


def read_deliveries(run_dir: Path) -> pa.Table | None:
    """All shards' frames; None in a run without a model of the network.

    Raises:
        TableError: with the faults of every shard's file.
    """
    files = sorted((run_dir / DELIVERIES_DIRECTORY).glob("*.parquet"))
    label = DELIVERIES_DIRECTORY
    tables = collected(partial(read_parquet, p, DELIVERIES, label=f"{label}/{p.name}") for p in files)
    return pa.concat_tables(tables) if tables else None


def refuse_unknown_meters(deliveries: pa.Table, fleets: Iterable[pa.Table]) -> None:
    """Raises TableError where a frame is of a meter of none of the fleets."""
    known = {serial for fleet in fleets for serial in fleet["serial"].cast(pa.string()).to_pylist()}
    strange = sorted(set(deliveries["serial"].cast(pa.string()).unique().to_pylist()) - known)
    if strange:
        more = "…" if len(strange) > _NAMED else ""
        named = ", ".join(strange[:_NAMED])
        raise TableError([f"deliveries.serial names meters that the run does not have: {named}{more}"])


def judge_communications(
    table: pa.Table,
    customers: Read,
    transformers: Read | None = None,
    *,
    clock: ClockFacts,
    outages: Collection[InjectedOutage],
    interruptions: Collection[Interruption],
) -> Communications:
    """`table`: as DELIVERIES says. `outages`: at the customers' meters."""
    frames = Frames.of(table)
    fleet = customers.tables.fleet
    names = (fleet[name].cast(pa.string()).to_pylist() for name in ("serial", "usage_point"))
    points_of = dict(zip(*names, strict=True))
    return Communications(
        judge_deliveries(frames, points_of, outages, start_s=clock.start_s, end_s=clock.end_s),
        customers.reasons(frames, interruptions),
        None if transformers is None else transformers.reasons(frames, interruptions),
    )
