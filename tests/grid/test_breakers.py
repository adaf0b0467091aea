"""Customers' breakers: what they take off the feeder, and what they leave alone."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
import pyarrow.parquet as pq
import pytest

import grid.network
from grid.demand import Demand
from grid.feeder import Device, Feeder
from grid.simulation import GridSimulation
from grid.world import WorldFrame

NORTH = Device("transformer", "North")
A, B, C, D = range(4)


@pytest.fixture
def simulation(hamlet: Feeder, start_s: int) -> GridSimulation:
    return GridSimulation(hamlet, Demand.draw(hamlet, seed=1), start_s=start_s)


def advanced(simulation: GridSimulation, now_s: int) -> WorldFrame:
    frame = simulation.advance(now_s)
    assert frame is not None
    return frame


def runpp_without(feeder: Feeder, demand: tuple[np.ndarray, np.ndarray], rows: np.ndarray) -> Any:
    """pandapower's own full power flow with the loads in `rows` taken off."""
    net = copy.deepcopy(feeder.net)
    for column, values in zip(("p_mw", "q_mvar"), demand, strict=True):
        kept = values.copy()
        kept[rows] = 0.0
        net.load.loc[feeder.load_index, column] = kept / 1e6
    pp.runpp(net, numba=False)
    return net


def test_power_voltage_and_loading_change_as_a_full_power_flow_says(schutterwald: Feeder, start_s: int) -> None:
    demand = Demand.draw(schutterwald, seed=1)
    simulation = GridSimulation(schutterwald, demand, start_s=start_s, flow="balanced")
    before = advanced(simulation, start_s)
    customers = len(schutterwald.usage_points)
    rows = np.random.default_rng(3).choice(customers, size=400, replace=False)
    simulation.operate_breakers(dict.fromkeys(rows.tolist(), False))
    after = advanced(simulation, start_s)
    expected = runpp_without(schutterwald, demand.at(start_s), rows)
    voltage_v = expected.res_bus["vm_pu"].to_numpy()[schutterwald.bus_position] * schutterwald.nominal_voltage_v
    np.testing.assert_allclose(after.voltage_v.max(axis=1)[:customers], voltage_v, rtol=1e-8)
    assert after.voltage_v.sum() > before.voltage_v.sum(), "less load must raise the voltages"
    assert not after.active_power_w[rows].any()
    assert not after.reactive_power_var[rows].any()
    others = np.setdiff1d(np.arange(customers), rows)
    assert np.array_equal(after.active_power_w[others], before.active_power_w[others])
    assert after.energised.all()
    assert not after.breaker_closed[rows].any()
    assert after.breaker_closed[others].all()
    at_transformers = after.active_power_w[customers:].sum(axis=1)
    np.testing.assert_allclose(at_transformers, -expected.res_trafo["p_lv_mw"] * 1e6, atol=0.2)


def test_a_disconnection_is_exact_to_the_second_and_no_outage(
    simulation: GridSimulation, start_s: int, tmp_path: Path
) -> None:
    whole = advanced(simulation, start_s).active_power_w.sum(axis=1)
    simulation.operate_breakers({A: False})
    apart = advanced(simulation, start_s + 300)
    assert apart.energised.all()
    assert apart.voltage_v[A].max() > 200.0
    assert not apart.active_power_w[A].any()
    simulation.operate_breakers({A: True})
    again = advanced(simulation, start_s + 400)
    assert again.energised.all()
    assert again.breaker_closed.all()
    assert again.active_power_w.sum(axis=1) == pytest.approx(whole)
    advanced(simulation, start_s + 900)
    simulation.truth.write(tmp_path, until_s=start_s + 900)
    rows = pq.read_table(tmp_path / "truth.parquet").to_pylist()
    assert [row["energised_s"] for row in rows] == [900.0] * 4
    assert rows[A]["import_wh"] == pytest.approx(whole[A] * 800 / 3600)
    assert rows[B]["import_wh"] == pytest.approx(whole[B] * 900 / 3600)
    assert json.loads((tmp_path / "truth_outages.json").read_text()) == []
    assert json.loads((tmp_path / "truth_disconnections.json").read_text()) == [
        {
            "usage_point": "UP-a",
            "from": datetime.fromtimestamp(start_s + 300, UTC).isoformat(),
            "to": datetime.fromtimestamp(start_s + 400, UTC).isoformat(),
        }
    ]


def test_a_feeder_outage_takes_a_disconnected_customer_like_the_others(
    simulation: GridSimulation, start_s: int
) -> None:
    advanced(simulation, start_s)
    simulation.operate_breakers({A: False, D: False})
    advanced(simulation, start_s + 10)
    simulation.open(NORTH)
    dark = advanced(simulation, start_s + 20)
    assert dark.energised[:4].tolist() == [False, False, False, True]
    assert dark.breaker_closed[:4].tolist() == [False, True, True, False]
    simulation.close(NORTH)
    lit = advanced(simulation, start_s + 80)
    assert lit.energised.all()
    assert not lit.active_power_w[[A, D]].any(), "supply is back, and the breaker as it was"
    (outage,) = simulation.truth.outages
    assert outage.usage_points == ("UP-a", "UP-b", "UP-c")


def test_a_breaker_moved_while_dark_shows_when_supply_is_back(simulation: GridSimulation, start_s: int) -> None:
    simulation.open(NORTH)
    advanced(simulation, start_s)
    simulation.operate_breakers({A: False})
    assert not advanced(simulation, start_s + 5).breaker_closed[A]
    simulation.close(NORTH)
    assert not advanced(simulation, start_s + 10).active_power_w[A].any()


def test_a_breaker_that_is_where_it_should_be_makes_no_frame(simulation: GridSimulation, start_s: int) -> None:
    advanced(simulation, start_s)
    simulation.operate_breakers({A: True, B: True})
    assert simulation.advance(start_s + 1) is None
    simulation.operate_breakers({A: False})
    advanced(simulation, start_s + 2)
    simulation.operate_breakers({A: False})
    assert simulation.advance(start_s + 3) is None


def test_all_breakers_of_a_feeder_at_once_are_one_frame_without_a_new_net(
    schutterwald: Feeder, start_s: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulation = GridSimulation(schutterwald, Demand.draw(schutterwald, seed=1), start_s=start_s)
    first = advanced(simulation, start_s)
    # The net is converted and factorised where one of these is made.
    monkeypatch.setattr(grid.network, "PowerFlow", None)
    customers = len(schutterwald.usage_points)
    simulation.operate_breakers(dict.fromkeys(range(customers), False))
    second = advanced(simulation, start_s + 1)
    assert second.sequence == first.sequence + 1
    assert not second.active_power_w[:customers].any()
    assert second.energised.all()


def test_a_state_that_lasted_no_time_is_no_truth(simulation: GridSimulation, start_s: int, tmp_path: Path) -> None:
    advanced(simulation, start_s)
    simulation.operate_breakers({A: False})
    advanced(simulation, start_s)
    simulation.operate_breakers({A: True})
    advanced(simulation, start_s)
    advanced(simulation, start_s + 900)
    simulation.truth.write(tmp_path, until_s=start_s + 900)
    times = pq.read_table(tmp_path / "truth_network.parquet")["time"].to_pylist()
    assert len(times) == len(set(times)) == 2
    assert json.loads((tmp_path / "truth_disconnections.json").read_text()) == []


@pytest.mark.parametrize("row", [-1, 4, 2**40])
def test_a_row_that_the_feeder_does_not_have_is_refused(simulation: GridSimulation, row: int) -> None:
    with pytest.raises(IndexError, match=f"no row {row}"):
        simulation.operate_breakers({A: False, row: False})
    assert simulation.breaker_closed.all()
