"""The meters on the RS-485 line of one gateway, as a Modbus line asks them (meters/carriers/modbus/line.py).

Whoever reaches the gateway may read and write: Modbus knows no users. What that can cost is bounded here: a meter's new
address is one of this line, two with the same are silent together, and a line takes so many writes in a second of
the wall clock, which is the master's. A write costs the same however many meters there are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping

import numpy as np

from meters.carriers.modbus.entries import Refusal, Setting
from meters.carriers.modbus.settings import Settings
from meters.device.memory import Written
from meters.errors import MemoryFailedError
from meters.fleet.core import Core
from meters.fleet.counting import Counting
from meters.fleet.demands import Demands

MOST_WRITES_PER_S = 32
"""amilab's own: a write and its answer take some 30 ms at 9,600 baud."""
wall_s = time.monotonic


class Bus:
    """`units`: each meter (a row of the shard) by the address that it was delivered with."""

    def __init__(
        self,
        core: Core,
        units: Mapping[int, int],
        settings: Settings,
        demands: Demands,
        *,
        failed: Callable[[MemoryFailedError], None],
    ) -> None:
        self._core = core
        self._units = {unit: (row,) for unit, row in units.items()}
        self._rows = np.array(list(units.values()), dtype=np.intp)
        self._settings = settings
        self._demands = demands
        self._failed = failed
        self._shown: dict[int, Mapping[str, float]] = {}
        self._shown_at: tuple[float, int] = (np.nan, 0)
        self._writes = (0, 0)

    def attach(self, record: Counting) -> None:
        """Who counts for these meters."""
        self._record = record

    def at(self, unit: int) -> Collection[int]:
        rows = self._units.get(unit, ())
        if self._settings.moved:
            rows = tuple(row for row in self._rows.tolist() if self._settings.unit(row, self._up_at_s(row)) == unit)
        now_s = self._core.instant_s
        answering = [row for row in rows if self._record.answers(row, now_s)]
        return answering if not answering or self._keep(now_s) else ()

    def shown(self, meter: int) -> Mapping[str, float] | None:
        now_s = self._core.instant_s
        shown_at = (now_s, self._core.commits)
        if shown_at != self._shown_at:
            self._shown_at = shown_at
            self._shown.clear()
        if meter not in self._shown:
            # While time stands still the others of its line are asked next.
            line = self._rows if self._core.flow is None else np.array([meter])
            self._shown.update(zip(line.tolist(), self._record.shown(line, now_s), strict=True))
        return self._shown[meter]

    def settings(self, meter: int, *, of_lock: bool) -> Mapping[str, float]:
        now_s, up_at_s = self._core.instant_s, self._up_at_s(meter)
        if of_lock:
            self._settings.looked(meter, now_s, up_at_s)
        return self._settings.shown(meter, now_s, up_at_s)

    def write(self, meter: int, setting: Setting, number: float) -> Refusal | None:
        now_s, second = self._core.instant_s, int(wall_s())
        before, count = self._writes
        count = count + 1 if before == second else 1
        if count > MOST_WRITES_PER_S:
            return Refusal.BUSY
        self._writes = (second, count)
        refusal = self._settings.write(meter, setting, number, now_s, self._up_at_s(meter))
        if refusal is not None:
            return refusal
        if setting.role == "demand_period_min":
            self._demands.set_period(meter, 60.0 * number, now_s)
        elif setting.role == "reset_demand":
            self._demands.reset(meter, now_s)
        # What it has said it keeps, over a restart too.
        written = Written(meter, self._settings.of(meter), self._demands.of(meter))
        return None if self._commit(now_s, written) else Refusal.TARGET_FAILED

    def _up_at_s(self, row: int) -> float:
        return float(self._core.state["up_at_s"][row])

    def _keep(self, now_s: float) -> bool:
        """Whoever goes on from this memory must not go back behind what was answered."""
        return now_s < self._core.kept_s + 1 or self._commit(now_s)

    def _commit(self, now_s: float, written: Written | None = None) -> bool:
        try:
            self._core.keep(int(now_s), written)
        except MemoryFailedError as error:
            # Who asks is nobody to tell it to.
            self._failed(error)
            return False
        return True
