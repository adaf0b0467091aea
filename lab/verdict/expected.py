"""What became of each meter-interval that the truth expects: recorded, stored, late, lost. Pure; arrays of one length.

The words are those of lab/verdict/compare.py.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lab.verdict.discrepancies import Finding, finding_at
from lab.verdict.keys import Int, find, numbers
from lab.verdict.sides import NEVER_US, Side, StoredIntervals, at, values_at
from lab.verdict.tables import RunTables

GRACE_S = 300
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Entries:
    """The journal's, of which the latest answers for an interval; `superseded`: the rows of those before."""

    keys: Int
    rows: Int
    superseded: Int


def latest_entries(table: pa.Table, journal: Side) -> Entries:
    order = np.lexsort((numbers(table["recorded_at_s"]), journal.keys))
    newest = np.append(journal.keys[order][1:] != journal.keys[order][:-1], True)[: len(order)]
    return Entries(journal.keys[order][newest], order[newest], order[~newest])


@dataclass(frozen=True, slots=True)
class Expected:
    """`rows`: those of the truth. `overdue_s` [s]: how long after its deadline; NaN where it was never committed.

    `knows_commit`: whether the stored table says when a row was committed; without that nothing is late.
    """

    truth: Side
    keys: Int
    rows: Int
    recorded: Mask
    actual: Mask
    estimated: Mask
    lost: Mask
    recovered: Mask
    late: Mask
    knows_commit: bool
    overdue_s: NDArray[np.float64]
    truth_wh: NDArray[np.float64]
    journal_wh: NDArray[np.float64]
    stored_wh: NDArray[np.float64]

    @property
    def points(self) -> Int:
        return self.truth.points[self.rows]

    @property
    def on_time(self) -> Mask:
        return self.actual & ~self.late

    def finding(self, kind: str, mask: Mask, by: NDArray[np.float64] | None = None) -> Finding:
        """Those of `mask`, with what each side says."""
        return finding_at(
            self.truth,
            kind,
            self.rows[mask],
            truth=self.truth_wh[mask],
            journal=self.journal_wh[mask],
            stored=self.stored_wh[mask],
            by=None if by is None else by[mask],
        )


def follow_expected(
    tables: RunTables,
    truth: Side,
    entries: Entries,
    groups: StoredIntervals,
    is_expected: Mask,
    report_every_s: Int,
) -> Expected:
    """:param is_expected: which rows of the truth are.
    :param report_every_s: by usage point.
    """
    keys, rows = np.unique(truth.keys[is_expected], return_index=True)
    rows = np.flatnonzero(is_expected)[rows]
    in_journal, in_stored = find(entries.keys, keys), find(groups.keys, keys)
    recorded, held = in_journal >= 0, in_stored >= 0
    actual = held & at(groups.actual, in_stored)
    knows_commit = "committed_at" in tables.stored.column_names
    deadline_us = truth.ends_us[rows] + (report_every_s[truth.points[rows]] + GRACE_S) * 1_000_000
    committed_us = np.where(actual, at(groups.committed_us, in_stored), 0)
    return Expected(
        truth=truth,
        keys=keys,
        rows=rows,
        recorded=recorded,
        actual=actual,
        estimated=held & ~actual,
        lost=~held,
        recovered=actual & at(groups.recovered, in_stored),
        late=actual & (committed_us > deadline_us) & knows_commit,
        knows_commit=knows_commit,
        overdue_s=np.where(committed_us == NEVER_US, np.nan, (committed_us - deadline_us) / 1e6),
        truth_wh=numbers(tables.truth["import_wh"])[rows],
        journal_wh=values_at(
            numbers(tables.journal["import_wh"]), np.where(recorded, at(entries.rows, in_journal), -1)
        ),
        stored_wh=values_at(numbers(tables.stored["import_wh"]), np.where(held, at(groups.first, in_stored), -1)),
    )
