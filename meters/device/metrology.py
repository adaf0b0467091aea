"""The measuring element: what the registers of a shard's meters show for the energy that really flowed.

A register counts whole steps of `gain x energy`, so an interval's energy is the difference of two *quantised* register
readings: intervals sum to the register difference exactly, and each is off by less than one step. The gain is the
class error, constant per meter. Totals are the arithmetic sum over the phases; each phase has a register of its own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meters.device.draws import Purpose, uniform
from meters.device.facts import MeterFacts
from meters.device.state import CHANNELS, Rows

_INSTALLED_WH = (1_000_000, 80_000_000)
_BELOW_ROLL_OVER_WH = (200, 3_000)
"""Less than a household consumes in a day."""


class Metrology:
    """Registers of all meters of a shard, from the energies of the physical frame."""

    def __init__(self, keys: NDArray[np.uint64], facts: MeterFacts, *, step_wh: float | None = None) -> None:
        """`step_wh`: what it counts in, by default `register_step_wh`."""
        limit = facts.class_error_share * facts.accuracy_class_percent / 100.0
        self._step_wh = facts.register_step_wh if step_wh is None else step_wh
        self._roll_over_wh = facts.register_roll_over_wh
        self._gain = 1.0 + uniform(keys, Purpose.CLASS_ERROR, 0, -limit, limit)
        installed_wh = uniform(keys, Purpose.INITIAL_REGISTER, 0, *_INSTALLED_WH)
        brink_wh = self._roll_over_wh - uniform(keys, Purpose.INITIAL_REGISTER, 1, *_BELOW_ROLL_OVER_WH)
        on_the_brink = uniform(keys, Purpose.NEAR_ROLL_OVER, 0) < facts.near_roll_over_share
        self._initial_wh = np.zeros((len(keys), CHANNELS), dtype=np.int64)
        self._initial_wh[:, 0] = np.where(on_the_brink, brink_wh, installed_wh).astype(np.int64) % self._roll_over_wh
        self._initial_wh -= (self._initial_wh % self._step_wh).astype(np.int64)
        # Where between two steps each register stands at the start.
        self._remainder_wh = np.column_stack(
            [uniform(keys, Purpose.REGISTER_REMAINDER, channel, 0, self._step_wh) for channel in range(CHANNELS)]
        )

    @property
    def initial_wh(self) -> NDArray[np.int64]:
        """Registers (n, 8) before any energy of the run flowed."""
        return self._initial_wh

    def registers(
        self, rows: Rows, import_wh: NDArray[np.float64], export_wh: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Registers (m, 8) of `rows`, quantised, before the roll-over, for cumulative energies (m, 3) and (m, 3)."""
        counted_wh = self.measured(rows, import_wh, export_wh) + self._remainder_wh[rows]
        steps: NDArray[np.int64] = np.floor(counted_wh / self._step_wh).astype(np.int64)
        return self._initial_wh[rows] + (steps * self._step_wh).astype(np.int64)

    def counted(
        self, rows: Rows, import_wh: NDArray[np.float64], export_wh: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """The same (m, 8), not yet cut to whole steps."""
        counted: NDArray[np.float64] = (
            self._initial_wh[rows] + self._remainder_wh[rows] + self.measured(rows, import_wh, export_wh)
        )
        return counted

    def measured(self, rows: Rows, imported: NDArray[np.float64], exported: NDArray[np.float64]) -> NDArray[np.float64]:
        """What the registers (m, 8) of `rows` make of energies, or of their rates, (m, 3) and (m, 3)."""
        channels = np.empty((len(rows), CHANNELS), dtype=np.float64)
        channels[:, 0] = imported.sum(axis=1)
        channels[:, 1] = exported.sum(axis=1)
        channels[:, 2:5] = imported
        channels[:, 5:8] = exported
        channels *= self._gain[rows, np.newaxis]
        return channels

    def displayed(self, registers_wh: NDArray[np.int64]) -> NDArray[np.int64]:
        """What a display of limited digits shows: the register after its roll-over."""
        shown: NDArray[np.int64] = registers_wh % self._roll_over_wh
        return shown

    @property
    def gains(self) -> NDArray[np.float64]:
        """What each meter (n,) makes of one unit of energy or power: 1 and its class error."""
        return self._gain

    def gain(self, row: int) -> float:
        """What the meter makes of one unit of energy or power: 1 and its class error."""
        return float(self._gain[row])

    def power_w(self, rows: Rows, active_power_w: NDArray[np.float64]) -> NDArray[np.int64]:
        """Net power (m,) over the phases of (m, 3), in whole W, + import, with the same class error."""
        measured: NDArray[np.int64] = np.rint(active_power_w.sum(axis=1) * self._gain[rows]).astype(np.int64)
        return measured
