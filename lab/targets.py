"""Chooses whom each event of a scenario hits, by seeded selectors, so that a scenario fits any feeder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lab.errors import UserError
from lab.link import LabLink
from lab.scenario import KillEvent, OutageEvent, RebootEvent, Scenario, UplinkLossEvent
from lab.timeline import Disturbance

MOMENTARY_S = 300
"""An interruption of up to five minutes is momentary (IEEE 1366-2022, 3.15: "sustained" lasts longer)."""


async def choose_targets(
    scenario: Scenario, *, start_s: int, link: LabLink, grid: str, serial_of: Mapping[str, str]
) -> list[Disturbance]:
    """A disturbance for each event. Outages never share a usage point, nor do an outage and an uplink loss or a reboot.

    :param serial_of: serial by usage point, in the feeder's order.
    :raises UserError: listing every event whose selector fits nothing on this feeder.
    """
    faults: list[str] = []
    chosen: dict[int, Disturbance] = {}
    taken: set[str] = set()
    # Outages first: a device takes its customers as they are, meters can be chosen around them.
    order = sorted(range(len(scenario.events)), key=lambda index: not isinstance(scenario.events[index], OutageEvent))
    for index in order:
        event = scenario.events[index]
        from_s = start_s + event.at_s
        where = f"event {index + 1} ({event.kind}, line {event.line})"
        if isinstance(event, OutageEvent):
            try:
                reply = await link.call(
                    grid,
                    "select",
                    seed=scenario.seed,
                    key=[index],
                    device=event.device,
                    select=event.select,
                    exclude=sorted(taken),
                    where=where,
                )
            except UserError as error:
                faults.extend(error.faults)
                continue
            points = reply.body["usage_points"]
            taken.update(points)
            name = "momentary interruption" if event.duration_s <= MOMENTARY_S else "outage"
            label = f"{name}: {reply.body['device']}, {len(points):,} customers"
            until_s = from_s + event.duration_s
            chosen[index] = Disturbance("outage", label, from_s, until_s, reply.body["device"])
        elif isinstance(event, UplinkLossEvent | RebootEvent):
            try:
                serials = _choose_meters(event.select, [scenario.seed, index], serial_of, taken)
            except ValueError as error:
                faults.append(f"{where}: {error}")
                continue
            if isinstance(event, RebootEvent):
                chosen[index] = Disturbance("reboot", f"reboot: {_meters(serials)}", from_s, from_s, serials=serials)
            else:
                label = f"uplink loss: {_meters(serials)}"
                chosen[index] = Disturbance("uplink_loss", label, from_s, from_s + event.duration_s, serials=serials)
        elif isinstance(event, KillEvent):
            label = f"SIGKILL: {event.part}, back after {event.down_s:,} s"
            chosen[index] = Disturbance("kill", label, from_s, from_s + event.down_s, event.part)
    if faults:
        raise UserError(faults, "Change the events' `select`, or choose another feeder.")
    return [chosen[index] for index in sorted(chosen)]


def _choose_meters(
    select: Mapping[str, object], seed: Sequence[int], serial_of: Mapping[str, str], taken: set[str]
) -> list[str]:
    wanted = select.get("meters")
    if not isinstance(wanted, int):
        raise ValueError("`select` needs `meters = <number>`")
    free = [point for point in serial_of if point not in taken]
    if wanted > len(free):
        raise ValueError(f"{wanted:,} meters are wanted, but {len(free):,} are left outside the outages")
    rows = np.random.default_rng(list(seed)).choice(len(free), size=wanted, replace=False)
    points = [free[row] for row in sorted(rows)]
    taken.update(points)
    return [serial_of[point] for point in points]


def _meters(serials: Sequence[str]) -> str:
    return serials[0] if len(serials) == 1 else f"{len(serials):,} meters"
