"""What each technology, collector and cell of a communications network carried, and for which meters. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lab.verdict.keys import Int
from lab.verdict.messages import Frames, Mask
from lab.verdict.tables import CAUSES


@dataclass(frozen=True, slots=True)
class Carried:
    """What one collector or cell carried, or should have: frames, what became of them, and transmissions for them."""

    via: str
    technology: str
    meters: int
    frames: int
    lost: int
    unsent: int
    attempts: int

    @property
    def failed_share(self) -> float:
        """Of its frames, those that never arrived."""
        return (self.lost + self.unsent) / self.frames


@dataclass(frozen=True, slots=True)
class Technology:
    """All frames of one technology. `lost`, `unsent`, `delayed`: by cause, each frame once. What was `in_the_air` when
    all ended is none of them.

    `hops`: meters by their usual number of hops.
    """

    name: str
    meters: int
    frames: int
    attempts: int
    size_bytes: int
    meter_days: float
    in_the_air: int
    lost: dict[str, int]
    unsent: dict[str, int]
    delayed: dict[str, int]
    hops: dict[int, int]

    @property
    def told(self) -> str:
        """In a line."""
        # Nearly half of what crosses a cell waits for a moment: what was delayed is told by cause elsewhere.
        counts = {"lost": self.lost, "unsent": self.unsent}
        fates = "".join(f"  {sum(causes.values()):,} {fate}" for fate, causes in counts.items())
        return f"{self.frames:,} frames{fates}"

    def to_json(self) -> dict[str, object]:
        return {
            "meters": self.meters, "frames": self.frames, "attempts": self.attempts,
            "in_the_air": self.in_the_air, "lost": self.lost,
            "unsent": self.unsent, "delayed": self.delayed,
            "hops": {str(hops): count for hops, count in self.hops.items()},
            "bytes_per_meter_and_day": self.size_bytes / self.meter_days if self.meter_days else float("nan"),
        }  # fmt: skip


def technology_of(frames: Frames, code: int, inside: Mask, by_meter: pa.Table, days: float) -> Technology:
    """That with this `code`, over so many days, of the frames that are `inside` (n,); `by_meter`: of the same."""
    own = inside & (frames.technology == code)
    name = frames.technologies[code]
    meters = by_meter.filter(pc.equal(by_meter["technology"], name))
    hops, counts = np.unique([each for each in meters["hops"].to_pylist() if each is not None], return_counts=True)
    return Technology(
        name,
        len(meters),
        int(own.sum()),
        int(frames.attempts[own].sum()),
        int(frames.size_bytes[own].sum()),
        len(meters) * days,
        int((own & frames.in_the_air).sum()),
        by_cause(frames.cause[own & frames.lost]),
        by_cause(frames.cause[own & frames.unsent]),
        by_cause(frames.cause[own & frames.arrived & (frames.cause != 0)]),
        {int(number): int(count) for number, count in zip(hops, counts, strict=True)},
    )


def by_cause(causes: Int) -> dict[str, int]:
    """How many there are of each, by name, where there are any."""
    counts = np.bincount(causes, minlength=len(CAUSES))
    return {name: int(count) for name, count in zip(CAUSES, counts, strict=True) if count}


def carried_by(frames: Frames, inside: Mask) -> tuple[Carried, ...]:
    """By collector and cell, of the frames that are `inside` (n,); those of which the largest share failed first."""
    many = len(frames.carriers)
    pairs, group = np.unique(frames.technology[inside] * max(many, 1) + frames.via[inside], return_inverse=True)
    sums = [
        np.bincount(group, weights=each[inside], minlength=len(pairs))
        for each in (frames.lost, frames.unsent, frames.attempts)
    ]
    of_meter = max(len(frames.serials), 1)
    met = np.unique(group * of_meter + frames.serial[inside]) // of_meter
    meters, counts = np.bincount(met, minlength=len(pairs)), np.bincount(group, minlength=len(pairs))
    found = [
        Carried(
            frames.carriers[pair % many],
            frames.technologies[pair // many],
            *(int(figure[at]) for figure in (meters, counts, *sums)),
        )
        for at, pair in enumerate(pairs.tolist())
    ]
    return tuple(sorted(found, key=lambda each: (-each.failed_share, each.technology, each.via)))


def by_meter_of(frames: Frames, inside: Mask) -> pa.Table:
    """A row for each meter with frames that are `inside` (n,): the columns of `Deliveries.by_meter`."""
    rows = np.flatnonzero(inside)
    rows = rows[np.argsort(frames.serial[rows], kind="stable")]
    meters, begins, counts = np.unique(frames.serial[rows], return_index=True, return_counts=True)
    arrived = rows[frames.arrived[rows]]
    hops = {int(meter): _median(own) for meter, own in _grouped(frames.serial[arrived], frames.hops[arrived])}
    last = rows[begins + counts - 1] if len(rows) else rows

    def summed(values: NDArray[np.generic]) -> Int:
        total = np.add.reduceat(values[rows].astype(np.int64), begins) if len(rows) else np.zeros(0)
        return np.asarray(total, dtype=np.int64)

    return pa.table(
        {
            "serial": pa.array([frames.serials[meter] for meter in meters.tolist()], pa.string()),
            "technology": pa.array([frames.technologies[at] for at in frames.technology[last].tolist()], pa.string()),
            "via": pa.array([frames.carriers[at] for at in frames.via[last].tolist()], pa.string()),
            "frames": pa.array(counts, pa.int64()),
            "lost": pa.array(summed(frames.lost), pa.int64()),
            "unsent": pa.array(summed(frames.unsent), pa.int64()),
            "attempts": pa.array(summed(frames.attempts), pa.int64()),
            "bytes": pa.array(summed(frames.size_bytes), pa.int64()),
            "hops": pa.array([hops.get(meter) for meter in meters.tolist()], pa.int64()),
        }
    )


def _grouped(keys: Int, values: Int) -> list[tuple[int, Int]]:
    """`keys` are sorted."""
    names, begins = np.unique(keys, return_index=True)
    return list(zip(names.tolist(), np.split(values, begins[1:]), strict=True)) if len(names) else []


def _median(values: Int) -> int:
    return int(np.sort(values)[(len(values) - 1) // 2])
