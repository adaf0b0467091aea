"""The verdict so far: a living lab's tables, judged up to where all that was measured could have been stored."""

from __future__ import annotations

import asyncio
import math
import shutil
import time
from dataclasses import dataclass
from typing import Any

from lab.errors import UserError
from lab.run.companion import Scene
from lab.verdict.context import ClockFacts
from lab.verdict.judge_files import judge_run
from lab.verdict.summary import format_value
from lab.verdict.verdict import Verdict

DIRECTORY = "so-far"
AGAIN_AFTER_S = 3_600
"""Of simulated time that is new in the window."""
REST = 10
"""So many times as long as judging has taken it is let be, so it never takes more than a tenth of the machine."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict on the window up to `end_s` [epoch s]."""

    end_s: int
    verdict: Verdict


class SoFar:
    """Judges again whenever there is an hour more to judge, and when asked to."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._directory = scene.directory / DIRECTORY
        self._asked = False
        self._task: asyncio.Task[None] | None = None
        self._rest_until = 0.0
        self._began = time.monotonic()
        self.latest: Judged | None = None
        self.fault = ""

    @property
    def busy(self) -> bool:
        return self._task is not None and not self._task.done()

    def ask(self) -> None:
        """Judge at the next instant, whether there is anything new or not."""
        self._asked = True

    def window_end_s(self, now_s: int) -> int:
        """Up to where all has had its chance to be stored at `now_s`; the window's beginning if nothing has."""
        scene = self._scene
        return scene.vendors.settled_until_s(now_s, scene.start_s, scene.scenario.settle_s)

    async def consider(self, now_s: int) -> None:
        """To be called at an instant that is over: tables are collected while time stands still, and judged beside it.

        Raises what the last judging has raised, if it was not the fault of the tables.
        """
        if self.busy:
            return
        if self._task is not None:
            task, self._task = self._task, None
            await task
        end_s = self.window_end_s(now_s)
        if end_s == self._scene.start_s:
            return
        new_s = end_s - (self.latest.end_s if self.latest is not None else self._scene.start_s)
        if self._asked or (new_s >= AGAIN_AFTER_S and time.monotonic() >= self._rest_until):
            self._asked = False
            began = time.monotonic()
            try:
                rejected = await self._collect(end_s)
            except UserError as error:
                # The database may be away for a while.
                self._pause(began, error)
                return
            self._task = asyncio.create_task(self._judge(end_s, rejected, began), name="verdict so far")

    async def stop(self) -> None:
        """Let a judging that is under way come to its end; the tables so far are no more needed then."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)

    async def _collect(self, end_s: int) -> int | None:
        self._directory.mkdir(exist_ok=True)
        judging, layout = self._scene.judging, self._scene.stage.layout
        start_s = self._scene.start_s
        rejected = await judging.collect(self._directory, layout.beside(DIRECTORY), start_s=start_s, end_s=end_s)
        await asyncio.to_thread(shutil.copy, layout.network_model, self._directory)
        return rejected

    async def _judge(self, end_s: int, rejected: int | None, began: float) -> None:
        scene = self._scene
        facts = ClockFacts(scene.start_s, end_s - scene.start_s, time.monotonic() - self._began)
        context = scene.judging.context(facts, rejected)
        try:
            verdict = await asyncio.to_thread(judge_run, self._directory, context, targets=scene.scenario.criteria)
        except UserError as error:
            self._pause(began, error)
        else:
            self.latest = Judged(end_s, verdict)
            self._pause(began)

    def _pause(self, began: float, error: UserError | None = None) -> None:
        self.fault = "" if error is None else "; ".join(error.faults)
        self._rest_until = time.monotonic() + REST * (time.monotonic() - began)


def described(judged: Judged, start_s: int) -> dict[str, Any]:
    """For the page."""
    verdict = judged.verdict
    reads = verdict.comparison.reads
    return {
        "passed": verdict.passed,
        "from_s": start_s,
        "until_s": judged.end_s,
        "criteria": [
            {
                "id": result.id,
                "value": format_value(result),
                "target": result.criterion.target_text,
                "passed": result.passed,
                "measured": not math.isnan(result.value),
            }
            for result in verdict.criteria
        ],
        "expected": reads.expected,
        "stored": reads.stored,
        "lost": reads.lost,
        "recovered": reads.recovered,
    }
