"""Whose relay a technician moves, and when: the `relay` events of a scenario."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from grid.wording import counted
from lab.fleet.shipment import ShippedMeter
from lab.lockstep.timeline import Disturbance
from lab.scenario.events import RelayEvent
from meters.vendors.profile import VendorProfile


@dataclass(frozen=True, slots=True)
class Numbered:
    """A `relay` event with its number in the file."""

    index: int
    event: RelayEvent

    @property
    def where(self) -> str:
        return f"event {self.index + 1} ({self.event.kind}, line {self.event.line})"


class Technician:
    """Moves relays in the order of time, and so knows which are open."""

    def __init__(self, meters: Sequence[ShippedMeter], *, start_s: int, seed: int) -> None:
        self._profile_of = {meter.serial: meter.profile for meter in meters}
        self._point_of = {meter.serial: meter.usage_point for meter in meters}
        self._start_s, self._seed = start_s, seed
        self._planned: list[Disturbance] = []

    def disturbance(self, numbered: Numbered, busy: Callable[[int], set[str]]) -> Disturbance:
        """:param busy: usage points that another event hits near an instant; they are drawn only if no others are left.

        :raises ValueError: with every reason why it cannot be, a line each.
        """
        event = numbered.event
        at_s, until_s = self._start_s + event.at_s, self._start_s + event.ends_s
        wanted = event.select
        if "serials" in wanted:
            serials, label = self._named(list(dict.fromkeys(wanted["serials"])))
        else:
            serials, label = self._drawn(wanted["meters"], numbered, at_s, busy(at_s) | busy(until_s))
        planned = Disturbance(
            "relay",
            relay_label(label, event.position),
            at_s,
            until_s,
            event.position,
            serials,
            lasting=event.duration_s is None,
        )
        self._planned.append(planned)
        return planned

    def _named(self, serials: Sequence[str]) -> tuple[Sequence[str], str]:
        if faults := faults_of_named(serials, self._profile_of):
            raise ValueError("\n".join(faults))
        return tuple(serials), serials[0] if len(serials) == 1 else counted(len(serials), "meter")

    def _drawn(self, wanted: int, numbered: Numbered, at_s: int, busy: Collection[str]) -> tuple[Sequence[str], str]:
        if not any(profile.capabilities.has_relay for profile in self._profile_of.values()):
            raise ValueError("no meter of this fleet has a relay")
        position = numbered.event.position
        able = movable_relays(self._profile_of, opened_relays(self._planned, at_s), position)
        if not able:
            raise ValueError(
                "no meter's relay is open then" if position == "closed" else "every meter's relay is open then"
            )
        free = [serial for serial in able if self._point_of[serial] not in busy] or able
        count = min(wanted, len(free))
        rows = np.random.default_rng([self._seed, numbered.index]).choice(len(free), size=count, replace=False)
        serials = [free[row] for row in sorted(rows)]
        label = serials[0] if count == 1 else f"{count:,} meters"
        return serials, label + (f" ({wanted:,} asked for)" if count < wanted else "")


def faults_of_named(serials: Iterable[str], profile_of: Mapping[str, VendorProfile]) -> list[str]:
    """Why nobody can move the relays of these meters: for each that is unknown or has none."""
    faults = [f"no meter is called {serial}" for serial in serials if serial not in profile_of]
    return faults + [
        f"{serial} has no relay ({profile_of[serial].name})"
        for serial in serials
        if serial in profile_of and not profile_of[serial].capabilities.has_relay
    ]


def movable_relays(
    profile_of: Mapping[str, VendorProfile], opened: Collection[str], position: Literal["open", "closed"]
) -> list[str]:
    """Whose relay can be moved to that position: those that have one which is in the other."""
    return [
        serial
        for serial, profile in profile_of.items()
        if profile.capabilities.has_relay and (serial in opened) == (position == "closed")
    ]


def opened_relays(disturbances: Iterable[Disturbance], at_s: int) -> set[str]:
    """Whose relay is open at `at_s` [epoch s], by these disturbances, of which those of relays count."""
    moves: list[tuple[int, bool, Sequence[str]]] = []
    for each in disturbances:
        if each.kind == "relay":
            opens = each.target == "open"
            moves.append((each.from_s, opens, each.stations))
            if not each.lasting:
                moves.append((each.until_s, not opens, each.stations))
    opened: set[str] = set()
    for time_s, opens, serials in sorted(moves, key=lambda move: move[0]):
        if time_s <= at_s:
            opened = opened.union(serials) if opens else opened.difference(serials)
    return opened


def relay_label(meters: str, position: str) -> str:
    """What is told of it: whose relay it is, and what that means for the customer."""
    return f"relay {position}: {meters} {'connected' if position == 'closed' else 'disconnected'}"
