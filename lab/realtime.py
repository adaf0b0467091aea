"""Speed 1: no barrier. Every part runs on the wall clock, as it would in production.

The head-end runs its own timers; the fleets and the grid are told the time once a second, and the grid's frames are
passed on as they come. Nothing waits for anything. Every second is told once, so a late second is made up for.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence

from lab.barrier import Fleet, Grid
from lab.conductor import Stage
from lab.timeline import Action


async def run_in_real_time(
    grid: Grid,
    fleets: Sequence[Fleet],
    stage: Stage,
    actions: Sequence[Action],
    *,
    start_s: int,
    end_s: int,
    progress: Callable[[int], None] = lambda _now_s: None,
) -> None:
    """Run from `start_s`, which may lie a little in the past, until the wall clock shows `end_s` [epoch s]."""
    pending = deque(actions)
    now_s = start_s
    while True:
        await asyncio.sleep(max(0.0, now_s - time.time()))
        due: list[Action] = []
        while pending and pending[0].at_s <= now_s:
            due.append(pending.popleft())
        for action in due:
            if action.verb in ("open", "close"):
                await stage.switch(action.verb, action.target)
        step = await grid.advance(now_s)
        await asyncio.gather(*(fleet.advance(now_s, step.frame) for fleet in fleets))
        for action in due:
            if action.serials:
                await stage.disturb(action.verb, action.serials)
            elif action.verb == "kill":
                await stage.say_farewell(action.target)
                await stage.kill(action.target)
            elif action.verb == "return":
                await stage.bring_back(action.target, now_s)
        progress(now_s)
        if now_s >= end_s:
            return
        now_s += 1
