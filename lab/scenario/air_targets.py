"""Chooses whom faults of the modelled communications network hit: those that are named, or others by seed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from grid.wording import counted
from lab.fleet.commissioning import Commissioned
from lab.fleet.network import network_setup, with_cells
from lab.fleet.plan import FleetPlan
from lab.lockstep.timeline import Disturbance
from lab.scenario.model import Scenario
from lab.scenario.radio_events import RadioEvent
from meters.device.facts import CollectedFacts
from meters.radio.faults import NetworkFault, RadioFault
from meters.radio.setup import NetworkSetup

_Drawn = tuple[Mapping[str, object], list[int], str]
"""What a fault says of whom it hits, which meters these are, and how to call them."""


@dataclass(frozen=True, slots=True)
class AirFault:
    """What is to disturb the network, and whom.

    `names`: the collectors of a jam, the cells, or the operator; so many are drawn where none is named. With a
    `radius_m` a jam is of all around a meter: the one of the serial `around`, or one that is drawn.
    """

    fault: RadioFault
    names: Sequence[str] = ()
    count: int = 1
    radius_m: int | None = None
    around: str | None = None
    strength: float | None = None
    messages_per_s: float | None = None
    image_bytes: int | None = None

    @property
    def is_drawn(self) -> bool:
        """Whether `count` says how many are hit."""
        return not self.names and self.radius_m is None

    @property
    def amount(self) -> str:
        """In words, how bad it is."""
        if self.messages_per_s is not None:
            return f", {self.messages_per_s:g} messages/s in each"
        return "" if self.strength is None else f", {self.strength:.0%} of transmissions"

    @classmethod
    def of(cls, event: RadioEvent) -> AirFault:
        select = event.select
        return cls(
            event.fault,
            count=select.get("collectors", select.get("cells", 1)),
            radius_m=select.get("radius_m"),
            strength=event.strength,
            messages_per_s=event.messages_per_s,
            image_bytes=event.image_bytes,
        )


@dataclass(frozen=True, slots=True)
class Airspace:
    """The network of a fleet: where its meters stand, and by meter the name of its cell, if it has a modem."""

    fleet: Commissioned
    setup: NetworkSetup
    cells: Sequence[str]

    @classmethod
    def of(cls, scenario: Scenario, everybody: FleetPlan, *, time_zone: str, start_s: int) -> Airspace | None:
        """That of all meters, if the scenario has one. `start_s` [epoch s]: when the parts' time begins."""
        choice = scenario.network
        if not choice.on:
            return None
        setup = network_setup(everybody.places, choice.overrides(), time_zone=time_zone, start_s=start_s)
        fleet = everybody.fleet
        return cls(fleet, *with_cells(setup, fleet.meters, everybody.rows, seed=scenario.seed))

    def disturbance(
        self,
        wanted: AirFault,
        *,
        name: str,
        seed: Sequence[int],
        from_s: int,
        until_s: int | None,
        taken: Collection[str],
    ) -> Disturbance:
        """What disturbs the network.

        :param name: no other fault of the run has it.
        :param until_s: None: until somebody ends it.
        :param taken: usage points that other events hit: others are drawn, if there are any.
        :raises ValueError: nobody in this fleet is reached like this; a line for each name that nothing has.
        """
        given, rows, whom = _Draw(self, wanted, np.random.default_rng(list(seed)), taken).whom()
        fault = NetworkFault.model_validate(
            {"fault": wanted.fault, "name": name, "from_s": from_s, "until_s": until_s, **given}
        )
        label = f"network: {wanted.fault} of {whom}, {counted(len(rows), 'meter')}{wanted.amount}"
        air = fault.model_dump(mode="json", exclude_defaults=True, exclude={"from_s", "until_s"})
        lasting = until_s is None
        return Disturbance(
            "network", label, from_s, from_s if until_s is None else until_s, wanted.fault, air=air, lasting=lasting
        )

    def meshes(self) -> dict[str, list[int]]:
        """By collector the meters of each mesh."""
        meters = self.fleet.meters
        meshes = {}
        for name, rows in self.fleet.carriers.items():
            facts = meters[rows[0]].profile.facts
            if isinstance(facts, CollectedFacts) and not facts.by_power_line:
                meshes[name] = rows
        return meshes

    def by_cell(self) -> dict[str, list[int]]:
        """By cell the meters that it serves."""
        found: defaultdict[str, list[int]] = defaultdict(list)
        for row, cell in enumerate(self.cells):
            if cell:
                found[cell].append(row)
        return dict(found)

    def by_operator(self) -> dict[str, list[int]]:
        """By operator the meters that it serves."""
        found: defaultdict[str, list[int]] = defaultdict(list)
        for cell, rows in self.by_cell().items():
            found[cell.partition("/")[0]] += rows
        return dict(found)

    def points_of(self, names: Collection[str]) -> set[str]:
        """Usage points of the meters of these collectors, cells and operators."""
        groups = {**self.meshes(), **self.by_cell(), **self.by_operator()}
        return {self.fleet.meters[row].usage_point for name in names for row in groups.get(name, ())}


class _Draw:
    def __init__(self, space: Airspace, wanted: AirFault, dice: np.random.Generator, taken: Collection[str]) -> None:
        self._space = space
        self._wanted = wanted
        self._dice = dice
        self._taken = taken

    def whom(self) -> _Drawn:
        wanted = self._wanted
        if wanted.fault == "operator-outage":
            names, rows = self._named(self._in_cells(self._space.by_operator()), "operator")
            return {"operators": names}, rows, names[0]
        if wanted.fault == "firmware-wave":
            return self._wave()
        if wanted.fault != "jam":
            names, rows = self._named(self._in_cells(self._space.by_cell()), "cell that serves a meter")
            load = {} if wanted.messages_per_s is None else {"messages_per_s": wanted.messages_per_s}
            return {"cells": names, **load}, rows, _called(names, "cell", "cells")
        strength = {} if wanted.strength is None else {"strength": wanted.strength}
        meshes = self._space.meshes()
        if not meshes:
            raise ValueError("no meter of this fleet is in a radio mesh that could be jammed")
        if wanted.radius_m is not None:
            area, rows, whom = self._area(meshes, wanted.radius_m)
            return {**area, **strength}, rows, whom
        names, rows = self._named(meshes, "collector of a mesh")
        return {"collectors": names, **strength}, rows, _called(names, "mesh", "meshes")

    def _wave(self) -> _Drawn:
        """Whatever else hits them: a utility does not know what is to come."""
        fleet = self._space.fleet
        rows_of = {name: rows for name, rows in fleet.carriers.items() if name in fleet.collectors}
        if not rows_of:
            raise ValueError(
                "no meter of this fleet is behind a collector; a meter with a modem of its own fetches its image by "
                'itself, which is not modelled: a fault "congestion" stands for what that costs its cell'
            )
        names, rows = self._drawn(rows_of, sorted(rows_of))
        size = self._wanted.image_bytes or self._space.setup.parameters.firmware.image_bytes
        what = f"{size:,} byte to {_called(names, 'the meters of', 'collectors')}"
        return {"collectors": names, "image_bytes": size}, rows, what

    def _area(self, meshes: Mapping[str, list[int]], radius_m: int) -> _Drawn:
        """A circle around a meter of a mesh."""
        members = [row for rows in meshes.values() for row in rows]
        at_m, meters, around = self._space.setup.positions(), self._space.fleet.meters, self._wanted.around
        if around is None:
            centre = int(self._dice.choice(self._free(members) or members))
        else:
            named = [row for row in members if meters[row].serial == around]
            if not named:
                raise ValueError(f"no meter of a mesh is called {around}")
            (centre,) = named
        centre_m = at_m[centre]
        inside = np.hypot(*(at_m[members] - centre_m).T) <= radius_m
        rows = [row for row, is_inside in zip(members, inside.tolist(), strict=True) if is_inside]
        area = {"centre_m": tuple(centre_m.tolist()), "radius_m": float(radius_m)}
        return area, rows, f"{radius_m:,} m around {meters[centre].serial}"

    def _named(self, rows_of: Mapping[str, list[int]], what: str) -> tuple[list[str], list[int]]:
        """Those that are named; else so many of those that no other event hits, if there are any. And their meters."""
        given = list(dict.fromkeys(self._wanted.names))
        if unknown := [name for name in given if name not in rows_of]:
            raise ValueError("\n".join(f"no {what} is called {name}" for name in unknown))
        names = sorted(rows_of)
        free = [name for name in names if len(self._free(rows_of[name])) == len(rows_of[name])] or names
        return self._drawn(rows_of, free) if not given else (given, [row for name in given for row in rows_of[name]])

    def _drawn(self, rows_of: Mapping[str, list[int]], names: Sequence[str]) -> tuple[list[str], list[int]]:
        """So many of these names, and their meters."""
        chosen = self._dice.choice(len(names), size=min(self._wanted.count, len(names)), replace=False)
        drawn = [names[at] for at in sorted(chosen.tolist())]
        return drawn, [row for name in drawn for row in rows_of[name]]

    @staticmethod
    def _in_cells(found: Mapping[str, list[int]]) -> Mapping[str, list[int]]:
        if not found:
            raise ValueError("no meter of this fleet has a modem of its own, and none is in a cell")
        return found

    def _free(self, rows: Sequence[int]) -> list[int]:
        meters = self._space.fleet.meters
        return [row for row in rows if meters[row].usage_point not in self._taken]


def _called(names: Sequence[str], one: str, many: str) -> str:
    return f"{one} {names[0]}" if len(names) == 1 else f"{len(names):,} {many}"
