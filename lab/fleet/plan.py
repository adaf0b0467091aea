"""From a scenario and a feeder to the fleet of a run: who is metered, by whose meter, and in which process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from grid.wording import counted
from lab.errors import UserError
from lab.fleet.commissioning import Commissioned, commission, vendor_mix
from lab.fleet.geography import Place
from lab.lockstep.link import Body
from lab.scenario.load import FleetChoice, Scenario
from lab.scenario.times import clock
from lab.services.external import ExternalBroker
from meters.errors import ProfileError
from meters.vendors.profile import VendorProfile

LAST_REPORT_S = 1_800
"""How long after a report is due the head-end still gets to ask for what did not come."""


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """`rows`: the metered usage points in the physical frame; `places` and the fleet's meters are in the same order."""

    rows: list[int]
    places: list[Place]
    fleet: Commissioned


class Vendors:
    """The vendor profiles of a scenario's fleet, with their shares."""

    def __init__(self, choice: FleetChoice) -> None:
        """Raises UserError: an unknown profile, or an interval that one cannot be set to."""
        try:
            self.mix: list[tuple[VendorProfile, float]] = vendor_mix(choice)
        except ProfileError as error:
            raise UserError(str(error), "Change `preset`, `profile` or `interval` in [fleet].") from error
        lengths_s = {profile.facts.interval_length_s for profile, _ in self.mix}
        if len(lengths_s) != 1:
            raise UserError(
                f"the vendors of this fleet have different capture periods: {sorted(lengths_s)} s",
                "Set them all to one with `interval` in [fleet].",
            )
        self.interval_length_s = lengths_s.pop()

    def require_an_interval(self, start_s: int, duration_s: int, *, aligned: bool) -> None:
        """Raises UserError: nothing would be judged, since no interval lies whole in the window.

        :param aligned: the window is to begin where an interval does.
        """
        length_s = self.interval_length_s
        waiting_s = 0 if aligned else -start_s % length_s
        if waiting_s + length_s > duration_s:
            raise UserError(
                f"no interval of {clock(length_s)} lies whole within the {clock(duration_s)} that are to be judged",
                "Lengthen `duration` in [scenario] (or --duration), or shorten `interval` in [fleet].",
            )

    def settled_s(self, end_s: int, settle_s: int) -> int:
        """When a run whose window ends at `end_s` may be judged: also who reports in blocks must have reported."""
        every_s = max(profile.facts.report_every_s for profile, _ in self.mix)
        reported_s = -(-end_s // every_s) * every_s
        return max(end_s + settle_s, reported_s + LAST_REPORT_S if every_s > self.interval_length_s else 0)

    def settled_until_s(self, now_s: float, start_s: int, settle_s: int) -> int:
        """Up to where all that was measured since `start_s` has had its chance to be stored by `now_s`."""
        end_s = int(now_s // self.interval_length_s) * self.interval_length_s
        while end_s > start_s and self.settled_s(end_s, settle_s) > now_s:
            end_s -= self.interval_length_s
        return max(end_s, start_s)


def plan_fleet(
    scenario: Scenario,
    vendors: Vendors,
    grid: Body,
    *,
    group: str,
    broker: ExternalBroker | None,
    new_gateway: Callable[[], str],
) -> FleetPlan:
    """:param new_gateway: the `host:port` at which a further Modbus gateway listens.
    :raises UserError: more meters than usage points, or no port is free.
    """
    points: Sequence[str] = grid["usage_points"]
    rows = _metered_rows(scenario, len(points))
    places = [Place(*grid["places"][row]) for row in rows]

    fleet = commission(
        [points[row] for row in rows],
        places,
        vendors.mix,
        group=group,
        seed=scenario.seed,
        new_gateway=new_gateway,
        broker=broker,
        largest_w=[grid["largest_w"][row] for row in rows],
    )
    return FleetPlan(rows, places, fleet)


def _metered_rows(scenario: Scenario, usage_points: int) -> list[int]:
    """Which usage points have a meter: all, or as many as the scenario says, drawn by seed."""
    wanted = scenario.fleet.meters
    if wanted is None:
        return list(range(usage_points))
    if wanted > usage_points:
        raise UserError(
            [f"the scenario wants {wanted:,} meters, but the feeder has {counted(usage_points, 'usage point')}"],
            "Lower `meters` in [fleet], or leave it out to meter them all.",
        )
    return sorted(np.random.default_rng(scenario.seed).permutation(usage_points)[:wanted].tolist())
