"""A feeder: a pandapower net, its usage points, and what can be switched in it.

Every load at or below 1 kV is a usage point. The net is cut into zones at every switching device (`grid.topology`);
a zone at low voltage is a **section**: the piece that a fault inside it takes out of service, because all switches
around it open. What lies below the section goes dark with it. A line that leaves a transformer's low-voltage busbar
always has a fuse there, whether the net's author drew it or not: missing ones are added.
"""

from __future__ import annotations

import copy
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
import pandapower as pp
from numpy.typing import NDArray

from grid import geo
from grid.calendar import Calendar
from grid.elements import Elements, take_over
from grid.feeder_faults import faults_of_tables, power_flow_faults, unsupplied_loads
from grid.feeder_sources import SourceError, load_source
from grid.islands import Islands
from grid.names import next_free, unique_names
from grid.net_tables import TABLES, read_tables, rows
from grid.pandapower_calls import PandapowerError, pandapower_call
from grid.phase_assumptions import phase_assumptions
from grid.place import UnknownTimeZoneError, calendar_of
from grid.profiles import DEFAULT_SCENARIO
from grid.topology import DominatorTree, Topology, Zones
from grid.voltage_levels import LOW_VOLTAGE_KV
from grid.wording import counted
from grid.zero_sequence import without_neutral

DeviceKind = Literal["transformer", "section", "line", "service"]
DEVICE_KINDS: tuple[DeviceKind, ...] = get_args(DeviceKind)
Conductor = Literal["", "L1", "L2", "L3", "N"]
CONDUCTORS: tuple[Conductor, ...] = ("L1", "L2", "L3", "N")

NO_LENGTH_M = 1.0
"""How long a line of no length is taken to be: a power flow needs an impedance, and this one is next to none."""
_VOLTAGE_DEPENDENCE = tuple(f"const_{kind}_{power}_percent" for kind in "zi" for power in "pq")


class FeederError(ValueError):
    """A feeder that cannot be used; the message lists every fault found."""

    def __init__(self, name: str, faults: list[str]) -> None:
        self.faults = tuple(faults)
        super().__init__(f"feeder {name!r} cannot be used:\n" + "\n".join(f"  - {fault}" for fault in faults))


@dataclass(frozen=True, slots=True, order=True)
class Device:
    """Something that can be opened and closed: `service` is the connection of one usage point.

    With a `conductor` only that one opens and closes (a blown fuse, an open phase, an open neutral), else all.
    """

    kind: DeviceKind
    id: str
    conductor: Conductor = ""

    @property
    def name(self) -> str:
        """For people and for labels: `section T1-S01 L2`."""
        return f"{self.kind} {self.id} {self.conductor}".rstrip()


@dataclass(frozen=True, slots=True)
class UsagePoint:
    """The metered premises. `bus` and `load_index` are the net's own indices; the coordinates are WGS 84 degrees."""

    id: str
    load_index: int
    bus: int
    transformer: str
    """The transformer that feeds it in the normal state; empty where a source feeds it directly."""
    section: str
    longitude: float | None
    latitude: float | None


@dataclass(frozen=True, slots=True)
class Section:
    """`switches` and `transformers` (indices in the net) surround the section: opening them all isolates it."""

    id: str
    transformer: str
    switches: tuple[int, ...]
    transformers: tuple[int, ...]
    zone: int


@dataclass(frozen=True, eq=False)
class Feeder:
    """A checked feeder. The order of `usage_points` is the order of every (n, …) array of this package.

    Do not change `net`: simulations work on copies of it.
    """

    name: str
    net: Any
    usage_points: tuple[UsagePoint, ...]
    transformers: dict[str, int]
    """Transformer id → index in the net."""
    sections: dict[str, Section]
    lines: dict[str, int]
    own_loads: Elements
    """The usage points' loads as the net states them, (n,) in their order."""
    behind_meter: Elements
    """Generators that feed in behind a usage point's meter."""
    bulk: Elements
    """What loads or feeds the feeder without a meter; its owners are rows of `net.load`."""
    profile_scenario: int
    """The scenario of SimBench whose curves the elements' profiles are."""
    calendar: Calendar
    topology: Topology
    zones: Zones
    _tree: DominatorTree = field(repr=False)
    notices: tuple[str, ...] = ()
    """What was taken otherwise than the net has it."""

    @cached_property
    def load_index(self) -> NDArray[np.intp]:
        """(n,) index of each usage point's load in the net."""
        return np.array([point.load_index for point in self.usage_points], dtype=np.intp)

    @cached_property
    def bus_position(self) -> NDArray[np.intp]:
        """(n,) row of each usage point's bus in `net.bus`."""
        positions: NDArray[np.intp] = self.net.bus.index.get_indexer([point.bus for point in self.usage_points])
        return positions

    @cached_property
    def nominal_voltage_v(self) -> NDArray[np.float64]:
        """(n,) nominal line-to-neutral voltage."""
        kv = self.net.bus["vn_kv"].to_numpy(dtype=np.float64)[self.bus_position]
        return np.asarray(kv * 1e3 / np.sqrt(3.0))

    @cached_property
    def position(self) -> dict[str, int]:
        """Usage point id → position in `usage_points`."""
        return {point.id: position for position, point in enumerate(self.usage_points)}

    @cached_property
    def line_tree(self) -> DominatorTree:
        """Node numbers: a bus's position; `bus_count + position` for a line."""
        return self.topology.line_tree(self.bus_position)

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Names of the rows of `net.ext_grid`: what feeds the feeder, at its head."""
        grids = self.net.ext_grid
        return tuple(unique_names(grids.index, grids["name"], "", "source"))

    @cached_property
    def islands(self) -> Islands:
        """The low-voltage islands of the normal state."""
        return Islands.of(self.topology, self.net.bus["vn_kv"].to_numpy(dtype=np.float64) <= LOW_VOLTAGE_KV)

    @property
    def bus_count(self) -> int:
        return len(self.net.bus)

    def devices(self, kind: DeviceKind) -> list[Device]:
        """Every device of the kind, in the feeder's order."""
        names: dict[DeviceKind, Iterable[str]] = {
            "transformer": self.transformers,
            "section": self.sections,
            "line": self.lines,
            "service": self.position,
        }
        return [Device(kind, name) for name in names[kind]]

    def darkened_by(self, device: Device) -> NDArray[np.intp]:
        """Positions of the usage points that opening only this device darkens, from the normal state.

        Of a single conductor: those that it reaches. Whom it darkens depends on the phases that they have.
        Raises KeyError for a device that the feeder does not have.
        """
        if device.kind == "service":
            return np.array([self.position[device.id]], dtype=np.intp)
        if device.kind == "line":
            row = self.net.line.index.get_loc(self.lines[device.id])
            return self.line_tree.dominated(self.bus_count + row)
        if device.kind == "section":
            return self._tree.dominated(self.sections[device.id].zone)
        row = self.net.trafo.index.get_loc(self.transformers[device.id])
        return self._tree.dominated(self.zones.count + row)


def load_feeder(name: str, *, time_zone: str | None = None) -> Feeder:
    """`schutterwald`, `simbench:<code>`, or `file:<path>` of a pandapower JSON file.

    :param time_zone: of IANA; if not given, by the feeder's coordinates (`grid.place`).
    Raises FeederError, for an unknown name with the known ones.
    """
    try:
        source = load_source(name)
    except SourceError as error:
        raise FeederError(name, list(error.faults)) from error
    return build_feeder(
        source.label,
        source.net,
        profile_scenario=source.profile_scenario,
        known_faults=source.faults,
        notices=source.notices,
        time_zone=time_zone,
    )


def build_feeder(
    name: str,
    net: Any,
    *,
    max_vn_kv: float = LOW_VOLTAGE_KV,
    profile_scenario: int = DEFAULT_SCENARIO,
    known_faults: Collection[str] = (),
    notices: Collection[str] = (),
    time_zone: str | None = None,
) -> Feeder:
    """Check a pandapower net and derive its usage points, transformers and sections. `net` is not changed.

    Loads on buses up to `max_vn_kv` become usage points. `known_faults` and `notices` are of whoever read the net.
    Raises FeederError, listing every fault.
    """
    net = copy.deepcopy(net)
    faults = [*known_faults, *read_tables(net)]
    if all(table in net for table in TABLES):
        faults += faults_of_tables(net)
    if faults:
        raise FeederError(name, faults)
    notices = [
        *notices,
        *_lengthen_lines(net),
        *_without_neutral(net),
        *filter(None, [geo.unusable(*map(geo.column, (net.bus, net.line)))]),
    ]
    # Demand states the power that is really taken: nothing may make it depend on the voltage.
    net.load[list(_VOLTAGE_DEPENDENCE)] = 0.0
    loads = net.load[net.load["in_service"] & (net.bus["vn_kv"].reindex(net.load["bus"]).to_numpy() <= max_vn_kv)]
    if loads.empty:
        faults.append(f"has no load in service at or below {max_vn_kv:g} kV, so nobody to meter")
    if not net.ext_grid["in_service"].any():
        faults.append("has no external grid in service, so nothing feeds it")
    try:
        _add_busbar_fuses(net, max_vn_kv)
    except PandapowerError as error:
        raise FeederError(name, [*faults, f"pandapower cannot add switches to it: {error}"]) from error
    topology = Topology.of(net)
    faults.extend(unsupplied_loads(net, topology))
    if not faults:
        faults.extend(power_flow_faults(net))
    positions = [geo.point(each) for each in geo.column(net.bus.loc[loads["bus"]])]
    try:
        calendar, remarks = calendar_of(positions, time_zone)
    except UnknownTimeZoneError as error:
        faults.append(str(error))
    if faults:
        raise FeederError(name, faults)
    return _assemble(name, net, topology, loads, max_vn_kv, profile_scenario, calendar, (*notices, *remarks))


def _lengthen_lines(net: Any) -> list[str]:
    none = (net.line["length_km"] == 0).to_numpy()
    if not none.any():
        return []
    shown = rows(net.line, none)
    net.line.loc[none, "length_km"] = NO_LENGTH_M / 1e3
    lines = counted(int(none.sum()), "line of no length is", "lines of no length are")
    return [f"{lines} taken to be {NO_LENGTH_M:g} m long: {shown}"]


def _without_neutral(net: Any) -> list[str]:
    bare = without_neutral(net) & (net.bus["vn_kv"].reindex(net.trafo["lv_bus"]) <= LOW_VOLTAGE_KV).to_numpy()
    if not bare.any():
        return []
    trafos = counted(int(bare.sum()), "transformer")
    group = phase_assumptions().vector_group
    return [
        f"{trafos} to low voltage without a neutral, by the vector group, taken to be {group}: {rows(net.trafo, bare)}"
    ]


def _add_busbar_fuses(net: Any, max_vn_kv: float) -> None:
    low_voltage = net.bus.index[net.bus["vn_kv"] <= max_vn_kv]
    busbars = set(net.trafo["lv_bus"]) & set(low_voltage)
    drawn = set(zip(net.switch["bus"], net.switch["element"], net.switch["et"], strict=True))
    missing = [
        (bus, line)
        for column in ("from_bus", "to_bus")
        for line, bus in net.line[column].items()
        if bus in busbars and (bus, line, "l") not in drawn
    ]
    if missing:
        buses, lines = zip(*missing, strict=True)
        with pandapower_call():
            pp.create_switches(net, buses=buses, elements=lines, et="l", closed=True, type="fuse")


def _assemble(
    name: str,
    net: Any,
    topology: Topology,
    loads: Any,
    max_vn_kv: float,
    profile_scenario: int,
    calendar: Calendar,
    notices: tuple[str, ...],
) -> Feeder:
    zones = topology.zones()
    bus_position = net.bus.index.get_indexer(loads["bus"])
    tree = topology.zone_tree(zones, bus_position)
    trafo_names = unique_names(net.trafo.index, net.trafo["name"], "", "transformer")
    # Upstream transformers dominate more points than those below them: visited first, they are overwritten.
    fed_by = [""] * len(loads)
    reach = [tree.dominated(zones.count + row) for row in range(len(trafo_names))]
    for row in sorted(range(len(trafo_names)), key=lambda row: -len(reach[row])):
        for position in reach[row]:
            fed_by[position] = trafo_names[row]
    sections = _sections(net, topology, zones, tree, fed_by, max_vn_kv)
    by_zone = {section.zone: section.id for section in sections}
    positions = dict(zip(net.bus.index, map(geo.point, geo.column(net.bus)), strict=True))
    points = []
    ids = unique_names(loads.index, loads["name"], "UP-", "load")
    for position, (load, bus) in enumerate(loads["bus"].items()):
        longitude, latitude = positions[bus] or (None, None)
        section = by_zone.get(int(zones.of_bus[bus_position[position]]), "")
        points.append(UsagePoint(ids[position], int(load), int(bus), fed_by[position], section, longitude, latitude))
    line_names = unique_names(net.line.index, net.line["name"], "", "line")
    own_loads, behind_meter, bulk = take_over(net, loads)
    return Feeder(
        name=name,
        net=net,
        usage_points=tuple(points),
        transformers={key: int(index) for key, index in zip(trafo_names, net.trafo.index, strict=True)},
        sections={section.id: section for section in sections},
        lines={key: int(index) for key, index in zip(line_names, net.line.index, strict=True)},
        own_loads=own_loads,
        behind_meter=behind_meter,
        bulk=bulk,
        profile_scenario=profile_scenario,
        calendar=calendar,
        topology=topology,
        zones=zones,
        _tree=tree,
        notices=notices,
    )


def _sections(
    net: Any, topology: Topology, zones: Zones, tree: DominatorTree, fed_by: list[str], max_vn_kv: float
) -> list[Section]:
    """Low-voltage zones that feed somebody and can be isolated: not those that hold a source."""
    switches: dict[int, set[int]] = defaultdict(set)
    for boundary in zones.boundaries:
        for zone in (boundary.first, boundary.second):
            switches[zone].update(boundary.switches)
    trafos: dict[int, list[int]] = defaultdict(list)
    for row, bus in enumerate(topology.trafo_lv):
        trafos[int(zones.of_bus[bus])].append(row)
    low = net.bus["vn_kv"].to_numpy() <= max_vn_kv
    low_zones = dict.fromkeys(zones.of_bus[low]) | dict.fromkeys(zones.of_line[low[topology.line_from]])
    with_source = set(zones.of_bus[topology.sources])
    numbers: Counter[str] = Counter()
    sections: dict[str, Section] = {}
    for zone in map(int, low_zones):
        reach = tree.dominated(zone)
        if zone in with_source or not len(reach):
            continue
        transformer = fed_by[reach[0]]
        numbers[transformer] += 1
        name = next_free(f"{transformer or 'source'}-S{numbers[transformer]:02d}", sections)
        sections[name] = Section(
            id=name,
            transformer=transformer,
            switches=tuple(int(net.switch.index[row]) for row in sorted(switches[zone])),
            transformers=tuple(int(net.trafo.index[row]) for row in trafos[zone]),
            zone=zone,
        )
    return list(sections.values())
