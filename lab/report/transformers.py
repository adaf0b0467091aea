"""What each transformer's meter recorded, beside what flowed there and what the meters of its customers recorded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lab.report.meters import Meters
from lab.verdict.keys import Int, codes_of, micros, numbers
from lab.verdict.owners import owners
from lab.verdict.read_run import read_parquet
from lab.verdict.tables import FLEET, STORED, TRUTH
from lab.verdict.transformers import TRANSFORMER_METERS
from lab.verdict.verdict import Verdict

Float = NDArray[np.float64]
_ALLOWED = ("import_allowed_wh", "export_allowed_wh")


@dataclass(frozen=True, slots=True)
class TransformerRow:
    """Net energies [Wh], imported less exported, of the judged intervals that are stored of the transformer's meter.

    `limit_wh`: what its class allows of each interval, in one sum; NaN where nothing is known. `customers_wh` is of the
    `customers` that are metered, of the same time; `missing` of their reads are neither stored nor estimated.
    """

    transformer: str
    serial: str
    vendor: str
    expected: int
    stored: int
    estimated: int
    faults: int
    metered_wh: float
    truth_wh: float
    limit_wh: float
    customers: int
    customers_wh: float
    missing: int

    @property
    def difference_wh(self) -> float:
        return self.metered_wh - self.truth_wh

    @property
    def not_at_customers_wh(self) -> float:
        return self.metered_wh - self.customers_wh


@dataclass(frozen=True, slots=True)
class _Stored:
    """Judged rows of meters: each interval once. Arrays (n,), `points` as the meters are numbered."""

    points: Int
    starts_us: Int
    ends_us: Int
    net_wh: Float

    @classmethod
    def of(cls, stored: pa.Table, fleet: pa.Table, start_s: float, end_s: float) -> _Stored:
        known: dict[str, int] = {}
        codes_of(fleet["usage_point"], known)
        metered = len(known)
        points = owners(stored, fleet, known).points
        starts_us = micros(stored["interval_start"])
        ends_us = starts_us + numbers(stored["interval_length_s"]).astype(np.int64) * 1_000_000
        judged = (points >= 0) & (points < metered) & (starts_us >= start_s * 1e6) & (ends_us <= end_s * 1e6)
        rows = np.flatnonzero(judged)
        # Of doubled rows the last one.
        _, last = np.unique(np.stack([points[rows], starts_us[rows]])[:, ::-1], axis=1, return_index=True)
        rows = rows[len(rows) - 1 - last]
        return cls(points[rows], starts_us[rows], ends_us[rows], _net_wh(stored)[rows])

    def of_meter(self, point: int) -> _Stored:
        own = np.flatnonzero(self.points == point)
        own = own[np.argsort(self.starts_us[own])]
        return _Stored(self.points[own], self.starts_us[own], self.ends_us[own], self.net_wh[own])

    def covers(self, starts_us: Int, ends_us: Int) -> NDArray[np.bool_]:
        """Which spans (m,) these rows, of one meter and in order, have without a gap."""
        if not len(self.starts_us):
            return np.zeros(len(starts_us), dtype=bool)
        begins = np.append(True, self.starts_us[1:] != self.ends_us[:-1])
        block = np.cumsum(begins) - 1
        first_us, last_us = self.starts_us[begins], self.ends_us[np.append(np.flatnonzero(begins)[1:] - 1, -1)]
        at = np.maximum(np.searchsorted(self.starts_us, starts_us, side="right") - 1, 0)
        inside: NDArray[np.bool_] = (starts_us >= first_us[block[at]]) & (ends_us <= last_us[block[at]])
        return inside


def read_transformers(run_dir: Path, verdict: Verdict, meters: Meters) -> list[TransformerRow]:
    """By name of the transformer; none where no transformer has a meter."""
    if verdict.transformers is None:
        return []
    path = run_dir / TRANSFORMER_METERS
    fleet, names = read_parquet(path, FLEET), pq.read_table(path, columns=["transformer"])["transformer"].to_pylist()
    stored, clock = read_parquet(run_dir / "stored.parquet", STORED), verdict.context.clock
    own = _Stored.of(stored, fleet, clock.start_s, clock.end_s)
    theirs = _Stored.of(stored, read_parquet(run_dir / "meters.parquet", FLEET), clock.start_s, clock.end_s)
    energies = _Energies(run_dir, fleet)
    counts = {row["usage_point"]: row for row in verdict.transformers.comparison.by_meter.to_pylist()}
    missing = dict(
        zip(*(verdict.comparison.by_meter[name].to_pylist() for name in ("usage_point", "lost")), strict=True)
    )
    numbers_of = {name: number for number, name in enumerate(dict.fromkeys(names))}
    behind = np.array([numbers_of.get(name, -1) for name in meters.transformers], dtype=np.int64)
    of_row = behind[theirs.points]
    by_transformer = np.argsort(of_row, kind="stable")
    begins = np.searchsorted(of_row[by_transformer], np.arange(len(numbers_of) + 1))
    rows = []
    for point, (name, meter) in enumerate(zip(names, fleet.to_pylist(), strict=True)):
        count, mine = counts[meter["usage_point"]], own.of_meter(point)
        number = numbers_of[name]
        customers = np.flatnonzero(behind == number)
        reads = by_transformer[begins[number] : begins[number + 1]]
        counted = reads[mine.covers(theirs.starts_us[reads], theirs.ends_us[reads])]
        truth_wh, limit_wh = energies.of(point, mine.starts_us)
        rows.append(
            TransformerRow(
                transformer=name,
                serial=meter["serial"],
                vendor=meter["vendor_profile"],
                expected=count["expected"],
                stored=count["expected"] - count["estimated"] - count["lost"],
                estimated=count["estimated"],
                faults=count["lost"] + count["altered"] + count["class_violations"],
                metered_wh=float(mine.net_wh.sum()),
                truth_wh=truth_wh,
                limit_wh=limit_wh,
                customers=len(customers),
                customers_wh=float(theirs.net_wh[counted].sum()),
                missing=sum(missing.get(meters.usage_points[customer], 0) for customer in customers),
            )
        )
    return sorted(rows, key=lambda row: (len(row.transformer), row.transformer))


class _Energies:
    """What flowed through each transformer, and what the class of its meter allows of it, interval by interval."""

    def __init__(self, run_dir: Path, fleet: pa.Table) -> None:
        self._known: dict[str, int] = {}
        codes_of(fleet["usage_point"], self._known)
        truth = read_parquet(run_dir / "truth_transformer_intervals.parquet", TRUTH)
        self._truth_wh = self._by_interval(truth, _net_wh(truth))
        self._dark = {key for key, s in self._by_interval(truth, numbers(truth["energised_s"])).items() if s == 0.0}
        self._limit_wh: dict[tuple[int, int], float] = {}
        for file in sorted((run_dir / "journal").glob("*.parquet")):
            if set(_ALLOWED) <= set(pq.read_schema(file).names):
                table = pq.read_table(file, columns=["usage_point", "interval_start", *_ALLOWED])
                table = table.filter(pc.is_in(table["usage_point"].cast(pa.string()), pa.array(list(self._known))))
                self._limit_wh |= self._by_interval(table, np.add(*(numbers(table[name]) for name in _ALLOWED)))

    def of(self, point: int, starts_us: Int) -> tuple[float, float]:
        """Truth and limit [Wh] of these intervals (m,) of a transformer; NaN where one of them is not known."""
        keys = [(point, start_us) for start_us in starts_us.tolist()]
        # Without supply nothing is recorded, and nothing may be.
        limits_wh = (self._limit_wh.get(key, 0.0 if key in self._dark else math.nan) for key in keys)
        return math.fsum(self._truth_wh.get(key, math.nan) for key in keys), math.fsum(limits_wh)

    def _by_interval(self, table: pa.Table, energy_wh: Float) -> dict[tuple[int, int], float]:
        points = codes_of(table["usage_point"].cast(pa.string()).dictionary_encode(), self._known)
        starts_us = micros(table["interval_start"])
        return dict(zip(zip(points.tolist(), starts_us.tolist(), strict=True), energy_wh.tolist(), strict=True))


def _net_wh(table: pa.Table) -> Float:
    """(n,); a meter that says nothing of export has none."""
    net: Float = np.nan_to_num(numbers(table["import_wh"]))
    return net - np.nan_to_num(numbers(table["export_wh"])) if "export_wh" in table.column_names else net
