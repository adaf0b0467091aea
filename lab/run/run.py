"""One run from scenario to verdict: set up, live through, take down, judge."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext
from datetime import UTC, datetime
from pathlib import Path

from grid.wording import counted
from lab.errors import NO_SPACE, SPACE_HINT, PartFailed, UserError, full_disk_as_user_error
from lab.fleet.catalogue import refuse_unread
from lab.fleet.plan import FleetPlan, Vendors
from lab.fleet.vendors import transformer_profile, vendor_mix
from lab.headends.external import ConnectFile, Connection
from lab.headends.store import Database
from lab.lockstep.link import PartGone
from lab.lockstep.realtime import RealTime
from lab.lockstep.timeline import Disturbance
from lab.processes.reaper import Reaper
from lab.processes.supervisor import Supervisor
from lab.run.companion import Companion, Scene
from lab.run.directory import link_latest, new_run_directory
from lab.run.judging import Judging, judge_and_report, judged_another_time
from lab.run.kept import keep
from lab.run.life import Life
from lab.run.local_stage import LocalStage
from lab.run.progress import RunProgress
from lab.run.refused_events import (
    check_network_faults,
    refuse_faults_of_no_network,
    refuse_kills_of_externals,
    refuse_rotations_of_nothing,
)
from lab.run.request import RunRequest, RunResult
from lab.run.set_up import SetUp
from lab.run.settling import settled_s
from lab.run.stage import Stage
from lab.run.surroundings import BrokerAccess, Externals, check_externals, show_run
from lab.services.host import make_private_directory, private_files, require_free_space
from lab.verdict.context import ClockFacts

_LEAST_BYTES = 16 << 20
"""Of any run's results: the truth of a whole feeder, a report, logs."""
_NOTICE_S = 0.3
_KEEP_LIMIT_S = 60
GROUP_LENGTH = 48
"""Short enough for the names of schemas (63) and of the head-end's client (64) that it is a part of."""


async def run(request: RunRequest, progress: RunProgress) -> RunResult:
    """Run a scenario to its verdict.

    :raises UserError: input or surroundings that the user can put right.
    :raises PartFailed: a process of the lab ended when it should not have.
    """
    refuse_kills_of_externals(request)
    refuse_faults_of_no_network(request)
    await check_network_faults(request)
    refuse_rotations_of_nothing(request)
    if request.external is None:
        fleet = request.scenario.fleet
        if fleet.at_transformers is not None:
            transformer_profile(fleet.at_transformers, fleet.interval_s)
        names = [*fleet.by_profile, *filter(None, [fleet.at_transformers])]
        refuse_unread(vendor_mix(dict.fromkeys(names, 1.0), fleet.interval_s))
    stored = None if request.external is None else request.external.stored
    externals = await check_externals(request.database_url, request.broker_url, stored)
    if externals.stored is not None:
        for notice in externals.stored.notices:
            progress.notice(notice)
    with full_disk_as_user_error():
        return await _supervised(request, progress, externals)


async def _supervised(request: RunRequest, progress: RunProgress, externals: Externals) -> RunResult:
    with private_files():
        return await _in_its_directory(request, progress, externals)


async def _in_its_directory(request: RunRequest, progress: RunProgress, externals: Externals) -> RunResult:
    directory = new_run_directory(request.out, request.scenario)
    # By its whole path: runs with other --out may have a directory of the same name.
    with Reaper(str(directory)) as reaper:
        require_free_space(directory, _LEAST_BYTES)
        work = make_private_directory(reaper)
        supervisor = Supervisor(directory / "logs", reaper)
        lab = asyncio.create_task(_on_a_stage(request, progress, externals, directory, work, supervisor))
        watch = asyncio.create_task(supervisor.watch())
        try:
            await asyncio.wait([lab, watch], return_when=asyncio.FIRST_COMPLETED)
            if not lab.done():
                lab.cancel()
                await asyncio.gather(lab, return_exceptions=True)
                await watch
            return await lab
        except UserError as error:
            told = any(supervisor.log_directory.glob("*"))
            logs = f"The parts' logs are in {supervisor.log_directory}." if told else None
            raise UserError(error.faults, "\n".join(filter(None, (error.hint, logs)))) from error
        except PartFailed as error:
            if any(NO_SPACE in line for line in error.log_tail):
                raise UserError([f"no space is left on the disk for {error.name}"], SPACE_HINT) from error
            raise
        finally:
            for task in (lab, watch):
                task.cancel()
            await asyncio.gather(lab, watch, return_exceptions=True)
            await supervisor.stop_all()
            if request.keep:
                for line in keep(work, reaper):
                    progress.console.print(line, highlight=False, soft_wrap=True)


async def _on_a_stage(
    request: RunRequest,
    progress: RunProgress,
    externals: Externals,
    directory: Path,
    work: Path,
    supervisor: Supervisor,
) -> RunResult:
    stage: Stage
    if request.site is None:
        stage = LocalStage(supervisor, request.parts, externals, work, directory)
    else:
        with progress.step("starting broker and database in containers"):
            stage = await request.site.new_stage(directory.name)
    lab = asyncio.create_task(Run(request, progress, externals, directory, stage).execute())
    watch = asyncio.create_task(stage.watch())
    try:
        await asyncio.wait([lab, watch], return_when=asyncio.FIRST_COMPLETED)
        if not lab.done():
            await watch
        return await lab
    except PartGone as gone:
        raise await stage.why_gone(str(gone)) from gone
    finally:
        for task in (lab, watch):
            task.cancel()
        await asyncio.gather(lab, watch, return_exceptions=True)
        await stage.save_logs(supervisor.log_directory)


class Run:
    """The state of one run while it goes on."""

    def __init__(
        self,
        request: RunRequest,
        progress: RunProgress,
        externals: Externals,
        directory: Path,
        stage: Stage,
    ) -> None:
        self.request = request
        self.externals = externals
        self.scenario = request.scenario
        self.progress = progress
        self.directory = directory
        fleet = request.scenario.fleet
        # Somebody else's head-end reads what it was told of.
        metered = request.external is None or fleet.transformer_meters is not None
        self.vendors = Vendors(
            fleet.by_profile, fleet.interval_s, at_transformers=fleet.at_transformers if metered else None
        )
        self.stage = stage
        self.stage.news = progress.news
        self.stage.in_real_time = request.in_real_time
        self.stage.own_head_end = request.external is None
        # When the parts' time begins, and when the judged window does; at speed 1 the meters must be connected first.
        self.origin_s = int(time.time()) if request.in_real_time else self.scenario.start_s
        self.start_s = self.origin_s
        self.duration_s = self.scenario.duration_s
        self.vendors.require_an_interval(self.start_s, self.duration_s, aligned=request.in_real_time)
        # Topics and client ids carry it, so two runs on one broker do not mix. RL-DSP wants it alphanumeric.
        # Random too, since two runs with different --out may begin in the same second.
        self.group = (re.sub(r"[^A-Za-z0-9]", "", directory.name) + secrets.token_hex(3))[-GROUP_LENGTH:]

    @property
    def end_s(self) -> int:
        """When the judged window ends; settling comes after it."""
        return self.start_s + self.duration_s

    @property
    def settled_s(self) -> int:
        """When all that was measured by `end_s` has had its chance to be stored."""
        return settled_s(self.scenario, self.vendors, start_s=self.start_s, end_s=self.end_s)

    async def execute(self) -> RunResult:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.stage.close)
            lived: tuple[Judging, list[Disturbance], float] | None = None
            try:
                plan, disturbances, broker, judging = await self._set_up(stack)
                real_time: RealTime | None = None
                if self.request.in_real_time:
                    real_time = RealTime(self.stage.grid, self.stage.fleets, self.stage, start_s=self.origin_s)
                    disturbances = await self._begin_in_real_time(stack, real_time, plan, disturbances, broker)
                began = time.monotonic()
                if self.request.external is not None:
                    judging.record(self.directory, self._judged_clock(self.end_s, 0.0), disturbances)
                    lived = (judging, disturbances, began)
                await self._show(judging)
                life = self.life()
                companion = self.request.companion
                if companion is None:
                    await life.live(disturbances, real_time, end_s=self.settled_s)
                else:
                    disturbances = await self._live_in_company(life, companion, disturbances, judging)
                wall_s = time.monotonic() - began
                clock = self._judged_clock(self.end_s, wall_s)
                with self.progress.step("collecting truth, journal and what was stored"), self._judged_another_time():
                    rejected = await judging.collect_at_end(self.directory, clock, disturbances)
            except asyncio.CancelledError:
                if lived is not None:
                    await self._keep_what_was_lived(*lived)
                raise
            except Exception:
                # It may have failed because a part is dead. The supervisor is about to notice, and knows more.
                await asyncio.sleep(_NOTICE_S)
                raise
            finally:
                # Whatever writes must be gone before its schema goes.
                await self.stage.stop()
        with self.progress.step("judging"), self._judged_another_time():
            context = judging.context(clock, rejected)
            verdict, report = judge_and_report(self.directory, context, disturbances, self.scenario.criteria)
            link_latest(self.directory, self.progress.notice)
        return RunResult(verdict, self.directory, report)

    def _judged_another_time(self) -> AbstractContextManager[None]:
        return nullcontext() if self.request.external is None else judged_another_time(self.directory)

    async def _keep_what_was_lived(self, judging: Judging, disturbances: list[Disturbance], began: float) -> None:
        """Of an interrupted run with an external head-end: hours of its work may be in it."""
        end_s = self.vendors.settled_until_s(time.time(), self.start_s, self.scenario.settle_s)
        if end_s == self.start_s or not self.stage.is_whole:
            return
        clock = self._judged_clock(end_s, time.monotonic() - began)
        try:
            async with asyncio.timeout(_KEEP_LIMIT_S):
                await judging.keep_reference(self.directory, clock, disturbances)
        except (TimeoutError, UserError, PartGone) as error:
            self.progress.notice(f"what was lived through could not be kept: {error}")
        else:
            self.progress.notice(
                f"what was lived through until {_clock(end_s)} UTC can be judged: "
                f"amilab judge {self.directory} --stored …"
            )

    def _judged_clock(self, end_s: int, wall_s: float) -> ClockFacts:
        return ClockFacts(self.start_s, end_s - self.start_s, wall_s, not self.request.in_real_time)

    async def _set_up(self, stack: AsyncExitStack) -> tuple[FleetPlan, list[Disturbance], BrokerAccess, Judging]:
        setting_up = SetUp(
            self.request,
            self.progress,
            self.stage,
            self.vendors,
            self.externals,
            self.directory,
            self.group,
            self.origin_s,
            self.start_s,
            self.settled_s,
        )
        with self.progress.step("starting the database and loading the feeder"):
            store, grid = await setting_up.first_parts(stack)
        count = self.scenario.fleet.meters or len(grid["usage_points"])
        with self.progress.step(f"commissioning {counted(count, 'meter')}"):
            plan, disturbances, broker = await setting_up.commission(stack, grid, store)
        judging = Judging(self.scenario, self.stage, plan, grid, store, broker.version)
        return plan, disturbances, broker, judging

    async def _begin_in_real_time(
        self,
        stack: AsyncExitStack,
        real_time: RealTime,
        plan: FleetPlan,
        disturbances: Sequence[Disturbance],
        broker: BrokerAccess,
    ) -> list[Disturbance]:
        """Live up to the judged window: the first interval that begins when meters and head-end had time to connect.

        Returns the disturbances, moved with it.
        """
        connect_file: ConnectFile | None = None
        earliest_s = 0
        if self.request.external is not None:
            connection = self._connection(broker)
            connect_file = ConnectFile(connection, private=self.stage.layout.secrets, results=self.directory)
            stack.callback(connect_file.remove)
            connect_file.write()
            self.progress.notice("connect your head-end:", *connection.lines())
            earliest_s = int(time.time()) + self.request.external.lead_s
        count = len(plan.everybody.fleet.meters)
        with self.progress.step(f"connecting {counted(count, 'meter')}"):
            ready_s = await real_time.until_connected(count)
        length_s = self.vendors.longest_interval_s
        self.start_s = -(-max(ready_s, earliest_s) // length_s) * length_s
        if connect_file is not None:
            connect_file.write(judged=(self.start_s, self.end_s), read_at_s=self.settled_s)
        self.progress.notice(
            f"judged from {_clock(self.start_s)} to {_clock(self.end_s)} UTC, "
            f"from what is stored at {_clock(self.settled_s)}"
        )
        with self.progress.step("waiting for the first judged interval"):
            await real_time.until(self.start_s - 1)
        return [disturbance.later(self.start_s - self.origin_s) for disturbance in disturbances]

    def _connection(self, broker: BrokerAccess) -> Connection:
        return Connection(
            host=broker.host,
            port=broker.port,
            # To an external broker the user has credentials of his own; those of --broker-url are the meters'.
            username=broker.username if broker.embedded else None,
            password=broker.password if broker.embedded else None,
            group=self.group,
            shipment=self.stage.layout.shipment,
            command_key=self.stage.layout.command_key,
            interval_length_s=self.vendors.one_interval_s,
        )

    async def _show(self, judging: Judging) -> None:
        """What looks at our head-end's schema sees it from now on."""
        if isinstance(judging.store, Database):
            await asyncio.to_thread(show_run, judging.store)

    def life(self) -> Life:
        """How simulated time goes on; benches have others."""
        return Life(self.request, self.progress, self.stage, self.start_s)

    async def _live_in_company(
        self, life: Life, companion: Companion, disturbances: Sequence[Disturbance], judging: Judging
    ) -> list[Disturbance]:
        """Live until the companion ends it; returns what disturbed the lab until then, and keeps when that was."""
        assert isinstance(judging.store, Database), "a companion comes with our own head-end"
        scene = Scene(
            self.scenario,
            self.stage,
            self.vendors,
            judging.store,
            self.externals.database is None,
            self.externals.broker is None,
            tuple(disturbances),
            judging,
            self.directory,
            self.start_s,
        )
        lived = await life.live_in_company(companion, scene)
        self.duration_s = lived.end_s - self.start_s
        return list(lived.disturbances)


def _clock(time_s: float) -> str:
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d %H:%M:%S}"
