"""Where things are on the live map: where they lie, or in a scheme where somebody's position is not known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from grid.feeder import load_feeder
from grid.geography import geography
from lab.fleet.commissioning import commission
from lab.fleet.geography import Place
from lab.fleet.plan import FleetPlan
from lab.fleet.presets import PRESETS
from lab.fleet.vendors import vendor_mix
from lab.live.scene import map_scene
from lab.verdict.network_model import Network

NETS = Path(__file__).parents[2] / "cases" / "geometry"


def scene_of(net: str) -> dict[str, Any]:
    feeder = load_feeder(f"file:{NETS / net}")
    places = [Place(point.longitude, point.latitude, point.transformer) for point in feeder.usage_points]
    fleet = commission(
        [point.id for point in feeder.usage_points],
        places,
        vendor_mix(PRESETS["mesh"].shares),
        group="g",
        seed=1,
        new_gateway=lambda: "127.0.0.1:1",
    )
    description = {"geography": geography(feeder), "nominal_voltage_v": feeder.nominal_voltage_v.tolist()}
    plan = FleetPlan(list(range(len(places))), places, fleet)
    return map_scene(plan, {"name": feeder.name}, description, Network({}, {})).document


def test_positions_are_drawn_where_all_meters_have_one() -> None:
    scene = scene_of("multiline.json")
    assert not scene["scheme"]
    assert len(scene["low_voltage"]) == 5
    assert len(set(zip(scene["x"], scene["y"], strict=True))) == 4


@pytest.mark.parametrize("net", ["utm.json", "broken.json"])
def test_a_scheme_has_no_courses_of_lines(net: str) -> None:
    """Degrees mean nothing in it, also where some of the feeder has them."""
    scene = scene_of(net)
    assert scene["scheme"]
    assert scene["low_voltage"] == scene["medium_voltage"] == scene["bare"] == []
    assert len(set(zip(scene["x"], scene["y"], strict=True))) == 4
    (station,) = scene["transformers"]
    assert station["name"] == "T1"
    assert min(scene["x"]) <= station["x"] <= max(scene["x"])
