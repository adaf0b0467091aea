"""Which conductors of lines, transformers, switches and services are closed, and of which devices one can be open."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grid.feeder import CONDUCTORS, Conductor, Device, Feeder

Bools = NDArray[np.bool_]


class ConductorError(ValueError):
    """A device of which no single conductor can be open; the message says why."""


@dataclass(frozen=True, slots=True, eq=False)
class Closed:
    """(…, 4) by L1, L2, L3 and neutral; rows as in the net's tables, those of services as the usage points.

    A transformer's conductors are those of its low-voltage side.
    """

    line: Bools
    trafo: Bools
    switch: Bools
    service: Bools
    broken: bool
    """Whether any conductor is open alone."""

    @classmethod
    def after(cls, feeder: Feeder, opened: Collection[Device]) -> Closed:
        """The normal state with these devices open. Raises KeyError for a device that the feeder does not have."""
        topology = feeder.topology
        line, trafo, switch = (
            np.repeat(normal[:, np.newaxis], len(CONDUCTORS), axis=1)
            for normal in (topology.line_in_service, topology.trafo_in_service, topology.switch_closed)
        )
        service = np.ones((len(feeder.usage_points), len(CONDUCTORS)), dtype=bool)
        net, broken = feeder.net, False
        for device in opened:
            columns = _columns(device.conductor)
            broken |= bool(device.conductor)
            if device.kind == "service":
                service[feeder.position[device.id], columns] = False
            elif device.kind == "line":
                line[net.line.index.get_loc(feeder.lines[device.id]), columns] = False
            elif device.kind == "transformer":
                trafo[net.trafo.index.get_loc(feeder.transformers[device.id]), columns] = False
            else:
                section = feeder.sections[device.id]
                switch[np.ix_(net.switch.index.get_indexer(section.switches), columns)] = False
                trafo[np.ix_(net.trafo.index.get_indexer(section.transformers), columns)] = False
        return cls(line, trafo, switch, service, broken)


def _columns(conductor: Conductor) -> list[int]:
    return [CONDUCTORS.index(conductor)] if conductor else list(range(len(CONDUCTORS)))


def check_breakable(feeder: Feeder, device: Device) -> None:
    """Raises ConductorError where a single conductor of the device cannot be open, KeyError for an unknown device."""
    if not is_breakable(feeder, device):
        raise ConductorError(
            f"{device.kind} {device.id!r} has no conductors that open one by one: they do at low voltage, in a part of "
            "the net that one transformer feeds"
        )


def is_breakable(feeder: Feeder, device: Device) -> bool:
    """Whether it can be opened as it says. Raises KeyError for a device that the feeder does not have."""
    return not device.conductor or feeder.islands.breakable(_buses(feeder, device))


def _buses(feeder: Feeder, device: Device) -> NDArray[np.intp]:
    """Where the conductors are that the device opens."""
    net, topology = feeder.net, feeder.topology
    if device.kind == "service":
        return feeder.bus_position[[feeder.position[device.id]]]
    if device.kind == "line":
        row = net.line.index.get_loc(feeder.lines[device.id])
        return np.array([topology.line_from[row], topology.line_to[row]])
    if device.kind == "transformer":
        return topology.trafo_lv[[net.trafo.index.get_loc(feeder.transformers[device.id])]]
    section = feeder.sections[device.id]
    of_switches = topology.switch_bus[net.switch.index.get_indexer(section.switches)]
    of_trafos = topology.trafo_lv[net.trafo.index.get_indexer(section.transformers)]
    return np.concatenate((of_switches, of_trafos)).astype(np.intp)
