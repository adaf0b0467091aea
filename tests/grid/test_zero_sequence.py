"""Zero-sequence data: what a net states goes before the table of assumptions, and what the assumptions weigh."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from grid.feeder import Feeder, FeederError, build_feeder
from grid.network import Network
from grid.phase_assumptions import phase_assumptions
from grid.zero_sequence import line_zero_sequence, trafo_zero_sequence

ASSUMED = phase_assumptions()


def test_a_net_that_states_nothing_gets_multiples_of_its_positive_sequence(net: Any) -> None:
    line, trafo = line_zero_sequence(net, ASSUMED), trafo_zero_sequence(net, ASSUMED)
    assert line.r0_ohm_per_km.tolist() == pytest.approx((4 * net.line["r_ohm_per_km"]).tolist())
    assert line.x0_ohm_per_km.tolist() == pytest.approx((4 * net.line["x_ohm_per_km"]).tolist())
    assert np.abs(trafo).tolist() == pytest.approx((net.trafo["vk_percent"] / 100).tolist())
    assert trafo.real.tolist() == pytest.approx((net.trafo["vkr_percent"] / 100).tolist())


def test_what_a_net_states_stays_row_by_row(net: Any) -> None:
    first, second, *_ = net.line.index
    net.line.loc[first, ["r0_ohm_per_km", "x0_ohm_per_km"]] = 1.5, 0.09
    net.line.loc[second, ["r0_ohm_per_km", "x0_ohm_per_km"]] = 0.0, 0.0
    north, south = net.trafo.index
    net.trafo.loc[north, ["vk0_percent", "vkr0_percent"]] = 3.0, 1.0
    net.trafo["vector_group"] = ["Dyn5", "Yyn0"]
    feeder = build_feeder("stated", net)
    line, trafo = line_zero_sequence(feeder.net, ASSUMED), trafo_zero_sequence(feeder.net, ASSUMED)
    r1, x1 = net.line["r_ohm_per_km"].to_numpy(), net.line["x_ohm_per_km"].to_numpy()
    assert line.r0_ohm_per_km.tolist() == pytest.approx([1.5, *(4 * r1[1:])]), "zeros say nothing"
    assert line.x0_ohm_per_km.tolist() == pytest.approx([0.09, *(4 * x1[1:])])
    assert trafo[0] == pytest.approx(0.01 + 1j * np.sqrt(0.03**2 - 0.01**2))
    assert abs(trafo[1]) == pytest.approx(10 * net.trafo.loc[south, "vk_percent"] / 100), "no delta in it"


def test_a_transformer_without_a_neutral_is_taken_to_have_one_with_a_notice(net: Any) -> None:
    net.trafo["vector_group"] = ["Dy5", "Dyn5"]
    feeder = build_feeder("bare", net)
    (notice,) = feeder.notices
    assert notice == ("1 transformer to low voltage without a neutral, by the vector group, taken to be Dyn: 0 'North'")
    assert trafo_zero_sequence(feeder.net, ASSUMED).tolist() == trafo_zero_sequence(net, ASSUMED).tolist()


@pytest.mark.parametrize(
    ("table", "column"),
    [("line", "r0_ohm_per_km"), ("line", "x0_ohm_per_km"), ("trafo", "vk0_percent"), ("trafo", "mag0_percent")],
)
def test_negative_zero_sequence_data_are_refused(net: Any, table: str, column: str) -> None:
    net[table][column] = -0.1
    with pytest.raises(FeederError, match=f"{column} is below 0"):
        build_feeder("wrong", net)


@pytest.mark.parametrize("ratio", [2.0, 4.0, 8.0])
def test_halved_and_doubled_ratios_move_the_voltage_of_a_loaded_phase_as_its_loop_does(
    hamlet: Feeder, ratio: float
) -> None:
    """Line and return are (2·Z1 + Z0)/3; the load is small and resistive, so that the drop is the resistance's."""
    assumed = replace(ASSUMED, line_r0_over_r1=ratio, line_x0_over_x1=ratio)
    network, none = Network(hamlet, assumed=assumed), np.zeros((4, 3))
    load = none.copy()
    load[2, 0] = 1000.0  # at the end of one line from the busbar
    volts = np.abs(network.solve(load, none).phase_voltage_pu)
    # a hangs on the same busbar by another line, and takes nothing: its phase is the busbar's.
    drop_v = (volts[0, 0] - volts[2, 0]) * 400 / np.sqrt(3)
    ohm = hamlet.net.line.loc[hamlet.lines["short"], "r_ohm_per_km"] * 0.1
    assert drop_v == pytest.approx(1000.0 / 231 * ohm * (2 + ratio) / 3, rel=0.02)


def test_the_effects_of_the_table_are_listed(hamlet: Feeder) -> None:
    from grid.demand import Demand
    from scripts.zero_sequence import effects

    found = {effect.name: effect for effect in effects(hamlet, Demand.draw(hamlet, seed=7), range(17, 19))}
    assert list(found) == [
        "as in the table",
        "line_r0_over_r1 = 2",
        "line_r0_over_r1 = 8",
        "line_x0_over_x1 = 2",
        "line_x0_over_x1 = 8",
        "transformer_z0_over_z1 = 0.5",
        "transformer_z0_over_z1 = 2",
        "balanced flow",
    ]
    assert found["as in the table"].largest_v == 0.0
