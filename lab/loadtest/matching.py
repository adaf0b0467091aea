"""What was published against what is stored, interval by interval. Pure: arrays in, figures out.

An interval is named by its meter's number and its own. Who was published by two users at once, or twice, counts once,
from its first publish.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from loadtests.duties import Kind
from loadtests.readings import import_wh

Float = NDArray[np.float64]
Int = NDArray[np.int64]
_SHIFT = 1 << 32
_HALF = 1 << 31
_INTERVALS = (Kind.READING, Kind.BLOCK, Kind.BACKLOG)


@dataclass(frozen=True, slots=True)
class Stored:
    """Rows of the database: the meter's number, the interval's (or the event's sequence), the commit in epoch s."""

    meter: Int
    number: Int
    committed_s: Float
    import_wh: Int
    """Empty for events."""

    def __len__(self) -> int:
        return len(self.meter)


@dataclass(frozen=True, slots=True)
class Matched:
    """`lost`: (meter, number) acknowledged and not stored. `published_s`, `committed_s`: of those that are stored."""

    published: int
    acknowledged: int
    stored: int
    lost: Int
    altered: int
    duplicate_rows: int
    unknown_rows: int
    """Stored, and never published by anybody."""
    published_s: Float
    committed_s: Float

    @property
    def latency_s(self) -> Float:
        return self.committed_s - self.published_s

    def percentile_ms(self, percent: float) -> float:
        """NaN without any."""
        return float(np.percentile(self.latency_s, percent)) * 1000 if len(self.published_s) else float("nan")


def match_intervals(ledger: pa.Table, stored: Stored) -> Matched:
    """Intervals that users published against interval readings."""
    return _match(*_published(ledger, _INTERVALS), stored)


def match_events(ledger: pa.Table, stored: Stored) -> Matched:
    """End device events likewise; their number is their sequence."""
    return _match(*_published(ledger, (Kind.EVENT,)), stored)


def lags_s(ledger: pa.Table) -> Float:
    """How late each duty was begun, s."""
    lags: Float = _column(ledger, "sent_s") - _column(ledger, "due_s")
    return lags


def _published(ledger: pa.Table, kinds: tuple[Kind, ...]) -> tuple[Int, Float, NDArray[np.bool_]]:
    """Keys, publish instants and whether acknowledged, of each interval of each message."""
    chosen = np.isin(_column(ledger, "kind"), [int(kind) for kind in kinds])
    meter, first, count = (_column(ledger, name)[chosen].astype(np.int64) for name in ("meter", "first", "count"))
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    keys = key(np.repeat(meter, count), np.repeat(first, count) + within)
    sent_s = np.repeat(_column(ledger, "sent_s")[chosen], count)
    acknowledged = np.repeat(np.isfinite(_column(ledger, "acknowledged_s")[chosen]), count)
    return keys, sent_s, acknowledged


def _match(keys: Int, sent_s: Float, acknowledged: NDArray[np.bool_], stored: Stored) -> Matched:
    order = np.lexsort((sent_s, keys))
    keys, sent_s, acknowledged = keys[order], sent_s[order], acknowledged[order]
    published, starts = np.unique(keys, return_index=True)
    if len(keys):
        # Acknowledged once is acknowledged.
        acknowledged = np.logical_or.reduceat(acknowledged, starts)
    sent_s = sent_s[starts]
    by_commit = np.lexsort((stored.committed_s, key(stored.meter, stored.number)))
    rows, firsts = np.unique(key(stored.meter, stored.number)[by_commit], return_index=True)
    first = by_commit[firsts]
    found = np.isin(rows, published, assume_unique=True)
    there = np.isin(published, rows, assume_unique=True)
    altered = 0
    if len(stored.import_wh):
        expected = import_wh(stored.meter[first], stored.number[first])
        altered = int((stored.import_wh[first] != expected)[found].sum())
    lost = published[acknowledged & ~there]
    return Matched(
        published=len(published),
        acknowledged=int(acknowledged.sum()),
        stored=int(found.sum()),
        lost=np.column_stack(unkey(lost)),
        altered=altered,
        duplicate_rows=len(stored) - len(rows),
        unknown_rows=int((~found).sum()),
        published_s=sent_s[there],
        committed_s=stored.committed_s[first[found]],
    )


def key(meter: Int, number: Int) -> Int:
    """One sortable number for a meter's interval."""
    return meter.astype(np.int64) * _SHIFT + number + _HALF


def unkey(keys: Int) -> tuple[Int, Int]:
    return keys // _SHIFT, keys % _SHIFT - _HALF


def _column(ledger: pa.Table, name: str) -> NDArray[np.float64]:
    column: NDArray[np.float64] = ledger[name].to_numpy()
    return column
