"""From the files of a run to its verdict, and from a verdict to the files that it leaves there."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import pyarrow.parquet as pq

from lab.verdict.communications import read_deliveries, refuse_unknown_meters
from lab.verdict.context import RunContext
from lab.verdict.junit import junit_xml
from lab.verdict.names import refuse_strangers
from lab.verdict.network_model import read_network
from lab.verdict.outages import read_outages
from lab.verdict.phase_losses import read_phase_losses
from lab.verdict.read_reasons import Interruption
from lab.verdict.read_run import around_file, load_run, read_parquet
from lab.verdict.tables import DETECTED_FILE, STORED, TableError
from lab.verdict.transformers import take_out
from lab.verdict.verdict import Verdict, judge
from lab.verdict.voltage_events import read_events

_Read = TypeVar("_Read")
TRANSFORMER_DISCREPANCIES, TRANSFORMER_READS = "transformer_discrepancies.parquet", "reads_by_transformer_meter.parquet"
DELIVERIES_BY_METER = "deliveries_by_meter.parquet"
VERDICT_FILES = (
    "verdict.json", "junit.xml", "discrepancies.parquet", "reads_by_interval.parquet", "reads_by_meter.parquet",
    TRANSFORMER_DISCREPANCIES, TRANSFORMER_READS, DELIVERIES_BY_METER,
)  # fmt: skip
"""What `write_verdict` writes."""


def judge_run(
    run_dir: Path,
    context: RunContext,
    *,
    targets: Mapping[str, float] | None = None,
    interruptions: Sequence[Interruption] = (),
) -> Verdict:
    """Judges the files of a run directory and writes the verdict's own files beside them. Raises as judge_files."""
    verdict = judge_files(run_dir, context, targets=targets, interruptions=interruptions)
    write_verdict(verdict, run_dir)
    return verdict


def _tried(read: Callable[[], _Read], faults: list[str]) -> _Read | None:
    """What is read; or None, with what is wrong with it among `faults`."""
    try:
        return read()
    except TableError as error:
        faults += error.faults
        return None


def judge_files(
    run_dir: Path,
    context: RunContext,
    *,
    targets: Mapping[str, float] | None = None,
    stored: Path | None = None,
    interruptions: Sequence[Interruption] = (),
) -> Verdict:
    """Judges the files of a run directory; with `stored`, that file instead of what its head-end had and detected.

    Raises:
        TableError: with everything that is wrong with the run's files; or no stored row is of a meter of the fleet.
        CriteriaError: see criteria.with_targets.
    """
    faults: list[str] = []
    ours = stored is None
    outages = _tried(lambda: read_outages(run_dir / "truth_outages.json", run_end_s=context.clock.end_s), faults) or ()
    network = None
    if ours and (run_dir / DETECTED_FILE).exists():
        network = _tried(lambda: read_network(run_dir / "network.json"), faults)
    phases = _tried(lambda: read_phase_losses(run_dir), faults) if ours else None
    events = _tried(lambda: read_events(run_dir), faults) if ours else None
    deliveries = _tried(lambda: read_deliveries(run_dir), faults)
    try:
        tables, stations = take_out(run_dir, load_run(run_dir, stored=stored))
    except TableError as error:
        raise TableError([*error.faults, *faults]) from error
    if faults:
        raise TableError(faults)
    refuse_strangers(tables)
    if deliveries is not None:
        refuse_unknown_meters(deliveries, [each.fleet for each in (tables, stations) if each is not None])
    beside = around_file(stored or run_dir / "stored.parquet")
    around = read_parquet(beside, STORED) if beside.exists() else None
    return judge(
        tables,
        context,
        outages=outages,
        network=network,
        targets=targets,
        around=around,
        transformers=stations,
        phases=phases,
        events=events,
        deliveries=deliveries,
        interruptions=interruptions,
    )


def write_verdict(verdict: Verdict, run_dir: Path) -> None:
    """Writes verdict.json, junit.xml and, as parquet, discrepancies, reads_by_interval and reads_by_meter.

    Those of transformers' meters are in files of their own, where there are such meters; and so is what the network
    delivered of each meter, where there is a model of one.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    document = json.dumps(verdict.to_json(), indent=2, ensure_ascii=False, allow_nan=False)
    (run_dir / "verdict.json").write_text(document + "\n", encoding="utf-8")
    (run_dir / "junit.xml").write_bytes(junit_xml(verdict))
    pq.write_table(verdict.comparison.discrepancies, run_dir / "discrepancies.parquet", compression="zstd")
    if verdict.transformers is not None:
        stations = verdict.transformers.comparison
        pq.write_table(stations.discrepancies, run_dir / TRANSFORMER_DISCREPANCIES, compression="zstd")
        pq.write_table(stations.by_meter, run_dir / TRANSFORMER_READS, compression="zstd")
    if verdict.communications is not None:
        by_meter = verdict.communications.deliveries.by_meter
        pq.write_table(by_meter, run_dir / DELIVERIES_BY_METER, compression="zstd")
    pq.write_table(verdict.comparison.by_interval, run_dir / "reads_by_interval.parquet", compression="zstd")
    pq.write_table(verdict.comparison.by_meter, run_dir / "reads_by_meter.parquet", compression="zstd")
