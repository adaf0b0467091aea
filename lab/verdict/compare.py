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
from lab.verdict.expected import Entries, Expected, follow_expected, latest_entries
from lab.verdict.identity import CHANNELS, altered_rows
from lab.verdict.keys import Int, codes_of, find, integers, numbers
from lab.verdict.registers import Registers, altered_registers, estimates_off
from lab.verdict.sides import Side, StoredIntervals, group, is_actual, per_point, sides
from lab.verdict.tables import REACTIVE_REGISTERS, REGISTERS, RunTables


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
        return self.success_rate_but(0)

    def success_rate_but(self, late: int) -> float:
        """The same without so many of the late reads, which nobody could have had in time."""
        judged = self.expected - late
        return (self.stored - self.late) / judged if judged > 0 and self.late is not None else float("nan")

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
    truth, journal, stored = sides(tables, known)
    step_wh = per_point(numbers(fleet["register_step_wh"]), len(known), absent=np.nan)
    active, reactive = (
        per_point(numbers(fleet[name]), len(known), absent=np.nan)
        if name in fleet.column_names
        else np.full(len(known), np.nan)
        for name in ("accuracy_class_percent", "reactive_class_percent")
    )
    entries = latest_entries(tables.journal, journal)
    groups = group(tables.stored, stored)
    is_expected = (numbers(tables.truth["energised_s"]) > 0) & truth.within(start_s, end_s) & (truth.points < metered)
    report_every_s = per_point(integers(fleet["report_every_s"]), len(known))
    expected = follow_expected(tables, truth, entries, groups, is_expected, report_every_s)

    registers = Registers.of(tables, known, in_lockstep=in_lockstep)
    altered_count, altered = altered_rows(tables, stored, entries.keys, entries.rows, step_wh, registers.polled)
    misread_count, misread = altered_registers(tables, stored, registers)
    altered += misread
    off_count, off = estimates_off(tables, stored, registers, start_s=start_s, end_s=end_s)
    judged = journal.within(start_s, end_s)
    accuracy, worst_wh, violations = _accuracy(tables, journal, known, (active, reactive), registers, judged)
    extra = _extra_rows(stored, groups, expected, registers, stored.within(start_s, end_s))
    reads = ReadCounts(
        expected=len(expected.keys),
        unrecorded=int((~expected.recorded).sum()),
        stored=int(expected.actual.sum()),
        lost=int(expected.lost.sum()),
        duplicate_rows=int((groups.rows - 1).sum()),
        altered=altered_count + misread_count,
        late=int(expected.late.sum()) if expected.knows_commit else None,
        estimated=int(expected.estimated.sum()),
        recovered=int(expected.recovered.sum()),
        estimates_off=off_count,
        extra=len(extra),
        actual_rows=int(is_actual(tables.stored).sum()),
        rows=len(stored.keys),
    )
    names, serials = list(known), fleet["serial"].cast(pa.string()).to_pylist()
    findings = [
        *_of_expected(expected, [*altered, *off, _repeated(tables, stored, groups), violations]),
        finding_at(stored, "extra", extra, stored=numbers(tables.stored["import_wh"])[extra]),
        _recorded_twice(tables, journal, entries),
    ]
    found = {"altered": altered, "class_violations": [violations]}
    by_meter = _by_meter(expected, names[:metered], serials, found, worst_wh[:metered])
    return Comparison(reads, accuracy, tabulate(findings, names, serials, CHANNELS), _by_interval(expected), by_meter)


def _of_expected(expected: Expected, others: list[Finding]) -> list[Finding]:
    """What happened to expected intervals, the worst first; `others` are worse than late."""
    return [
        expected.finding("unrecorded", ~expected.recorded),
        expected.finding("lost", expected.lost),
        *others,
        expected.finding("late", expected.late, expected.overdue_s),
    ]


def _repeated(tables: RunTables, stored: Side, groups: StoredIntervals) -> Finding:
    repeated = groups.rows > 1
    rows = groups.first[repeated]
    return finding_at(
        stored,
        "duplicate",
        rows,
        stored=numbers(tables.stored["import_wh"])[rows],
        by=(groups.rows[repeated] - 1).astype(np.float64),
    )


def _recorded_twice(tables: RunTables, journal: Side, entries: Entries) -> Finding:
    rows = entries.superseded
    return finding_at(journal, "recorded_twice", rows, journal=numbers(tables.journal["import_wh"])[rows])


def _extra_rows(
    stored: Side, groups: StoredIntervals, expected: Expected, registers: Registers, judged: NDArray[np.bool_]
) -> Int:
    extra = judged[groups.first] & (find(expected.keys, groups.keys) < 0)
    # Who polls cannot know that a meter was dark: its estimates share the energy among all intervals between two polls.
    shared = ~groups.actual & registers.polled[stored.points[groups.first]]
    return groups.first[extra & ~shared]


def _accuracy(
    tables: RunTables,
    journal: Side,
    known: dict[str, int],
    class_percent: tuple[NDArray[np.float64], NDArray[np.float64]],
    registers: Registers,
    judged: NDArray[np.bool_],
) -> tuple[AccuracyCounts, NDArray[np.float64], Finding]:
    """The counts, the largest error of each usage point [Wh] (NaN where none is known), and the violations."""
    energy = cumulative_energy(tables.frames, known)
    rows = np.flatnonzero(judged)
    points = journal.points[rows]
    # Runs of earlier releases have no reactive energy on one side.
    channels = [name for name in energy.channels if name in tables.journal.column_names]
    energy = energy.of(channels)
    of_fleet_wh = per_point(numbers(tables.fleet["register_step_wh"]), len(known), absent=np.nan)[points]
    heights_wh = _heights(tables.journal)
    step_wh = np.stack(
        [
            np.where(
                registers.polled[points],
                np.fmax(
                    registers.steps_wh(points, heights_wh[name.endswith("varh")][rows]),
                    # Before it rolled over, a register stood where its steps are the coarsest.
                    np.where(_rolled_over(tables.journal, journal.points, name)[rows], of_fleet_wh, 0.0),
                ),
                of_fleet_wh,
            )
            for name in channels
        ]
    )
    found = deviations(
        energy,
        points=points,
        window_start_s=numbers(tables.journal["window_start_s"])[rows],
        window_end_s=numbers(tables.journal["window_end_s"])[rows],
        journal_wh=np.stack([numbers(tables.journal[name])[rows] for name in channels]),
        class_percent=np.stack([class_percent[name.endswith("varh")][points] for name in channels]),
        allowed_wh=np.stack([_allowed(tables.journal, name)[rows] for name in channels]),
        step_wh=step_wh,
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
        channels=np.array([CHANNELS.index(name) for name in channels])[found.channel[bad]],
    )
    counts = AccuracyCounts(len(rows), float(errors.max()) if len(errors) else float("nan"), int(bad.sum()))
    return counts, worst_wh, finding


def _heights(journal: pa.Table) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The higher of the registers of active, and of reactive energy (n,). A meter may have one for two quadrants."""
    active = np.fmax(*(numbers(journal[name]) for name in REGISTERS.split()))
    quadrants = REACTIVE_REGISTERS.split()
    if not set(quadrants) <= set(journal.column_names):
        return active, active
    q1, q2, q3, q4 = (np.nan_to_num(numbers(journal[name])) for name in quadrants)
    return active, np.fmax(q1 + q2, q3 + q4)


def _rolled_over(journal: pa.Table, points: Int, energy: str) -> NDArray[np.bool_]:
    """Whether the register of an energy shows less at the end (n,) than there was of it in the interval."""
    register = "_register_".join(energy.rsplit("_", 1))
    if register not in journal.column_names:
        return np.zeros(len(journal), dtype=bool)
    shown_wh, energy_wh = numbers(journal[register]), numbers(journal[energy])
    rolled = shown_wh < energy_wh
    # Just below the end of its range float32 shows 0 already, though the register has yet to roll over.
    ahead: NDArray[np.bool_] = (shown_wh == energy_wh) & np.isin(points, points[rolled])
    return rolled | ahead


def _allowed(journal: pa.Table, energy: str) -> NDArray[np.float64]:
    """What the class allows of an energy, e.g. import_allowed_wh; NaN where nobody says."""
    name = "_allowed_".join(energy.rsplit("_", 1))
    return numbers(journal[name]) if name in journal.column_names else np.full(len(journal), np.nan)


def _by_meter(
    expected: Expected,
    names: list[str],
    serials: list[str],
    found: dict[str, list[Finding]],
    worst_wh: NDArray[np.float64],
) -> pa.Table:
    """Counts of each metered usage point; a late read may be a recovered one as well."""
    masks = {
        "on_time": expected.on_time,
        "late": expected.late,
        "recovered": expected.recovered,
        "estimated": expected.estimated,
        "lost": expected.lost,
    }
    metered = len(names)
    columns = {"expected": np.bincount(expected.points, minlength=metered)}
    columns |= {name: np.bincount(expected.points[mask], minlength=metered) for name, mask in masks.items()}
    for name, findings in found.items():
        points = np.concatenate([finding.points for finding in findings])
        columns[name] = np.bincount(points[points < metered], minlength=metered)
    largest = pa.array(worst_wh, from_pandas=True)
    return pa.table({"usage_point": names, "serial": serials, **columns, "max_abs_error_wh": largest})


def _by_interval(expected: Expected) -> pa.Table:
    """Counts of each interval; no read is in two of them."""
    masks = {
        "on_time": expected.on_time & ~expected.recovered,
        "late": expected.late & ~expected.recovered,
        "recovered": expected.recovered,
        "estimated": expected.estimated,
        "lost": expected.lost,
    }
    starts, code = np.unique(expected.truth.starts_us[expected.rows], return_inverse=True)
    columns = {
        "interval_start": pa.array(starts, pa.timestamp("us", tz="UTC")),
        "expected": pa.array(np.bincount(code, minlength=len(starts)), pa.int64()),
    }
    for name, mask in masks.items():
        columns[name] = pa.array(np.bincount(code[mask], minlength=len(starts)), pa.int64())
    return pa.table(columns)
