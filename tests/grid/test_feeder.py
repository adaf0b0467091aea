"""Usage points, transformers and sections of a feeder, and the refusal of unusable ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandapower as pp
import pytest

from grid.feeder import Device, Feeder, FeederError, build_feeder, load_feeder


def ids(feeder: Feeder, positions: Any) -> set[str]:
    return {feeder.usage_points[position].id for position in positions}


def test_schutterwald_is_complete(schutterwald: Feeder) -> None:
    points = schutterwald.usage_points
    assert (len(points), len(schutterwald.transformers), schutterwald.bus_count) == (1506, 14, 2940)
    assert len({point.id for point in points}) == 1506
    assert all(point.transformer in schutterwald.transformers for point in points)
    assert all(point.section in schutterwald.sections for point in points)
    assert all(schutterwald.sections[point.section].transformer == point.transformer for point in points)
    assert all(7.8 < (point.longitude or 0) < 7.95 and 48.4 < (point.latitude or 0) < 48.5 for point in points)


def test_every_usage_point_hangs_on_exactly_one_transformer(schutterwald: Feeder) -> None:
    reach = [schutterwald.darkened_by(device) for device in schutterwald.devices("transformer")]
    assert sorted(np.concatenate(reach)) == list(range(1506))


def test_hamlet(hamlet: Feeder) -> None:
    assert [point.id for point in hamlet.usage_points] == ["UP-a", "UP-b", "UP-c", "UP-d"]
    assert [point.transformer for point in hamlet.usage_points] == ["North", "North", "North", "South"]
    sections = [point.section for point in hamlet.usage_points]
    assert len(set(sections)) == 4
    assert hamlet.usage_points[0].longitude == 7.5
    # The fault in a's section darkens b, which hangs on it; c has its own fuse at the busbar.
    assert ids(hamlet, hamlet.darkened_by(Device("section", sections[0]))) == {"UP-a", "UP-b"}
    assert ids(hamlet, hamlet.darkened_by(Device("section", sections[1]))) == {"UP-b"}
    assert ids(hamlet, hamlet.darkened_by(Device("line", "trunk"))) == {"UP-a", "UP-b"}
    assert ids(hamlet, hamlet.darkened_by(Device("line", "tie"))) == set()
    assert ids(hamlet, hamlet.darkened_by(Device("transformer", "North"))) == {"UP-a", "UP-b", "UP-c"}
    assert ids(hamlet, hamlet.darkened_by(Device("service", "UP-c"))) == {"UP-c"}


def test_building_leaves_the_given_net_alone(net: Any) -> None:
    switches = len(net.switch)
    feeder = build_feeder("hamlet", net)
    assert len(net.switch) == switches
    assert len(feeder.net.switch) > switches


def test_doubled_and_missing_names_still_give_unique_ids(net: Any) -> None:
    net.load["name"] = ["x/y", "x/y", None, "d"]
    assert [p.id for p in build_feeder("hamlet", net).usage_points] == ["UP-x_y-0", "UP-x_y-1", "UP-load-2", "UP-d"]


def test_loads_above_low_voltage_are_no_usage_points(net: Any) -> None:
    pp.create_load(net, 0, p_mw=1.0, name="factory")
    assert len(build_feeder("hamlet", net).usage_points) == 4


def test_unknown_name() -> None:
    with pytest.raises(FeederError, match="known feeders: schutterwald"):
        load_feeder("atlantis")


def test_all_faults_are_listed(net: Any) -> None:
    net.ext_grid["in_service"] = False
    net.load["in_service"] = [True, False, False, True]
    net.bus["vn_kv"] = 20.0
    with pytest.raises(FeederError) as caught:
        build_feeder("broken", net)
    message = str(caught.value)
    assert "no load in service at or below 1 kV" in message
    assert "no external grid" in message
    assert "2 loads without a path to a source" in message
    assert "0 'a', 3 'd'" in message


@pytest.mark.parametrize("way", ["switch", "line"])
def test_a_load_without_supply_is_named(net: Any, way: str) -> None:
    if way == "switch":
        net.switch.loc[0, "closed"] = False
    else:
        net.line.loc[net.line["name"] == "branch", "in_service"] = False
    with pytest.raises(FeederError, match=r"1 load without a path to a source.*: 1 'b'"):
        build_feeder("broken", net)


def test_a_feeder_that_cannot_carry_its_loads(net: Any) -> None:
    net.load["p_mw"] = 5.0
    with pytest.raises(FeederError, match="does not converge"):
        build_feeder("broken", net)


def test_broken_tables_are_all_named(net: Any) -> None:
    pp.create_gen(net, 0, 1.0)
    net.load.loc[1, "bus"] = 99
    net.load.loc[2, "p_mw"] = float("nan")
    with pytest.raises(FeederError) as caught:
        build_feeder("broken", net)
    message = str(caught.value)
    assert "'gen' in service, which is not supported; remove or replace: 0" in message
    assert "load 1 'b': bus is not a bus of the net" in message
    assert "load 2 'c': p_mw is no number" in message
