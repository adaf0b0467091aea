"""From a scenario's events, with their targets chosen, to one ordered list of things that the lab does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from lab.network_fault import NetworkFault

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


def actions(disturbances: Sequence[Disturbance]) -> list[Action]:
    """All actions in the order of time; at one instant, what ends comes before what begins."""
    begun: list[Action] = []
    ended: list[Action] = []
    for disturbance in disturbances:
        first, last = _VERBS[disturbance.kind]
        begun.append(Action(disturbance.from_s, first, disturbance.target, disturbance.stations, disturbance.fault))
        if last is not None:
            ended.append(Action(disturbance.until_s, last, disturbance.target, disturbance.stations))
    return sorted([*ended, *begun], key=lambda action: action.at_s)
