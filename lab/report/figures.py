"""The series that the report draws, from the parquet files of a run."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lab.verdict.tables import VOLTAGES

Float = NDArray[np.float64]
QUANTILES = (0.0, 0.05, 0.5, 0.95, 1.0)
DRAWN_AT_MOST = 480
"""Of more intervals several are drawn as one: there are no more pixels."""


@dataclass(frozen=True, slots=True)
class Frames:
    """Per frame, sorted by `time_s`, each holding until the next: arrays (f,)."""

    time_s: Float
    drawn_w: Float
    fed_in_w: Float
    energised: Float
    losses_w: Float


@dataclass(frozen=True, slots=True)
class Voltages:
    """Of the energised usage points, per interval: `quantiles_v` is (i, 5), as QUANTILES; NaN where all are dark."""

    start_s: Float
    end_s: Float
    quantiles_v: Float


@dataclass(frozen=True, slots=True)
class Transformers:
    """`loading_percent` is (t, f): by transformer name and frame."""

    names: tuple[str, ...]
    time_s: Float
    loading_percent: Float


@dataclass(frozen=True, slots=True)
class Reads:
    """Per interval, or per so many `intervals`; the counts other than `expected` are disjoint and sum to it."""

    start_s: Float
    end_s: Float
    expected: Float
    counts: dict[str, Float]
    intervals: int = 1


@dataclass(frozen=True, slots=True)
class Figures:
    frames: Frames
    voltages: Voltages
    transformers: Transformers
    reads: Reads


READ_KINDS = ("on_time", "recovered", "late", "estimated", "lost")


def _seconds(column: pa.ChunkedArray) -> Float:
    return np.asarray(column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy(), dtype=np.float64) / 1e6


def _numbers(column: pa.ChunkedArray) -> Float:
    return np.asarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64)


def _clip(time_s: Float, start_s: float, end_s: float) -> NDArray[np.bool_]:
    return (time_s >= start_s) & (time_s < end_s)


def read_figures(run_dir: Path, *, start_s: float, end_s: float) -> Figures:
    """The series within [start_s, end_s), epoch seconds."""
    return Figures(
        _frames(run_dir, start_s, end_s),
        _voltages(run_dir, start_s, end_s),
        _transformers(run_dir, start_s, end_s),
        _reads(run_dir),
    )


def _frames(run_dir: Path, start_s: float, end_s: float) -> Frames:
    table = pq.read_table(run_dir / "truth_frames.parquet", columns=["time", "active_power_w", "energised"])
    times, code = np.unique(_seconds(table["time"]), return_inverse=True)
    power = _numbers(table["active_power_w"])
    network = pq.read_table(run_dir / "truth_network.parquet", columns=["time", "losses_w"])
    solved, losses = _seconds(network["time"]), _numbers(network["losses_w"])
    losses_w = np.full(len(times), np.nan)
    at = np.searchsorted(times, solved)
    hit = (at < len(times)) & (times[np.minimum(at, len(times) - 1)] == solved) if len(times) else at < 0
    losses_w[at[hit]] = losses[hit]
    kept = _clip(times, start_s, end_s)

    def total(values: Float) -> Float:
        return np.asarray(np.bincount(code, weights=values, minlength=len(times))[kept], dtype=np.float64)

    return Frames(
        times[kept],
        total(np.maximum(power, 0.0)),
        total(np.maximum(-power, 0.0)),
        total(_numbers(table["energised"].cast(pa.int8()))),
        losses_w[kept],
    )


def _merged(starts_s: Float, length_s: float) -> tuple[Float, int]:
    """For each interval the beginning of what is drawn as one, and how many intervals that is."""
    if not len(starts_s):
        return starts_s, 1
    intervals = int(-(-(np.ptp(starts_s) / length_s + 1) // DRAWN_AT_MOST))
    width_s = intervals * length_s
    return starts_s.min() + np.floor((starts_s - starts_s.min()) / width_s) * width_s, intervals


def _voltages(run_dir: Path, start_s: float, end_s: float) -> Voltages:
    path = run_dir / "truth.parquet"
    # Runs of earlier releases know the mean of the phases only.
    names = [name for name in VOLTAGES.split() if name in pq.read_schema(path).names] or ["voltage_v"]
    table = pq.read_table(path, columns=["interval_start", "interval_length_s", *names])
    start, length = _seconds(table["interval_start"]), _numbers(table["interval_length_s"])
    keep = _clip(start, start_s, end_s)
    start, length = (np.tile(values[keep], len(names)) for values in (start, length))
    volts = np.concatenate([_numbers(table[name])[keep] for name in names])
    shortest = float(length.min()) if len(length) else 1.0
    start, intervals = _merged(start, shortest)
    order = np.argsort(start, kind="stable")
    starts, first = np.unique(start[order], return_index=True)
    quantiles = np.full((len(starts), len(QUANTILES)), np.nan)
    for i, group in enumerate(np.split(volts[order], first[1:]) if len(starts) else []):
        lit = group[np.isfinite(group)]
        if len(lit):
            quantiles[i] = np.quantile(lit, QUANTILES)
    return Voltages(starts, starts + np.maximum(length[order][first], intervals * shortest), quantiles)


def _transformers(run_dir: Path, start_s: float, end_s: float) -> Transformers:
    table = pq.read_table(run_dir / "truth_transformers.parquet", columns=["time", "transformer", "loading_percent"])
    times, column = np.unique(_seconds(table["time"]), return_inverse=True)
    names = sorted(pc.unique(table["transformer"].cast(pa.string())).to_pylist(), key=_natural)
    row = pc.index_in(table["transformer"].cast(pa.string()), pa.array(names, pa.string())).to_numpy()
    loading = np.full((len(names), len(times)), np.nan)
    loading[row, column] = _numbers(table["loading_percent"])
    kept = _clip(times, start_s, end_s)
    return Transformers(tuple(names), times[kept], loading[:, kept])


def _natural(name: str) -> tuple[str, int, str]:
    """T2 before T10."""
    digits = "".join(c for c in name if c.isascii() and c.isdigit())
    return name.rstrip("0123456789"), int(digits or 0), name


def _reads(run_dir: Path) -> Reads:
    table = pq.read_table(run_dir / "reads_by_interval.parquet")
    start = _seconds(table["interval_start"])
    # Of several lengths the longest is drawn: each bar has all meters then.
    length_s = _interval_s(run_dir)
    merged, intervals = _merged(start, length_s)
    starts, code = np.unique(merged, return_inverse=True)

    def total(name: str) -> Float:
        return np.asarray(np.bincount(code, weights=_numbers(table[name]), minlength=len(starts)), dtype=np.float64)

    counts = {kind: total(kind) for kind in READ_KINDS}
    return Reads(starts, starts + intervals * length_s, total("expected"), counts, intervals)


def _interval_s(run_dir: Path) -> float:
    lengths = _numbers(pq.read_table(run_dir / "meters.parquet", columns=["interval_length_s"])["interval_length_s"])
    return float(lengths.max()) if len(lengths) else 900.0
