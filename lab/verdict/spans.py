"""Polled meters: what two answered polls enclose, and whether the estimates inside it conserve energy. Pure.

A row of the journal that is longer than its meter's interval is a *span*: boundaries between two answered polls were
missed. It answers for every interval inside it. A head-end can only estimate those; but they must sum exactly to the
register difference that the polls gave.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lab.verdict.discrepancies import Finding
from lab.verdict.keys import Int, numbers
from lab.verdict.sides import Side, is_actual
from lab.verdict.tables import RunTables

_HALF_A_WH = 0.5
POLLED = "modbus"


@dataclass(frozen=True, slots=True)
class Spans:
    """Stretches of time (m,), ordered by usage point and start; `rows` are the rows of a table that they begin with."""

    rows: Int
    points: Int
    starts_us: Int
    ends_us: Int

    @classmethod
    def of(cls, journal: Side, interval_length_s: Int) -> "Spans":
        """:param interval_length_s: of each usage point's meter, by its code."""
        rows = np.flatnonzero(journal.lengths_s > interval_length_s[journal.points])
        rows = rows[np.lexsort((journal.starts_us[rows], journal.points[rows]))]
        return cls(rows, journal.points[rows], journal.starts_us[rows], journal.ends_us[rows])

    def enclosing(self, side: Side, picked: Int) -> Int:
        """For each of the `picked` rows the index of the span that its interval lies in, −1 where none."""
        if not len(self.rows):
            return np.full(len(picked), -1, dtype=np.int64)
        order = np.lexsort((self.starts_us, self.points))
        origin = int(min(self.starts_us.min(), side.starts_us[picked].min(initial=self.starts_us.min())))
        width = int(max(self.ends_us.max(), side.ends_us[picked].max(initial=self.ends_us.max()))) - origin + 1
        begins = self.points[order] * width + (self.starts_us[order] - origin)
        wanted = side.points[picked] * width + (side.starts_us[picked] - origin)
        at = np.searchsorted(begins, wanted, side="right") - 1
        span = order[np.maximum(at, 0)]
        inside = (at >= 0) & (self.points[span] == side.points[picked]) & (side.ends_us[picked] <= self.ends_us[span])
        return np.where(inside, span, -1)


def estimates_off(
    tables: RunTables, journal: Side, stored: Side, *, start_s: float, end_s: float
) -> tuple[int, list[Finding]]:
    """How many runs of estimates of a polled meter do not sum to what its answered polls say.

    A run is as many estimated intervals as follow one another. The meter may have answered within it (the head-end did
    not get the answer), so it is compared with all rows of the journal that lie in it, and these must fill it. What is
    stored beyond the judged window is not known: a run that a span carries across its edge is not judged.
    """
    # The fleet's usage points have the first codes, in its order.
    polled = np.array([protocol == POLLED for protocol in tables.fleet["protocol"].to_pylist()], dtype=bool)
    picked = np.flatnonzero(~is_actual(tables.stored))
    picked = picked[stored.points[picked] < len(polled)]
    picked = picked[polled[stored.points[picked]]]
    picked = picked[np.lexsort((stored.starts_us[picked], stored.points[picked]))]
    if not len(picked):
        return 0, []
    points, starts_us, ends_us = stored.points[picked], stored.starts_us[picked], stored.ends_us[picked]
    begins = np.append(True, (points[1:] != points[:-1]) | (starts_us[1:] != ends_us[:-1]))
    run_of = np.cumsum(begins) - 1
    first = np.flatnonzero(begins)
    runs = Spans(picked[first], points[first], starts_us[first], ends_us[np.append(first[1:], len(picked)) - 1])
    everything = np.arange(len(journal.points))
    enclosing = runs.enclosing(journal, everything)
    inside, run = everything[enclosing >= 0], enclosing[enclosing >= 0]

    def per_run(runs_of: Int, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(runs_of, weights=values, minlength=len(first)).astype(np.float64)

    filled_s = per_run(run, journal.lengths_s[inside].astype(np.float64))
    filled = filled_s == (runs.ends_us - runs.starts_us) / 1e6
    at_edge = (runs.starts_us == round(start_s * 1e6)) | (runs.ends_us == round(end_s * 1e6))
    off = ~filled
    stored_wh = per_run(run_of, numbers(tables.stored["import_wh"])[picked])
    journal_wh = per_run(run, numbers(tables.journal["import_wh"])[inside])
    off |= ~(np.abs(stored_wh - journal_wh) < _HALF_A_WH)
    if "export_wh" in tables.stored.column_names:
        exported_wh = per_run(run_of, numbers(tables.stored["export_wh"])[picked])
        off |= ~(np.abs(exported_wh - per_run(run, numbers(tables.journal["export_wh"])[inside])) < _HALF_A_WH)
    off &= filled | ~at_edge
    finding = Finding(
        "estimate_off",
        runs.points[off],
        runs.starts_us[off],
        ((runs.ends_us - runs.starts_us) // 1_000_000)[off],
        journal=journal_wh[off],
        stored=stored_wh[off],
        by=(stored_wh - journal_wh)[off],
    )
    return int(off.sum()), [finding]
