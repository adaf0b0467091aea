"""Which usage points lost a phase and not their supply, and when: what darkens nobody, and yet is to be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from grid.world import PHASE_NAMES, PHASES

_TIME = pa.timestamp("us", tz="UTC")


@dataclass(slots=True)
class PhaseLoss:
    """A phase of a usage point (row) that had voltage before, from one epoch second to another.

    In at least one of the spans `beside_supply` another phase had supply. What lasts has the end None.
    """

    row: int
    phase: int
    from_s: int
    to_s: int | None = None
    beside_supply: list[tuple[int, int | None]] = field(default_factory=list)

    def partial_s(self, until_s: int) -> int:
        """The longest span up to `until_s` in which another phase had supply."""
        ends = ((from_s, until_s if to_s is None else min(to_s, until_s)) for from_s, to_s in self.beside_supply)
        return max((end_s - from_s for from_s, end_s in ends), default=0)


class PhaseLossLog:
    """Phases without voltage by usage point, and since when. One that never had any is not connected."""

    def __init__(self, points: int) -> None:
        self._lit = np.zeros((points, PHASES), dtype=bool)
        self._partial = np.zeros((points, PHASES), dtype=bool)
        self._open: dict[tuple[int, int], PhaseLoss] = {}
        self._over: list[PhaseLoss] = []

    def update(self, time_s: int, lit: NDArray[np.bool_]) -> None:
        """Take note of which phases (n, 3) have voltage from `time_s` on."""
        if np.array_equal(lit, self._lit):
            return
        for row, phase in np.argwhere(self._lit & ~lit).tolist():
            self._open[row, phase] = PhaseLoss(row, phase, time_s)
        dark = np.zeros_like(lit)
        for row, phase in self._open:
            dark[row, phase] = not lit[row, phase]
        partial = dark & lit.any(axis=1, keepdims=True)
        for row, phase in np.argwhere(self._partial & ~partial).tolist():
            spans = self._open[row, phase].beside_supply
            spans[-1] = (spans[-1][0], time_s)
        for row, phase in np.argwhere(partial & ~self._partial).tolist():
            self._open[row, phase].beside_supply.append((time_s, None))
        for key in [(row, phase) for row, phase in self._open if lit[row, phase]]:
            loss = self._open.pop(key)
            loss.to_s = time_s
            self._over.append(loss)
        self._lit, self._partial = lit.copy(), partial

    def losses(self, until_s: int) -> list[PhaseLoss]:
        """Those that by `until_s` left somebody with another phase, by their beginning, usage point and phase."""
        found = [loss for loss in (*self._over, *self._open.values()) if loss.partial_s(until_s) > 0]
        return sorted(found, key=lambda loss: (loss.from_s, loss.row, loss.phase))


def write_phase_losses(path: Path, losses: Sequence[PhaseLoss], names: Sequence[str], *, until_s: int) -> None:
    """A row each: `usage_point`, `phase` (L1, L2, L3), `start`, `end` (null if it lasts) and `partial_s`, the longest
    span up to `until_s` in which another phase of the usage point had supply.

    `names`: ids of the usage points.
    """

    def times(seconds: Sequence[int | None]) -> pa.Array:
        return pa.array([None if s is None else s * 1_000_000 for s in seconds], pa.int64()).cast(_TIME)

    table = pa.table(
        {
            "usage_point": pa.array([names[loss.row] for loss in losses], pa.string()),
            "phase": pa.array([PHASE_NAMES[loss.phase] for loss in losses], pa.string()),
            "start": times([loss.from_s for loss in losses]),
            "end": times([loss.to_s for loss in losses]),
            "partial_s": pa.array([loss.partial_s(until_s) for loss in losses], pa.int64()),
        }
    )
    pq.write_table(table, path, compression="zstd")
