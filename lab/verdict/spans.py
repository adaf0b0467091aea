"""Polled meters: what two answered polls enclose, and whether the estimates inside it conserve energy. Pure.

A row of the journal that is longer than its meter's interval is a *span*: boundaries between two answered polls were
missed. It answers for every interval inside it. A head-end can only estimate those; but they must sum exactly to the
register difference that the polls gave, and a polled meter has no estimates where no boundary was missed.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lab.verdict.discrepancies import Finding, finding_at
from lab.verdict.keys import Int, numbers
from lab.verdict.sides import Side, is_actual
from lab.verdict.tables import RunTables

_ENERGIES = ("import_wh", "export_wh")
_HALF_A_WH = 0.5
POLLED = "modbus"


@dataclass(frozen=True, slots=True)
class Spans:
    """Rows of the journal (m,), ordered by usage point and start."""

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
    tables: RunTables, journal: Side, stored: Side, spans: Spans, *, judged: NDArray[np.bool_]
) -> tuple[int, list[Finding]]:
    """How many spans have estimates that do not sum to them, and estimates of polled meters outside every span.

    :param judged: which rows of the journal lie in the judged window.
    """
    # The fleet's usage points have the first codes, in its order.
    polled = np.array([protocol == POLLED for protocol in tables.fleet["protocol"].to_pylist()], dtype=bool)
    estimated = np.flatnonzero(~is_actual(tables.stored))
    estimated = estimated[stored.points[estimated] < len(polled)]
    estimated = estimated[polled[stored.points[estimated]]]
    span = spans.enclosing(stored, estimated)
    invented = estimated[span < 0]
    within, span = estimated[span >= 0], span[span >= 0]
    held = np.bincount(span, minlength=len(spans.rows)) > 0
    off = np.zeros(len(spans.rows), dtype=bool)
    sums = {}
    for name in _ENERGIES:
        if name not in tables.stored.column_names:
            continue
        sums[name] = np.bincount(span, weights=numbers(tables.stored[name])[within], minlength=len(spans.rows))
        off |= ~(np.abs(sums[name] - numbers(tables.journal[name])[spans.rows]) < _HALF_A_WH)
    off &= held & judged[spans.rows]
    import_wh = numbers(tables.journal["import_wh"])[spans.rows[off]]
    stored_wh = sums["import_wh"][off].astype(np.float64)
    findings = [
        finding_at(
            journal, "estimate_off", spans.rows[off], journal=import_wh, stored=stored_wh, by=stored_wh - import_wh
        ),
        finding_at(stored, "estimate_off", invented, stored=numbers(tables.stored["import_wh"])[invented]),
    ]
    return int(off.sum()) + len(invented), findings
