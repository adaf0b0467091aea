"""The feeder in simulated time: demand, switching and power flow, one physical frame after the other."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from grid.feeder import Device, Feeder
from grid.flow_kind import FlowKind
from grid.network import Network, Solution
from grid.transformer_points import TransformerPoints
from grid.truth import TruthRecorder
from grid.world import PHASES, QUADRANTS, WorldFrame


class DemandSource(Protocol):
    """What the simulation asks of demand; `grid.demand.Demand` is one."""

    @property
    def connected(self) -> NDArray[np.bool_]:
        """(n, 3) the phases of each usage point, at least one."""
        ...

    def at(self, time_s: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(active W, reactive var), each (n,), positive for import."""
        ...

    def bulk_at(self, time_s: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(active W, reactive var) of what has no meter, in the order of `Feeder.bulk`."""
        ...


class GridSimulation:
    """A frame is due at `start_s` and every `step_s` seconds from there, and whenever something was switched."""

    def __init__(
        self,
        feeder: Feeder,
        demand: DemandSource,
        *,
        start_s: int,
        step_s: int = 900,
        flow: FlowKind = "three-phase",
    ) -> None:
        if step_s <= 0:
            raise ValueError(f"step_s is {step_s}; a step lasts at least one second")
        self.feeder = feeder
        self.transformer_points = TransformerPoints.of(feeder)
        self.truth = TruthRecorder(feeder, [point.id for point in self.transformer_points.points])
        self._demand = demand
        self._network = Network(feeder, flow, connected=demand.connected)
        self._phase_share = demand.connected / demand.connected.sum(axis=1, keepdims=True)
        self._nominal_voltage_v = np.concatenate([feeder.nominal_voltage_v, self.transformer_points.nominal_voltage_v])[
            :, np.newaxis
        ]
        self._start_s, self._step_s = start_s, step_s
        self._frame: WorldFrame | None = None
        self._next_s = start_s
        self._applied: frozenset[Device] = frozenset()
        self._wanted: frozenset[Device] = frozenset()
        self._breaker_closed = np.ones(len(feeder.usage_points), dtype=bool)
        self._breakers_moved = False

    def next_due(self) -> int:
        """The epoch second of the next step."""
        return self._next_s

    @property
    def connected(self) -> NDArray[np.bool_]:
        """(n, 3) the phases of each usage point."""
        return self._demand.connected

    @property
    def opened(self) -> Collection[Device]:
        """Devices that are open or will be at the next `advance`."""
        return self._wanted

    def open(self, device: Device) -> None:
        """Open a device at the instant of the next `advance`; without effect on one that is open.

        Raises KeyError for a device that the feeder does not have.
        """
        self.feeder.darkened_by(device)
        self._wanted |= {device}

    def close(self, device: Device) -> None:
        """Close a device at the instant of the next `advance`; without effect on one that is closed.

        Raises KeyError for a device that the feeder does not have.
        """
        self.feeder.darkened_by(device)
        self._wanted -= {device}

    @property
    def breaker_closed(self) -> NDArray[np.bool_]:
        """(n,) the customers' breakers, as they are or will be at the next `advance`."""
        return self._breaker_closed.copy()

    def operate_breakers(self, closed: Mapping[int, bool]) -> None:
        """Put customers' breakers, by row of the usage point, into this position at the instant of the next `advance`.

        However many they are, they take one power flow. Raises IndexError for a row that the feeder does not have.
        """
        rows = np.fromiter(closed.keys(), dtype=np.intp, count=len(closed))
        wanted = np.fromiter(closed.values(), dtype=bool, count=len(closed))
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self._breaker_closed):
            wrong = rows.min() if rows.min() < 0 else rows.max()
            raise IndexError(f"the feeder has {len(self._breaker_closed)} usage points, and no row {wrong}")
        self._breakers_moved |= bool((self._breaker_closed[rows] != wanted).any())
        self._breaker_closed[rows] = wanted

    def advance(self, now_s: int) -> WorldFrame | None:
        """The frame that holds from `now_s`, if a step begins or something was switched; else None.

        Raises ValueError when time runs backwards or leaps over a step, PowerFlowError when there is no solution.
        """
        earliest = self._start_s if self._frame is None else self._frame.time_s
        if not earliest <= now_s <= self._next_s:
            raise ValueError(
                f"cannot advance to {now_s}: the next step is due at {self._next_s}, the last was {earliest}"
            )
        if now_s < self._next_s and self._wanted == self._applied and not self._breakers_moved:
            return None
        if now_s == self._next_s:
            self._next_s += self._step_s
        # Demand belongs to the step: switching in the middle of one must not change what the others take.
        step_s = self._next_s - self._step_s
        active_w, reactive_var = self._demand.at(step_s)
        solution = self._network.solve(
            active_w[:, np.newaxis] * self._phase_share,
            reactive_var[:, np.newaxis] * self._phase_share,
            self._wanted,
            bulk=self._demand.bulk_at(step_s),
            breaker_closed=self._breaker_closed,
        )
        self._applied, self._breakers_moved = self._wanted, False
        self._frame = self._next_frame(now_s, solution)
        self.truth.record(self._frame, solution, self._applied)
        return self._frame

    def _next_frame(self, now_s: int, solution: Solution) -> WorldFrame:
        """Of the usage points, and behind them of the points at transformers."""
        last, rows = self._frame, self.transformer_points.rows
        lit = np.concatenate(
            [solution.phase_energised & self._demand.connected, solution.transformer_low_side_energised[rows]]
        )
        voltage_pu = np.concatenate([solution.phase_voltage_pu, solution.transformer_low_side_voltage_pu[rows]])
        voltage_v = np.where(lit, voltage_pu, 0.0) * self._nominal_voltage_v
        if last is None:
            imported = exported = np.zeros((len(lit), PHASES))
            reactive = np.zeros((QUADRANTS, *imported.shape))
        else:
            imported, exported = last.energy_at(now_s)
            reactive = last.reactive_at(now_s)
        low_va = solution.transformer_low_side_va[rows]
        return WorldFrame(
            sequence=0 if last is None else last.sequence + 1,
            time_s=now_s,
            phase_energised=lit,
            import_wh=imported,
            export_wh=exported,
            reactive_varh=reactive,
            active_power_w=np.concatenate([solution.active_power_w, low_va.real]),
            reactive_power_var=np.concatenate([solution.reactive_power_var, low_va.imag]),
            voltage_v=np.abs(voltage_v),
            voltage_angle_rad=np.angle(voltage_v),
            breaker_closed=np.concatenate([self._breaker_closed, np.ones(len(rows), dtype=bool)]),
        )
