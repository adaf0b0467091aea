"""Feeders to test with: the real village, loaded once, and a hamlet small enough to reason about."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandapower as pp
import pytest
from numpy.typing import NDArray

from grid.feeder import Device, Feeder, build_feeder, load_feeder
from grid.network import Network

START_S = 1_768_435_200  # 2026-01-15T00:00:00Z


def hamlet_net() -> Any:
    """Two transformers on one source. North: busbar – a – (switch) – b, and busbar – c. South: one house, d.

    A normally open tie switch joins b and d through a line.
    """
    net = pp.create_empty_network()
    medium = pp.create_bus(net, 20.0, name="medium")
    pp.create_ext_grid(net, medium)
    north, south = pp.create_buses(net, 2, 0.4, name=["north", "south"])
    a, b, c, d = pp.create_buses(net, 4, 0.4, name=list("abcd"))
    for bus, name in ((north, "North"), (south, "South")):
        pp.create_transformer(net, medium, bus, "0.25 MVA 20/0.4 kV", name=name)

    def cable(start: int, end: int, name: str) -> int:
        return int(pp.create_line(net, start, end, 0.1, "NAYY 4x150 SE", name=name))

    cable(north, a, "trunk")
    branch = cable(a, b, "branch")
    pp.create_switch(net, a, branch, et="l", closed=True)
    cable(north, c, "short")
    cable(south, d, "southern")
    tie = cable(b, d, "tie")
    pp.create_switch(net, b, tie, et="l", closed=False)
    for bus, name in ((a, "a"), (b, "b"), (c, "c"), (d, "d")):
        pp.create_load(net, bus, p_mw=0.002, q_mvar=0.0005, name=name)
    net.bus["geo"] = '{"coordinates": [7.5, 48.25], "type": "Point"}'
    return net


@pytest.fixture(scope="session")
def schutterwald() -> Feeder:
    return load_feeder("schutterwald")


@pytest.fixture(scope="session")
def hamlet() -> Feeder:
    return build_feeder("hamlet", hamlet_net())


@pytest.fixture
def net() -> Any:
    """A hamlet to break."""
    return hamlet_net()


@pytest.fixture
def start_s() -> int:
    return START_S


def supplied(
    feeder: Feeder, opened: Collection[Device], connected: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """(n,) which usage points have supply in a phase that they are connected to, with nobody taking anything."""
    idle = np.zeros((len(feeder.usage_points), 3))
    phases = np.ones(idle.shape, dtype=bool) if connected is None else connected
    lit = Network(feeder, connected=phases).solve(idle, idle, opened).phase_energised
    return np.asarray((lit & phases).any(axis=1))
