"""Phases that a meter loses while another one keeps it alive: it tells which, instead of a last gasp.

    LIT --lost, another phase is there--> PENDING --qualifying delay--> TOLD (phase_loss) --back--> LIT (phase_restored)
                                             |  back, or all phases lost: nothing to tell

A meter that loses all its phases gasps instead (meters/device/supply.py). If it comes back without one of them, that
one is told then, with the instant at which it was lost. A phase on which it never saw a voltage is not connected.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meters.device.quantities import PHASE_NAMES
from meters.device.state import NEVER_S, Rows, ShardState, field


class PhaseChange(NamedTuple):
    """`lost`: to be told as such; else it is back, and its loss had been told. Instants are true seconds."""

    row: int
    phase: str
    lost: bool
    down_at_s: float
    up_at_s: float


class PhaseWatch:
    """Behind the fields `phase_lit`, `phase_seen`, `phase_told`, `phase_down_at_s` and `phase_due_s` of a state."""

    def __init__(self, state: ShardState, delay_s: float) -> None:
        self._delay_s = delay_s
        self._lit = field(state, "phase_lit")
        self._seen = field(state, "phase_seen")
        self._told = field(state, "phase_told")
        self._down_at_s = field(state, "phase_down_at_s")
        self._due_s = field(state, "phase_due_s")

    def adopt(self, lit: NDArray[np.bool_], now_s: int) -> tuple[Rows, list[PhaseChange]]:
        """Voltage by phase (n, 3) from `now_s` on: the meters touched, and what is to be told at once."""
        if np.array_equal(lit, self._lit):
            return np.empty(0, dtype=np.intp), []
        touched: Rows = np.flatnonzero((lit != self._lit).any(axis=1))
        self._down_at_s[self._lit & ~lit] = now_s
        self._seen |= lit
        alive = lit.any(axis=1, keepdims=True)
        self._due_s[lit | ~alive] = NEVER_S
        pending = self._seen & ~lit & alive & ~self._told & np.isinf(self._due_s)
        self._due_s[pending] = np.ceil(now_s + self._delay_s)
        back = lit & self._told
        self._told[back] = False
        self._lit[:] = lit
        return touched, self._changes(back, lost=False, up_at_s=now_s)

    def fire(self, now_s: int) -> list[PhaseChange]:
        """The losses that are to be told by `now_s`."""
        due = self._due_s <= now_s
        self._due_s[due] = NEVER_S
        self._told[due] = True
        return self._changes(due, lost=True, up_at_s=NEVER_S)

    def _changes(self, which: NDArray[np.bool_], *, lost: bool, up_at_s: float) -> list[PhaseChange]:
        return [
            PhaseChange(row, PHASE_NAMES[phase], lost, float(self._down_at_s[row, phase]), up_at_s)
            for row, phase in np.argwhere(which).tolist()
        ]
