"""Takes a run through simulated time: grants from the barrier, scenario actions at their instants, pace."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol

from lab.lockstep.barrier import Barrier
from lab.lockstep.link import Body
from lab.lockstep.network_fault import NetworkFault
from lab.lockstep.pace import Agenda, Pace
from lab.lockstep.timeline import RELAY_VERBS, Action

RACE_WITHIN_S = 0.1
"""A kill that races with the work of its instant falls within so much wall-clock time after that has begun."""


class Stage(Protocol):
    """What the conductor can do to the lab beside granting time."""

    async def switch(self, verb: str, device: str) -> None:
        """`open` or `close` a device of the grid, from the next grant on."""

    async def disturb(self, verb: str, stations: Sequence[str]) -> None:
        """What happens to these meters or collectors now, by its verb (lab/lockstep/timeline.py)."""

    async def disturb_network(self, fault: Body) -> None:
        """Tell the fleets of a fault of the modelled network before it begins, and before it ends."""

    async def say_farewell(self, part: str) -> None:
        """Read from a part that is about to be killed what would be lost with it."""

    async def hold(self, part: str) -> None:
        """Let what the meters say to the head-end be on its way, unread, until this part is killed."""

    async def kill(self, part: str) -> None:
        """SIGKILL a part and return when it is dead and every connection to it has noticed."""

    async def bring_back(self, part: str, now_s: int) -> None:
        """Start a killed part; return once it is ready."""

    async def impair(self, part: str, fault: NetworkFault) -> None:
        """Begin a fault; it ends by itself."""

    async def await_repairs(self) -> None:
        """Return when every fault has ended."""

    async def rotate(self, what: str) -> None:
        """Give everybody a new identity, and have everybody connect with it."""

    async def retire(self) -> None:
        """Trust nothing any more that is older than the last rotation."""

    def update(self, part: str) -> AsyncIterator[str]:
        """Give a part new processes, one after another: with each `anext`, another old one has gone."""

    async def await_broker(self, now_s: int) -> None:
        """Return once the broker serves, if it is not one that the scenario has killed."""


async def conduct(
    barrier: Barrier,
    stage: Stage,
    agenda: Agenda,
    pace: Pace,
    *,
    start_s: int,
    seed: int,
    progress: Callable[[int], Awaitable[None]],
) -> None:
    """Run from `start_s` [epoch s] to the agenda's end, both granted. Agenda and pace may change on the way.

    `progress` is told each instant when it is over, and time waits for it.

    Simulated time stands still while a broker is away that nobody killed on purpose: a minute of its absence would
    else be a day of the meters'.
    """
    dice = random.Random(f"{seed} moments of kills")
    updates: list[AsyncIterator[str]] = []
    now_s = start_s
    while True:
        due = agenda.take(now_s)
        over = agenda.end_s is not None and now_s >= agenda.end_s
        updates += [stage.update(action.target) for action in due if action.verb == "update"]
        await _replace_another(updates, and_all_others=over)
        await _step(barrier, stage, due, now_s, dice)
        await progress(now_s)
        if over:
            await stage.await_repairs()
            return
        if barrier.out_of_touch:
            asked = time.monotonic()
            await stage.await_broker(now_s)
            pace.excuse(time.monotonic() - asked)
        now_s = await _next_instant(barrier, agenda, pace, now_s)


async def _next_instant(barrier: Barrier, agenda: Agenda, pace: Pace, now_s: int) -> int:
    while True:
        instants = [instant for instant in (barrier.next_due_s(), agenda.next_s()) if instant is not None]
        next_s = max(now_s, min(instants))
        if pace.speed is not None:
            await barrier.flow(from_s=pace.now_s(), speed=pace.speed, until_s=next_s)
        if await pace.reach(next_s):
            return next_s


async def _replace_another(updates: list[AsyncIterator[str]], *, and_all_others: bool) -> None:
    """Of each rolling update, one process a grant: so each is taken over from while there is something to do."""
    for update in list(updates):
        while await anext(update, None) is not None:
            if not and_all_others:
                break
        else:
            updates.remove(update)


async def _step(barrier: Barrier, stage: Stage, due: Sequence[Action], now_s: int, dice: random.Random) -> None:
    for action in due:
        if action.verb == "return":
            await stage.bring_back(action.target, now_s)
            await barrier.quiesce()
        elif action.verb in ("open", "close"):
            await stage.switch(action.verb, action.target)
        elif action.fault is not None:
            await stage.impair(action.target, action.fault)
        elif action.air is not None:
            await stage.disturb_network(action.air)
        elif action.ask is not None:
            await action.ask(now_s)
    await _grant(barrier, stage, due, now_s, dice)
    disturbed = [action for action in due if action.stations and action.verb not in RELAY_VERBS]
    for action in disturbed:
        await stage.disturb(action.verb, action.stations)
    if disturbed:
        await barrier.quiesce()


async def _grant(barrier: Barrier, stage: Stage, due: Sequence[Action], now_s: int, dice: random.Random) -> None:
    """A grant in whose middle relays are moved and kills and rotations fall: so that every run counts the same.

    What the meters say at this instant is with the broker then, and the head-end that is to be killed, or whose broker
    is, has read nothing of it. So a killed head-end has to get all of it again, and a killed broker loses all of it.
    A relay has moved, and the lab knows it, before anybody is killed; unless a kill races, which relays then follow.
    """
    relays = [action for action in due if action.verb in RELAY_VERBS]
    meddling = [action for action in due if action.verb in ("kill", "rotate", "retire")]
    kills = [action for action in meddling if action.verb == "kill"]
    for action in kills:
        await stage.say_farewell(action.target)
    if any(action.races for action in kills):
        grant = asyncio.create_task(barrier.grant(now_s))
        for action in meddling:
            await asyncio.wait([grant], timeout=dice.uniform(0.0, RACE_WITHIN_S))
            await _meddle(stage, action)
        await grant
        for action in relays:
            await stage.disturb(action.verb, action.stations)
        await barrier.quiesce()
        return
    for action in kills:
        await stage.hold(action.target)

    async def meddle() -> None:
        for action in relays:
            await stage.disturb(action.verb, action.stations)
        if relays and meddling:
            await barrier.settle_fleets()
        for action in meddling:
            await _meddle(stage, action)

    await barrier.grant(now_s, under_way=meddle if relays or meddling else None)


async def _meddle(stage: Stage, action: Action) -> None:
    if action.verb == "kill":
        await stage.kill(action.target)
    elif action.verb == "rotate":
        await stage.rotate(action.target)
    else:
        await stage.retire()
