"""How many meters of a cell want something at about the same time, whichever process they are in.

That follows from what every process sees: the physical frame, of all usage points, and faults of the network. So the
same run has the same crowds however its meters are spread over processes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from grid.world import WorldFrame
from meters.device.state import Rows

STIRRED_FOR_S = 120
"""For so long after supply or service of meters have changed they attach, and tell of it. An assumption of amilab's: a
last gasp waits for 30 to 55 s, a communication processor starts within a minute."""


class Crowds:
    """Row i of n is a meter in the cell `cells[i]`, at row `world_rows[i]` of the physical frames."""

    def __init__(
        self, cells: Sequence[str], world_rows: NDArray[np.intp], members: Mapping[str, Sequence[int]]
    ) -> None:
        """`members`: rows in the frames of all meters of a cell; of a cell that it lacks, those here are all."""
        names, self._cell_of = np.unique(np.array(cells), return_inverse=True)
        self._members = [
            np.array(members.get(name, ()), dtype=np.intp) if name in members else world_rows[self._cell_of == number]
            for number, name in enumerate(names.tolist())
        ]
        self._sizes = np.array([len(rows) for rows in self._members])
        self._stirred = np.zeros(len(names))
        self._since_s = np.full(len(names), -np.inf)
        self._lit: NDArray[np.bool_] | None = None

    def others(self, rows: Rows) -> NDArray[np.float64]:
        """(m,) all others of each one's cell."""
        others: NDArray[np.float64] = self._sizes[self._cell_of[rows]] - 1.0
        return others

    def stirred(self, rows: Rows, now_s: float) -> NDArray[np.float64]:
        """(m,) others of each one's cell that have something to attach for, or to tell, at about this time."""
        cells = self._cell_of[rows]
        fresh = now_s - self._since_s[cells] <= STIRRED_FOR_S
        return np.where(fresh, np.maximum(self._stirred[cells] - 1.0, 0.0), 0.0)

    def see(self, frame: WorldFrame) -> None:
        """This is how it is with everybody's supply now. With the first frame everybody begins."""
        lit = frame.energised
        for cell, rows in enumerate(self._members):
            changed = len(rows) if self._lit is None else int((lit[rows] != self._lit[rows]).sum())
            if changed:
                self._note(cell, changed, frame.time_s)
        self._lit = lit

    def stir(self, rows: Rows, now_s: float) -> None:
        """The service of these meters' cells has changed."""
        for cell in np.unique(self._cell_of[rows]).tolist():
            self._note(cell, len(self._members[cell]), now_s)

    def _note(self, cell: int, count: int, now_s: float) -> None:
        """Those who were stirred shortly before are at it still."""
        before = self._stirred[cell] if now_s - self._since_s[cell] <= STIRRED_FOR_S else 0.0
        self._stirred[cell] = min(before + count, self._sizes[cell])
        self._since_s[cell] = now_s
