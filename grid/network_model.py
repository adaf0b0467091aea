"""The feeder as a utility's geographic information system exports it: which device feeds which, down to the customer.

A device is described by the usage points that lose supply when it alone opens in the normal state. Two such sets are
disjoint or one contains the other, in meshed networks too, since each is what a node (or a connected set of nodes)
dominates; so all devices hang in a forest, and a parent's set contains its children's. docs/network-model.md has the
form of the file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grid.feeder import DEVICE_KINDS, Device, DeviceKind, Feeder
from grid.geo import Position
from grid.geography import device_positions
from grid.world import PHASE_NAMES

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class ModelDevice:
    """A device and the next one on the way to the source; None at the top."""

    device: Device
    parent: Device | None


@dataclass(frozen=True, slots=True)
class NetworkModel:
    """`devices`: parents before children. `usage_points`: (id, the device that feeds it), in the feeder's order.

    `positions`: of the devices that have one, the services of usage points among them; WGS 84 degrees. `rated_kva`: of
    transformers. `nominal_voltage_v`: between line and neutral, in the order of `usage_points`.
    """

    feeder: str
    devices: tuple[ModelDevice, ...]
    usage_points: tuple[tuple[str, Device], ...]
    nominal_voltage_v: tuple[float, ...]
    positions: dict[Device, Position] = field(default_factory=dict)
    rated_kva: dict[Device, float] = field(default_factory=dict)
    phases: tuple[tuple[str, ...], ...] = ()
    """Of each usage point, in their order; of none where the feeder does not say."""


def device_name(device: Device) -> str:
    """The device's id in the file, unique over all kinds: `transformer:T3`."""
    return f"{device.kind}:{device.id}"


def network_model(feeder: Feeder, connected: NDArray[np.bool_] | None = None) -> NetworkModel:
    """`connected` (n, 3): the phases of usage points, if they are known.

    Every device whose opening darkens somebody, and every usage point below its own service.

    A device that darkens nobody by itself, a line of a closed ring for instance, is left out.
    """
    depth = _electrical_depth(feeder)
    reach: dict[Device, int] = {}
    chains: list[list[Device]] = [[] for _ in feeder.usage_points]
    kinds: tuple[DeviceKind, ...] = DEVICE_KINDS
    for kind in kinds:
        for device in feeder.devices(kind):
            points = feeder.darkened_by(device)
            if len(points):
                reach[device] = len(points)
                for point in points:
                    chains[point].append(device)

    def place(device: Device) -> tuple[float, ...]:
        # Devices in series darken the same customers: there the way from the source decides.
        return (-reach[device], depth.get(device, np.inf), kinds.index(device.kind))

    parents: dict[Device, Device | None] = {}
    feeding: list[tuple[str, Device]] = []
    for point, chain in zip(feeder.usage_points, chains, strict=True):
        above: Device | None = None
        for device in sorted(chain, key=lambda device: (*place(device), device.id)):
            parents.setdefault(device, above)
            above = device
        feeding.append((point.id, Device("service", point.id)))
    devices = tuple(ModelDevice(device, parent) for device, parent in parents.items())
    rated_mva = feeder.net.trafo["sn_mva"] * feeder.net.trafo["parallel"]
    return NetworkModel(
        feeder.name,
        devices,
        tuple(feeding),
        tuple(feeder.nominal_voltage_v.tolist()),
        positions=device_positions(feeder),
        rated_kva={
            Device("transformer", name): float(rated_mva.at[index]) * 1e3 for name, index in feeder.transformers.items()
        },
        phases=() if connected is None else tuple(phase_names(connected)),
    )


def phase_names(connected: NDArray[np.bool_]) -> list[tuple[str, ...]]:
    """Of usage points (n, 3): the names of the phases that each is connected to."""
    return [tuple(name for name, has in zip(PHASE_NAMES, row, strict=True) if has) for row in connected.tolist()]


def write_network_model(path: Path, model: NetworkModel) -> None:
    """Write the file of docs/network-model.md: JSON, UTF-8."""
    document = {
        "schema": SCHEMA_VERSION,
        "feeder": model.feeder,
        "devices": [
            {
                "id": device_name(entry.device),
                "kind": entry.device.kind,
                "parent": None if entry.parent is None else device_name(entry.parent),
                **_place(model, entry.device),
                **({"rated_kva": model.rated_kva[entry.device]} if entry.device in model.rated_kva else {}),
            }
            for entry in model.devices
        ],
        "usage_points": [
            {
                "id": point,
                "device": device_name(device),
                "nominal_voltage_v": round(voltage_v, 1),
                **({"phases": model.phases[row]} if model.phases else {}),
                **_place(model, device),
            }
            for row, ((point, device), voltage_v) in enumerate(
                zip(model.usage_points, model.nominal_voltage_v, strict=True)
            )
        ],
    }
    path.write_text(json.dumps(document, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")


def _place(model: NetworkModel, device: Device) -> dict[str, Position]:
    position = model.positions.get(device)
    return {} if position is None else {"position": position}


def _electrical_depth(feeder: Feeder) -> dict[Device, float]:
    """How far from the source: the nodes (buses and lines) that every way to a device leads through."""
    tree, net = feeder.line_tree, feeder.net
    buses = feeder.bus_count

    def depth(node: int) -> float:
        found = tree.depth(node)
        return np.inf if found is None else float(found)

    depths: dict[Device, float] = {}
    for name, index in feeder.lines.items():
        depths[Device("line", name)] = depth(buses + net.line.index.get_loc(index))
    low_voltage_bus = net.bus.index.get_indexer(net.trafo["lv_bus"])
    for name, index in feeder.transformers.items():
        # No node of that tree: just above its low-voltage busbar.
        depths[Device("transformer", name)] = depth(int(low_voltage_bus[net.trafo.index.get_loc(index)])) - 0.5
    first: dict[int, float] = {}
    for offset, zones in ((0, feeder.zones.of_bus), (buses, feeder.zones.of_line)):
        for row, zone in enumerate(zones.tolist()):
            first[zone] = min(first.get(zone, np.inf), depth(offset + row))
    for name, section in feeder.sections.items():
        # It is cut off at its border, before whatever lies in it.
        depths[Device("section", name)] = first[section.zone] - 0.25
    return depths
