"""Chooses whom faults of the modelled communications network hit, by seed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from grid.wording import counted
from lab.fleet.commissioning import Commissioned
from lab.lockstep.timeline import Disturbance
from lab.scenario.radio_events import RadioEvent
from meters.device.facts import CollectedFacts
from meters.radio.faults import NetworkFault
from meters.radio.setup import NetworkSetup

_Drawn = tuple[Mapping[str, object], list[int], str]
"""What a fault says of whom it hits, which meters these are, and how to call them."""


@dataclass(frozen=True, slots=True)
class Airspace:
    """The network of a fleet: where its meters stand, and by meter the name of its cell, if it has a modem."""

    fleet: Commissioned
    setup: NetworkSetup
    cells: Sequence[str]

    def disturbance(
        self, event: RadioEvent, *, seed: Sequence[int], from_s: int, until_s: int, taken: Collection[str]
    ) -> Disturbance:
        """What disturbs the network.

        :param taken: usage points that other events hit: others are drawn, if there are any.
        :raises ValueError: nobody in this fleet is reached like this.
        """
        draw = _Draw(self, event, np.random.default_rng(list(seed)), taken)
        given, rows, whom = draw.whom()
        fault = NetworkFault.model_validate({"fault": event.fault, "from_s": from_s, "until_s": until_s, **given})
        label = f"network: {event.fault} of {whom}, {counted(len(rows), 'meter')}"
        body = fault.model_dump(mode="json", exclude_defaults=True)
        return Disturbance("network", label, from_s, until_s, event.fault, air=body)


class _Draw:
    def __init__(self, space: Airspace, event: RadioEvent, dice: np.random.Generator, taken: Collection[str]) -> None:
        self._space = space
        self._event = event
        self._dice = dice
        self._taken = taken

    def whom(self) -> _Drawn:
        select = self._event.select
        if self._event.fault == "operator-outage":
            names, rows = self._named(self._by_operator(), 1)
            return {"operators": names}, rows, names[0]
        if self._event.fault != "jam":
            names, rows = self._named(self._by_cell(), select.get("cells", 1))
            load = {} if self._event.messages_per_s is None else {"messages_per_s": self._event.messages_per_s}
            return {"cells": names, **load}, rows, _called(names, "cell", "cells")
        strength = {} if self._event.strength is None else {"strength": self._event.strength}
        if "radius_m" in select:
            area, rows = self._area(select["radius_m"])
            return {**area, **strength}, rows, f"{select['radius_m']:,} m around a meter"
        names, rows = self._named(self._by_mesh(), select.get("collectors", 1))
        return {"collectors": names, **strength}, rows, _called(names, "mesh", "meshes")

    def _area(self, radius_m: int) -> tuple[Mapping[str, object], list[int]]:
        """A circle around a meter of a mesh."""
        members = [row for rows in self._by_mesh().values() for row in rows]
        at_m = self._space.setup.positions()
        centre_m = at_m[int(self._dice.choice(self._free(members) or members))]
        inside = np.hypot(*(at_m[members] - centre_m).T) <= radius_m
        rows = [row for row, is_inside in zip(members, inside.tolist(), strict=True) if is_inside]
        return {"centre_m": tuple(centre_m.tolist()), "radius_m": float(radius_m)}, rows

    def _named(self, rows_of: Mapping[str, list[int]], wanted: int) -> tuple[list[str], list[int]]:
        """So many of these, of those that no other event hits, if there are any; and their meters."""
        names = sorted(rows_of)
        free = [name for name in names if len(self._free(rows_of[name])) == len(rows_of[name])] or names
        chosen = self._dice.choice(len(free), size=min(wanted, len(free)), replace=False)
        drawn = [free[at] for at in sorted(chosen.tolist())]
        return drawn, [row for name in drawn for row in rows_of[name]]

    def _by_mesh(self) -> dict[str, list[int]]:
        meters = self._space.fleet.meters
        meshes = {}
        for name, rows in self._space.fleet.carriers.items():
            facts = meters[rows[0]].profile.facts
            if isinstance(facts, CollectedFacts) and facts.collector_passes_transformers:
                meshes[name] = rows
        if not meshes:
            raise ValueError("no meter of this fleet is in a radio mesh that could be jammed")
        return meshes

    def _by_cell(self) -> dict[str, list[int]]:
        found: defaultdict[str, list[int]] = defaultdict(list)
        for row, cell in enumerate(self._space.cells):
            if cell:
                found[cell].append(row)
        if not found:
            raise ValueError("no meter of this fleet has a modem of its own, and none is in a cell")
        return found

    def _by_operator(self) -> dict[str, list[int]]:
        found: defaultdict[str, list[int]] = defaultdict(list)
        for cell, rows in self._by_cell().items():
            found[cell.partition("/")[0]] += rows
        return found

    def _free(self, rows: Sequence[int]) -> list[int]:
        meters = self._space.fleet.meters
        return [row for row in rows if meters[row].usage_point not in self._taken]


def _called(names: Sequence[str], one: str, many: str) -> str:
    return f"{one} {names[0]}" if len(names) == 1 else f"{len(names):,} {many}"
