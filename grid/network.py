"""Switching state → energised usage points → power flow.

A balanced (positive-sequence) power flow. The matrices of a switching state are never carried over to another one, and
dead loads are set to p = q = 0; `in_service` of a load never changes.
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grid.feeder import Device, Feeder
from grid.powerflow import PowerFlow, PowerFlowError
from grid.wording import counted
from grid.world import PHASES

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """The feeder at one instant: n usage points, t transformers in the order of `Feeder.transformers`.

    (n, 3) is by phase, L1 L2 L3, whether or not the usage point is connected to all of them: what the net has there.
    """

    phase_energised: NDArray[np.bool_]
    """(n, 3) supply at the line side of the meter."""
    active_power_w: Floats
    """(n, 3) + import; 0 when dark or disconnected."""
    reactive_power_var: Floats
    """(n, 3)"""
    phase_voltage_pu: NDArray[np.complex128]
    """(n, 3) line to neutral, over the nominal line-to-neutral voltage; its angle is against L1 of the source. 0 where
    there is no supply."""
    transformer_loading_percent: Floats
    transformer_active_power_w: Floats
    """(t,) at the high-voltage side, + towards the low-voltage side."""
    transformer_losses_w: Floats
    line_losses_w: float
    load_w: float
    """All loads, usage points and bulk, net of what is fed in."""
    source_va: NDArray[np.complex128]
    """(s,) active and reactive power at the head of the feeder, in the order of `Feeder.sources`, + into the feeder."""

    @property
    def source_power_w(self) -> float:
        """Active power from all sources."""
        return float(self.source_va.real.sum())

    @property
    def energised(self) -> NDArray[np.bool_]:
        """(n,) whether at least one phase has supply."""
        return np.asarray(self.phase_energised.any(axis=1))

    @property
    def losses_w(self) -> float:
        """Lines and transformers."""
        return self.line_losses_w + float(self.transformer_losses_w.sum())


class Network:
    """Solves one feeder, on a copy of its net."""

    def __init__(self, feeder: Feeder) -> None:
        self._feeder = feeder
        self._net = net = copy.deepcopy(feeder.net)
        loads = net.load
        self._rows = loads.index.get_indexer(feeder.load_index)
        self._bulk_rows = feeder.bulk.owner
        self._bus_rows = net.bus.index.get_indexer(loads["bus"])
        self._normal_lines = net.line["in_service"].to_numpy(dtype=bool).copy()
        self._normal_trafos = net.trafo["in_service"].to_numpy(dtype=bool).copy()
        self._normal_switches = net.switch["closed"].to_numpy(dtype=bool).copy()
        self._opened: frozenset[Device] | None = None
        self._bus_energised: NDArray[np.bool_] = np.zeros(len(net.bus), dtype=bool)
        self._energised: NDArray[np.bool_] = np.zeros(len(feeder.usage_points), dtype=bool)
        self._flow: PowerFlow | None = None

    def energised_for(self, opened: Collection[Device]) -> NDArray[np.bool_]:
        """(n,) which usage points have supply with these devices open, by graph search only."""
        self._switch(frozenset(opened))
        return self._energised.copy()

    def solve(
        self,
        active_power_w: Floats,
        reactive_power_var: Floats,
        opened: Collection[Device] = (),
        *,
        bulk: tuple[Floats, Floats] | None = None,
        breaker_closed: NDArray[np.bool_] | None = None,
    ) -> Solution:
        """Power flow for the demand (n, 3) of the usage points, by phase, with these devices open.

        `breaker_closed` (n,): the customers' breakers, all of them if not given. `bulk`: the (active W, reactive var)
        of `Feeder.bulk`; what the net states, if not given.
        Raises PowerFlowError when it does not converge, KeyError for a device that the feeder does not have.
        """
        self._switch(frozenset(opened))
        # A breaker changes what is taken, and not the net: its matrices stay as they are.
        taking = self._energised if breaker_closed is None else self._energised & breaker_closed
        active_w = np.where(taking[:, np.newaxis], active_power_w, 0.0)
        reactive_var = np.where(taking[:, np.newaxis], reactive_power_var, 0.0)
        bulk = bulk or (self._feeder.bulk.active_power_w, self._feeder.bulk.reactive_power_var)
        p_mw, q_mvar = np.zeros(len(self._bus_rows)), np.zeros(len(self._bus_rows))
        p_mw[self._bulk_rows], q_mvar[self._bulk_rows] = bulk[0] / 1e6, bulk[1] / 1e6
        p_mw[self._rows] = active_w.sum(axis=1) / 1e6
        q_mvar[self._rows] = reactive_var.sum(axis=1) / 1e6
        alive = self._bus_energised[self._bus_rows]
        p_mw, q_mvar = np.where(alive, p_mw, 0.0), np.where(alive, q_mvar, 0.0)
        try:
            if self._flow is None:
                self._flow = PowerFlow(self._net, self._bus_energised)
            flow = self._flow.solve(p_mw, q_mvar)
        except PowerFlowError as error:
            raise PowerFlowError(
                f"feeder {self._feeder.name!r} with {counted(len(opened), 'device')} open cannot carry "
                f"{p_mw.sum() * 1e3:.1f} kW: {error}"
            ) from error
        # Where conductors can be open one by one, this and the voltages of an island are what differs by phase.
        lit = np.repeat(self._energised[:, np.newaxis], PHASES, axis=1)
        return Solution(
            phase_energised=lit,
            active_power_w=active_w,
            reactive_power_var=reactive_var,
            phase_voltage_pu=np.where(lit, flow.bus_voltage_pu[self._feeder.bus_position], 0.0),
            transformer_loading_percent=flow.trafo_loading_percent,
            transformer_active_power_w=flow.trafo_active_power_w,
            transformer_losses_w=flow.trafo_losses_w,
            line_losses_w=flow.line_losses_w,
            load_w=float(p_mw.sum() * 1e6),
            source_va=flow.source_va,
        )

    def _switch(self, opened: frozenset[Device]) -> None:
        if opened == self._opened:
            return
        feeder, net = self._feeder, self._net
        lines, trafos, switches = self._normal_lines.copy(), self._normal_trafos.copy(), self._normal_switches.copy()
        dropped = []
        for device in opened:
            if device.kind == "service":
                dropped.append(feeder.position[device.id])
            elif device.kind == "line":
                lines[net.line.index.get_loc(feeder.lines[device.id])] = False
            elif device.kind == "transformer":
                trafos[net.trafo.index.get_loc(feeder.transformers[device.id])] = False
            else:
                section = feeder.sections[device.id]
                switches[net.switch.index.get_indexer(section.switches)] = False
                trafos[net.trafo.index.get_indexer(section.transformers)] = False
        self._bus_energised = feeder.topology.energised_buses(lines, trafos, switches)
        self._energised = self._bus_energised[feeder.bus_position]
        self._energised[dropped] = False
        net.line["in_service"] = lines
        net.trafo["in_service"] = trafos
        net.switch["closed"] = switches
        self._opened = opened
        self._flow = None


def evenly(power: Floats) -> Floats:
    """(n, 3): the same power (n,) in equal parts on all phases."""
    return np.repeat(power[:, np.newaxis] / PHASES, PHASES, axis=1)
