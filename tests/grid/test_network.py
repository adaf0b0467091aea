"""Supply and power flow against pandapower's own, and against published results."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
import pandapower.networks
import pandapower.topology
import pytest

from grid.demand import Demand
from grid.feeder import DEVICE_KINDS, Device, Feeder, build_feeder
from grid.network import Network, Solution, evenly
from grid.powerflow import PowerFlowError
from tests.grid.conftest import supplied

BALANCED = ("baran-wu-33",)
"""Published cases of a balanced flow; tests/grid/test_three_phases.py has the others."""
CASES = [Path(__file__).parent / "cases" / name for name in BALANCED]


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_published_case(case: Path) -> None:
    expected = json.loads((case / "expected.json").read_text(encoding="utf-8"))
    net = getattr(pandapower.networks, expected["net"])()
    feeder = build_feeder(case.name, net, max_vn_kv=expected["max_vn_kv"])
    load = net.load.loc[feeder.load_index]
    solution = Network(feeder).solve(evenly(load["p_mw"].to_numpy() * 1e6), evenly(load["q_mvar"].to_numpy() * 1e6))
    voltage_pu = np.abs(solution.phase_voltage_pu[:, 0])
    lowest = int(np.argmin(voltage_pu))
    actual = {
        "load_w": solution.load_w,
        "losses_w": solution.losses_w,
        "minimum_voltage_pu": voltage_pu[lowest],
    }
    for name, value in actual.items():
        assert value == pytest.approx(expected[name]["value"], abs=expected[name]["tolerance"]), name
    assert feeder.usage_points[lowest].bus == expected["minimum_voltage_bus"]


def random_devices(feeder: Feeder, rng: np.random.Generator, each: int) -> list[Device]:
    chosen: list[Device] = []
    for kind in DEVICE_KINDS:
        devices = feeder.devices(kind)
        picks = rng.choice(len(devices), size=min(each, len(devices)), replace=False)
        chosen.extend(devices[int(pick)] for pick in picks)
    return chosen


def switched_net(feeder: Feeder, opened: list[Device]) -> Any:
    """The feeder's net, switched by hand in pandapower's own tables."""
    net = copy.deepcopy(feeder.net)
    for device in opened:
        if device.kind == "transformer":
            net.trafo.loc[feeder.transformers[device.id], "in_service"] = False
        elif device.kind == "line":
            net.line.loc[feeder.lines[device.id], "in_service"] = False
        elif device.kind == "section":
            section = feeder.sections[device.id]
            net.switch.loc[list(section.switches), "closed"] = False
            net.trafo.loc[list(section.transformers), "in_service"] = False
    return net


@pytest.mark.parametrize("seed", range(4))
def test_supply_agrees_with_pandapower(schutterwald: Feeder, seed: int) -> None:
    opened = [d for d in random_devices(schutterwald, np.random.default_rng(seed), 4) if d.kind != "service"]
    dark = pandapower.topology.unsupplied_buses(switched_net(schutterwald, opened))
    expected = [point.bus not in dark for point in schutterwald.usage_points]
    assert supplied(schutterwald, opened).tolist() == expected
    assert not all(expected)


def assert_same_as_runpp(feeder: Feeder, solution: Solution, opened: list[Device], demand: Any) -> None:
    net = switched_net(feeder, opened)
    active_w, reactive_var = demand
    dropped = [feeder.position[device.id] for device in opened if device.kind == "service"]
    net.load.loc[feeder.load_index, "p_mw"] = active_w / 1e6
    net.load.loc[feeder.load_index, "q_mvar"] = reactive_var / 1e6
    net.load.loc[feeder.load_index[dropped], ["p_mw", "q_mvar"]] = 0.0
    pp.runpp(net, numba=False)
    voltage_pu = net.res_bus["vm_pu"].to_numpy()[feeder.bus_position]
    assert np.array_equal(solution.energised, ~np.isnan(voltage_pu) & ~np.isin(np.arange(len(voltage_pu)), dropped))
    lit = solution.energised
    np.testing.assert_allclose(np.abs(solution.phase_voltage_pu[lit]), np.tile(voltage_pu[lit], (3, 1)).T, atol=1e-8)
    assert not solution.phase_voltage_pu[~lit].any()
    assert not solution.active_power_w[~lit].any()
    trafo = net.res_trafo.fillna(0.0)
    np.testing.assert_allclose(solution.transformer_active_power_w, trafo["p_hv_mw"] * 1e6, atol=0.1)
    np.testing.assert_allclose(solution.transformer_losses_w, trafo["pl_mw"] * 1e6, atol=0.01)
    np.testing.assert_allclose(solution.transformer_loading_percent, trafo["loading_percent"], atol=1e-4)
    assert solution.line_losses_w == pytest.approx(np.nansum(net.res_line["pl_mw"]) * 1e6, abs=0.1)
    sources = net.res_ext_grid.fillna(0.0).to_numpy(dtype=np.float64)
    np.testing.assert_allclose(solution.source_va, (sources[:, 0] + 1j * sources[:, 1]) * 1e6, atol=0.5)
    assert solution.source_power_w == pytest.approx(solution.load_w + solution.losses_w, abs=0.1)


def test_every_frame_around_switchings_is_that_of_a_full_power_flow(schutterwald: Feeder, start_s: int) -> None:
    """Nothing of an earlier switching state may survive: neither after opening, nor under changing load, nor after."""
    demand = Demand.draw(schutterwald, seed=1)
    network = Network(schutterwald)
    rng = np.random.default_rng(5)
    states = [[], random_devices(schutterwald, rng, 2), random_devices(schutterwald, rng, 3), []]
    for number, opened in enumerate(states):
        for step in (0, 1):
            at = demand.at(start_s + (number * 20 + step * 7) * 900)
            assert_same_as_runpp(schutterwald, network.solve(evenly(at[0]), evenly(at[1]), opened), opened, at)


def test_solution_does_not_depend_on_what_was_solved_before(schutterwald: Feeder, start_s: int) -> None:
    demand = Demand.draw(schutterwald, seed=1)
    used = Network(schutterwald)
    active_w, reactive_var = demand.at(start_s)
    used.solve(evenly(active_w), evenly(reactive_var), schutterwald.devices("transformer")[:3])
    used.solve(*map(evenly, demand.at(start_s + 40_000)))
    fresh = Network(schutterwald).solve(*map(evenly, demand.at(start_s + 900)))
    again = used.solve(*map(evenly, demand.at(start_s + 900)))
    assert np.array_equal(fresh.phase_voltage_pu, again.phase_voltage_pu)
    assert fresh.losses_w == again.losses_w


def test_everything_dark_and_back(hamlet: Feeder) -> None:
    network = Network(hamlet)
    power, none = evenly(np.full(4, 1000.0)), np.zeros((4, 3))
    dark = network.solve(power, none, hamlet.devices("transformer"))
    assert not dark.energised.any()
    assert (dark.load_w, dark.losses_w, dark.source_power_w) == (0.0, 0.0, 0.0)
    assert network.solve(power, none).load_w == pytest.approx(4000.0)


def test_bulk_customers_and_infeed_stay_in_the_balance(net: Any) -> None:
    pp.create_load(net, 0, p_mw=0.05, q_mvar=0.01, scaling=0.5, name="factory")
    pp.create_load(net, 0, p_mw=9.0, in_service=False)
    pp.create_sgen(net, 1, p_mw=0.003, name="park")
    feeder = build_feeder("hamlet", net)
    network = Network(feeder)
    solution = network.solve(evenly(np.full(4, 1000.0)), np.zeros((4, 3)))
    assert solution.load_w == pytest.approx(26_000.0)
    assert solution.source_power_w == pytest.approx(solution.load_w + solution.losses_w, abs=0.01)
    assert feeder.bulk.active_power_w.tolist() == pytest.approx([25_000.0, -3_000.0])
    at_night = network.solve(
        evenly(np.full(4, 1000.0)), np.zeros((4, 3)), bulk=(np.array([25_000.0, 0.0]), np.zeros(2))
    )
    assert at_night.load_w == pytest.approx(29_000.0)
    without_the_park = network.solve(evenly(np.full(4, 1000.0)), np.zeros((4, 3)), feeder.devices("transformer"))
    assert without_the_park.load_w == pytest.approx(25_000.0)


def test_voltage_dependence_does_not_bend_the_demand(net: Any) -> None:
    net.load["const_z_p_percent"] = 100.0
    net.load["scaling"] = 0.5
    solution = Network(build_feeder("hamlet", net)).solve(evenly(np.full(4, 9000.0)), np.zeros((4, 3)))
    assert solution.source_power_w == pytest.approx(36_000.0 + solution.losses_w, abs=0.01)


def test_too_much_demand_is_refused(hamlet: Feeder) -> None:
    network = Network(hamlet)
    network.solve(evenly(np.full(4, 1000.0)), np.zeros((4, 3)))
    with pytest.raises(PowerFlowError, match=r"'hamlet' with 0 devices open cannot carry 4000\.0 kW"):
        network.solve(evenly(np.full(4, 1e6)), np.zeros((4, 3)))


def test_unknown_device(hamlet: Feeder) -> None:
    with pytest.raises(KeyError):
        supplied(hamlet, [Device("line", "nowhere")])
