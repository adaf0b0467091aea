"""The demand of a shard's meters that keep no load profile, followed from commit to commit."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from meters.device.demand import BLOCKS, advanced, blocks_from
from meters.device.quantities import DEMANDED, MAXIMA
from meters.device.state import Rows

Float = NDArray[np.float64]


class Demands:
    """Of meters 0 to n − 1, whose demand period is `period_s` (n,)."""

    def __init__(self, period_s: Float) -> None:
        self._period_s = period_s
        self._blocks: NDArray[np.void] | None = None

    def follow(self, now_s: float, measured: Float) -> None:
        """From `now_s` on the meters measure this (n, DEMANDED)."""
        if self._blocks is None:
            self._blocks = blocks_from(now_s, len(self._period_s))
        else:
            self._blocks = advanced(self._blocks, now_s, self._period_s)
        self._blocks["measured"] = measured

    def shown(self, rows: Rows, now_s: float) -> dict[str, Float]:
        """DEMANDED, MAXIMA and `charge_ah` of `rows` (m,) at `now_s`, after the first `follow`."""
        assert self._blocks is not None
        on = advanced(self._blocks[rows], now_s, self._period_s[rows])
        return {
            **dict(zip(DEMANDED, on["last"].T, strict=True)),
            **dict(zip(MAXIMA, on["most"].T, strict=True)),
            "charge_ah": on["charge_ah"],
        }

    def reset(self, row: int, now_s: float) -> None:
        """A master has the highest demand forgotten."""
        if self._blocks is not None:
            self._blocks[row] = advanced(self._blocks[[row]], now_s, self._period_s[[row]])[0]
            self._blocks["most"][row] = 0.0

    def set_period(self, row: int, period_s: float, now_s: float) -> None:
        """A master has set another period: a block begins."""
        if self._blocks is not None:
            self._blocks[row] = advanced(self._blocks[[row]], now_s, self._period_s[[row]])[0]
            self._blocks["begin_s"][row] = now_s
            self._blocks["sum"][row] = 0.0
        self._period_s[row] = period_s

    def to_bytes(self) -> bytes:
        """What the meters must remember."""
        return b"" if self._blocks is None else self._blocks.tobytes()

    def of(self, row: int) -> bytes:
        """What this meter must remember."""
        return b"" if self._blocks is None else self._blocks[row].tobytes()

    def restore(self, kept: bytes, later: Mapping[int, bytes], period_s: Float) -> None:
        """Go on from `to_bytes`, and from what `of` said later of single meters, with the periods (n,) that hold."""
        self._period_s = period_s
        self._blocks = np.frombuffer(kept, dtype=BLOCKS).copy() if kept else None
        if self._blocks is not None:
            for row, said in later.items():
                self._blocks[row] = np.frombuffer(said, dtype=BLOCKS)[0]
