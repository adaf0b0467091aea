"""Switching state → energised usage points → power flow.

pandapower's net is the model, which is read once (`grid.electrical_model`). The matrices of a switching state are never
carried over to another one.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grid.broken_islands import BrokenIsland, broken_islands, solve_with
from grid.conductors import Closed, check_breakable
from grid.electrical_model import ElectricalModel
from grid.feeder import Device, Feeder
from grid.flow_kind import FlowKind
from grid.pandapower_calls import PandapowerError
from grid.phase_assumptions import PhaseAssumptions, phase_assumptions
from grid.powerflow import PowerFlow, PowerFlowError
from grid.switched_net import SwitchedNet
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
    transformer_low_side_energised: NDArray[np.bool_]
    """(t, 3) supply at the low-voltage terminals, as the next two."""
    transformer_low_side_voltage_pu: NDArray[np.complex128]
    """(t, 3) as `phase_voltage_pu`."""
    transformer_low_side_va: NDArray[np.complex128]
    """(t, 3) active + j reactive by phase at the low-voltage side, + out of the transformer."""
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
    """Solves one feeder in any switching state. The flow has three phases, or is balanced if asked for."""

    def __init__(
        self,
        feeder: Feeder,
        flow: FlowKind = "three-phase",
        *,
        assumed: PhaseAssumptions | None = None,
        connected: NDArray[np.bool_] | None = None,
    ) -> None:
        """:param assumed: what nets do not state; the table's values if not given.
        :param connected: (n, 3) the phases of usage points, all of them if not given. A neutral that is lost leaves
        supply where two of them are left.

        Raises PowerFlowError where pandapower cannot convert the net.
        """
        self._feeder, self._kind = feeder, flow
        net = feeder.net
        try:
            self._model = ElectricalModel.of(net, assumed or phase_assumptions())
        except PandapowerError as error:
            raise PowerFlowError(f"pandapower cannot convert the feeder {feeder.name!r}: {error}") from error
        bulk_buses = net.load["bus"].to_numpy()[feeder.bulk.owner]
        self._bus = np.concatenate((feeder.bus_position, net.bus.index.get_indexer(bulk_buses)))
        self._opened: frozenset[Device] | None = None
        self._bus_energised: NDArray[np.bool_] = np.zeros(len(net.bus), dtype=bool)
        everywhere = np.ones((len(feeder.usage_points), PHASES), dtype=bool)
        self._connected = everywhere if connected is None else connected
        self._lit: NDArray[np.bool_] = np.zeros_like(everywhere)
        self._broken: list[BrokenIsland] = []
        self._switches: tuple[NDArray[np.bool_], ...] = ()
        self._flow: PowerFlow | None = None

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
        of `Feeder.bulk`, which takes the same from each phase; what the net states, if not given.
        Raises PowerFlowError when it does not converge, KeyError for a device that the feeder does not have.
        """
        self._switch(frozenset(opened))
        # A breaker changes what is taken, and not the net: its matrices stay as they are.
        taking = self._lit if breaker_closed is None else self._lit & breaker_closed[:, np.newaxis]
        active_w = np.where(taking, active_power_w, 0.0)
        reactive_var = np.where(taking, reactive_power_var, 0.0)
        bulk = bulk or (self._feeder.bulk.active_power_w, self._feeder.bulk.reactive_power_var)
        demand_va = np.concatenate((active_w + 1j * reactive_var, evenly(bulk[0]) + 1j * evenly(bulk[1])))
        alive = self._bus_energised[self._bus]
        load_w = float(demand_va[alive].real.sum())
        try:
            taken = solve_with(self._broken, self._power_flow().solve, self._bus, demand_va, alive)
        except PowerFlowError as error:
            raise PowerFlowError(
                f"feeder {self._feeder.name!r} with {counted(len(opened), 'device')} open cannot carry "
                f"{load_w / 1e3:.1f} kW: {error}"
            ) from error
        flow, points = taken.flow, slice(len(self._lit))
        voltage = np.where(np.isnan(taken.voltage_pu), flow.bus_voltage_pu[self._bus], taken.voltage_pu)[points]
        # Single conductors open behind the terminals.
        live = np.repeat(self._bus_energised[self._feeder.topology.trafo_lv, np.newaxis], PHASES, axis=1)
        return Solution(
            phase_energised=self._lit.copy(),
            active_power_w=taken.power_va[points].real.copy(),
            reactive_power_var=taken.power_va[points].imag.copy(),
            phase_voltage_pu=np.where(self._lit, voltage, 0.0),
            transformer_loading_percent=flow.trafo_loading_percent,
            transformer_active_power_w=flow.trafo_active_power_w,
            transformer_losses_w=flow.trafo_losses_w,
            transformer_low_side_energised=live,
            transformer_low_side_voltage_pu=np.where(live, flow.bus_voltage_pu[self._feeder.topology.trafo_lv], 0.0),
            transformer_low_side_va=flow.trafo_low_side_va,
            line_losses_w=flow.line_losses_w + taken.losses_w,
            load_w=float(taken.power_va[alive].real.sum()),
            source_va=flow.source_va,
        )

    def _power_flow(self) -> PowerFlow:
        if self._flow is None:
            net = SwitchedNet.of(self._model, self._feeder.topology, self._bus_energised, *self._switches)
            self._flow = PowerFlow(self._model, net, self._kind)
        return self._flow

    def _switch(self, opened: frozenset[Device]) -> None:
        if opened == self._opened:
            return
        feeder, closed = self._feeder, Closed.after(self._feeder, opened)
        for device in opened:
            check_breakable(feeder, device)
        # Through any conductor; which of them have supply is for the islands to say.
        lines, trafos, switches = (np.asarray(each.any(axis=1)) for each in (closed.line, closed.trafo, closed.switch))
        self._bus_energised = feeder.topology.energised_buses(lines, trafos, switches)
        lit = self._bus_energised[feeder.bus_position] & closed.service.any(axis=1)
        self._lit = np.repeat(lit[:, np.newaxis], PHASES, axis=1)
        self._broken = broken_islands(feeder, self._model, closed, self._bus, self._connected, self._bus_energised)
        for island in self._broken:
            points = island.rows < len(lit)
            self._lit[island.rows[points]] &= island.lit[points]
        self._opened, self._flow = opened, None
        self._switches = (lines, trafos, switches)


def evenly(power: Floats) -> Floats:
    """(n, 3): the same power (n,) in equal parts on all phases."""
    return np.repeat(power[:, np.newaxis] / PHASES, PHASES, axis=1)
