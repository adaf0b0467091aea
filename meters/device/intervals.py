"""The load profile: how the end of an interval becomes a record.

The energy of an interval is the difference of the quantised registers at its two ends. An interval in which the meter
had no supply at all has no record. One with any supply has one, even if the meter is without supply at its end: a real
meter saves it at power-down and closes it on its clock; here it is entered at its end.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from grid.world import SECONDS_PER_HOUR
from meters.device.clock import Clocks
from meters.device.demand import MaximumDemand
from meters.device.facts import Facts
from meters.device.metrology import Measured, Metrology, Rates, power_factor
from meters.device.physics import Physics
from meters.device.quantities import PHASES, QUADRANT_NAMES, REGISTER_NAMES
from meters.device.records import ALLOWED_DECIMALS, IntervalRecord, Status
from meters.device.state import Rows, ShardState, field

_NO_TIME_S = 1e-6
"""Durations below this are rounding: epoch seconds in a float64 have steps of 0.24 microseconds."""
_QUADRANTS = [REGISTER_NAMES.index(name) for name in QUADRANT_NAMES]


class Recorder:
    """The open intervals of a shard: what its state has under "the open interval", "counted" and "registers"."""

    def __init__(self, state: ShardState, clocks: Clocks, metrology: Metrology, facts: Facts) -> None:
        self._clocks = clocks
        self._metrology = metrology
        self._interval_s = facts.interval_length_s
        self._demand = MaximumDemand(state)
        self._energised = field(state, "energised")
        self._window_start_s = field(state, "window_start_s")
        self._supplied_s = field(state, "supplied_s")
        self._mark_s = field(state, "supply_mark_s")
        self._status = field(state, "status")
        self._counted_at_s = field(state, "counted_at_s")
        self._counted = field(state, "counted")
        self._allowed = field(state, "allowed")
        self._registers = field(state, "registers")
        self._allowed_before = field(state, "allowed_before")
        self._rates: Rates | None = None

    def begin(self, start_s: int) -> None:
        """All meters open their first interval at `start_s`."""
        self._window_start_s[:] = start_s
        self._mark_s[:] = start_s
        self._counted_at_s[:] = start_s
        self._counted[:] = self._metrology.initial
        self._registers[:] = self._metrology.quantised(self._counted)
        self._demand.begin(start_s)

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

    def adopt(self, physics: Physics) -> None:
        """From the time of its frame on all meters count what flows under `physics`."""
        if self._rates is not None:
            everybody, at_s = np.arange(len(self._counted)), np.full(len(self._counted), float(physics.frame.time_s))
            self._counted[:], self._allowed[:] = self._at(everybody, at_s)
        self._counted_at_s[:] = physics.frame.time_s
        self._under(physics)

    @property
    def voltage_v(self) -> NDArray[np.float64]:
        """What all meters measure of each phase, (n, 3)."""
        return self._shown.voltage_v

    def resume(self, physics: Physics) -> None:
        """After a restart: `physics` is what the meters have adopted last."""
        self._under(physics)

    def _under(self, physics: Physics) -> None:
        self._rates = self._metrology.rates(physics)
        self._shown = self._metrology.measured(physics.frame)

    def _at(self, rows: Rows, true_s: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What `rows` have counted, (m, CHANNELS), and may be wrong by, (m, LIMITS), at the true instants (m,)."""
        assert self._rates is not None, "no physical frame has come yet"
        elapsed_s = (true_s - self._counted_at_s[rows])[:, np.newaxis]
        return (
            self._counted[rows] + self._rates.counted_per_s[rows] * elapsed_s,
            self._allowed[rows] + self._rates.allowed_per_s[rows] * elapsed_s,
        )

    def close(self, rows: Rows, end_s: NDArray[np.float64], now_s: int) -> list[IntervalRecord]:
        """End the intervals of `rows` at the true instants `end_s` (m,), open the next; records of those with supply.

        `now_s` is the instant at which that is entered into the memory.
        """
        start_s = self._window_start_s[rows].copy()
        supplied_s = self._supplied_s[rows] + np.where(self._energised[rows], end_s - self._mark_s[rows], 0.0)
        dark = end_s - start_s - supplied_s > _NO_TIME_S
        status = self._status[rows] | np.where(dark, np.uint8(Status.POWER_DOWN), np.uint8(0))
        status |= np.where(self._clocks.invalid(rows), np.uint8(Status.CLOCK_INVALID), np.uint8(0))
        counted, allowed = self._at(rows, end_s)
        # A register never runs backwards, not even by the rounding between two frames.
        registers = np.maximum(self._metrology.quantised(counted), self._registers[rows])
        delta = registers - self._registers[rows]
        # Rounded, so that it does not depend on how often the sum was taken.
        allowed_delta = np.round(np.maximum(allowed - self._allowed_before[rows], 0.0), ALLOWED_DECIMALS)
        device_end_s = self._clocks.close(rows)
        self._demand.close(rows, delta[:, 0] * SECONDS_PER_HOUR / self._interval_s, device_end_s)
        demand_w, demand_at_s = self._demand.shown(rows)
        self._window_start_s[rows] = end_s
        self._supplied_s[rows] = 0.0
        self._mark_s[rows] = end_s
        self._status[rows] = 0
        self._registers[rows] = registers
        self._allowed_before[rows] = allowed
        kept = supplied_s > _NO_TIME_S
        displayed = self._metrology.displayed(registers)
        integers = np.column_stack(
            [
                device_end_s - self._interval_s,
                rows,
                displayed[:, :2],
                delta[:, :8],
                displayed[:, _QUADRANTS],
                delta[:, _QUADRANTS],
                *_whole(self._shown, rows),
                demand_w,
                demand_at_s,
                status,
            ]
        )[kept]
        instants = np.column_stack([allowed_delta, start_s, end_s])[kept]
        return [
            IntervalRecord._make((*whole, *exact, now_s))
            for whole, exact in zip(integers.tolist(), instants.tolist(), strict=True)
        ]

    def shown(self, row: int, now_s: float) -> dict[str, int | float]:
        """What a meter shows at the true instant `now_s`, by names of its quantities; nothing is changed by looking."""
        rows = np.array([row])
        counted, _ = self._at(rows, np.array([now_s]))
        registers = np.maximum(self._metrology.quantised(counted), self._registers[rows])
        displayed = self._metrology.displayed(registers)[0].tolist()
        power_w, powers_w, reactives_var, factors, volts_dv, currents_ma = (
            np.ravel(each).tolist() for each in _whole(self._shown, rows)
        )
        demand_w, demand_at_s = self._demand.shown(rows)
        values: dict[str, int | float] = {
            **dict(zip(REGISTER_NAMES, displayed, strict=True)),
            "active_power_w": power_w[0],
            "max_demand_import_w": int(demand_w[0]),
            "max_demand_at_s": int(demand_at_s[0]),
        }
        for at, phase in enumerate(PHASES):
            values[f"voltage_l{phase}_v"] = volts_dv[at] / 10
            values[f"current_l{phase}_a"] = currents_ma[at] / 1000
            values[f"active_power_l{phase}_w"] = powers_w[at]
            values[f"reactive_power_l{phase}_var"] = reactives_var[at]
            values[f"power_factor_l{phase}"] = factors[at] / 1000
        return values


def _whole(shown: Measured, rows: Rows) -> list[NDArray[np.int64]]:
    """What `rows` show of their phases, in the units and the order of IntervalRecord."""
    power_w, reactive_var = shown.active_power_w[rows], shown.reactive_power_var[rows]
    exact = (
        power_w.sum(axis=1),
        power_w,
        reactive_var,
        power_factor(power_w, reactive_var) * 1000.0,
        shown.voltage_v[rows] * 10.0,
        shown.current_a[rows] * 1000.0,
    )
    return [np.rint(each).astype(np.int64) for each in exact]
