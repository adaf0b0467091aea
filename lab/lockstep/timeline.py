"""From a scenario's events, with their targets chosen, to one ordered list of things that the lab does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from lab.lockstep.link import Body
from lab.lockstep.network_fault import NetworkFault

Verb = Literal[
    "open",
    "close",
    "lose_uplink",
    "restore_uplink",
    "reboot",
    "fail_collectors",
    "mend_collectors",
    "open_relay",
    "close_relay",
    "kill",
    "return",
    "impair",
    "disturb_network",
    "restore_network",
    "rotate",
    "retire",
    "update",
    "ask",
]
RELAY_VERBS = ("open_relay", "close_relay")


@dataclass(frozen=True, slots=True)
class Action:
    """Something to do at the simulated instant `at_s` [epoch s].

    `target` is a device of the grid (open, close), a part (kill, return, impair, update), or what gets new keys
    (rotate, retire); of a relay, the position that the disturbance begins with. `stations` are meters or collectors.
    `ask` is what to do when somebody outside asks for something (ask): it is told the instant.
    """

    at_s: int
    verb: Verb
    target: str = ""
    stations: Sequence[str] = ()
    fault: NetworkFault | None = None
    air: Body | None = None
    """What disturbs the modelled network, and from when to when (disturb_network, restore_network)."""
    races: bool = False
    """A kill whose moment within its instant is the wall clock's."""
    ask: Callable[[int], Awaitable[None]] | None = None


@dataclass(frozen=True, slots=True)
class Disturbance:
    """A scenario event with its target: what the report shows, and what `actions` makes actions of."""

    kind: Literal[
        "outage",
        "conductor",
        "uplink_loss",
        "reboot",
        "collector_failure",
        "relay",
        "kill",
        "network",
        "rotate",
        "update",
    ]
    label: str
    from_s: int
    until_s: int
    target: str = ""
    stations: Sequence[str] = ()
    fault: NetworkFault | None = None
    air: Body | None = None
    """What disturbs the modelled network, but for when."""
    races: bool = False
    lasting: bool = False
    """Nothing undoes it, whatever its `until_s`."""

    @property
    def open_ended(self) -> bool:
        """It lasts until somebody restores it. A relay that was closed is as it should be."""
        return self.lasting and self.target == "open"

    @property
    def hit(self) -> Sequence[str]:
        """By name whom it is done to: meters and collectors, or cells and operators of the modelled network."""
        named = [] if self.air is None else [self.air.get(kind, ()) for kind in ("collectors", "cells", "operators")]
        return [*self.stations, *(name for names in named for name in names)]

    @property
    def air_fault(self) -> Body | None:
        """What disturbs the modelled network, and from when to when as far as that is known."""
        if self.air is None:
            return None
        return {**self.air, "from_s": self.from_s} | ({} if self.lasting else {"until_s": self.until_s})

    def later(self, by_s: int) -> Disturbance:
        """The same, moved in time."""
        return replace(self, from_s=self.from_s + by_s, until_s=self.until_s + by_s)


_RELAY_VERBS: dict[str, tuple[Verb, Verb]] = {
    "open": ("open_relay", "close_relay"),
    "closed": ("close_relay", "open_relay"),
}
"""By the position that the disturbance's target names."""
_VERBS: dict[str, tuple[Verb, Verb | None]] = {
    "outage": ("open", "close"),
    "conductor": ("open", "close"),
    "uplink_loss": ("lose_uplink", "restore_uplink"),
    "reboot": ("reboot", None),
    "collector_failure": ("fail_collectors", "mend_collectors"),
    "kill": ("kill", "return"),
    "network": ("impair", None),
    "rotate": ("rotate", "retire"),
    "update": ("update", None),
}
_AIR_VERBS: tuple[Verb, Verb] = ("disturb_network", "restore_network")


ENDINGS = frozenset({"close_relay", _AIR_VERBS[1], *(verb for _, verb in _VERBS.values() if verb is not None)})


def order(action: Action) -> tuple[int, bool]:
    """To sort by: at one instant, what ends comes before what begins."""
    return action.at_s, action.verb not in ENDINGS


def beginning(disturbance: Disturbance) -> Action:
    """What the lab does when it begins."""
    verb, _ = _verbs(disturbance)
    return Action(
        disturbance.from_s,
        verb,
        disturbance.target,
        disturbance.stations,
        disturbance.fault,
        disturbance.air_fault,
        disturbance.races,
    )


def ending(disturbance: Disturbance) -> Action | None:
    """What the lab does when it is over; None for what is over at once."""
    _, verb = _verbs(disturbance)
    if verb is None or disturbance.lasting:
        return None
    air = disturbance.air_fault
    return Action(disturbance.until_s, verb, disturbance.target, disturbance.stations, air=air)


def _verbs(disturbance: Disturbance) -> tuple[Verb, Verb | None]:
    if disturbance.kind == "relay":
        return _RELAY_VERBS[disturbance.target]
    if disturbance.air is not None:
        return _AIR_VERBS
    return _VERBS[disturbance.kind]


def actions(disturbances: Sequence[Disturbance]) -> list[Action]:
    """All actions in their `order`."""
    begun = [beginning(disturbance) for disturbance in disturbances]
    ended = [action for disturbance in disturbances if (action := ending(disturbance)) is not None]
    return sorted([*ended, *begun], key=order)
