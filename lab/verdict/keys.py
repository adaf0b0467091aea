"""Meter-intervals as integers, so that tables of millions of rows are joined by sorting and binary search."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Int = NDArray[np.int64]


def codes_of(column: pa.ChunkedArray, known: dict[str, int]) -> Int:
    """Integer codes (n,) of a dictionary-encoded text column; −1 for null. Values new to `known` are added to it."""
    codes = np.empty(len(column), dtype=np.int64)
    position = 0
    for chunk in column.chunks:
        # the loop runs over distinct values, not over readings
        mapping = np.array([known.setdefault(name, len(known)) for name in chunk.dictionary.to_pylist()] + [-1])
        codes[position : position + len(chunk)] = mapping[
            pc.fill_null(chunk.indices, -1).to_numpy(zero_copy_only=False)
        ]
        position += len(chunk)
    return codes


def translate(column: pa.ChunkedArray, table: Mapping[str, str], *, unknown: str) -> pa.ChunkedArray:
    """A dictionary-encoded column, each value replaced by its entry in `table`, or by `unknown` and itself."""
    chunks = [
        pa.DictionaryArray.from_arrays(
            chunk.indices,
            pa.array([table.get(name, unknown + name) for name in chunk.dictionary.to_pylist()], pa.string()),
        )
        for chunk in column.chunks
    ]
    return pa.chunked_array(chunks, column.type).unify_dictionaries()


def micros(column: pa.ChunkedArray) -> Int:
    """Timestamps as integer microseconds since the epoch (n,); the smallest int64 for null."""
    least = pa.scalar(np.iinfo(np.int64).min, pa.int64())
    return np.asarray(pc.fill_null(column.cast(pa.int64()), least).to_numpy(), dtype=np.int64)


def integers(column: pa.ChunkedArray) -> Int:
    return np.asarray(column.to_numpy(), dtype=np.int64)


def numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """A numeric column as float64 (n,), NaN for null."""
    return np.asarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64)


class IntervalKeys:
    """Numbers each (usage point code, start, length) that occurs; keys are ordered in this order."""

    def __init__(self, starts_us: Sequence[Int], lengths_s: Sequence[Int]) -> None:
        self._starts = _union(starts_us)
        self._lengths = _union(lengths_s)

    def of(self, points: Int, starts_us: Int, lengths_s: Int) -> Int:
        start = np.searchsorted(self._starts, starts_us)
        length = np.searchsorted(self._lengths, lengths_s)
        return (points * len(self._starts) + start) * len(self._lengths) + length


def _union(columns: Sequence[Int]) -> Int:
    return np.unique(np.concatenate([np.unique(column) for column in columns]))


def find(keys: Int, wanted: Int) -> Int:
    """Positions (m,) of `wanted` in the sorted unique `keys`; −1 where absent."""
    if not len(keys):
        return np.full(len(wanted), -1, dtype=np.int64)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, at, -1)
