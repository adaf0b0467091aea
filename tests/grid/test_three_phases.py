"""Three phases against published voltages, pandapower's own three-phase flow, and what symmetry says."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pandapower as pp
import pytest

from grid.feeder import Feeder, build_feeder
from grid.network import Network, evenly
from tests.grid import european_feeder


@pytest.fixture(scope="module")
def european() -> tuple[Feeder, Network]:
    feeder = european_feeder.european_feeder()
    return feeder, Network(feeder)


@pytest.mark.parametrize("minute", european_feeder.MINUTES)
def test_the_european_low_voltage_feeder_has_its_published_voltages(
    european: tuple[Feeder, Network], minute: str
) -> None:
    feeder, network = european
    solution = network.solve(*european_feeder.demand(minute))
    volts = np.abs(solution.phase_voltage_pu) * feeder.nominal_voltage_v[:, np.newaxis]
    expected = european_feeder.expected(minute)
    for point, found in zip(feeder.usage_points, volts, strict=True):
        assert found.tolist() == pytest.approx(expected[point.bus], abs=2e-5), point.bus
    assert solution.source_power_w == pytest.approx(solution.load_w + solution.losses_w, abs=0.01)


def with_three_phase_data(net: Any) -> Any:
    """The hamlet as pandapower's own three-phase flow wants it: no iron in the transformers, all data stated."""
    net.line["r0_ohm_per_km"] = net.line["r_ohm_per_km"] * 3.5
    net.line["x0_ohm_per_km"] = net.line["x_ohm_per_km"] * 2.0
    net.line["c_nf_per_km"] = net.line["c0_nf_per_km"] = 0.0
    net.trafo["vector_group"], net.trafo["vk0_percent"], net.trafo["vkr0_percent"] = "Dyn", 5.0, 1.2
    net.trafo["mag0_percent"], net.trafo["mag0_rx"], net.trafo["si0_hv_partial"] = 1e6, 0.0, 0.9
    net.trafo["pfe_kw"] = net.trafo["i0_percent"] = 0.0
    net.trafo["tap_pos"] = net.trafo["tap_neutral"]
    net.ext_grid["s_sc_max_mva"], net.ext_grid["rx_max"] = 1e8, 0.1
    net.ext_grid["x0x_max"], net.ext_grid["r0x0_max"] = 1.0, 0.1
    return net


def test_a_small_feeder_is_solved_as_by_pandapower_with_three_phases(net: Any) -> None:
    net = with_three_phase_data(net)
    feeder = build_feeder("hamlet", net)
    demand_va = np.array([[9e3 + 2e3j, 0, 0], [0, 7e3 + 1e3j, 1e3], [3e3, 3e3, 3e3 + 1e3j], [0, 0, -4e3]])
    solution = Network(feeder).solve(demand_va.real, demand_va.imag)

    theirs = copy.deepcopy(net)
    theirs.load = theirs.load.iloc[:0]
    for point, powers in zip(feeder.usage_points, demand_va / 1e6, strict=True):
        active = {f"p_{phase}_mw": power.real for phase, power in zip("abc", powers, strict=True)}
        reactive = {f"q_{phase}_mvar": power.imag for phase, power in zip("abc", powers, strict=True)}
        pp.create_asymmetric_load(theirs, point.bus, **active, **reactive)
    pp.runpp_3ph(theirs)
    rows = theirs.res_bus_3ph.loc[[point.bus for point in feeder.usage_points]]
    for phase, name in enumerate("abc"):
        voltage = rows[f"vm_{name}_pu"] * np.exp(1j * np.radians(rows[f"va_{name}_degree"]))
        np.testing.assert_allclose(solution.phase_voltage_pu[:, phase], voltage.to_numpy(), atol=1e-6)


def test_equal_phases_are_a_balanced_flow(hamlet: Feeder) -> None:
    demand = evenly(np.array([9e3, 2e3, 5e3, -3e3])), evenly(np.full(4, 1e3))
    three, balanced = Network(hamlet).solve(*demand), Network(hamlet, "balanced").solve(*demand)
    np.testing.assert_allclose(three.phase_voltage_pu, balanced.phase_voltage_pu, atol=1e-12)
    assert three.losses_w == pytest.approx(balanced.losses_w, abs=1e-5)


def test_a_balanced_flow_takes_the_same_power_from_all_phases(hamlet: Feeder) -> None:
    on_one = np.array([[9e3, 0, 0], [0, 2e3, 0], [0, 0, 5e3], [1e3, 0, 0]])
    balanced, none = Network(hamlet, "balanced"), np.zeros((4, 3))
    same = balanced.solve(evenly(on_one.sum(axis=1)), none)
    np.testing.assert_allclose(balanced.solve(on_one, none).phase_voltage_pu, same.phase_voltage_pu, atol=1e-12)


def test_a_single_phase_load_lifts_the_others_and_loses_more(hamlet: Feeder) -> None:
    """The neutral's point is drawn towards the loaded phase: its own voltage falls, and another's rises."""
    on_one, none = np.array([[9e3, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]], dtype=np.float64), np.zeros((4, 3))
    network = Network(hamlet)
    without, loaded = network.solve(none, none), network.solve(on_one, none)
    change = np.abs(loaded.phase_voltage_pu[0]) - np.abs(without.phase_voltage_pu[0])
    assert change[0] < -0.005
    assert change.max() > 0.001
    # Three times the current in one conductor instead of three, and as much in a neutral like it.
    spread = network.solve(evenly(on_one.sum(axis=1)), none)
    assert loaded.line_losses_w == pytest.approx(6 * spread.line_losses_w, rel=0.03)
    low_side = loaded.transformer_low_side_va.real
    assert low_side[0].sum() == pytest.approx(loaded.transformer_active_power_w[0] - loaded.transformer_losses_w[0])
    assert low_side[0, 0] > 9e3 > 100 > np.abs(low_side[0, 1:]).max()


def test_shifts_that_do_not_cancel_around_a_mesh(net: Any) -> None:
    """Then the two sequences have matrices of their own, and the positive one is still pandapower's."""
    pp.create_switch(net, 1, 2, et="b", closed=True)
    net.trafo.loc[net.trafo.index[0], "shift_degree"] += 1.5
    feeder = build_feeder("hamlet", net)
    power = np.array([9e3, 2e3, 5e3, 3e3])
    solution = Network(feeder).solve(evenly(power), evenly(power * 0.3))
    theirs = copy.deepcopy(feeder.net)
    theirs.load.loc[feeder.load_index, "p_mw"], theirs.load.loc[feeder.load_index, "q_mvar"] = power / 1e6, power * 3e-7
    pp.runpp(theirs, numba=False)
    rows = theirs.res_bus.iloc[feeder.bus_position]
    voltage = rows["vm_pu"] * np.exp(1j * np.radians(rows["va_degree"]))
    np.testing.assert_allclose(solution.phase_voltage_pu[:, 0], voltage.to_numpy(), atol=1e-8)
    one = np.eye(3)[[0, 0, 1, 2]] * power[:, np.newaxis]
    unbalanced = Network(feeder).solve(one, one * 0.3)
    assert unbalanced.source_power_w == pytest.approx(unbalanced.load_w + unbalanced.losses_w, abs=0.01)


def test_switches_with_impedance_and_lines_open_at_one_end(net: Any) -> None:
    coupler = pp.create_bus(net, 0.4, name="beyond a switch")
    pp.create_switch(net, 5, coupler, et="b", closed=True, z_ohm=0.05)
    pp.create_load(net, coupler, p_mw=0.002, name="e")
    net.line["c_nf_per_km"] = 5e5
    feeder = build_feeder("hamlet", net)
    power = np.array([9e3, 2e3, 5e3, 3e3, 4e3])
    solution = Network(feeder).solve(evenly(power), evenly(power * 0.3))
    theirs = copy.deepcopy(feeder.net)
    theirs.load.loc[feeder.load_index, "p_mw"], theirs.load.loc[feeder.load_index, "q_mvar"] = power / 1e6, power * 3e-7
    pp.runpp(theirs, numba=False)
    voltage_pu = theirs.res_bus["vm_pu"].to_numpy()[feeder.bus_position]
    np.testing.assert_allclose(np.abs(solution.phase_voltage_pu[:, 0]), voltage_pu, atol=1e-8)
    assert solution.line_losses_w == pytest.approx(theirs.res_line["pl_mw"].sum() * 1e6, abs=0.1)
