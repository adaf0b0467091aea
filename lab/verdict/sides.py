"""The rows of truth, journal and stored, keyed by meter-interval, and the stored rows grouped by it."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lab.verdict.keys import Int, IntervalKeys, integers, micros
from lab.verdict.owners import owners
from lab.verdict.tables import RunTables

NEVER_US = np.iinfo(np.int64).max
_NO_TIME_US = np.iinfo(np.int64).min
Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Side:
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


@dataclass(frozen=True, slots=True)
class StoredIntervals:
    """Stored rows grouped by meter-interval; `first` is the row that stands for the group."""

    keys: Int
    first: Int
    rows: Int
    actual: NDArray[np.bool_]
    recovered: NDArray[np.bool_]
    committed_us: Int


def sides(tables: RunTables, known: dict[str, int]) -> tuple[Side, Side, Side]:
    """Truth, journal and stored. Usage points and strangers that are not in `known` yet are added to it."""
    columns = []
    for table in (tables.truth, tables.journal, tables.stored):
        points = owners(table, tables.fleet, known).points
        columns.append((points, micros(table["interval_start"]), integers(table["interval_length_s"])))
    keys = IntervalKeys([c[1] for c in columns], [c[2] for c in columns])
    truth, journal, stored = (Side(p, s, n, keys.of(p, s, n)) for p, s, n in columns)
    return truth, journal, stored


def per_point(values: NDArray[Scalar], count: int, absent: float = 0) -> NDArray[Scalar]:
    """Values of the fleet, by usage point code, with `absent` for codes beyond it: (count,)."""
    return np.concatenate([values, np.full(count - len(values), absent, dtype=values.dtype)])


def at(values: NDArray[Scalar], positions: Int) -> NDArray[Scalar]:
    """`values` at `positions`; anything of the right type where there is none (the caller masks those)."""
    return values[positions] if len(values) else np.zeros(len(positions), dtype=values.dtype)


def values_at(values: NDArray[np.float64], rows: Int) -> NDArray[np.float64]:
    return np.where(rows >= 0, at(values, rows), np.nan)


def is_actual(stored: pa.Table) -> NDArray[np.bool_]:
    if "quality" not in stored.column_names:
        return np.ones(len(stored), dtype=bool)
    return np.asarray(pc.not_equal(stored["quality"].cast(pa.string()), "estimated").to_numpy(), dtype=bool)


def group(table: pa.Table, stored: Side) -> StoredIntervals:
    """One entry per stored meter-interval. An actual row without commit time counts as never committed."""
    order = np.argsort(stored.keys, kind="stable")
    keys = stored.keys[order]
    begins = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(keys)])
    actual = is_actual(table)[order]
    recovered = np.zeros(len(keys), dtype=bool)
    if "origin" in table.column_names:
        recovered = np.asarray(pc.equal(table["origin"].cast(pa.string()), "recovered").to_numpy(), dtype=bool)[order]
    committed = np.full(len(keys), NEVER_US)
    if "committed_at" in table.column_names:
        times = micros(table["committed_at"])[order]
        committed = np.where(actual & (times != _NO_TIME_US), times, NEVER_US)
    if not len(begins):
        return StoredIntervals(keys, order, np.zeros(0, dtype=np.int64), actual, recovered, committed)
    return StoredIntervals(
        keys=keys[begins],
        first=order[begins],
        rows=np.diff(np.append(begins, len(keys))),
        actual=np.logical_or.reduceat(actual, begins),
        recovered=np.logical_or.reduceat(actual & recovered, begins),
        committed_us=np.minimum.reduceat(committed, begins),
    )
