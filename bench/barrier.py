"""What lockstep costs: grants of a real small lab, beside a bare round trip over its link (`python -m bench barrier`).

An *idle* grant finds nothing due: grid, meters and head-end are told the instant, and quiescence is established by a
fence through the broker and the database's writer. A *reporting* grant is one in which every meter ends an interval,
publishes it, and it is committed.
"""

import asyncio
import io
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from bench.report import Result, Spread
from lab.lockstep.barrier import Barrier
from lab.lockstep.realtime import RealTime
from lab.lockstep.timeline import Disturbance
from lab.processes.reaper import Reaper
from lab.processes.supervisor import Supervisor
from lab.run.life import Life
from lab.run.local_stage import LocalStage
from lab.run.progress import RunProgress
from lab.run.request import RunRequest
from lab.run.run import Run
from lab.run.surroundings import check_externals
from lab.scenario.load import parse_scenario
from lab.services.host import make_private_directory

STEP_S = 900
QUIET_S = 400
"""Into an interval: all that was to be said of the one before has been said."""

SCENARIO = """
[scenario]
name = "barrier"
start = 2026-01-15T00:00:00Z
duration = "{hours}h"
seed = 7
[feeder]
name = "schutterwald"
[fleet]
profile = "rl-dsp"
meters = {meters}
[network]
model = "none"
"""


@dataclass(frozen=True, slots=True)
class _Figures:
    idle_ms: list[float] = field(default_factory=list)
    reporting_ms: list[float] = field(default_factory=list)
    round_trip_ms: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _TimedLife(Life):
    """Times its grants instead of living through a scenario."""

    figures: _Figures = field(default_factory=_Figures)

    async def live(self, disturbances: Sequence[Disturbance], real_time: RealTime | None, *, end_s: int) -> None:
        del disturbances, real_time
        stage = self.stage
        barrier = Barrier(stage.grid, stage.fleets, stage.head)
        now_s, fleet = self.start_s, stage.fleets[0].name
        while now_s <= end_s:
            began = time.perf_counter()
            await barrier.grant(now_s)
            took_ms = (time.perf_counter() - began) * 1000
            into_s = (now_s - self.start_s) % STEP_S
            if now_s - self.start_s > STEP_S:
                if into_s == 1:
                    self.figures.reporting_ms.append(took_ms)
                elif into_s == QUIET_S:
                    self.figures.idle_ms.append(took_ms)
                    began = time.perf_counter()
                    await stage.link.call(fleet, "await_fence", token="", stations=[])
                    self.figures.round_trip_ms.append((time.perf_counter() - began) * 1000)
            # Clocks of meters are off by less than a second: one grant a second after the boundary takes in all.
            planned = [self.start_s + (now_s - self.start_s) // STEP_S * STEP_S + at for at in (1, QUIET_S, STEP_S)]
            due_s = barrier.next_due_s()
            later = [at_s for at_s in planned if at_s > now_s] + ([] if due_s is None else [max(due_s, now_s + 1)])
            now_s = min(later)


class _TimedRun(Run):
    figures: _Figures

    def life(self) -> Life:
        return _TimedLife(self.request, self.progress, self.stage, self.start_s, self.figures)


async def measure(*, hours: int = 12, meters: int = 100) -> Result:
    """Grants over so many simulated hours."""
    out = Path(tempfile.mkdtemp(prefix="amilab-bench-"))
    request = RunRequest(parse_scenario(SCENARIO.format(hours=hours, meters=meters), "barrier.toml"), out)
    progress = RunProgress(Console(file=io.StringIO()))
    with Reaper(str(out)) as reaper:
        work = make_private_directory(reaper)
        supervisor = Supervisor(out / "logs", reaper)
        externals = await check_externals(None, None)
        stage = LocalStage(supervisor, {}, externals, work, out)
        run = _TimedRun(request, progress, externals, out, stage)
        run.figures = _Figures()
        watch = asyncio.create_task(supervisor.watch())
        try:
            await run.execute()
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
            await supervisor.stop_all()
    shutil.rmtree(out)
    ratios = [grant / trip for grant, trip in zip(run.figures.idle_ms, run.figures.round_trip_ms, strict=True)]
    return Result(
        f"barrier ({meters} meters, {hours} h)",
        {
            "idle grant": Spread.of(run.figures.idle_ms),
            "grant in which all meters report": Spread.of(run.figures.reporting_ms),
            "bare round trip over the link": Spread.of(run.figures.round_trip_ms),
            "idle grant / bare round trip": Spread.of(ratios),
        },
        {
            "idle grant": "ms",
            "grant in which all meters report": "ms",
            "bare round trip over the link": "ms",
            "idle grant / bare round trip": "",
        },
    )
