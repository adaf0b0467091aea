"""Where things lie, for maps."""

from __future__ import annotations

import json
from pathlib import Path

from grid.feeder import Feeder, build_feeder
from grid.geography import write_geography
from tests.grid.conftest import hamlet_net


def test_the_village_has_every_usage_point_transformer_and_line(schutterwald: Feeder, tmp_path: Path) -> None:
    path = tmp_path / "geography.json"
    assert write_geography(path, schutterwald)
    document = json.loads(path.read_text(encoding="utf-8"))
    assert len(document["usage_points"]) == 1506
    assert len(document["transformers"]) == 14
    assert len(document["lines"]["low_voltage"]) == len(schutterwald.net.line)
    some = document["usage_points"][schutterwald.usage_points[7].id]
    assert some["transformer"] in document["transformers"]
    everywhere = [position for line in document["lines"]["low_voltage"] for position in line]
    assert all(7.8 < longitude < 8.0 and 48.4 < latitude < 48.5 for longitude, latitude in everywhere)


def test_lines_without_a_course_go_from_bus_to_bus(tmp_path: Path) -> None:
    net = hamlet_net()
    net.bus.loc[3:, "geo"] = '{"coordinates": [7.6, 48.3], "type": "Point"}'
    path = tmp_path / "geography.json"
    assert write_geography(path, build_feeder("hamlet", net))
    lines = json.loads(path.read_text())["lines"]["low_voltage"]
    assert len(lines) == len(net.line)
    assert [[7.5, 48.25], [7.6, 48.3]] in lines


def test_a_network_without_coordinates_has_no_geography(tmp_path: Path) -> None:
    net = hamlet_net()
    del net.bus["geo"]
    path = tmp_path / "geography.json"
    assert not write_geography(path, build_feeder("hamlet", net))
    assert not path.exists()
