"""Reconciliation of truth, journal and stored, meter-interval by meter-interval. Pure; arrays, no loop over readings.

Words (docs/verdict.md). A *meter-interval* is (usage point, interval start, interval length).

expected     a truth interval of a metered usage point, wholly inside the judged window, with seconds energised > 0
unrecorded   expected, but not in the journal
stored       expected, and at least one actual (not estimated) row is stored
estimated    expected, and only estimated rows are stored
lost         expected, and nothing is stored: expected = stored + estimated + lost
late         stored, but first committed after interval end + report_every_s + 300 s, or nobody knows when
recovered    stored, and obtained by asking again
duplicate    each row beyond the first of a stored meter-interval
altered      an actual row whose channels are not the journal's at the register's resolution, or that the journal does
             not have at all (listed as `fabricated`); of a polled meter, one that nobody can have read from its
             registers (lab/verdict/registers.py)
estimate_off a run of estimates of a polled meter that does not sum to what it showed at the polls on either side
extra        a stored meter-interval of the judged window that is not expected, and no estimate of a polled meter
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lab.verdict.accuracy import cumulative_energy, deviations
from lab.verdict.discrepancies import Finding, finding_at, tabulate
from lab.verdict.identity import CHANNELS, altered_rows
from lab.verdict.keys import Int, codes_of, find, integers, numbers
from lab.verdict.registers import Registers, altered_registers, estimates_off
from lab.verdict.sides import NEVER_US, Side, at, group, is_actual, per_point, sides, values_at
from lab.verdict.tables import RunTables

GRACE_S = 300


@dataclass(frozen=True, slots=True)
class ReadCounts:
    """Meter-intervals, but `duplicate_rows`, `altered` and `actual_rows` are rows. None where the input cannot tell."""

    expected: int
    unrecorded: int
    stored: int
    lost: int
    duplicate_rows: int
    altered: int
    late: int | None
    estimated: int
    recovered: int
    estimates_off: int
    extra: int
    actual_rows: int
    rows: int

    @property
    def success_rate(self) -> float:
        """Actual reads stored within their deadline / expected; NaN if that cannot be said."""
        return (self.stored - self.late) / self.expected if self.expected and self.late is not None else float("nan")

    @property
    def identical_rate(self) -> float:
        """Of the actual rows received, the share that is the journal's; NaN without rows."""
        return (self.actual_rows - self.altered) / self.actual_rows if self.actual_rows else float("nan")


@dataclass(frozen=True, slots=True)
class AccuracyCounts:
    """Over the journal's intervals in the judged window; `max_abs_error_wh` is NaN if none could be compared."""

    compared: int
    max_abs_error_wh: float
    class_violations: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """`discrepancies`: see discrepancies.SCHEMA. `by_interval`: interval_start and the counts of its meter-intervals
    (expected, on_time, late, recovered, estimated, lost; the last five are disjoint and sum to expected). `by_meter`:
    usage_point, serial and the same counts, where late and recovered may be the same read, with altered,
    class_violations and max_abs_error_wh."""

    reads: ReadCounts
    accuracy: AccuracyCounts
    discrepancies: pa.Table
    by_interval: pa.Table
    by_meter: pa.Table


def compare(tables: RunTables, *, start_s: float, end_s: float, in_lockstep: bool = True) -> Comparison:
    """Judges the intervals inside [start_s, end_s), epoch seconds. `tables` conform to their schemas.

    `in_lockstep`: meters and head-end had one clock, so instants that the head-end states are exact.
    """
    known: dict[str, int] = {}
    fleet = tables.fleet
    codes_of(fleet["usage_point"], known)
    metered = len(known)
    serials = fleet["serial"].cast(pa.string()).to_pylist()
    truth, journal, stored = sides(tables, known)
    report_every_s = per_point(integers(fleet["report_every_s"]), len(known))
    step_wh = per_point(numbers(fleet["register_step_wh"]), len(known), absent=np.nan)
    class_percent = per_point(numbers(fleet["accuracy_class_percent"]), len(known), absent=np.nan)
    truth_wh, journal_wh = numbers(tables.truth["import_wh"]), numbers(tables.journal["import_wh"])
    stored_wh = numbers(tables.stored["import_wh"])

    # a journal that has an interval twice is answered for by its latest entry
    order = np.lexsort((numbers(tables.journal["recorded_at_s"]), journal.keys))
    newest = np.append(journal.keys[order][1:] != journal.keys[order][:-1], True)[: len(order)]
    journal_keys, journal_rows = journal.keys[order][newest], order[newest]
    groups = group(tables.stored, stored)

    is_expected = (numbers(tables.truth["energised_s"]) > 0) & truth.within(start_s, end_s) & (truth.points < metered)
    expected_keys, expected_rows = np.unique(truth.keys[is_expected], return_index=True)
    expected_rows = np.flatnonzero(is_expected)[expected_rows]
    in_journal = find(journal_keys, expected_keys)
    in_stored = find(groups.keys, expected_keys)
    recorded, held = in_journal >= 0, in_stored >= 0
    actual = held & at(groups.actual, in_stored)
    lost, estimated = ~held, held & ~actual
    recovered = actual & at(groups.recovered, in_stored)
    knows_commit = "committed_at" in tables.stored.column_names
    deadline_us = truth.ends_us[expected_rows] + (report_every_s[truth.points[expected_rows]] + GRACE_S) * 1_000_000
    committed_us = np.where(actual, at(groups.committed_us, in_stored), 0)
    late = actual & (committed_us > deadline_us) & knows_commit
    overdue_s = np.where(committed_us == NEVER_US, np.nan, (committed_us - deadline_us) / 1e6)

    expected_truth_wh = truth_wh[expected_rows]
    expected_journal_wh = values_at(journal_wh, np.where(in_journal >= 0, at(journal_rows, in_journal), -1))
    expected_stored_wh = values_at(stored_wh, np.where(held, at(groups.first, in_stored), -1))

    def expected_finding(kind: str, mask: NDArray[np.bool_], by: NDArray[np.float64] | None = None) -> Finding:
        return finding_at(
            truth,
            kind,
            expected_rows[mask],
            truth=expected_truth_wh[mask],
            journal=expected_journal_wh[mask],
            stored=expected_stored_wh[mask],
            by=None if by is None else by[mask],
        )

    extra_groups = stored.within(start_s, end_s)[groups.first] & (find(expected_keys, groups.keys) < 0)
    # Who polls cannot know that a meter was dark: its estimates share the energy among all intervals between two polls.
    registers = Registers.of(tables, known, in_lockstep=in_lockstep)
    shared = ~groups.actual & registers.polled[stored.points[groups.first]]
    extra_rows = groups.first[extra_groups & ~shared]
    repeated = groups.rows > 1
    altered_count, altered_findings = altered_rows(
        tables, stored, journal_keys, journal_rows, step_wh, registers.polled
    )
    misread_count, misread_findings = altered_registers(tables, stored, registers, step_wh)
    altered_findings += misread_findings
    judged = journal.within(start_s, end_s)
    off_count, off_findings = estimates_off(tables, stored, registers, start_s=start_s, end_s=end_s)
    accuracy, worst_wh, accuracy_finding = _accuracy(tables, journal, known, class_percent, step_wh, judged)
    findings = [
        expected_finding("unrecorded", ~recorded),
        expected_finding("lost", lost),
        *altered_findings,
        *off_findings,
        finding_at(
            stored,
            "duplicate",
            groups.first[repeated],
            stored=stored_wh[groups.first[repeated]],
            by=(groups.rows[repeated] - 1).astype(np.float64),
        ),
        accuracy_finding,
        expected_finding("late", late, overdue_s),
        finding_at(stored, "extra", extra_rows, stored=stored_wh[extra_rows]),
        finding_at(journal, "recorded_twice", order[~newest], journal=journal_wh[order[~newest]]),
    ]
    reads = ReadCounts(
        expected=len(expected_keys),
        unrecorded=int((~recorded).sum()),
        stored=int(actual.sum()),
        lost=int(lost.sum()),
        duplicate_rows=int((groups.rows - 1).sum()),
        altered=altered_count + misread_count,
        late=int(late.sum()) if knows_commit else None,
        estimated=int(estimated.sum()),
        recovered=int(recovered.sum()),
        estimates_off=off_count,
        extra=len(extra_rows),
        actual_rows=int(is_actual(tables.stored).sum()),
        rows=len(stored.keys),
    )
    by_interval = _by_interval(
        truth.starts_us[expected_rows],
        on_time=actual & ~late & ~recovered,
        late=late & ~recovered,
        recovered=recovered,
        estimated=estimated,
        lost=lost,
    )
    names = list(known)
    by_meter = _by_meter(
        truth.points[expected_rows],
        metered,
        on_time=actual & ~late,
        late=late,
        recovered=recovered,
        estimated=estimated,
        lost=lost,
    )
    for name, found in (("altered", altered_findings), ("class_violations", [accuracy_finding])):
        points = np.concatenate([finding.points for finding in found])
        by_meter[name] = np.bincount(points[points < metered], minlength=metered)
    meters = pa.table(
        {
            "usage_point": names[:metered],
            "serial": serials,
            **by_meter,
            "max_abs_error_wh": pa.array(worst_wh[:metered], from_pandas=True),
        }
    )
    return Comparison(reads, accuracy, tabulate(findings, names, serials, CHANNELS), by_interval, meters)


def _accuracy(
    tables: RunTables,
    journal: Side,
    known: dict[str, int],
    class_percent: NDArray[np.float64],
    step_wh: NDArray[np.float64],
    judged: NDArray[np.bool_],
) -> tuple[AccuracyCounts, NDArray[np.float64], Finding]:
    """The counts, the largest error of each usage point [Wh] (NaN where none is known), and the violations."""
    energy = cumulative_energy(tables.frames, known)
    rows = np.flatnonzero(judged)
    points = journal.points[rows]
    found = deviations(
        energy,
        points=points,
        window_start_s=numbers(tables.journal["window_start_s"])[rows],
        window_end_s=numbers(tables.journal["window_end_s"])[rows],
        import_wh=numbers(tables.journal["import_wh"])[rows],
        export_wh=numbers(tables.journal["export_wh"])[rows],
        class_percent=class_percent[points],
        step_wh=step_wh[points],
    )
    measured = ~np.isnan(found.largest_error_wh)
    errors = found.largest_error_wh[measured]
    worst_wh = np.full(len(known), np.nan)
    np.fmax.at(worst_wh, points[measured], errors)
    bad = found.violates
    finding = finding_at(
        journal,
        "class_violation",
        rows[bad],
        truth=found.truth_wh[bad],
        journal=found.journal_wh[bad],
        by=found.error_wh[bad],
        channels=np.where(found.exported[bad], CHANNELS.index("export_wh"), CHANNELS.index("import_wh")),
    )
    counts = AccuracyCounts(len(rows), float(errors.max()) if len(errors) else float("nan"), int(bad.sum()))
    return counts, worst_wh, finding


def _by_meter(points: Int, metered: int, **masks: NDArray[np.bool_]) -> dict[str, Int]:
    columns = {"expected": np.bincount(points, minlength=metered)}
    return columns | {name: np.bincount(points[mask], minlength=metered) for name, mask in masks.items()}


def _by_interval(starts_us: Int, **masks: NDArray[np.bool_]) -> pa.Table:
    starts, code = np.unique(starts_us, return_inverse=True)
    columns = {
        "interval_start": pa.array(starts, pa.timestamp("us", tz="UTC")),
        "expected": pa.array(np.bincount(code, minlength=len(starts)), pa.int64()),
    }
    for name, mask in masks.items():
        columns[name] = pa.array(np.bincount(code[mask], minlength=len(starts)), pa.int64())
    return pa.table(columns)
