"""A load test from its plan to its verdict: set up, load, count, judge."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import NoReturn, TypeVar

import numpy as np

from lab.containers.project import ComposeProject
from lab.errors import PartFailed, full_disk_as_user_error
from lab.fleet.catalogue import refuse_unread
from lab.fleet.vendors import vendor_mix
from lab.loadtest.container_generator import ContainerGenerator
from lab.loadtest.generator import MODULE, Generator, ProcessGenerator, Progress, require_locust
from lab.loadtest.judgement import HeadEndView, LoadVerdict, Measured, generator_view, judge
from lab.loadtest.loads import make_plan
from lab.loadtest.matching import Matched, match_events, match_intervals
from lab.loadtest.outputs import write_results
from lab.loadtest.progress import LoadProgress
from lab.loadtest.samples import Limit, Sample, Sampler, add_samples
from lab.loadtest.settings import LoadTest
from lab.loadtest.stand import ContainerLoadStage, LoadStage, LocalLoadStage, Stand, open_stand
from lab.loadtest.stored import StoredRows, read_stored
from lab.processes.reaper import Reaper
from lab.processes.supervisor import Supervisor
from lab.run.directory import link_latest, new_directory
from lab.run.kept import keep
from lab.run.surroundings import check_externals
from lab.scenario.load import FleetChoice
from lab.services.host import make_private_directory, private_files
from lab.verdict.context import Host
from loadtests.plan import Plan
from loadtests.shapes import Shape

T = TypeVar("T")
GROUP_LENGTH = 40
GENERATOR_PART = "generator"


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """What `amilab loadtest` was asked for. `parts`: modules in the place of lab/parts/*.py and of `loadtests`."""

    settings: LoadTest
    fleet: FleetChoice
    seed: int
    out: Path
    workers: int = 1
    web_port: int | None = None
    database_url: str | None = None
    broker_url: str | None = None
    keep: bool = False
    project: ComposeProject | None = None
    """Where everything runs in containers instead of in processes of this machine."""
    parts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LoadResult:
    verdict: LoadVerdict
    directory: Path
    report: Path


class Bench:
    """A stand with its supervisor, on which one load after the other can be put."""

    def __init__(self, request: LoadRequest, stand: Stand, supervisor: Supervisor, work: Path, directory: Path) -> None:
        self.request = request
        self.stand = stand
        self.directory = directory
        self._supervisor = supervisor
        self._work = work
        self._loads = 0
        # No meter ever sends an interval twice: each load takes older ones than the one before.
        self._before_s = time.time()
        self.samples: list[Sample] = []

    @property
    def host(self) -> Host:
        store = self.stand.store
        return Host.here(database=store.version, timescaledb=store.timescaledb, broker=self.stand.broker.version)

    async def load(
        self, shape: Shape, *, period_s: float, warm_s: float = 0.0, told: Callable[[Progress], None]
    ) -> Measured:
        """Run one load to its end, and count on all sides.

        :param warm_s: what is published before so many seconds counts, but its latency does not.
        """
        request, stand, load = self.request, self.stand, self.request.settings.load
        plan = make_plan(
            stand.fleet,
            shape,
            group=stand.group,
            period_s=period_s,
            interval_s=stand.interval_s,
            before_s=self._before_s,
            broker=stand.plan_broker,
            reading=stand.reading(load.reader_pause_s),
            readers=load.readers,
        )
        before = await stand.counted()
        self._loads += 1
        generator = self._generator()
        sampler = Sampler(self.directory.name, stand, told, limits(request.settings))
        busy_s = stand.busy_s()
        async with _alongside(sampler.watch(generator)):
            await generator.run(plan, web_port=request.web_port)
        after_s = stand.busy_s()
        await stand.settle()
        counted = await stand.counted()
        stored = await self._stored(plan)
        ledger, failed, unsent = generator.ledger()
        intervals = match_intervals(ledger, stored.intervals)
        latencies = latency_samples(intervals)
        await add_samples(stand, self.directory.name, latencies)
        self.samples += [*sampler.samples, *latencies]
        if warm_s and len(intervals.published_s):
            intervals = later_than(intervals, float(ledger["due_s"].to_numpy().min()) + warm_s)
        return Measured(
            shape=shape.name,
            meters=len(plan.serials),
            users=plan.users,
            period_s=period_s,
            interval_s=plan.interval_s,
            duration_s=shape.duration_s,
            intervals=intervals,
            events=None if shape.storm is None else match_events(ledger, stored.events),
            operations=generator.operations(),
            headend=HeadEndView(
                counted.messages - before.messages,
                counted.rows - before.rows,
                asdict(counted.receive_to_commit_ms),
            ),
            dead_letters=stored.dead_letters,
            generator=generator_view(ledger, failed, unsent),
            clock=stored.clock,
            # Locust's own start and end do not count: the system has nothing to do then.
            busy_cores={part: (after_s[part] - since_s) / shape.duration_s for part, since_s in busy_s.items()},
        )

    async def _stored(self, plan: Plan) -> StoredRows:
        """What the database has of this load; the next one is of intervals before it."""
        first_s = plan.interval_start_s(plan.rhythm.oldest)
        store = self.stand.store
        stored = await asyncio.to_thread(
            read_stored,
            store.url,
            store.schema,
            serials=plan.serials,
            first_interval_s=plan.first_interval_s,
            interval_s=plan.interval_s,
            range_s=(first_s, int(self._before_s)),
        )
        self._before_s = first_s
        return stored

    async def note(self, sample: Sample) -> None:
        """Keep one more, in the database too."""
        await add_samples(self.stand, self.directory.name, [sample])
        self.samples.append(sample)

    def _generator(self) -> Generator:
        request, stage = self.request, self.stand.stage
        if isinstance(stage, ContainerLoadStage):
            return ContainerGenerator(stage, self.directory, workers=request.workers)
        return ProcessGenerator(
            self._supervisor,
            self._work / f"load-{self._loads}",
            self.directory,
            workers=request.workers,
            module=request.parts.get(GENERATOR_PART, MODULE),
        )


async def run_shape(request: LoadRequest, shape: Shape, progress: LoadProgress) -> LoadResult:
    """Raises UserError, PartFailed."""

    async def work(bench: Bench) -> LoadResult:
        with progress.load(shape) as told:
            measured = await bench.load(shape, period_s=request.settings.load.period_s, told=told)
        with progress.step("judging"):
            settings = request.settings
            verdict = judge(measured, bench.host, settings.objectives, settings.generator)
            report = write_results(bench.directory, verdict, bench.samples)
            link_latest(bench.directory, progress.notice)
        return LoadResult(verdict, bench.directory, report)

    return await on_a_bench(request, shape.name, progress, work)


async def on_a_bench(
    request: LoadRequest, name: str, progress: LoadProgress, work: Callable[[Bench], Awaitable[T]]
) -> T:
    """Bring up what is needed, do `work`, and take everything down. Raises UserError, PartFailed."""
    if request.project is None:
        require_locust()
    refuse_unread(vendor_mix(request.fleet.by_profile, request.fleet.interval_s))
    externals = await check_externals(request.database_url, request.broker_url)
    with full_disk_as_user_error(), private_files():
        directory = new_directory(request.out, f"loadtest-{name}-{request.seed}")
        with Reaper(str(directory)) as reaper:
            private = make_private_directory(reaper)
            supervisor = Supervisor(directory / "logs", reaper)
            stage: LoadStage
            if request.project is None:
                stage = LocalLoadStage(supervisor, request.parts, externals, private, directory)
            else:
                stage = await ContainerLoadStage.create(request.project, directory.name)
            group = (re.sub(r"[^A-Za-z0-9]", "", directory.name) + secrets.token_hex(3))[-GROUP_LENGTH:]

            async def lab() -> T:
                load = request.settings.load
                with contextlib.ExitStack() as told:
                    told.enter_context(progress.step(f"starting the head-end for {load.meters:,} meters"))
                    async with open_stand(
                        stage,
                        request.fleet,
                        meters=load.meters,
                        seed=request.seed,
                        group=group,
                        keep=request.keep,
                        readers=load.readers,
                    ) as stand:
                        told.close()
                        return await work(Bench(request, stand, supervisor, private, directory))

            try:
                return await _unless_a_part_fails(lab(), supervisor, stage)
            finally:
                await stage.save_logs(supervisor.log_directory)
                await supervisor.stop_all()
                if request.keep:
                    for line in keep(private, reaper):
                        progress.console.print(line, highlight=False, soft_wrap=True)


async def _unless_a_part_fails(lab: Awaitable[T], supervisor: Supervisor, stage: LoadStage) -> T:
    working = asyncio.ensure_future(lab)
    watching = asyncio.ensure_future(_first_failure(supervisor.watch(), stage.watch()))
    try:
        await asyncio.wait([working, watching], return_when=asyncio.FIRST_COMPLETED)
        if watching.done() and not working.done():
            watching.result()
        return await working
    except PartFailed:
        raise
    except Exception:
        # It may have failed because a part is dead. The supervisor is about to notice, and knows more.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(watching), _NOTICE_S)
        raise
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


_NOTICE_S = 0.3


async def _first_failure(*watches: Awaitable[NoReturn]) -> None:
    """Raise what the first of them raises."""
    tasks = [asyncio.ensure_future(watch) for watch in watches]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()


@asynccontextmanager
async def _alongside(work: Awaitable[object]) -> AsyncIterator[None]:
    """Do `work` beside the body, until that ends. What fails in it, fails the body's caller in the end."""
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        failed = task.done() and not task.cancelled()
        task.cancel()
        outcome = (await asyncio.gather(task, return_exceptions=True))[0]
        if failed and isinstance(outcome, BaseException):
            raise outcome


def limits(settings: LoadTest) -> list[Limit]:
    """What the samples are to be seen against."""
    given = settings.ceilings.model_dump(exclude_none=True)
    return [
        ("generator", "lag_limit_ms", settings.generator.lag_p95_ms),
        *(("head-end", f"ceiling_{name}", value) for name, value in given.items()),
    ]


def latency_samples(found: Matched) -> list[Sample]:
    """From publish to commit, of what was published in each second."""
    seconds = np.floor(found.published_s).astype(np.int64)
    return [
        Sample(float(second), "database", f"p{percent}_ms", float(np.percentile(latency, percent)) * 1000)
        for second in np.unique(seconds)
        for latency in (found.latency_s[seconds == second],)
        for percent in (50, 95, 99)
    ]


def later_than(found: Matched, from_s: float) -> Matched:
    """The same counts, with the latencies of what was published from `from_s` on."""
    kept = found.published_s >= from_s
    return replace(found, published_s=found.published_s[kept], committed_s=found.committed_s[kept])
