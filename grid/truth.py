"""The truth of a run: what the physics did, kept frame by frame and written as tables.

Energies, energised seconds and voltage-seconds are integrals of quantities that are constant between frames, so every
interval's value is exact, whatever second a switching happened at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from grid.disconnections import Disconnection, DisconnectionLog, write_disconnections
from grid.feeder import Device, Feeder
from grid.head_of_feeder import source_intervals
from grid.network import Solution
from grid.outages import Outage, OutageLog, write_outages
from grid.phase_losses import PhaseLossLog, write_phase_losses
from grid.world import PHASES, QUADRANTS, SECONDS_PER_HOUR, WorldFrame, by_quadrant

Floats = NDArray[np.float64]
_TIME = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True, eq=False)
class _Sample:
    """One frame, summed over phases, and the feeder's state with it.

    The arrays of the frame are (n + k,): usage points, and behind them the points at transformers.
    """

    time_s: int
    energised: NDArray[np.bool_]
    """At the line side of the meter."""
    import_wh: Floats
    export_wh: Floats
    import_w: Floats
    export_w: Floats
    active_w: Floats
    """Net of the phases, as the next: the signs of both say in which quadrant reactive energy counts."""
    reactive_var: Floats
    phase_voltage_v: Floats
    """(n, 3); 0 where a phase is not connected, or has no supply."""
    phase_energised: NDArray[np.bool_]
    """(n, 3)"""
    loading_percent: Floats
    """Of the transformers, as the next two."""
    transformer_w: Floats
    transformer_losses_w: Floats
    source_va: NDArray[np.complex128]
    """Of the sources, + into the feeder."""
    losses_w: float
    load_w: float
    voltage_range_pu: tuple[float, float] | None
    """Lowest and highest at an energised usage point; None when all are dark."""

    @property
    def by_phase(self) -> Floats:
        """(6, n) the voltages, then 1 where there is supply and else 0."""
        return np.concatenate((self.phase_voltage_v.T, self.phase_energised.T))

    @property
    def by_quadrant_var(self) -> Floats:
        """(4, n) reactive power in the quadrant in which it counts, 0 in the others."""
        return by_quadrant(self.active_w, self.reactive_var)


@dataclass(frozen=True, slots=True)
class _Points:
    """Consecutive rows of the frames, from `first` on."""

    first: int
    names: list[str]


class TruthRecorder:
    """Collects frames (about 60 kB each for 1,500 usage points) and writes them."""

    def __init__(self, feeder: Feeder, transformer_points: Sequence[str] = ()) -> None:
        """`transformer_points`: the ids (k,) of what a frame has behind the usage points."""
        self._feeder = feeder
        self._n = len(feeder.usage_points)
        self._usage_points = _Points(0, [point.id for point in feeder.usage_points])
        self._transformer_points = _Points(self._n, list(transformer_points))
        self._samples: list[_Sample] = []
        self._outages = OutageLog(feeder)
        self._disconnections = DisconnectionLog(feeder)
        self._phase_losses = PhaseLossLog(self._n)

    @property
    def outages(self) -> tuple[Outage, ...]:
        """Interruptions by device so far, in the order of their beginning."""
        return self._outages.outages

    @property
    def disconnections(self) -> tuple[Disconnection, ...]:
        """Spans of open customers' breakers so far. They are no interruptions."""
        return self._disconnections.disconnections

    def record(self, frame: WorldFrame, solution: Solution, opened: frozenset[Device]) -> None:
        """Take note of a frame, which replaces one of the same instant."""
        if self._samples and self._samples[-1].time_s == frame.time_s:
            self._samples.pop()
        lit_pu = np.abs(solution.phase_voltage_pu[frame.phase_energised[: self._n]])
        self._samples.append(
            _Sample(
                time_s=frame.time_s,
                energised=frame.energised,
                import_wh=frame.import_wh.sum(axis=1),
                export_wh=frame.export_wh.sum(axis=1),
                import_w=np.maximum(frame.active_power_w, 0.0).sum(axis=1),
                export_w=np.maximum(-frame.active_power_w, 0.0).sum(axis=1),
                active_w=frame.active_power_w.sum(axis=1),
                reactive_var=frame.reactive_power_var.sum(axis=1),
                phase_voltage_v=frame.voltage_v,
                phase_energised=frame.phase_energised,
                loading_percent=solution.transformer_loading_percent,
                transformer_w=solution.transformer_active_power_w,
                transformer_losses_w=solution.transformer_losses_w,
                source_va=solution.source_va,
                losses_w=solution.losses_w,
                load_w=solution.load_w,
                voltage_range_pu=(float(lit_pu.min()), float(lit_pu.max())) if len(lit_pu) else None,
            )
        )
        self._outages.update(frame.time_s, frame.energised[: self._n], opened)
        self._disconnections.update(frame.time_s, frame.breaker_closed[: self._n])
        self._phase_losses.update(frame.time_s, frame.phase_energised[: self._n])

    def write(self, directory: Path, *, interval_lengths_s: NDArray[np.int64] | int = 900, until_s: int) -> None:
        """Write `truth.parquet`, `truth_frames.parquet`, `truth_transformers.parquet`, `truth_network.parquet`,
        `truth_sources.parquet`, `truth_phase_losses.parquet`, `truth_outages.json` and `truth_disconnections.json` into
        `directory`, which is made if need be; and of the points at transformers
        `truth_transformer_intervals.parquet` and `truth_transformer_frames.parquet`.

        `interval_lengths_s`: of all points, or (n + k,) of each. Intervals lie on multiples of it since the epoch;
        those that are not wholly between the first frame and `until_s` are left out. Frames, outages, disconnections
        and lost phases after `until_s` are left out, too.
        Raises ValueError when there is no frame up to `until_s`.
        """
        samples = [sample for sample in self._samples if sample.time_s <= until_s]
        if not samples:
            raise ValueError(f"no frame was recorded up to {until_s}")
        directory.mkdir(parents=True, exist_ok=True)
        n, k = self._n, len(self._transformer_points.names)
        of_each = np.broadcast_to(np.asarray(interval_lengths_s, dtype=np.int64), n + k)
        tables = {
            "truth": _intervals(samples, self._usage_points, of_each[:n], until_s),
            "truth_frames": _frames(samples, self._usage_points),
            "truth_transformer_intervals": _intervals(samples, self._transformer_points, of_each[n:], until_s),
            "truth_transformer_frames": _frames(samples, self._transformer_points),
            "truth_transformers": self._transformers(samples),
            "truth_network": _network(samples, n),
            "truth_sources": self._sources(samples, of_each[:n], until_s),
        }
        for name, table in tables.items():
            pq.write_table(table, directory / f"{name}.parquet", compression="zstd")
        write_outages(directory / "truth_outages.json", [outage for outage in self.outages if outage.from_s <= until_s])
        disconnections = [each for each in self.disconnections if each.from_s <= until_s]
        write_disconnections(directory / "truth_disconnections.json", disconnections)
        write_phase_losses(
            directory / "truth_phase_losses.parquet",
            self._phase_losses.losses(until_s),
            self._usage_points.names,
            until_s=until_s,
        )

    def _transformers(self, samples: list[_Sample]) -> pa.Table:
        names = list(self._feeder.transformers)
        return pa.table(
            {
                "time": _times(np.repeat([s.time_s for s in samples], len(names))),
                "transformer": _repeated(names, len(samples)),
                "loading_percent": np.concatenate([s.loading_percent for s in samples]),
                "active_power_w": np.concatenate([s.transformer_w for s in samples]),
                "losses_w": np.concatenate([s.transformer_losses_w for s in samples]),
            }
        )

    def _sources(self, samples: list[_Sample], lengths_s: NDArray[np.int64], until_s: int) -> pa.Table:
        """In intervals of each length that usage points are measured in, so that both sides can be compared."""
        times_s = np.array([sample.time_s for sample in samples], dtype=np.int64)
        power_va = np.array([sample.source_va for sample in samples])
        return pa.concat_tables(
            source_intervals(self._feeder.sources, times_s, power_va, interval_length_s=int(length_s), until_s=until_s)
            for length_s in np.unique(lengths_s)
        )


def _intervals(samples: list[_Sample], points: _Points, lengths_s: NDArray[np.int64], until_s: int) -> pa.Table:
    """Of these points, each measured in intervals of its length."""
    return pa.concat_tables(
        _intervals_of(samples, points, np.flatnonzero(lengths_s == length_s), int(length_s), until_s)
        # Without points there is a table without rows.
        for length_s in np.unique(lengths_s if len(lengths_s) else 900)
    )


def _intervals_of(
    samples: list[_Sample], points: _Points, rows: NDArray[np.intp], length_s: int, until_s: int
) -> pa.Table:
    """Of these of the points, which are all measured in intervals of this length."""
    first = -(-samples[0].time_s // length_s)
    bounds = np.arange(first, until_s // length_s + 1, dtype=np.int64) * length_s
    integrals = _integrals(samples, bounds)[:, :, points.first + rows]
    imported, exported, energised_s, *more = np.diff(integrals, axis=1)
    quadrants, voltage_vs, phase_s = more[:QUADRANTS], more[QUADRANTS:-PHASES], more[-PHASES:]
    phases = {f"voltage_l{phase}_v": _mean(*of) for phase, of in enumerate(zip(voltage_vs, phase_s, strict=True), 1)}
    starts = bounds[:-1]
    return pa.table(
        {
            "usage_point": _repeated(points.names, len(starts), rows),
            "interval_start": _times(np.repeat(starts, len(rows))),
            "interval_length_s": np.full(len(starts) * len(rows), length_s, dtype=np.int32),
            "energised_s": energised_s.ravel(),
            "import_wh": imported.ravel(),
            "export_wh": exported.ravel(),
            "voltage_v": _mean(np.sum(voltage_vs, axis=0), np.sum(phase_s, axis=0)),
            **phases,
            **{f"reactive_q{number}_varh": varh.ravel() for number, varh in enumerate(quadrants, start=1)},
        }
    )


def _frames(samples: list[_Sample], points: _Points) -> pa.Table:
    own, count = slice(points.first, points.first + len(points.names)), len(points.names)
    return pa.table(
        {
            "time": _times(np.repeat([s.time_s for s in samples], count)),
            "usage_point": _repeated(points.names, len(samples)),
            "energised": np.concatenate([s.energised[own] for s in samples]),
            "import_wh": np.concatenate([s.import_wh[own] for s in samples]),
            "export_wh": np.concatenate([s.export_wh[own] for s in samples]),
            "active_power_w": np.concatenate([s.active_w[own] for s in samples]),
            "reactive_power_var": np.concatenate([s.reactive_var[own] for s in samples]),
        }
    )


def _integrals(samples: list[_Sample], instants: NDArray[np.int64]) -> Floats:
    """(14, instants, n): import Wh, export Wh, energised s, varh of each quadrant, and of each phase V·s, then s with
    supply, since the first frame.

    The total of the phases counts in the quadrant of their sums at each instant (vector method).
    """
    times = np.array([sample.time_s for sample in samples], dtype=np.int64)
    at = np.searchsorted(times, instants, side="right") - 1
    n = len(samples[0].energised)
    energised_s, varh, phases = np.zeros(n), np.zeros((QUADRANTS, n)), np.zeros((2 * PHASES, n))
    result = np.empty((3 + QUADRANTS + 2 * PHASES, len(instants), n))
    current = 0
    for slot, (instant, index) in enumerate(zip(instants, at, strict=True)):
        while current < index:
            span_s = samples[current + 1].time_s - samples[current].time_s
            energised_s = energised_s + samples[current].energised * span_s
            phases = phases + samples[current].by_phase * span_s
            varh = varh + samples[current].by_quadrant_var * (span_s / SECONDS_PER_HOUR)
            current += 1
        sample = samples[current]
        span_s = int(instant) - sample.time_s
        result[0, slot] = sample.import_wh + sample.import_w * (span_s / SECONDS_PER_HOUR)
        result[1, slot] = sample.export_wh + sample.export_w * (span_s / SECONDS_PER_HOUR)
        result[2, slot] = energised_s + sample.energised * span_s
        result[3 + QUADRANTS :, slot] = phases + sample.by_phase * span_s
        result[3 : 3 + QUADRANTS, slot] = varh + sample.by_quadrant_var * (span_s / SECONDS_PER_HOUR)
    return result


def _network(samples: list[_Sample], n: int) -> pa.Table:
    """`n`: how many usage points there are."""
    ranges = [sample.voltage_range_pu or (None, None) for sample in samples]
    dark = [int(np.count_nonzero(~sample.energised[:n])) for sample in samples]
    return pa.table(
        {
            "time": _times(np.array([s.time_s for s in samples])),
            "source_power_w": [float(s.source_va.real.sum()) for s in samples],
            "source_reactive_power_var": [float(s.source_va.imag.sum()) for s in samples],
            "losses_w": [s.losses_w for s in samples],
            "load_w": [s.load_w for s in samples],
            "min_voltage_pu": pa.array([lowest for lowest, _ in ranges], pa.float64()),
            "max_voltage_pu": pa.array([highest for _, highest in ranges], pa.float64()),
            "dark_usage_points": pa.array(dark, pa.int32()),
        }
    )


def _mean(integral: Floats, over_s: Floats) -> pa.Array:
    """Null where it is over no time."""
    mean = np.divide(integral, over_s, out=np.zeros_like(integral), where=over_s > 0)
    return pa.array(mean.ravel(), mask=(over_s <= 0).ravel())


def _times(seconds: NDArray[np.int64]) -> pa.Array:
    return pa.array(np.asarray(seconds, dtype=np.int64) * 1_000_000, pa.int64()).cast(_TIME)


def _repeated(names: list[str], times: int, rows: NDArray[np.intp] | None = None) -> pa.DictionaryArray:
    """All names, or those of `rows`, so many times."""
    indices = np.tile(np.arange(len(names)) if rows is None else rows, times).astype(np.int32)
    return pa.DictionaryArray.from_arrays(pa.array(indices), pa.array(names, pa.string()))
