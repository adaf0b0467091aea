"""Graph questions about a pandapower net: what is energised, which zones do the switches cut, who hangs on whom.

pandapower answers the first one too (`topology.unsupplied_buses`), but by building a networkx graph each time; a
simulation asks after every switching. Positions (0 … n−1) are used inside, the net's own indices outside.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]

_SOURCE = -1


def joined(count: int, start: Ints, end: Ints) -> Ints:
    """(count,) labels, the same for those that links from `start` to `end` join, whatever their way."""
    links = coo_array((np.ones(len(start), dtype=np.int8), (start, end)), shape=(count, count))
    labels: Ints = connected_components(links, directed=False)[1].astype(np.intp)
    return labels


@dataclass(frozen=True, slots=True, eq=False)
class Topology:
    """Buses, branches and switches of a net as arrays of positions, with its normal switching state."""

    bus_in_service: Bools
    sources: Ints
    line_from: Ints
    line_to: Ints
    line_in_service: Bools
    trafo_hv: Ints
    trafo_lv: Ints
    trafo_in_service: Bools
    switch_kind: NDArray[np.str_]
    """`l` line end, `t` transformer end, `b` between two buses."""
    switch_bus: Ints
    switch_element: Ints
    switch_closed: Bools

    @classmethod
    def of(cls, net: Any) -> Topology:
        """The topology of a pandapower net."""
        bus, line, trafo = net.bus.index, net.line.index, net.trafo.index
        kind = net.switch["et"].to_numpy(dtype=str)
        raw_element = net.switch["element"].to_numpy()
        element = np.full(len(kind), -1, dtype=np.intp)
        for code, index in (("l", line), ("t", trafo), ("b", bus)):
            element[kind == code] = index.get_indexer(raw_element[kind == code])
        grids = net.ext_grid[net.ext_grid["in_service"].to_numpy(dtype=bool)]
        return cls(
            bus_in_service=net.bus["in_service"].to_numpy(dtype=bool),
            sources=bus.get_indexer(grids["bus"]),
            line_from=bus.get_indexer(net.line["from_bus"]),
            line_to=bus.get_indexer(net.line["to_bus"]),
            line_in_service=net.line["in_service"].to_numpy(dtype=bool),
            trafo_hv=bus.get_indexer(net.trafo["hv_bus"]),
            trafo_lv=bus.get_indexer(net.trafo["lv_bus"]),
            trafo_in_service=net.trafo["in_service"].to_numpy(dtype=bool),
            switch_kind=kind,
            switch_bus=bus.get_indexer(net.switch["bus"]),
            switch_element=element,
            switch_closed=net.switch["closed"].to_numpy(dtype=bool),
        )

    def closed_branches(self, line: Bools, trafo: Bools, switch: Bools) -> tuple[Bools, Bools]:
        line, trafo = line.copy(), trafo.copy()
        line[self.switch_element[(self.switch_kind == "l") & ~switch]] = False
        trafo[self.switch_element[(self.switch_kind == "t") & ~switch]] = False
        return line, trafo

    def energised_buses(
        self, line: Bools | None = None, trafo: Bools | None = None, switch: Bools | None = None
    ) -> Bools:
        """(buses,) true where a path of closed elements leads to a source; None stands for the normal state."""
        line = self.line_in_service if line is None else line
        trafo = self.trafo_in_service if trafo is None else trafo
        switch = self.switch_closed if switch is None else switch
        line, trafo = self.closed_branches(line, trafo, switch)
        coupler = (self.switch_kind == "b") & switch
        start = np.concatenate((self.line_from[line], self.trafo_hv[trafo], self.switch_bus[coupler]))
        end = np.concatenate((self.line_to[line], self.trafo_lv[trafo], self.switch_element[coupler]))
        alive = self.bus_in_service[start] & self.bus_in_service[end]
        labels = joined(len(self.bus_in_service), start[alive], end[alive])
        return np.isin(labels, labels[self.sources]) & self.bus_in_service

    def zones(self) -> Zones:
        """Cut the net at every switch, open or closed, and at every transformer; see `Zones`."""
        buses, lines = len(self.bus_in_service), len(self.line_from)
        switched: dict[tuple[int, int], list[int]] = defaultdict(list)
        for position in np.flatnonzero(self.switch_kind == "l"):
            switched[int(self.switch_bus[position]), int(self.switch_element[position])].append(int(position))
        joins: list[tuple[int, int]] = []
        cuts: list[tuple[int, int, tuple[int, ...]]] = []
        for line in np.flatnonzero(self.line_in_service):
            for bus in (int(self.line_from[line]), int(self.line_to[line])):
                if switches := switched.get((bus, int(line))):
                    cuts.append((bus, buses + int(line), tuple(switches)))
                else:
                    joins.append((bus, buses + int(line)))
        cuts.extend(
            (int(self.switch_bus[position]), int(self.switch_element[position]), (int(position),))
            for position in np.flatnonzero(self.switch_kind == "b")
        )
        pairs = np.array(joins, dtype=np.intp).reshape(-1, 2)
        label = joined(buses + lines, pairs[:, 0], pairs[:, 1])
        boundaries = tuple(Boundary(int(label[a]), int(label[b]), switches) for a, b, switches in cuts)
        return Zones(label[:buses], label[buses:], boundaries)

    def zone_tree(self, zones: Zones, points: Ints) -> DominatorTree:
        """Who hangs on which zone or transformer in the normal state. `points` (n,) are the bus positions.

        Node numbers: the zone's label; `zones.count + position` for a transformer.
        """
        _, trafo = self.closed_branches(self.line_in_service, self.trafo_in_service, self.switch_closed)
        edges = [(b.first, b.second) for b in zones.boundaries if all(self.switch_closed[list(b.switches)])]
        for position in np.flatnonzero(trafo):
            node = zones.count + int(position)
            edges.append((int(zones.of_bus[self.trafo_hv[position]]), node))
            edges.append((node, int(zones.of_bus[self.trafo_lv[position]])))
        return DominatorTree(edges, zones.of_bus[self.sources], zones.of_bus[points])

    def line_tree(self, points: Ints) -> DominatorTree:
        """Who hangs on which line in the normal state. Node numbers: `number of buses + position` for a line."""
        line, trafo = self.closed_branches(self.line_in_service, self.trafo_in_service, self.switch_closed)
        buses = len(self.bus_in_service)
        edges: list[tuple[int, int]] = []
        for position in np.flatnonzero(line):
            node = buses + int(position)
            edges.extend(((int(self.line_from[position]), node), (node, int(self.line_to[position]))))
        edges.extend((int(self.trafo_hv[p]), int(self.trafo_lv[p])) for p in np.flatnonzero(trafo))
        coupler = np.flatnonzero((self.switch_kind == "b") & self.switch_closed)
        edges.extend((int(self.switch_bus[p]), int(self.switch_element[p])) for p in coupler)
        return DominatorTree(edges, self.sources, points)


@dataclass(frozen=True, slots=True)
class Boundary:
    """Where two zones meet: the positions of the switches in series between them."""

    first: int
    second: int
    switches: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Zones:
    """Parts of a net with no switching device inside. Labels are arbitrary but stable for one net."""

    of_bus: Ints
    of_line: Ints
    boundaries: tuple[Boundary, ...]

    @property
    def count(self) -> int:
        return int(max(self.of_bus.max(initial=-1), self.of_line.max(initial=-1))) + 1


class DominatorTree:
    """Which points lose every path to the roots when one node is taken out.

    A node dominates a point when all paths from the roots to the point lead through it (Lengauer and Tarjan 1979), so
    the answer is right for meshed nets, too. The tree is laid out so that what a node dominates is one slice.
    """

    __slots__ = ("_depth", "_order", "_span")

    def __init__(self, edges: Iterable[tuple[int, int]], roots: Iterable[int], points: Iterable[int]) -> None:
        graph = nx.DiGraph()
        graph.add_node(_SOURCE)
        for first, second in edges:
            graph.add_edge(first, second)
            graph.add_edge(second, first)
        graph.add_edges_from((_SOURCE, int(root)) for root in roots)
        children: dict[int, list[int]] = defaultdict(list)
        for node, parent in nx.immediate_dominators(graph, _SOURCE).items():
            if node != _SOURCE:
                children[parent].append(node)
        held: dict[int, list[int]] = defaultdict(list)
        for point, node in enumerate(points):
            held[int(node)].append(point)
        order: list[int] = []
        begin: dict[int, int] = {}
        self._span: dict[int, tuple[int, int]] = {}
        self._depth: dict[int, int] = {}
        stack: list[tuple[int, bool]] = [(_SOURCE, False)]
        open_nodes = 0
        while stack:
            node, done = stack.pop()
            if done:
                self._span[node] = (begin[node], len(order))
                open_nodes -= 1
                continue
            self._depth[node] = open_nodes
            open_nodes += 1
            begin[node] = len(order)
            order.extend(held[node])
            stack.append((node, True))
            stack.extend((child, False) for child in sorted(children[node], reverse=True))
        self._order = np.array(order, dtype=np.intp)

    def dominated(self, node: int) -> Ints:
        """Positions of the points, ascending; empty for a node that no root reaches."""
        start, end = self._span.get(node, (0, 0))
        return np.sort(self._order[start:end])

    def depth(self, node: int) -> int | None:
        """How many nodes lie on every way from the roots to this one, itself included; None if no root reaches it."""
        return self._depth.get(node)
