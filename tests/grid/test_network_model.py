"""The export of the network: whoever reads it must come to the same dark customers as the feeder itself."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import pytest

from grid.feeder import DEVICE_KINDS, Device, Feeder
from grid.network_model import device_name, network_model, write_network_model


def reach_by_file(path: Path) -> dict[str, set[str]]:
    """Device → the usage points below it, from the file alone."""
    document = json.loads(path.read_text(encoding="utf-8"))
    parent = {device["id"]: device["parent"] for device in document["devices"]}
    assert len(parent) == len(document["devices"])
    reach: dict[str, set[str]] = defaultdict(set)
    for point in document["usage_points"]:
        above = point["device"]
        while above is not None:
            reach[above].add(point["id"])
            above = parent[above]
    return reach


def reach_by_feeder(feeder: Feeder) -> dict[str, set[str]]:
    reach = {
        device_name(device): {feeder.usage_points[row].id for row in feeder.darkened_by(device)}
        for kind in DEVICE_KINDS
        for device in feeder.devices(kind)
    }
    return {name: points for name, points in reach.items() if points}


@pytest.mark.parametrize("which", ["hamlet", "schutterwald"])
def test_the_file_says_whom_each_device_darkens(which: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    feeder: Feeder = request.getfixturevalue(which)
    write_network_model(tmp_path / "network.json", network_model(feeder))
    assert reach_by_file(tmp_path / "network.json") == reach_by_feeder(feeder)


def test_devices_in_series_hang_in_the_order_of_the_current(hamlet: Feeder) -> None:
    parents = {entry.device: entry.parent for entry in network_model(hamlet).devices}
    way = [Device("service", "UP-d")]
    while (above := parents[way[-1]]) is not None:
        way.append(above)
    assert [device.kind for device in way] == ["service", "line", "section", "section", "transformer"]
    assert way[-1].id == "South"


def test_parents_come_before_their_children(schutterwald: Feeder) -> None:
    seen: set[Device | None] = {None}
    for entry in network_model(schutterwald).devices:
        assert entry.parent in seen
        seen.add(entry.device)


def test_the_file_says_where_things_are_and_what_they_are_rated(schutterwald: Feeder, tmp_path: Path) -> None:
    write_network_model(tmp_path / "network.json", network_model(schutterwald))
    document = json.loads((tmp_path / "network.json").read_text(encoding="utf-8"))
    for device in document["devices"]:
        assert ("rated_kva" in device) == (device["kind"] == "transformer")
        assert ("position" in device) == (device["kind"] != "section")
    for written, point in zip(document["usage_points"], schutterwald.usage_points, strict=True):
        assert written["position"] == [point.longitude, point.latitude]
        assert written["nominal_voltage_v"] == 230.9
