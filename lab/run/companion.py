"""Who goes with a lab while it lives, may look at all of it, and act on it: the live page is one (lab/live)."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lab.fleet.plan import Vendors
from lab.headends.store import Database
from lab.lockstep.pace import Agenda, Pace
from lab.lockstep.timeline import Disturbance
from lab.run.judging import Judging
from lab.run.stage import Stage
from lab.scenario.model import Scenario


@dataclass(frozen=True, slots=True)
class Scene:
    """A lab that has been set up and is about to live.

    `database_embedded`, `broker_embedded`: not somebody else's. `disturbances`: what the scenario has in store.
    `judging` knows the feeder and the fleet, too.
    """

    scenario: Scenario
    stage: Stage
    vendors: Vendors
    store: Database
    database_embedded: bool
    broker_embedded: bool
    disturbances: tuple[Disturbance, ...]
    judging: Judging
    directory: Path
    start_s: int


@dataclass(frozen=True, slots=True)
class Lived:
    """What has been: when the judged window ended, and all that disturbed it."""

    end_s: int
    disturbances: tuple[Disturbance, ...]


class Companion(Protocol):
    agenda: Agenda
    pace: Pace

    def attend(self, scene: Scene) -> AbstractAsyncContextManager[None]:
        """Be there while the lab lives. The agenda has what the scenario does; its end is left open."""

    def frame(self, frame: bytes) -> None:
        """The grid's state is another one (grid/world.py)."""

    async def at(self, now_s: int) -> None:
        """`now_s` is over, and the lab quiescent."""

    def lived(self) -> Lived:
        """To be asked once it is over."""
