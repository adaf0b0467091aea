"""From a scenario and a feeder to the fleet of a run: who is metered, by whose meter, and in which process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

import numpy as np

from grid.wording import clock, counted
from lab.errors import UserError
from lab.fleet.commissioning import Commissioned, commission
from lab.fleet.geography import Place
from lab.fleet.instrument_transformers import behind_transformers
from lab.fleet.presets import Shares
from lab.fleet.vendors import profile_texts, transformer_profile, vendor_mix
from lab.lockstep.link import Body
from lab.services.external import ExternalBroker
from meters.device.facts import CollectedFacts
from meters.vendors.profile import VendorProfile

LAST_REPORT_S = 1_800
"""How long after a report is due the head-end still gets to ask for what did not come."""


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """`rows`: the metered usage points in the physical frame; `places` and the fleet's meters are in the same order.

    `at_transformers`: the meters that no customer has, with rows and places of their own.
    """

    rows: list[int]
    places: list[Place]
    fleet: Commissioned
    at_transformers: FleetPlan | None = None

    @property
    def everybody(self) -> FleetPlan:
        """All meters as one fleet, those of the transformers last."""
        others = self.at_transformers
        if others is None:
            return self
        first = len(self.fleet.meters)
        carriers = {name: [first + row for row in rows] for name, rows in others.fleet.carriers.items()}
        fleet = Commissioned([*self.fleet.meters, *others.fleet.meters], {**self.fleet.carriers, **carriers})
        return FleetPlan([*self.rows, *others.rows], [*self.places, *others.places], fleet)

    @property
    def relay_rows(self) -> frozenset[int]:
        """The rows of usage points whose meters can disconnect their customers."""
        meters = zip(self.rows, self.fleet.meters, strict=True)
        return frozenset(row for row, meter in meters if meter.profile.capabilities.has_relay)

    def interval_lengths_s(self, points: int) -> list[int]:
        """At which capture period each of so many points is measured; the longest of all where nobody does."""
        own = [meter.profile.facts.interval_length_s for meter in self.fleet.meters]
        lengths_s = [max(own)] * points
        for row, length_s in zip(self.rows, own, strict=True):
            lengths_s[row] = length_s
        return lengths_s


class Vendors:
    """The vendor profiles of a scenario's fleet, with their shares; `texts`: the files of one's own.

    `at_transformers`: the profile of the transformers' meters, if there are any.
    """

    def __init__(self, shares: Shares, interval_s: int | None = None, *, at_transformers: str | None = None) -> None:
        """Raises UserError: an unknown profile, one that cannot be set to the interval, or is no transformer's."""
        self.mix = vendor_mix(shares, interval_s)
        self.at_transformers = None if at_transformers is None else transformer_profile(at_transformers, interval_s)
        self.texts = profile_texts([*shares, *([] if at_transformers in (None, *shares) else [str(at_transformers)])])
        self.longest_interval_s = max(profile.facts.interval_length_s for profile in self._profiles)

    @property
    def _profiles(self) -> list[VendorProfile]:
        return [*(profile for profile, _ in self.mix), *filter(None, [self.at_transformers])]

    @property
    def one_interval_s(self) -> int | None:
        """The capture period of all meters, if it is the same."""
        lengths_s = {profile.facts.interval_length_s for profile in self._profiles}
        return self.longest_interval_s if len(lengths_s) == 1 else None

    @property
    def intervals_per_s(self) -> float:
        """Of a meter of the fleet, on average."""
        return sum(share / profile.facts.interval_length_s for profile, share in self.mix)

    def require_an_interval(self, start_s: int, duration_s: int, *, aligned: bool) -> None:
        """Raises UserError: of some meters nothing would be judged, since no interval lies whole in the window.

        :param aligned: the window is to begin where one of the longest does.
        """
        length_s = self.longest_interval_s
        waiting_s = 0 if aligned else -start_s % length_s
        if waiting_s + length_s > duration_s:
            raise UserError(
                f"no interval of {clock(length_s)} lies whole within the {clock(duration_s)} that are to be judged",
                "Lengthen `duration` in [scenario] (or --duration), or shorten `interval` in [fleet].",
            )

    def settled_s(self, end_s: int, settle_s: int, *, registered_s: int = 0) -> int:
        """When a run whose window ends at `end_s` may be judged: also who reports in blocks must have reported.

        :param registered_s: by when the last meter of a power line has registered with its concentrator.
        """
        facts = [profile.facts for profile in self._profiles]
        if any(isinstance(each, CollectedFacts) and each.by_power_line for each in facts):
            end_s = max(end_s, registered_s)
        blocks_s = {fact.report_every_s for fact in facts if fact.report_every_s > fact.interval_length_s}
        return max(end_s + settle_s, *(-(-end_s // every_s) * every_s + LAST_REPORT_S for every_s in blocks_s), 0)

    def settled_until_s(self, now_s: float, start_s: int, settle_s: int) -> int:
        """Up to where all that was measured since `start_s` has had its chance to be stored by `now_s`."""
        end_s = int(now_s // self.longest_interval_s) * self.longest_interval_s
        while end_s > start_s and self.settled_s(end_s, settle_s) > now_s:
            end_s -= self.longest_interval_s
        return max(end_s, start_s)


def plan_fleet(
    vendors: Vendors,
    grid: Body,
    *,
    meters: int | None,
    seed: int,
    group: str,
    broker: ExternalBroker | None,
    new_gateway: Callable[[], str],
    current_transformers: Mapping[str, str] = MappingProxyType({}),
    voltage_transformers: Mapping[str, str] = MappingProxyType({}),
) -> FleetPlan:
    """:param meters: how many; None: one at each usage point.
    :param current_transformers: the ratios, by usage point; as the next, for instance "200/5".
    :param new_gateway: the `host:port` at which a further Modbus gateway listens.
    :raises UserError: more meters than usage points, transformers where no meter is, or no port is free.
    """
    points: Sequence[str] = grid["usage_points"]
    rows = _metered_rows(meters, seed, len(points))
    places = [Place(*grid["places"][row]) for row in rows]
    commissioned = partial(commission, group=group, seed=seed, new_gateway=new_gateway, broker=broker)
    fleet = commissioned(
        [points[row] for row in rows],
        places,
        vendors.mix,
        largest_w=[grid["largest_w"][row] for row in rows],
        phases=[grid["phases"][row] for row in rows],
    )
    largest_w = dict(zip(points, grid["largest_w"], strict=True))
    behind = behind_transformers(fleet.meters, current_transformers, voltage_transformers, largest_w)
    fleet = replace(fleet, meters=behind)
    others = grid["transformer_points"]
    if vendors.at_transformers is None or not others:
        return FleetPlan(rows, places, fleet)
    ids, rated_va, *where = zip(*others, strict=True)
    stations = [Place(*place) for place in zip(*where, strict=True)]
    metered = commissioned(ids, stations, [(vendors.at_transformers, 1.0)], largest_w=rated_va, besides=fleet)
    # In frames they come behind all usage points, metered or not.
    beyond = list(range(len(points), len(points) + len(others)))
    return FleetPlan(rows, places, fleet, at_transformers=FleetPlan(beyond, stations, metered))


def _metered_rows(wanted: int | None, seed: int, usage_points: int) -> list[int]:
    """Which usage points have a meter: all, or so many, drawn by seed."""
    if wanted is None:
        return list(range(usage_points))
    if wanted > usage_points:
        raise UserError(
            [f"the scenario wants {wanted:,} meters, but the feeder has {counted(usage_points, 'usage point')}"],
            "Lower `meters` in [fleet], or leave it out to meter them all.",
        )
    return sorted(np.random.default_rng(seed).permutation(usage_points)[:wanted].tolist())
