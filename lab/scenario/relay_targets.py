"""Whose relay a technician moves, and when: the `relay` events of a scenario."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from grid.wording import counted
from lab.fleet.shipment import ShippedMeter
from lab.lockstep.timeline import Disturbance
from lab.scenario.model import RelayEvent
from meters.vendors.profile import VendorProfile


def has_relay(profile: VendorProfile) -> bool:
    """Whether such a meter can disconnect its customer."""
    return profile.protocol != "modbus"


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
        self._able = [meter.serial for meter in meters if has_relay(meter.profile)]
        self._start_s, self._seed = start_s, seed
        self._moves: list[tuple[int, frozenset[str], bool]] = []

    def disturbance(self, numbered: Numbered, busy: Callable[[int], set[str]]) -> Disturbance:
        """:param busy: usage points that another event hits near an instant; they are drawn only if no others are left.

        :raises ValueError: with every reason why it cannot be, a line each.
        """
        event = numbered.event
        at_s, until_s = self._start_s + event.at_s, self._start_s + event.ends_s
        wanted = event.select
        if "serials" in wanted:
            serials, label = self._named(wanted["serials"])
        else:
            serials, label = self._drawn(wanted["meters"], numbered, at_s, busy(at_s) | busy(until_s))
        closed, lasting = event.position == "closed", event.duration_s is None
        self._moves.append((at_s, frozenset(serials), closed))
        if not lasting:
            self._moves.append((until_s, frozenset(serials), not closed))
        return Disturbance(
            "relay", relay_label(label, event.position), at_s, until_s, event.position, serials, lasting=lasting
        )

    def _named(self, serials: Sequence[str]) -> tuple[Sequence[str], str]:
        faults = [f"no meter of this fleet is called {serial}" for serial in serials if serial not in self._profile_of]
        faults += [
            f"{serial} is a {self._profile_of[serial].name}, which has no relay"
            for serial in serials
            if serial in self._profile_of and not has_relay(self._profile_of[serial])
        ]
        if faults:
            raise ValueError("\n".join(faults))
        return tuple(serials), serials[0] if len(serials) == 1 else counted(len(serials), "meter")

    def _drawn(self, wanted: int, numbered: Numbered, at_s: int, busy: Collection[str]) -> tuple[Sequence[str], str]:
        if not self._able:
            raise ValueError("no meter of this fleet has a relay")
        closing = numbered.event.position == "closed"
        able = [serial for serial in self._able if self._is_closed(serial, at_s) is not closing]
        if not able:
            raise ValueError("no meter's relay is open then" if closing else "every meter's relay is open then")
        free = [serial for serial in able if self._point_of[serial] not in busy] or able
        count = min(wanted, len(free))
        rows = np.random.default_rng([self._seed, numbered.index]).choice(len(free), size=count, replace=False)
        serials = [free[row] for row in sorted(rows)]
        label = serials[0] if count == 1 else f"{count:,} meters"
        return serials, label + (f" ({wanted:,} asked for)" if count < wanted else "")

    def _is_closed(self, serial: str, at_s: int) -> bool:
        moves = [(time_s, closed) for time_s, serials, closed in self._moves if serial in serials and time_s <= at_s]
        return sorted(moves, key=lambda move: move[0])[-1][1] if moves else True


def relay_label(meters: str, position: str) -> str:
    """What is told of it: whose relay it is, and what that means for the customer."""
    return f"relay {position}: {meters} {'connected' if position == 'closed' else 'disconnected'}"
