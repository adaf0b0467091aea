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
from lab.verdict.tables import DELIVERIES, DELIVERIES_DIRECTORY, TableError

_NAMED = 5


@dataclass(frozen=True, slots=True)
class Communications:
    deliveries: Deliveries
    reasons: ReadReasons

    def to_json(self) -> dict[str, object]:
        """As in verdict.json."""
        return {**self.deliveries.to_json(), "late_or_missing_reads": self.reasons.to_json()}


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
    fleet: pa.Table,
    comparison: Comparison,
    clock: ClockFacts,
    outages: Collection[InjectedOutage],
    interruptions: Iterable[Interruption],
) -> Communications:
    """:param table: as DELIVERIES says.
    :param fleet: the customers' meters, of whom `comparison` and `outages` are.
    """
    frames = Frames.of(table)
    names = (fleet[name].cast(pa.string()).to_pylist() for name in ("serial", "usage_point"))
    points_of = dict(zip(*names, strict=True))
    return Communications(
        judge_deliveries(frames, points_of, outages, start_s=clock.start_s, end_s=clock.end_s),
        read_reasons(comparison.discrepancies, fleet, frames, outages, interruptions),
    )
