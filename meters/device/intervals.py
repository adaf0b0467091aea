"""The load profile: how the end of an interval becomes a record.

The energy of an interval is the difference of the quantised registers at its two ends. An interval in which the meter
had no supply at all has no record. One with any supply has one, even if the meter is without supply at its end: a real
meter saves it at power-down and closes it on its clock; here it is entered at its end.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meters.device.clock import Clocks
from meters.device.facts import Facts
from meters.device.metrology import Metrology
from meters.device.physics import Physics
from meters.device.records import IntervalRecord, Status
from meters.device.state import Rows, ShardState, field

_NO_TIME_S = 1e-6
"""Durations below this are rounding: epoch seconds in a float64 have steps of 0.24 microseconds."""


class Recorder:
    """The open intervals of a shard: what its state has under "the open interval" and "registers"."""

    def __init__(self, state: ShardState, clocks: Clocks, metrology: Metrology, facts: Facts) -> None:
        self._clocks = clocks
        self._metrology = metrology
        self._interval_s = facts.interval_length_s
        self._energised = field(state, "energised")
        self._window_start_s = field(state, "window_start_s")
        self._supplied_s = field(state, "supplied_s")
        self._mark_s = field(state, "supply_mark_s")
        self._status = field(state, "status")
        self._registers_wh = field(state, "registers_wh")

    def begin(self, start_s: int) -> None:
        """All meters open their first interval at `start_s`."""
        self._window_start_s[:] = start_s
        self._mark_s[:] = start_s
        self._registers_wh[:] = self._metrology.initial_wh

    def energise(self, energised: NDArray[np.bool_]) -> None:
        """Supply (n,) at the start."""
        self._energised[:] = energised

    def lose(self, rows: Rows, now_s: int) -> None:
        """Supply of `rows` is lost."""
        self._supplied_s[rows] += now_s - self._mark_s[rows]
        self._energised[rows] = False

    def regain(self, rows: Rows, now_s: int) -> None:
        """Supply of `rows` is back."""
        self._mark_s[rows] = now_s
        self._energised[rows] = True
        self._status[rows] |= np.uint8(Status.POWER_UP)

    def close(self, rows: Rows, end_s: NDArray[np.float64], physics: Physics, now_s: int) -> list[IntervalRecord]:
        """End the intervals of `rows` at the true instants `end_s` (m,), open the next; records of those with supply.

        `now_s` is the instant at which that is entered into the memory.
        """
        start_s = self._window_start_s[rows].copy()
        supplied_s = self._supplied_s[rows] + np.where(self._energised[rows], end_s - self._mark_s[rows], 0.0)
        dark = end_s - start_s - supplied_s > _NO_TIME_S
        status = self._status[rows] | np.where(dark, np.uint8(Status.POWER_DOWN), np.uint8(0))
        # A register never runs backwards, not even by the rounding between two frames.
        registers_wh = np.maximum(
            self._metrology.registers(rows, *physics.energy_at(rows, end_s)), self._registers_wh[rows]
        )
        delta_wh = registers_wh - self._registers_wh[rows]
        device_end_s = self._clocks.close(rows)
        self._window_start_s[rows] = end_s
        self._supplied_s[rows] = 0.0
        self._mark_s[rows] = end_s
        self._status[rows] = 0
        self._registers_wh[rows] = registers_wh
        kept = supplied_s > _NO_TIME_S
        integers = np.column_stack(
            [
                device_end_s - self._interval_s,
                rows,
                self._metrology.displayed(registers_wh[:, :2]),
                delta_wh,
                self._metrology.power_w(rows, physics.frame.active_power_w[rows]),
                np.rint(physics.frame.voltage_v[rows] * 10.0).astype(np.int64),
                status,
            ]
        )[kept]
        return [
            IntervalRecord._make((*values, window_start_s, window_end_s, now_s))
            for values, window_start_s, window_end_s in zip(
                integers.tolist(), start_s[kept].tolist(), end_s[kept].tolist(), strict=True
            )
        ]

    def shown(self, row: int, physics: Physics, now_s: float) -> dict[str, int | float]:
        """What a meter shows at the true instant `now_s`, by names of its quantities; nothing is changed by looking."""
        rows = np.array([row])
        registers_wh = np.maximum(
            self._metrology.registers(rows, *physics.energy_at(rows, np.array([now_s]))), self._registers_wh[rows]
        )
        import_wh, export_wh = self._metrology.displayed(registers_wh[:, :2])[0].tolist()
        voltages_v = (np.rint(physics.frame.voltage_v[row] * 10.0) / 10.0).tolist()
        return {
            "import_wh": import_wh,
            "export_wh": export_wh,
            "active_power_w": int(self._metrology.power_w(rows, physics.frame.active_power_w[rows])[0]),
            **{f"voltage_l{phase}_v": voltage_v for phase, voltage_v in enumerate(voltages_v, start=1)},
        }
