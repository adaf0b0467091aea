"""Chooses whom each event of a scenario hits, by seeded selectors, so that a scenario fits any feeder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from grid.wording import counted
from lab.errors import UserError
from lab.fleet.commissioning import METERS_PER_COLLECTOR, Commissioned
from lab.lockstep.answers import Selected, checked
from lab.lockstep.link import LabLink
from lab.lockstep.timeline import Disturbance
from lab.scenario.air_targets import AirFault, Airspace
from lab.scenario.load import (
    CollectorFailureEvent,
    ConductorEvent,
    Event,
    KillEvent,
    NetworkEvent,
    OutageEvent,
    RadioEvent,
    RebootEvent,
    RelayEvent,
    RotateEvent,
    Scenario,
    UpdateEvent,
    UplinkLossEvent,
)
from lab.scenario.relay_targets import Numbered, Technician

MOMENTARY_S = 300
"""An interruption of up to five minutes is momentary (IEEE 1366-2022, 3.15: "sustained" lasts longer)."""
APART_S = 3_600
"""Events that have to share somebody lie at least this far apart: one is over, and made up for, before the next."""


FREE_SHARE = 5
"""An event on meters takes no more than one in so many of those left: a small fleet must not be all disturbance."""


class _Taken:
    """Whom events hit, and when."""

    def __init__(self) -> None:
        self._hits: list[tuple[int, int, frozenset[str]]] = []

    def add(self, points: Iterable[str], from_s: int, until_s: int) -> None:
        self._hits.append((from_s, until_s, frozenset(points)))

    def ever(self) -> set[str]:
        return {point for _, _, points in self._hits for point in points}

    def around(self, from_s: int, until_s: int) -> set[str]:
        """By events that begin or end within `APART_S` of this time."""
        hits = (points for start, end, points in self._hits if start < until_s + APART_S and from_s < end + APART_S)
        return {point for points in hits for point in points}


async def choose_targets(
    scenario: Scenario, *, start_s: int, link: LabLink, grid: str, fleet: Commissioned, airspace: Airspace | None = None
) -> list[Disturbance]:
    """A disturbance for each event. Events share a usage point only if the feeder is too small for all, and then lie
    `APART_S` apart. Where a target is not as the event's selector says, its label tells.

    :param airspace: the modelled network; None, and there are no events of it.

    :raises UserError: listing every event whose selector fits nothing on this feeder.
    """
    faults: list[str] = []
    chosen: dict[int, Disturbance] = {}
    targets = _Targets(scenario.seed, link, grid, fleet, airspace)
    order = sorted(range(len(scenario.events)), key=lambda index: _freedom(scenario.events[index]))
    for index in order:
        event = scenario.events[index]
        if isinstance(event, RelayEvent):
            continue
        when = _When(start_s + event.at_s, start_s + event.ends_s)
        where = f"event {index + 1} ({event.kind}, line {event.line})"
        try:
            if isinstance(event, OutageEvent | ConductorEvent):
                chosen[index] = await targets.of_outage(event, index, when, where)
            elif isinstance(event, CollectorFailureEvent):
                chosen[index] = targets.of_collectors(event, index, when)
            elif isinstance(event, UplinkLossEvent | RebootEvent):
                chosen[index] = targets.of_stations(event, index, when)
            elif isinstance(event, RadioEvent):
                chosen[index] = targets.of_the_air(event, index, when)
            else:
                chosen[index] = _of_the_lab(event, when)
        except UserError as error:
            faults += error.faults
        except ValueError as error:
            faults.append(f"{where}: {error}")
    technician = Technician(fleet.meters, start_s=start_s, seed=scenario.seed)
    relays = [Numbered(index, event) for index, event in enumerate(scenario.events) if isinstance(event, RelayEvent)]
    for numbered in sorted(relays, key=lambda each: each.event.at_s):
        try:
            chosen[numbered.index] = technician.disturbance(numbered, targets.taken_near)
        except ValueError as error:
            faults += [f"{numbered.where}: {line}" for line in str(error).splitlines()]
    if faults:
        raise UserError(faults, "Change the events' `select`, or choose another feeder or fleet.")
    return [chosen[index] for index in sorted(chosen)]


@dataclass(frozen=True, slots=True)
class _When:
    from_s: int
    until_s: int


class _Targets:
    """Chooses whom events hit, one after another, so that they do not hit the same."""

    def __init__(self, seed: int, link: LabLink, grid: str, fleet: Commissioned, airspace: Airspace | None) -> None:
        self._airspace = airspace
        self._seed, self._link, self._grid = seed, link, grid
        self._taken = _Taken()
        self._serial_of = {meter.usage_point: meter.serial for meter in fleet.meters}
        self._points_of = {name: [meter.usage_point for meter in meters] for name, meters in fleet.collectors.items()}

    def taken_near(self, at_s: int) -> set[str]:
        return self._taken.around(at_s, at_s)

    async def of_outage(self, event: OutageEvent | ConductorEvent, index: int, when: _When, where: str) -> Disturbance:
        """:raises UserError: nothing on this feeder fits, as the grid says."""
        reply = await self._link.call(
            self._grid,
            "select",
            seed=self._seed,
            key=[index],
            device=event.device,
            conductor=event.open if isinstance(event, ConductorEvent) else "",
            select=event.select,
            exclude=sorted(self._taken.around(when.from_s, when.until_s)),
            avoid=sorted(self._taken.ever()),
            metered=list(self._serial_of),
            where=where,
        )
        choice = checked(reply, Selected)
        points = choice["usage_points"]
        self._taken.add(points, when.from_s, when.until_s)
        if isinstance(event, ConductorEvent):
            name = open_conductor(event.device, event.open)
        else:
            name = "momentary interruption" if event.duration_s <= MOMENTARY_S else "outage"
        label = f"{name}: {choice['device']}, {counted(len(points), 'customer')}"
        label += f" ({choice['remark']})" if choice["remark"] else ""
        return Disturbance(event.kind, label, when.from_s, when.until_s, choice["device"])

    def of_stations(self, event: UplinkLossEvent | RebootEvent, index: int, when: _When) -> Disturbance:
        """:raises ValueError: nobody is left."""
        seed, taken = [self._seed, index], self._taken
        if self._points_of and "collectors" in event.select:
            wanted = event.select["collectors"]
            hit = _choose_collectors(wanted, seed, self._points_of, taken, when.from_s, when.until_s)
        else:
            free = _free_points(self._serial_of, taken, when.from_s, when.until_s)
            hit = _choose_meters(event.select, seed, free, self._serial_of)
        taken.add(hit.points, when.from_s, when.until_s)
        if isinstance(event, RebootEvent):
            return Disturbance("reboot", f"reboot: {hit.label}", when.from_s, when.until_s, stations=hit.stations)
        return Disturbance("uplink_loss", f"uplink loss: {hit.label}", when.from_s, when.until_s, stations=hit.stations)

    def of_collectors(self, event: CollectorFailureEvent, index: int, when: _When) -> Disturbance:
        """:raises ValueError: the fleet has none, or none is left."""
        if not self._points_of:
            raise ValueError("no meter of this fleet is behind a collector that could die")
        wanted, taken = event.select["collectors"], self._taken
        hit = _choose_collectors(wanted, [self._seed, index], self._points_of, taken, when.from_s, when.until_s)
        taken.add(hit.points, when.from_s, when.until_s)
        return Disturbance(event.kind, f"death of {hit.label}", when.from_s, when.until_s, stations=hit.stations)

    def of_the_air(self, event: RadioEvent, index: int, when: _When) -> Disturbance:
        """:raises ValueError: the fleet has nobody that it could hit."""
        assert self._airspace is not None, "events of a network that is not modelled are refused before the run"
        return self._airspace.disturbance(
            AirFault.of(event),
            name=f"event {index + 1}",
            seed=[self._seed, index],
            from_s=when.from_s,
            until_s=when.until_s,
            taken=self._taken.ever(),
        )


def _of_the_lab(event: KillEvent | NetworkEvent | RotateEvent | UpdateEvent, when: _When) -> Disturbance:
    """Events that name what they hit."""
    match event:
        case KillEvent():
            label, until_s = f"SIGKILL: {event.part}, back after {event.down_s:,} s", when.from_s + event.down_s
            return Disturbance("kill", label, when.from_s, until_s, event.part, races=event.moment == "any")
        case NetworkEvent():
            fault = event.network_fault
            label = f"network: {event.part}, {fault.label}"
            return Disturbance("network", label, when.from_s, when.from_s, event.part, fault=fault)
        case RotateEvent():
            label = f"rotation: new {event.what}, the old trusted for {event.overlap_s:,} s more"
            return Disturbance("rotate", label, when.from_s, when.until_s, event.what)
        case UpdateEvent():
            return Disturbance("update", f"rolling update: {event.part}", when.from_s, when.until_s, event.part)


def open_conductor(device: str, conductor: str) -> str:
    """What people call it."""
    if conductor == "N":
        return "open neutral"
    return "open phase" if device in ("line", "service") else "blown fuse"


def _free_points(points: Iterable[str], taken: _Taken, from_s: int, until_s: int) -> list[str]:
    ever, around = taken.ever(), taken.around(from_s, until_s)
    candidates = list(points)
    return [p for p in candidates if p not in ever] or [p for p in candidates if p not in around]


def _freedom(event: Event) -> int:
    """A device takes its customers as they are, a collector its meters; single meters can be chosen around both.

    What disturbs a network may hit whom it likes.
    """
    if isinstance(event, OutageEvent | ConductorEvent):
        return 0
    if isinstance(event, RadioEvent):
        return 3
    if isinstance(event, CollectorFailureEvent):
        return 1
    return 1 if isinstance(event, UplinkLossEvent) and "collectors" in event.select else 2


@dataclass(frozen=True, slots=True)
class _Hit:
    """Usage points that are disturbed, the stations to disturb, and how to call them."""

    points: Sequence[str]
    stations: Sequence[str]
    label: str


def _choose_collectors(
    wanted: int,
    seed: Sequence[int],
    points_of: Mapping[str, Sequence[str]],
    taken: _Taken,
    from_s: int,
    until_s: int,
) -> _Hit:
    """As many collectors as wanted, of those whose meters no other event takes; near it in time, if need be."""
    ever, around = taken.ever(), taken.around(from_s, until_s)
    free = [name for name, points in points_of.items() if not ever.intersection(points)]
    free = free or [name for name, points in points_of.items() if not around.intersection(points)]
    if not free:
        raise ValueError("other events take meters of every collector within an hour of this one")
    count = min(wanted, len(free))
    names = [free[at] for at in sorted(np.random.default_rng(list(seed)).choice(len(free), size=count, replace=False))]
    points = [point for name in names for point in points_of[name]]
    remark = f" ({wanted:,} asked for)" if count < wanted else ""
    called = f"collector {names[0]}" if count == 1 else f"{count:,} collectors"
    return _Hit(points, names, f"{called}, {counted(len(points), 'meter')}{remark}")


def _choose_meters(
    select: Mapping[str, object], seed: Sequence[int], free: Sequence[str], serial_of: Mapping[str, str]
) -> _Hit:
    """As many as wanted, but at least one and no more than 1 in `FREE_SHARE`, and what to say of that."""
    collectors, wanted = select.get("collectors"), select.get("meters")
    if isinstance(collectors, int):
        wanted = collectors * METERS_PER_COLLECTOR
    if not isinstance(wanted, int):
        raise ValueError("`select` needs `meters = <number>`")
    if not free:
        raise ValueError("other events take every meter within an hour of this one")
    count = min(wanted, max(1, len(free) // FREE_SHARE))
    rows = np.random.default_rng(list(seed)).choice(len(free), size=count, replace=False)
    points = [free[row] for row in sorted(rows)]
    serials = [serial_of[point] for point in points]
    label = serials[0] if count == 1 else f"{count:,} meters"
    if isinstance(collectors, int):
        label += " (this fleet has no collector)"
    elif count < wanted:
        label += f" ({wanted:,} asked for; one in {FREE_SHARE} of {len(free):,} left)"
    return _Hit(points, serials, label)
