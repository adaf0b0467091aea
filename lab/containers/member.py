"""`python -m lab.containers.member KIND`: what every container of ours runs, and what it is doing as a heartbeat.

Wait for a plan that has a part of our kind which nobody holds, claim it, serve it over the lab link until the run is
over, and start afresh. A container that finds every part taken stands by: when one dies, its part is free at once.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from importlib import import_module
from pathlib import Path
from typing import Any

from lab.containers.claims import Claim, claim_one
from lab.containers.plan import LINK_KEY, LOCKS, ROOT, Plan, read_plan
from lab.lockstep.link import Handler, serve_part
from lab.lockstep.link_keys import PartKey
from lab.processes.interpreter import python

HEARTBEAT = Path("/tmp/heartbeat")  # noqa: S108 - the container's own tmpfs
HEARTBEAT_EVERY_S = 5.0
LOOK_EVERY_S = 0.5
KINDS = {
    "grid": "lab.parts.grid:GridPart",
    "meters": "lab.parts.fleet:FleetPart",
    "gateways": "lab.parts.fleet:FleetPart",
    "ingest": "lab.parts.headend:HeadPart",
    "outages": "lab.parts.headend:HeadPart",
    "poller": "lab.parts.headend:HeadPart",
}
"""Which class serves the parts of a kind. Imported late: an image has only what its own kinds need."""


async def take_part(kind: str, root: Path = ROOT) -> None:
    """Claim a part of this kind and serve it until the lab says stop, or its run is over."""
    directory = root / "plan"
    key = PartKey.from_text(LINK_KEY.read_text())
    plan, claim = await _claim(kind, directory)
    with claim:
        _say(f"serving {claim.name} of {plan.run}")
        serving = asyncio.create_task(serve_part(claim.name, plan.link, _handlers(kind), run=plan.run, key=key))
        over = asyncio.create_task(_until_over(plan, directory))
        await asyncio.wait({serving, over}, return_when=asyncio.FIRST_COMPLETED)
        over.cancel()
        if serving.done():
            serving.result()
        _say(f"done with {claim.name} of {plan.run}")


async def _claim(kind: str, directory: Path) -> tuple[Plan, Claim]:
    said = False
    while True:
        plan = read_plan(directory)
        claim = None if plan is None else claim_one(directory / LOCKS, plan.parts.get(kind, ()))
        if plan is not None and claim is not None:
            return plan, claim
        if not said:
            _say("waiting for a run" if plan is None else "standing by")
            said = True
        await asyncio.sleep(LOOK_EVERY_S)


async def _until_over(plan: Plan, directory: Path) -> None:
    while True:
        now = read_plan(directory)
        if now is None or now.run != plan.run:
            return
        await asyncio.sleep(LOOK_EVERY_S)


def _handlers(kind: str) -> dict[str, Handler]:
    module, _, name = KINDS[kind].partition(":")
    part: Callable[[], Any] = getattr(import_module(module), name)
    handlers: dict[str, Handler] = part().handlers()
    return handlers


async def _beat() -> None:
    """A loop that is stuck does not beat, so a health check needs no answer from us."""
    while True:
        HEARTBEAT.write_text(f"{time.time():.0f}\n")  # noqa: ASYNC240 - memory, not a disk
        await asyncio.sleep(HEARTBEAT_EVERY_S)


async def beating(work: Coroutine[Any, Any, None]) -> None:
    """Do it with a heartbeat."""
    beat = asyncio.create_task(_beat())
    try:
        await work
    finally:
        beat.cancel()


async def _until_told(work: Coroutine[Any, Any, None]) -> bool:
    """Whether the work ended by itself, and not because SIGTERM came."""
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    tasks = [asyncio.create_task(work), asyncio.create_task(told.wait()), asyncio.create_task(_beat())]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks[:1] + tasks[2:]:
        if task.done():
            task.result()
    return not told.is_set()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description="Takes a part in the lab's runs.")
    parser.add_argument("kind", choices=sorted(KINDS))
    kind = parser.parse_args().kind
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Memories and results are the project's user's alone, on the host as well.
    os.umask(0o077)
    import uvloop

    if uvloop.run(_until_told(take_part(kind))):
        # A new process: no state of one run gets into the next.
        os.execv(sys.executable, python("-m", "lab.containers.member", kind))  # noqa: S606


if __name__ == "__main__":
    main()
