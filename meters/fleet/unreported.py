"""What collectors have not reported of their meters' intervals: a number per meter, kept with its state.

Boundaries number the ends of intervals on the grid of intervals. A meter is reported up to a boundary when all its
records that end by it were published; an interval without a record needs no publishing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from meters.carriers.sparkplug.payload import Closed
from meters.device.memory import Memory
from meters.device.records import IntervalRecord
from meters.device.state import Rows, ShardState, field


class Unreported:
    """The fields `reported_boundary` and `last_reported_s` of a shard's state, and the records behind them."""

    def __init__(self, state: ShardState, memory: Memory, interval_length_s: int) -> None:
        self._reported = field(state, "reported_boundary")
        self._last_s = field(state, "last_reported_s")
        self._boundary = field(state, "boundary")
        self._memory = memory
        self._interval_s = interval_length_s

    def begin(self) -> None:
        """Nothing has ended yet."""
        self._reported[:] = self._boundary - 1

    def closed(self, record: IntervalRecord) -> Closed:
        """A record as it goes over the wire."""
        return Closed(record.interval_start_s + self._interval_s, record)

    def until(self, rows: Rows, end_s: int | None = None) -> NDArray[np.int64]:
        """Boundaries (m,) up to which these meters have closed their intervals, but none after `end_s`."""
        closed: NDArray[np.int64] = self._boundary[rows] - 1
        return closed if end_s is None else np.minimum(closed, end_s // self._interval_s)

    def behind(self, rows: Rows, until: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these meters are not reported up to `until` (m,)."""
        behind: NDArray[np.bool_] = self._reported[rows] < until
        return behind

    def span(self, rows: Rows, until: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """What is not reported up to these boundaries (m,): start of the first interval [epoch s], and how many."""
        reported = self._reported[rows]
        return reported * self._interval_s, until - reported

    def take(self, rows: Rows, until: NDArray[np.int64]) -> Iterator[tuple[int, list[Closed]]]:
        """(meter, its unreported intervals up to its boundary of `until` (m,)), and these count as reported then.

        The rows must be close together: they are read as one block.
        """
        if not len(rows):
            return
        length_s = self._interval_s
        starts_s = range(int(self._reported[rows].min()) * length_s, int(until.max()) * length_s, length_s)
        of_row: dict[int, list[IntervalRecord]] = defaultdict(list)
        for record in self._memory.block(int(rows.min()), int(rows.max()) + 1, starts_s):
            of_row[record.meter].append(record)
        for row, boundary in zip(rows.tolist(), until.tolist(), strict=True):
            from_s, to_s = int(self._reported[row]) * length_s, boundary * length_s
            records = [record for record in of_row[row] if from_s <= record.interval_start_s < to_s]
            self._reported[row] = max(boundary, self._reported[row])
            if records:
                self._last_s[row] = records[-1].interval_start_s
            yield row, [self.closed(record) for record in records]

    def last(self, rows: Rows) -> dict[int, Closed]:
        """The last interval that each of these meters has reported, if any."""
        if not len(rows):
            return {}
        starts_s = np.unique(self._last_s[rows]).tolist()
        records = self._memory.block(int(rows.min()), int(rows.max()) + 1, starts_s)
        return {
            record.meter: self.closed(record)
            for record in records
            if record.interval_start_s == self._last_s[record.meter]
        }
