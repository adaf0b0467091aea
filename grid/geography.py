"""Where the feeder lies: positions of usage points and transformers and the courses of lines, WGS 84 degrees.

Written for maps. A network without coordinates has no geography, and no file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from grid import geo
from grid.feeder import Device, Feeder
from grid.geo import Position
from grid.voltage_levels import LOW_VOLTAGE_KV

SCHEMA_VERSION = 1


def write_geography(path: Path, feeder: Feeder) -> bool:
    """Write the document of `geography` as JSON, UTF-8; False, and no file, where there is none."""
    document = geography(feeder)
    if document is None:
        return False
    path.write_text(json.dumps(document, separators=(",", ":"), ensure_ascii=False) + "\n", encoding="utf-8")
    return True


def geography(feeder: Feeder) -> dict[str, Any] | None:
    """Positions, each as [longitude, latitude]; None where no usage point has one.

    `lines` are courses of at least two positions; a line without a course of its own is drawn from bus to bus.
    """
    net = feeder.net
    buses = _positions(net)
    points = {
        point.id: {"position": [point.longitude, point.latitude], "transformer": point.transformer}
        for point in feeder.usage_points
        if point.longitude is not None and point.latitude is not None
    }
    if not points:
        return None
    low_voltage_bus, rated_mva = net.trafo["lv_bus"], net.trafo["sn_mva"]
    return {
        "schema": SCHEMA_VERSION,
        "feeder": feeder.name,
        "usage_points": points,
        "transformers": {
            name: {"position": buses[low_voltage_bus.at[index]], "rated_kva": float(rated_mva.at[index]) * 1e3}
            for name, index in feeder.transformers.items()
            if low_voltage_bus.at[index] in buses
        },
        "lines": _lines(net, buses),
    }


def device_positions(feeder: Feeder) -> dict[Device, Position]:
    """Where transformers (their low-voltage busbar), lines (their middle) and services (the usage point) are.

    A section is an area and has no position.
    """
    net = feeder.net
    buses = _positions(net)
    low_voltage_bus = net.trafo["lv_bus"]
    courses = dict(zip(net.line.index, map(geo.courses, geo.column(net.line)), strict=True))
    found = {
        Device("service", point.id): (point.longitude, point.latitude)
        for point in feeder.usage_points
        if point.longitude is not None and point.latitude is not None
    }
    for name, index in feeder.transformers.items():
        if (bus := int(low_voltage_bus.at[index])) in buses:
            found[Device("transformer", name)] = buses[bus]
    for name, index in feeder.lines.items():
        course: list[Position] = max(courses[index], key=len, default=[])
        ends = [buses[bus] for bus in (net.line.at[index, "from_bus"], net.line.at[index, "to_bus"]) if bus in buses]
        if course:
            found[Device("line", name)] = course[len(course) // 2]
        elif len(ends) == 2:
            found[Device("line", name)] = ((ends[0][0] + ends[1][0]) / 2, (ends[0][1] + ends[1][1]) / 2)
    return found


def _lines(net: Any, buses: Mapping[int, Position]) -> dict[str, list[list[Position]]]:
    lines: dict[str, list[list[Position]]] = {"low_voltage": [], "medium_voltage": []}
    kv = net.bus["vn_kv"]
    for first, last, stated in zip(net.line["from_bus"], net.line["to_bus"], geo.column(net.line), strict=True):
        courses = geo.courses(stated)
        if not courses and first in buses and last in buses:
            courses = [[buses[first], buses[last]]]
        lines["low_voltage" if kv.at[first] <= LOW_VOLTAGE_KV else "medium_voltage"].extend(courses)
    return lines


def _positions(net: Any) -> dict[int, Position]:
    found = zip(net.bus.index, map(geo.point, geo.column(net.bus)), strict=True)
    return {bus: position for bus, position in found if position is not None}
