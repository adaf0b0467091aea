"""One conductor of a device open, on a feeder: who has supply, with which voltage, and that the energy balances."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from grid.conductors import ConductorError
from grid.demand import Demand
from grid.feeder import Conductor, Device, DeviceKind, Feeder, build_feeder
from grid.network import Network, Solution
from grid.selectors import SelectionError, select
from grid.simulation import GridSimulation
from tests.grid.conftest import START_S, supplied

ALL = np.ones((4, 3), dtype=bool)
A, B, C, D = range(4)


def single(row: int, phase: int) -> NDArray[np.bool_]:
    """All customers of the hamlet have three phases, but this one."""
    connected = ALL.copy()
    connected[row] = np.arange(3) == phase
    return connected


def solve(hamlet: Feeder, *opened: Device, connected: NDArray[np.bool_] = ALL, power_w: float = 3000.0) -> Solution:
    power = np.where(connected, power_w / connected.sum(axis=1, keepdims=True), 0.0)
    return Network(hamlet, connected=connected).solve(power, power * 0.2, opened)


def volts(solution: Solution, row: int) -> list[float]:
    return [float(each) for each in np.abs(solution.phase_voltage_pu[row]) * 400 / np.sqrt(3)]


def device(kind: DeviceKind, name: str, conductor: Conductor) -> Device:
    return Device(kind, name, conductor)


@pytest.mark.parametrize("conductor", ["L1", "L2", "L3"])
def test_an_open_phase_takes_that_phase_from_whom_it_feeds(hamlet: Feeder, conductor: Conductor) -> None:
    phase = ("L1", "L2", "L3").index(conductor)
    solution = solve(hamlet, device("line", "trunk", conductor))
    for row in (A, B):
        assert solution.phase_energised[row].tolist() == [each != phase for each in range(3)]
        assert volts(solution, row)[phase] == 0.0
        assert solution.active_power_w[row, phase] == 0.0
        assert solution.active_power_w[row].sum() == pytest.approx(2000.0)
    assert solution.phase_energised[[C, D]].all()
    assert solution.active_power_w[[C, D]] == pytest.approx(1000.0)


def test_who_has_only_the_lost_phase_is_dark(hamlet: Feeder) -> None:
    lost, kept = (supplied(hamlet, [device("line", "trunk", phase)], single(B, 1)) for phase in ("L2", "L1"))
    assert lost.tolist() == [True, False, True, True]
    assert kept.all()


def test_a_blown_transformer_fuse_reaches_its_whole_island(hamlet: Feeder) -> None:
    solution = solve(hamlet, device("transformer", "North", "L3"))
    assert solution.phase_energised[[A, B, C]].tolist() == [[True, True, False]] * 3
    assert solution.phase_energised[D].all()


def test_a_blown_fuse_of_a_section_reaches_what_lies_below(hamlet: Feeder) -> None:
    section = hamlet.usage_points[B].section
    solution = solve(hamlet, device("section", section, "L1"))
    assert solution.phase_energised.all(axis=1).tolist() == [True, False, True, True]


def test_an_open_neutral_leaves_supply_and_lets_voltages_float(hamlet: Feeder) -> None:
    """Behind the open neutral: 3 kW on L1 at b, a third on each phase at a: Millman, without the cable's drop."""
    connected = single(B, 0)
    solution = solve(hamlet, device("line", "trunk", "N"), connected=connected)
    assert solution.phase_energised[[A, B]][connected[[A, B]]].all()
    conductance = np.array([4000.0, 1000.0, 1000.0])
    phasors = np.exp(-2j * np.pi / 3 * np.arange(3)) * 400 / np.sqrt(3)
    star = (phasors * conductance).sum() / conductance.sum()
    assert volts(solution, A) == pytest.approx(np.abs(phasors - star).tolist(), rel=0.02)
    assert volts(solution, A)[1] > 300
    assert volts(solution, B)[0] < 130
    # Constant impedance: power goes with the square of the voltage.
    expected = 1000.0 * (volts(solution, A)[1] / (400 / np.sqrt(3))) ** 2
    assert solution.active_power_w[A, 1] == pytest.approx(expected, rel=1e-6)
    assert volts(solution, C) == pytest.approx([230.9] * 3, rel=0.01)


def test_a_service_of_one_phase_without_its_neutral_is_dark(hamlet: Feeder) -> None:
    opened = device("service", "UP-b", "N")
    assert supplied(hamlet, [opened], single(B, 0)).tolist() == [True, False, True, True]
    assert supplied(hamlet, [opened]).all()
    solution = solve(hamlet, opened, connected=single(B, 0))
    assert not solution.phase_energised[B].any()
    assert solution.active_power_w[B].sum() == 0.0
    balanced = solve(hamlet, opened)
    assert volts(balanced, B) == pytest.approx(volts(solve(hamlet), B), rel=1e-3)


def test_customers_of_one_phase_behind_a_lost_neutral_are_dark_unless_another_phase_is_there(hamlet: Feeder) -> None:
    both = single(A, 0) & single(B, 0)
    opened = [device("line", "trunk", "N")]
    assert supplied(hamlet, opened, both).tolist() == [False, False, True, True]
    apart = single(A, 0) & single(B, 2)
    assert supplied(hamlet, opened, apart).all()


def test_what_feeds_in_behind_a_lost_neutral_is_off(hamlet: Feeder) -> None:
    power = np.full((4, 3), 1000.0)
    power[B] = -2000.0
    solution = Network(hamlet).solve(power, power * 0, [device("line", "branch", "N")])
    assert solution.active_power_w[B].tolist() == [0.0, 0.0, 0.0]
    assert solution.active_power_w[A] == pytest.approx(1000.0)


@pytest.mark.parametrize("conductor", ["L1", "N"])
@pytest.mark.parametrize(("kind", "name"), [("line", "trunk"), ("transformer", "North"), ("service", "UP-a")])
def test_power_balances(hamlet: Feeder, kind: DeviceKind, name: str, conductor: Conductor) -> None:
    connected = single(B, 0)
    solution = solve(hamlet, device(kind, name, conductor), connected=connected, power_w=9000.0)
    given, used = solution.source_power_w, solution.load_w + solution.losses_w
    assert given == pytest.approx(used, abs=0.01)
    assert solution.load_w == pytest.approx(solution.active_power_w.sum())
    assert 0.0 < solution.line_losses_w < 0.05 * solution.load_w


def test_it_is_the_three_wire_flow_where_the_broken_conductor_carries_nothing(hamlet: Feeder) -> None:
    """b takes nothing: the open conductor of its service changes nothing for the others, but the model does."""
    power = np.array([[4000.0, 500.0, 100.0], [0.0, 0.0, 0.0], [100.0, 3000.0, 0.0], [800.0, 0.0, 0.0]])
    network = Network(hamlet)
    healthy = network.solve(power, power * 0.3)
    broken = network.solve(power, power * 0.3, [device("service", "UP-b", "L1")])
    # Cables' capacitances are the three-wire model's alone.
    assert np.abs(healthy.phase_voltage_pu - broken.phase_voltage_pu)[[A, C, D]].max() < 1e-6
    assert broken.transformer_low_side_va == pytest.approx(healthy.transformer_low_side_va, abs=0.5)
    assert broken.line_losses_w == pytest.approx(healthy.line_losses_w, abs=0.01)


def test_other_devices_may_be_open_too(hamlet: Feeder) -> None:
    solution = solve(hamlet, device("line", "trunk", "L1"), Device("line", "branch"))
    assert solution.phase_energised[B].tolist() == [False] * 3
    assert solution.phase_energised[A].tolist() == [False, True, True]
    dark = solve(hamlet, device("line", "trunk", "L1"), Device("transformer", "North"))
    assert not dark.phase_energised[[A, B, C]].any()
    two = solve(hamlet, device("line", "trunk", "L1"), device("line", "branch", "L2"))
    assert two.phase_energised[[A, B]].tolist() == [[False, True, True], [False, False, True]]


def test_only_low_voltage_that_one_transformer_feeds_has_single_conductors(net: Any) -> None:
    net.switch.loc[net.switch.index[-1], "closed"] = True
    net.switch["closed"] = True
    meshed = build_feeder("meshed", net)
    with pytest.raises(ConductorError, match="one transformer feeds"):
        supplied(meshed, [device("line", "trunk", "L1")])
    with pytest.raises(SelectionError, match="one transformer feeds"):
        select(meshed, "line", {"id": "trunk"}, np.random.default_rng(1), conductor="L1")
    with pytest.raises(SelectionError, match="conductors that open one by one"):
        select(meshed, "line", {"customers": [1, 2]}, np.random.default_rng(1), conductor="L1")


def test_an_electrode_of_the_bus_table_holds_a_lost_neutral(hamlet: Feeder) -> None:
    net = copy.deepcopy(hamlet.net)
    net.bus["earth_ohm"] = np.nan
    net.bus.loc[net.bus["name"] == "b", "earth_ohm"] = 2.0
    earthed = build_feeder("earthed", net)
    connected = single(B, 0)
    floating, held = (solve(each, device("line", "trunk", "N"), connected=connected) for each in (hamlet, earthed))
    assert volts(floating, A)[1] > volts(held, A)[1] + 30
    assert supplied(earthed, [device("line", "trunk", "N")], single(A, 0) & single(B, 0)).all()


def test_frames_are_true_by_phase(hamlet: Feeder) -> None:
    demand, n = Demand.draw(hamlet, seed=3), len(hamlet.usage_points)
    simulation = GridSimulation(hamlet, demand, start_s=START_S)
    first = simulation.advance(START_S)
    assert first is not None
    assert (first.phase_energised[:n] == demand.connected).all()
    simulation.open(device("transformer", "North", "L2"))
    frame = simulation.advance(START_S + 60)
    assert frame is not None
    lost = demand.connected.copy()
    lost[[A, B, C], 1] = False
    assert (frame.phase_energised[:n] == lost).all()
    assert (frame.voltage_v[:n][~lost] == 0.0).all()
    assert (frame.voltage_v[:n][lost] > 200).all()
    assert (frame.active_power_w[:n][~lost] == 0.0).all()
    # At the transformer's own terminals there is supply: what is open is behind them.
    assert frame.phase_energised[n:].all()
    assert (frame.voltage_v[n:] > 200).all()
    taken_w = frame.active_power_w[:3].sum(axis=0)
    np.testing.assert_allclose(frame.active_power_w[n], taken_w, atol=0.02 * taken_w.sum())
    simulation.close(device("transformer", "North", "L2"))
    back = simulation.advance(START_S + 120)
    assert back is not None
    assert (back.phase_energised[:n] == demand.connected).all()
    (outage,) = simulation.truth.outages
    assert (outage.device, outage.from_s, outage.to_s) == (
        device("transformer", "North", "L2"),
        START_S + 60,
        START_S + 120,
    )
    dark = {point.id for row, point in enumerate(hamlet.usage_points) if not lost[row].any()}
    assert set(outage.usage_points) == dark
