"""From what somebody asks for to disturbances of the living lab, with their targets chosen by seed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

import numpy as np

from grid.wording import counted
from lab.errors import UserError
from lab.live.air import AirInjector
from lab.live.asked import (
    CellDown,
    CommsLoss,
    Congestion,
    Fault,
    Jam,
    Kill,
    OperatorOutage,
    Reboot,
    Relay,
    Restore,
    Wanted,
)
from lab.live.incidents import Incident, Incidents, Origin
from lab.lockstep.answers import Selected, checked
from lab.lockstep.timeline import Disturbance
from lab.run.companion import Scene
from lab.run.stage import BROKER, DATABASE, GRID
from lab.scenario.air_targets import Airspace
from lab.scenario.relay_targets import faults_of_named, movable_relays, opened_relays, relay_label
from lab.scenario.targets import open_conductor
from lab.verdict.network_model import Network


class Injector:
    """Puts on the agenda what is asked for, at the next instant that has not come yet."""

    def __init__(self, scene: Scene, network: Network, incidents: Incidents, airspace: Airspace | None) -> None:
        """:param airspace: the modelled communications network, if there is one."""
        self._scene = scene
        self._air = AirInjector(airspace, incidents, scene.scenario.seed)
        self._incidents = incidents
        fleet = scene.judging.plan.fleet
        self._point_of = {meter.serial: meter.usage_point for meter in fleet.meters}
        self._profile_of = {meter.serial: meter.profile for meter in fleet.meters}
        self._collectors = fleet.collectors
        self._reach = network.reach(list(self._point_of.values()))

    def customers_of(self, device: str) -> frozenset[str]:
        """The metered usage points behind a device, by its id in the network model (`transformer:T1`)."""
        return self._reach.get(device, frozenset())

    async def inject(self, wanted: Wanted, at_s: int, origin: Origin = "injected") -> list[Incident]:
        """:raises UserError: it cannot be done; nothing is done then."""
        match wanted:
            case Fault():
                return [await self._fault(wanted, at_s, origin)]
            case CommsLoss():
                stations, label = self._stations(wanted, at_s)
                lost = Disturbance(
                    "uplink_loss", f"uplink loss: {label}", at_s, _until(at_s, wanted.for_s), "", stations
                )
                return [self._incidents.add(lost, origin, open_ended=wanted.for_s is None)]
            case Reboot():
                stations, label = self._stations(wanted, at_s)
                return [
                    self._incidents.add(Disturbance("reboot", f"reboot: {label}", at_s, at_s, "", stations), origin)
                ]
            case Relay():
                return [self._relay(wanted, at_s, origin)]
            case Jam() | CellDown() | Congestion() | OperatorOutage():
                return [self._air.inject(wanted, at_s, origin)]
            case Kill():
                return [self._kill(wanted, at_s, origin)]
            case Restore():
                return self._restore(wanted, at_s)

    async def _fault(self, wanted: Fault, at_s: int, origin: Origin) -> Incident:
        scene = self._scene
        reply = await scene.stage.link.call(
            GRID,
            "select",
            seed=scene.scenario.seed,
            key=[len(self._incidents)],
            device=wanted.device,
            conductor=wanted.conductor or "",
            select=wanted.select,
            exclude=sorted(self._dark(at_s)),
            avoid=[],
            metered=list(self._point_of.values()),
            where="this fault",
        )
        choice = checked(reply, Selected)
        device, points = choice["device"], choice["usage_points"]
        remark = f" ({choice['remark']})" if choice["remark"] else ""
        name = "fault" if wanted.conductor is None else open_conductor(wanted.device, wanted.conductor)
        label = f"{name}: {device}, {counted(len(points), 'customer')}{remark}"
        kind: Literal["outage", "conductor"] = "outage" if wanted.conductor is None else "conductor"
        fault = Disturbance(kind, label, at_s, _until(at_s, wanted.for_s), device)
        return self._incidents.add(fault, origin, open_ended=wanted.for_s is None)

    def _relay(self, wanted: Relay, at_s: int, origin: Origin) -> Incident:
        if wanted.stations:
            if faults := faults_of_named(wanted.stations, self._profile_of):
                raise UserError(faults, "Name meters that have a relay, by serial (AMI00000001).")
            serials: Sequence[str] = wanted.stations
        else:
            opened = opened_relays(self._incidents.disturbances(), at_s)
            among = movable_relays(self._profile_of, opened, wanted.position)
            what = "meters with an open relay" if wanted.position == "closed" else "meters with a closed relay"
            serials = self._drawn(wanted.meters or 1, among, (), what)
        stations, label = self._named(serials)
        moved = Disturbance(
            "relay",
            relay_label(label, wanted.position),
            at_s,
            _until(at_s, wanted.for_s),
            wanted.position,
            stations,
            lasting=wanted.for_s is None,
        )
        self._incidents.take_over(serials, at_s)
        return self._incidents.add(moved, origin, open_ended=moved.open_ended)

    def _kill(self, wanted: Kill, at_s: int, origin: Origin) -> Incident:
        externals = {DATABASE: not self._scene.database_embedded, BROKER: not self._scene.broker_embedded}
        if externals.get(wanted.part):
            raise UserError(f"the {wanted.part} is not the lab's own and cannot be killed", "Kill another part.")
        if any(each.disturbance.target == wanted.part for each in self._incidents.active(at_s)):
            raise UserError(f"the {wanted.part} is dead already", "Wait until it is back.")
        label = f"SIGKILL: {wanted.part}, back after {wanted.down_s:,} s"
        return self._incidents.add(Disturbance("kill", label, at_s, at_s + wanted.down_s, wanted.part), origin)

    def _restore(self, wanted: Restore, at_s: int) -> list[Incident]:
        active = {each.number: each for each in self._incidents.active(at_s)}
        if wanted.number is None:
            chosen = [number for number, each in active.items() if each.disturbance.kind != "kill"]
            if not chosen:
                raise UserError("nothing is disturbed that could be restored", "See `amilab inject --help`.")
        elif wanted.number in active:
            chosen = [wanted.number]
        else:
            listed = ", ".join(f"{number} ({each.disturbance.label})" for number, each in active.items()) or "nothing"
            raise UserError(f"disturbance {wanted.number} is not active; active is: {listed}", "Give another number.")
        return [self._incidents.end(number, at_s) for number in chosen]

    def _dark(self, at_s: int) -> set[str]:
        """Usage points behind devices that are open already, if with one conductor: nobody can be made dark twice."""
        open_now = [
            each.disturbance.target.split()
            for each in self._incidents.active(at_s)
            if each.disturbance.kind in ("outage", "conductor")
        ]
        return {point for kind, device, *_ in open_now for point in self.customers_of(f"{kind}:{device}")}

    def _stations(self, wanted: CommsLoss | Reboot, at_s: int) -> tuple[Sequence[str], str]:
        taken = {
            station
            for each in self._incidents.active(at_s)
            if each.disturbance.kind == "uplink_loss"
            for station in each.disturbance.stations
        }
        if wanted.stations:
            unknown = [name for name in wanted.stations if name not in self._point_of and name not in self._collectors]
            faults = [f"no meter or collector is called {name}" for name in unknown]
            faults += [f"{name} has no uplink already" for name in wanted.stations if name in taken]
            if faults:
                raise UserError(faults, "Meters go by serial (AMI00000001), collectors by name (COL0001).")
            return self._named(wanted.stations)
        if wanted.meters is not None or not self._collectors:
            return self._named(self._drawn(wanted.meters or 1, list(self._point_of), taken, "meters"))
        return self._named(self._drawn(wanted.collectors or 1, list(self._collectors), taken, "collectors"))

    def _drawn(self, count: int, names: Sequence[str], taken: Collection[str], what: str) -> list[str]:
        free = [name for name in names if name not in taken]
        if count > len(free):
            raise UserError(f"{count:,} {what} are wanted, but only {len(free):,} are free", "Ask for fewer.")
        rng = np.random.default_rng([self._scene.scenario.seed, len(self._incidents)])
        return [free[row] for row in sorted(rng.choice(len(free), size=count, replace=False))]

    def _named(self, stations: Sequence[str]) -> tuple[Sequence[str], str]:
        behind = sum(len(self._collectors[name]) for name in stations if name in self._collectors)
        many = counted(len(stations), "collector" if behind else "meter")
        label = many if len(stations) > 1 else f"collector {stations[0]}" if behind else stations[0]
        return tuple(stations), label + (f", {counted(behind, 'meter')}" if behind else "")


def _until(at_s: int, for_s: int | None) -> int:
    return at_s if for_s is None else at_s + for_s
