"""Reconciliation of truth, journal and stored, meter-interval by meter-interval. Pure; arrays, no loop over readings.

Words (DESIGN.md, Verdict). A *meter-interval* is (usage point, interval start, interval length).

expected     a truth interval of a metered usage point, wholly inside the judged window, with seconds energised > 0
unrecorded   expected, but not in the journal
stored       expected, and at least one actual (not estimated) row is stored
estimated    expected, and only estimated rows are stored
lost         expected, and nothing is stored: expected = stored + estimated + lost
late         stored, but first committed after interval end + report_every_s + 300 s, or nobody knows when
recovered    stored, and obtained by asking again
duplicate    each row beyond the first of a stored meter-interval
altered      an actual row whose channels are not the journal's at the register's resolution, or that the journal does
             not have at all (listed as `fabricated`)
extra        a stored meter-interval of the judged window that is not expected
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lab.verdict.accuracy import cumulative_energy, deviations
from lab.verdict.discrepancies import Finding, tabulate
from lab.verdict.keys import Int, IntervalKeys, codes_of, find, integers, micros, numbers, translate
from lab.verdict.tables import PHASE_ENERGIES, REGISTERS, VOLTAGES, RunTables

GRACE_S = 300
VOLTAGE_RESOLUTION_V = 0.1
ENERGY_CHANNELS = ("import_wh", "export_wh", *PHASE_ENERGIES.split(), *REGISTERS.split())
CHANNELS = (*ENERGY_CHANNELS, "active_power_w", *VOLTAGES.split(), "status")
_NEVER_US = np.iinfo(np.int64).max
_NO_TIME_US = np.iinfo(np.int64).min


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
    (expected, on_time, late, recovered, estimated, lost; the last five are disjoint and sum to expected)."""

    reads: ReadCounts
    accuracy: AccuracyCounts
    discrepancies: pa.Table
    by_interval: pa.Table


@dataclass(frozen=True, slots=True)
class _Side:
    """Key and place of each row of one table."""

    points: Int
    starts_us: Int
    lengths_s: Int
    keys: Int

    @property
    def ends_us(self) -> Int:
        return self.starts_us + self.lengths_s * 1_000_000

    def within(self, start_s: float, end_s: float) -> NDArray[np.bool_]:
        return (self.starts_us >= round(start_s * 1e6)) & (self.ends_us <= round(end_s * 1e6))

    def finding(self, kind: str, rows: Int, **values: NDArray[np.float64] | Int | None) -> Finding:
        return Finding(kind, self.points[rows], self.starts_us[rows], self.lengths_s[rows], **values)  # type: ignore[arg-type]  # fields by name


@dataclass(frozen=True, slots=True)
class _StoredIntervals:
    """Stored rows grouped by meter-interval; `first` is the row that stands for the group."""

    keys: Int
    first: Int
    rows: Int
    actual: NDArray[np.bool_]
    recovered: NDArray[np.bool_]
    committed_us: Int


def compare(tables: RunTables, *, start_s: float, end_s: float) -> Comparison:
    """Judges the intervals inside [start_s, end_s), epoch seconds. `tables` conform to their schemas."""
    known: dict[str, int] = {}
    fleet = tables.fleet
    codes_of(fleet["usage_point"], known)
    metered = len(known)
    serials = fleet["serial"].cast(pa.string()).to_pylist()
    truth, journal, stored = _sides(tables, known)
    report_every_s = _per_point(integers(fleet["report_every_s"]), len(known))
    step_wh = _per_point(numbers(fleet["register_step_wh"]), len(known), absent=np.nan)
    class_percent = _per_point(numbers(fleet["accuracy_class_percent"]), len(known), absent=np.nan)
    truth_wh, journal_wh = numbers(tables.truth["import_wh"]), numbers(tables.journal["import_wh"])
    stored_wh = numbers(tables.stored["import_wh"])

    # a journal that has an interval twice is answered for by its latest entry
    order = np.lexsort((numbers(tables.journal["recorded_at_s"]), journal.keys))
    newest = np.append(journal.keys[order][1:] != journal.keys[order][:-1], True)[: len(order)]
    journal_keys, journal_rows = journal.keys[order][newest], order[newest]
    groups = _group(tables.stored, stored)

    is_expected = (numbers(tables.truth["energised_s"]) > 0) & truth.within(start_s, end_s) & (truth.points < metered)
    expected_keys, expected_rows = np.unique(truth.keys[is_expected], return_index=True)
    expected_rows = np.flatnonzero(is_expected)[expected_rows]
    in_journal = find(journal_keys, expected_keys)
    in_stored = find(groups.keys, expected_keys)
    recorded, held = in_journal >= 0, in_stored >= 0
    actual = held & _at(groups.actual, in_stored)
    lost, estimated = ~held, held & ~actual
    recovered = actual & _at(groups.recovered, in_stored)
    knows_commit = "committed_at" in tables.stored.column_names
    deadline_us = truth.ends_us[expected_rows] + (report_every_s[truth.points[expected_rows]] + GRACE_S) * 1_000_000
    committed_us = np.where(actual, _at(groups.committed_us, in_stored), 0)
    late = actual & (committed_us > deadline_us) & knows_commit
    overdue_s = np.where(committed_us == _NEVER_US, np.nan, (committed_us - deadline_us) / 1e6)

    expected_truth_wh = truth_wh[expected_rows]
    expected_journal_wh = _values_at(journal_wh, np.where(recorded, _at(journal_rows, in_journal), -1))
    expected_stored_wh = _values_at(stored_wh, np.where(held, _at(groups.first, in_stored), -1))

    def expected_finding(kind: str, mask: NDArray[np.bool_], by: NDArray[np.float64] | None = None) -> Finding:
        return truth.finding(
            kind,
            expected_rows[mask],
            truth=expected_truth_wh[mask],
            journal=expected_journal_wh[mask],
            stored=expected_stored_wh[mask],
            by=None if by is None else by[mask],
        )

    extra_groups = stored.within(start_s, end_s)[groups.first] & (find(expected_keys, groups.keys) < 0)
    extra_rows = groups.first[extra_groups]
    repeated = groups.rows > 1
    altered, altered_findings = _altered(tables, stored, journal_keys, journal_rows, step_wh)
    accuracy, accuracy_finding = _accuracy(
        tables, journal, known, class_percent, step_wh, journal.within(start_s, end_s)
    )
    findings = [
        expected_finding("unrecorded", ~recorded),
        expected_finding("lost", lost),
        *altered_findings,
        stored.finding(
            "duplicate",
            groups.first[repeated],
            stored=stored_wh[groups.first[repeated]],
            by=(groups.rows[repeated] - 1).astype(np.float64),
        ),
        accuracy_finding,
        expected_finding("late", late, overdue_s),
        stored.finding("extra", extra_rows, stored=stored_wh[extra_rows]),
        journal.finding("recorded_twice", order[~newest], journal=journal_wh[order[~newest]]),
    ]
    reads = ReadCounts(
        expected=len(expected_keys),
        unrecorded=int((~recorded).sum()),
        stored=int(actual.sum()),
        lost=int(lost.sum()),
        duplicate_rows=int((groups.rows - 1).sum()),
        altered=altered,
        late=int(late.sum()) if knows_commit else None,
        estimated=int(estimated.sum()),
        recovered=int(recovered.sum()),
        extra=len(extra_rows),
        actual_rows=int(_actual(tables.stored).sum()),
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
    return Comparison(
        reads, accuracy, tabulate(findings, names, serials + [None] * (len(names) - metered), CHANNELS), by_interval
    )


def _sides(tables: RunTables, known: dict[str, int]) -> tuple[_Side, _Side, _Side]:
    columns = []
    for table in (tables.truth, tables.journal, tables.stored):
        points = codes_of(table["usage_point"], known) if "usage_point" in table.column_names else None
        if points is None or (points < 0).any():
            # by serial where the head-end does not know the usage point; a serial not in the fleet is nobody's
            of_serial = dict(
                zip(
                    tables.fleet["serial"].cast(pa.string()).to_pylist(),
                    tables.fleet["usage_point"].cast(pa.string()).to_pylist(),
                    strict=True,
                )
            )
            by_serial = codes_of(translate(table["serial"], of_serial, unknown="unknown serial "), known)
            points = by_serial if points is None else np.where(points < 0, by_serial, points)
        columns.append((points, micros(table["interval_start"]), integers(table["interval_length_s"])))
    keys = IntervalKeys([c[1] for c in columns], [c[2] for c in columns])
    truth, journal, stored = (_Side(p, s, n, keys.of(p, s, n)) for p, s, n in columns)
    return truth, journal, stored


def _per_point(values: NDArray[np.generic], count: int, absent: float = 0) -> NDArray[np.generic]:
    return np.concatenate([values, np.full(count - len(values), absent, dtype=values.dtype)])


def _at(values: NDArray[np.generic], positions: Int) -> NDArray[np.generic]:
    """`values` at `positions`; anything of the right type where there is none (the caller masks those)."""
    return values[positions] if len(values) else np.zeros(len(positions), dtype=values.dtype)


def _values_at(values: NDArray[np.float64], rows: Int) -> NDArray[np.float64]:
    return np.where(rows >= 0, _at(values, rows), np.nan)


def _actual(stored: pa.Table) -> NDArray[np.bool_]:
    if "quality" not in stored.column_names:
        return np.ones(len(stored), dtype=bool)
    return np.asarray(pc.not_equal(stored["quality"].cast(pa.string()), "estimated").to_numpy(), dtype=bool)


def _group(table: pa.Table, stored: _Side) -> _StoredIntervals:
    """One entry per stored meter-interval. An actual row without commit time counts as never committed."""
    order = np.argsort(stored.keys, kind="stable")
    keys = stored.keys[order]
    begins = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(keys)])
    actual = _actual(table)[order]
    recovered = np.zeros(len(keys), dtype=bool)
    if "origin" in table.column_names:
        recovered = np.asarray(pc.equal(table["origin"].cast(pa.string()), "recovered").to_numpy(), dtype=bool)[order]
    committed = np.full(len(keys), _NEVER_US)
    if "committed_at" in table.column_names:
        times = micros(table["committed_at"])[order]
        committed = np.where(actual & (times != _NO_TIME_US), times, _NEVER_US)
    if not len(begins):
        return _StoredIntervals(keys, order, np.zeros(0, dtype=np.int64), actual, recovered, committed)
    return _StoredIntervals(
        keys=keys[begins],
        first=order[begins],
        rows=np.diff(np.append(begins, len(keys))),
        actual=np.logical_or.reduceat(actual, begins),
        recovered=np.logical_or.reduceat(actual & recovered, begins),
        committed_us=np.minimum.reduceat(committed, begins),
    )


def _altered(
    tables: RunTables, stored: _Side, journal_keys: Int, journal_rows: Int, step_wh: NDArray[np.float64]
) -> tuple[int, list[Finding]]:
    """Actual stored rows against the journal: the count, and findings of those that differ and those made up."""
    actual = np.flatnonzero(_actual(tables.stored))
    at = find(journal_keys, stored.keys[actual])
    made_up, rows, counterpart = actual[at < 0], actual[at >= 0], journal_rows[at[at >= 0]]
    channel = np.full(len(rows), -1)
    ours, theirs = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    for code, name in enumerate(CHANNELS):
        if name not in tables.stored.column_names:
            continue
        journal_values = numbers(tables.journal[name])[counterpart]
        stored_values = numbers(tables.stored[name])[rows]
        differs = ~_same(journal_values, stored_values, _resolution(name, step_wh[stored.points[rows]]))
        news = differs & (channel < 0)
        channel[news], ours[news], theirs[news] = code, journal_values[news], stored_values[news]
    hit = channel >= 0
    differing = stored.finding(
        "altered",
        rows[hit],
        journal=ours[hit],
        stored=theirs[hit],
        by=np.abs(theirs - ours)[hit],
        channels=channel[hit],
    )
    fabricated = stored.finding("fabricated", made_up, stored=numbers(tables.stored["import_wh"])[made_up])
    return int(hit.sum()) + len(made_up), [differing, fabricated]


def _resolution(channel: str, step_wh: NDArray[np.float64]) -> NDArray[np.float64]:
    if channel in ENERGY_CHANNELS:
        return step_wh
    return np.full(len(step_wh), VOLTAGE_RESOLUTION_V if channel.startswith("voltage") else 1.0)


def _same(ours: NDArray[np.float64], theirs: NDArray[np.float64], resolution: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Equal at the resolution; a value that only one side has is different."""
    return (np.abs(theirs - ours) * 2 < resolution) | (np.isnan(ours) & np.isnan(theirs))


def _accuracy(
    tables: RunTables,
    journal: _Side,
    known: dict[str, int],
    class_percent: NDArray[np.float64],
    step_wh: NDArray[np.float64],
    judged: NDArray[np.bool_],
) -> tuple[AccuracyCounts, Finding]:
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
    errors = found.error_wh[~np.isnan(found.error_wh)]
    bad = found.violates
    finding = journal.finding(
        "class_violation",
        rows[bad],
        truth=found.truth_wh[bad],
        journal=found.journal_wh[bad],
        by=found.error_wh[bad],
        channels=np.where(found.exported[bad], CHANNELS.index("export_wh"), CHANNELS.index("import_wh")),
    )
    return AccuracyCounts(len(rows), float(errors.max()) if len(errors) else float("nan"), int(bad.sum())), finding


def _by_interval(starts_us: Int, **masks: NDArray[np.bool_]) -> pa.Table:
    starts, code = np.unique(starts_us, return_inverse=True)
    columns = {
        "interval_start": pa.array(starts, pa.timestamp("us", tz="UTC")),
        "expected": pa.array(np.bincount(code, minlength=len(starts)), pa.int64()),
    }
    for name, mask in masks.items():
        columns[name] = pa.array(np.bincount(code[mask], minlength=len(starts)), pa.int64())
    return pa.table(columns)
