"""From a scenario's events, with their targets chosen, to one ordered list of things that the lab does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from lab.lockstep.network_fault import NetworkFault

Verb = Literal[
    "open", "close", "lose_uplink", "restore_uplink", "reboot", "kill", "return", "impair", "rotate", "retire", "update"
]


@dataclass(frozen=True, slots=True)
class Action:
    """Something to do at the simulated instant `at_s` [epoch s].

    `target` is a device of the grid (open, close), a part (kill, return, impair, update), or what gets new keys
    (rotate, retire); `stations` are meters or collectors.
    """

    at_s: int
    verb: Verb
    target: str = ""
    stations: Sequence[str] = ()
    fault: NetworkFault | None = None
    races: bool = False
    """A kill whose moment within its instant is the wall clock's."""


@dataclass(frozen=True, slots=True)
class Disturbance:
    """A scenario event with its target: what the report shows, and what `actions` makes actions of."""

    kind: Literal["outage", "uplink_loss", "reboot", "kill", "network", "rotate", "update"]
    label: str
    from_s: int
    until_s: int
    target: str = ""
    stations: Sequence[str] = ()
    fault: NetworkFault | None = None
    races: bool = False

    def later(self, by_s: int) -> Disturbance:
        """The same, moved in time."""
        return replace(self, from_s=self.from_s + by_s, until_s=self.until_s + by_s)


_VERBS: dict[str, tuple[Verb, Verb | None]] = {
    "outage": ("open", "close"),
    "uplink_loss": ("lose_uplink", "restore_uplink"),
    "reboot": ("reboot", None),
    "kill": ("kill", "return"),
    "network": ("impair", None),
    "rotate": ("rotate", "retire"),
    "update": ("update", None),
}


ENDINGS = frozenset(verb for _, verb in _VERBS.values() if verb is not None)


def order(action: Action) -> tuple[int, bool]:
    """To sort by: at one instant, what ends comes before what begins."""
    return action.at_s, action.verb not in ENDINGS


def beginning(disturbance: Disturbance) -> Action:
    """What the lab does when it begins."""
    verb, _ = _VERBS[disturbance.kind]
    return Action(
        disturbance.from_s, verb, disturbance.target, disturbance.stations, disturbance.fault, disturbance.races
    )


def ending(disturbance: Disturbance) -> Action | None:
    """What the lab does when it is over; None for what is over at once."""
    _, verb = _VERBS[disturbance.kind]
    return None if verb is None else Action(disturbance.until_s, verb, disturbance.target, disturbance.stations)


def actions(disturbances: Sequence[Disturbance]) -> list[Action]:
    """All actions in their `order`."""
    begun = [beginning(disturbance) for disturbance in disturbances]
    ended = [action for disturbance in disturbances if (action := ending(disturbance)) is not None]
    return sorted([*ended, *begun], key=order)
