"""Whose relay a technician moves, and when: the `relay` events of a scenario."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from grid.wording import counted
from lab.fleet.shipment import ShippedMeter
from lab.lockstep.timeline import Disturbance
from lab.scenario.events import RelayEvent


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
        self._able = [meter.serial for meter in meters if meter.profile.capabilities.has_relay]
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
        faults = [f"no meter of this fleet is called {serial}" for serial in serials if serial not in self._profile_of]
        faults += [
            f"{serial} has no relay ({self._profile_of[serial].name})"
            for serial in serials
            if serial in self._profile_of and not self._profile_of[serial].capabilities.has_relay
        ]
        if faults:
            raise ValueError("\n".join(faults))
        return tuple(serials), serials[0] if len(serials) == 1 else counted(len(serials), "meter")

    def _drawn(self, wanted: int, numbered: Numbered, at_s: int, busy: Collection[str]) -> tuple[Sequence[str], str]:
        if not self._able:
            raise ValueError("no meter of this fleet has a relay")
        closing = numbered.event.position == "closed"
        opened = opened_relays(self._planned, at_s)
        able = [serial for serial in self._able if (serial in opened) is closing]
        if not able:
            raise ValueError("no meter's relay is open then" if closing else "every meter's relay is open then")
        free = [serial for serial in able if self._point_of[serial] not in busy] or able
        count = min(wanted, len(free))
        rows = np.random.default_rng([self._seed, numbered.index]).choice(len(free), size=count, replace=False)
        serials = [free[row] for row in sorted(rows)]
        label = serials[0] if count == 1 else f"{count:,} meters"
        return serials, label + (f" ({wanted:,} asked for)" if count < wanted else "")


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
