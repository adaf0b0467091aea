"""Raise the load until an objective breaks: where the knee is, and what it takes per core."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from lab.loadtest.judgement import SYSTEM, LoadVerdict, Word, judge
from lab.loadtest.loads import reported_share
from lab.loadtest.outputs import BANNERS, write_samples
from lab.loadtest.page import REPORT, facts, render
from lab.loadtest.plot import XY, Line
from lab.loadtest.progress import LoadProgress
from lab.loadtest.run import Bench, LoadRequest, on_a_bench
from lab.loadtest.samples import Sample
from lab.run.directory import link_latest
from lab.verdict.context import Host
from loadtests.shapes import Shape

WARM_S = 5.0
"""Users connect at the beginning of a step; what they publish meanwhile is not asked how long it took."""
EXIT_FOUND, EXIT_BELOW, EXIT_INVALID = 0, 1, 4


@dataclass(frozen=True, slots=True)
class Step:
    """`offered_per_s`: readings by the schedule. `broke`: criteria that were missed. `busy_cores`: of the system."""

    offered_per_s: float
    stored_per_s: float
    p50_ms: float
    p95_ms: float
    word: Word
    broke: tuple[str, ...]
    busy_cores: dict[str, float]

    @property
    def system_cores(self) -> float:
        return sum(self.busy_cores.get(part, 0.0) for part in SYSTEM)

    @property
    def per_core(self) -> float:
        """Readings per second for each core that head-end, broker and database kept busy."""
        return self.stored_per_s / self.system_cores if self.system_cores else math.nan


@dataclass(frozen=True, slots=True)
class Knee:
    """The steps in their order; the last one is where it ended."""

    steps: tuple[Step, ...]
    limit_ms: float
    meters: int
    host: Host

    @property
    def best(self) -> Step | None:
        """The highest load that met every objective."""
        good = [step for step in self.steps if step.word is Word.PASSED]
        return good[-1] if good else None

    @property
    def exit_status(self) -> int:
        """0: found. 1: the first load was too much already. 4: the generator gave out, or the steps did."""
        if self.steps[-1].word is Word.FAILED:
            return EXIT_FOUND if self.best is not None else EXIT_BELOW
        return EXIT_INVALID

    @property
    def said(self) -> str:
        last, best = self.steps[-1], self.best
        if last.word is Word.FAILED and best is not None:
            return (
                f"the knee is between {best.offered_per_s:,.0f} and {last.offered_per_s:,.0f} readings/s: "
                f"there {', '.join(last.broke)} broke"
            )
        if last.word is Word.FAILED:
            return f"the first load, {last.offered_per_s:,.0f} readings/s, is beyond the knee: {', '.join(last.broke)}"
        if last.word is Word.INVALID:
            return (
                f"not found: at {last.offered_per_s:,.0f} readings/s the generator, not the system, was at its end; "
                "try --workers on a machine with more cores"
            )
        return f"not found: {last.offered_per_s:,.0f} readings/s met every objective; allow more steps"

    def to_json(self) -> dict[str, object]:
        def written(step: Step) -> dict[str, object]:
            return {**asdict(step), "word": step.word.value, "per_core": step.per_core}

        def finite(value: object) -> object:
            return None if isinstance(value, float) and not math.isfinite(value) else value

        return {
            "schema": 1,
            "kind": "loadtest-knee",
            "host": asdict(self.host),
            "meters": self.meters,
            "said": self.said,
            "knee_per_s": None if self.best is None else self.best.offered_per_s,
            "steps": [{name: finite(value) for name, value in written(step).items()} for step in self.steps],
        }


@dataclass(frozen=True, slots=True)
class KneeResult:
    knee: Knee
    directory: Path
    report: Path


async def find_knee(request: LoadRequest, progress: LoadProgress) -> KneeResult:
    """Raises UserError, PartFailed."""

    async def work(bench: Bench) -> KneeResult:
        steps = await _climb(bench, progress)
        knee = Knee(
            tuple(steps), request.settings.objectives.publish_to_commit_p95_ms, request.settings.load.meters, bench.host
        )
        report = write_knee(bench.directory, knee, bench.samples)
        link_latest(bench.directory, progress.notice)
        return KneeResult(knee, bench.directory, report)

    return await on_a_bench(request, "find-knee", progress, work)


async def _climb(bench: Bench, progress: LoadProgress) -> list[Step]:
    settings = bench.request.settings
    reporting = settings.load.meters * reported_share(bench.stand.fleet)
    duration_s = WARM_S + settings.knee.step_s
    shape = Shape("step", ((0.0, 1.0), (duration_s, 1.0)))
    offered_per_s, steps = settings.knee.first_per_s, list[Step]()
    for number in range(1, settings.knee.most_steps + 1):
        with progress.load(shape, f"{offered_per_s:,.0f} readings/s") as told:
            measured = await bench.load(shape, period_s=reporting / offered_per_s, warm_s=WARM_S, told=told)
        verdict = judge(measured, bench.host, settings.objectives, settings.generator)
        steps.append(_step(offered_per_s, verdict))
        _tell(progress, number, steps[-1])
        if verdict.word is not Word.PASSED:
            break
        offered_per_s *= settings.knee.factor
    best = next((step for step in reversed(steps) if step.word is Word.PASSED), None)
    if best is not None and steps[-1].word is Word.FAILED:
        await bench.note(Sample(time.time(), "head-end", "ceiling_rows_per_s", best.stored_per_s))
    return steps


def _step(offered_per_s: float, verdict: LoadVerdict) -> Step:
    measured = verdict.measured
    return Step(
        offered_per_s=offered_per_s,
        stored_per_s=measured.rows_per_s,
        p50_ms=measured.intervals.percentile_ms(50),
        p95_ms=measured.intervals.percentile_ms(95),
        word=verdict.word,
        broke=tuple(result.id for result in verdict.criteria if not result.passed),
        busy_cores=measured.busy_cores,
    )


def _tell(progress: LoadProgress, number: int, step: Step) -> None:
    mark = {Word.PASSED: "✓", Word.FAILED: "✗", Word.INVALID: "?"}[step.word]
    progress.console.print(
        f"{mark} step {number}: {step.offered_per_s:,.0f} readings/s offered, {step.stored_per_s:,.0f} stored, "
        f"p95 {step.p95_ms:,.0f} ms, {step.system_cores:.2f} cores",
        highlight=False,
        soft_wrap=True,
    )


def write_knee(directory: Path, knee: Knee, samples: Sequence[Sample]) -> Path:
    """knee.json, samples.parquet and report.html; returns the last."""
    document = json.dumps(knee.to_json(), indent=2, ensure_ascii=False, allow_nan=False)
    (directory / "knee.json").write_text(document + "\n", encoding="utf-8")
    write_samples(directory, samples)
    measured = [step for step in knee.steps if math.isfinite(step.p95_ms)]
    plots = [
        XY(
            "latency", "Latency against throughput", "readings/s stored", "ms from publish to commit",
            (
                Line("95 %", "l-headend", [(s.stored_per_s, s.p95_ms) for s in measured], dots=True),
                Line("50 %", "l-database", [(s.stored_per_s, s.p50_ms) for s in measured], dots=True),
            ),
            level=(knee.limit_ms, f"objective {knee.limit_ms:,g} ms"),
            height=320,
        ),
        XY(
            "cores", "Cores kept busy", "readings/s stored", "cores",
            tuple(
                Line(part, class_, [(s.stored_per_s, s.busy_cores.get(part, 0.0)) for s in knee.steps], dots=True)
                for part, class_ in (("head-end", "l-headend"), ("database", "l-database"), ("broker", "l-ack"))
            ),
            height=320,
        ),
    ]  # fmt: skip
    tone = {EXIT_FOUND: "pass", EXIT_BELOW: "fail", EXIT_INVALID: "void"}[knee.exit_status]
    return render(
        directory / REPORT,
        "knee.html.j2",
        knee=knee,
        tone=tone,
        charts=[(plot, plot.svg()) for plot in plots],
        facts=facts(knee.host),
        cores=os.cpu_count(),
    )


def knee_summary(knee: Knee, *, report: str) -> RenderableType:
    """What to print at the end."""
    word = {EXIT_FOUND: Word.PASSED, EXIT_BELOW: Word.FAILED, EXIT_INVALID: Word.INVALID}[knee.exit_status]
    _, style = BANNERS[word]
    table = Table(box=None, pad_edge=False, header_style="dim", show_edge=False)
    table.add_column("")
    for name in ("offered/s", "stored/s", "p50 ms", "p95 ms", *(f"{part} cores" for part in SYSTEM), "per core and s"):
        table.add_column(name, justify="right")
    for step in knee.steps:
        mark = {Word.PASSED: "✓", Word.FAILED: "✗", Word.INVALID: "?"}[step.word]
        cores = [f"{step.busy_cores.get(part, 0.0):.2f}" for part in SYSTEM]
        table.add_row(
            mark, f"{step.offered_per_s:,.0f}", f"{step.stored_per_s:,.0f}", f"{step.p50_ms:,.0f}",
            f"{step.p95_ms:,.0f}", *cores, f"{step.per_core:,.0f}",
        )  # fmt: skip
    return Group(
        Text.assemble((" KNEE ", style), f"  {knee.said}"),
        table,
        Text.from_markup(f"report: [bold]{escape(report)}[/bold]"),
    )
