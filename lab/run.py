"""One run from scenario to verdict: set up, live through, take down, judge."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from lab.barrier import Barrier, BarrierStalled
from lab.conductor import conduct
from lab.containers.network_faults import require_netem
from lab.containers.project import ComposeProject
from lab.containers.stage import ContainerStage
from lab.errors import NO_SPACE, SPACE_HINT, PartFailed, UserError, full_disk_as_user_error
from lab.external_headend import ConnectFile, Connection, ExternalHeadEnd
from lab.fleet_plan import FleetPlan, Vendors, plan_fleet
from lab.fleet_table import write_fleet_table
from lab.headend_export import export_results
from lab.historian import Historian
from lab.link import Body, PartGone
from lab.progress import RunProgress
from lab.realtime import RealTime
from lab.reaper import Reaper
from lab.report import LATENCIES, RunEvent, write_report
from lab.run_directory import link_latest, new_run_directory
from lab.run_record import write_record
from lab.scenario import KillEvent, NetworkEvent, RotateEvent, Scenario
from lab.services.broker import find_broker
from lab.services.broker_config import HEAD_END, HEAD_END_HOST, head_end_client
from lab.services.host import make_private_directory, require_free_space, require_open_files
from lab.shipment import write_command_key, write_shipment
from lab.stage import BROKER, DATABASE, GRID, LocalStage, Stage
from lab.stored_source import StoredSource
from lab.supervisor import Supervisor
from lab.surroundings import BrokerAccess, Database, Externals, check_externals, show_run
from lab.targets import choose_targets
from lab.timeline import Action, Disturbance, actions
from lab.verdict.context import EXTERNAL, OWN, ClockFacts, FeederFacts, Host, RunContext
from lab.verdict.verdict import Verdict, judge_run

REAL_TIME = 1.0
_BYTES_PER_READING = 400
"""On the disk, in the meters' memory and in the results together; measured at 250 to 330."""
_LEAST_BYTES = 16 << 20
"""Of any run's results: the truth of a whole feeder, a report, logs."""
_NOTICE_S = 0.3
_OPEN_FILES_BESIDE_METERS = 200
GROUP_LENGTH = 48
"""Short enough for the names of schemas (63) and of the head-end's client (64) that it is a part of."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What `amilab run` was asked for. `speed`: None as fast as possible, 1 the wall clock without a barrier.

    :raises ValueError: an external head-end at another speed than 1.
    """

    scenario: Scenario
    out: Path
    speed: float | None = None
    database_url: str | None = None
    broker_url: str | None = None
    keep: bool = False
    external: ExternalHeadEnd | None = None
    """Somebody else's head-end, which is judged instead of ours."""
    project: ComposeProject | None = None
    """Where everything runs in containers instead of in processes of this machine."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """Modules to run instead of lab/parts/*.py, by kind: how a test puts a saboteur in a part's place."""

    def __post_init__(self) -> None:
        if self.external is not None and self.speed != REAL_TIME:
            raise ValueError("an external head-end lives on the wall clock: speed must be 1")


@dataclass(frozen=True, slots=True)
class ExternalStore:
    """Where somebody else's head-end stores; `version` is what the verdict calls it."""

    source: StoredSource
    version: str
    timescaledb: None = None


@dataclass(frozen=True, slots=True)
class RunResult:
    verdict: Verdict
    directory: Path
    report: Path


async def run(request: RunRequest, progress: RunProgress) -> RunResult:
    """Run a scenario to its verdict.

    :raises UserError: input or surroundings that the user can put right.
    :raises PartFailed: a process of the lab ended when it should not have.
    """
    _refuse_kills_of_externals(request)
    await _check_network_faults(request)
    _refuse_rotations_of_nothing(request)
    externals = await check_externals(request.database_url, request.broker_url)
    with full_disk_as_user_error():
        return await _supervised(request, progress, externals)


async def _supervised(request: RunRequest, progress: RunProgress, externals: Externals) -> RunResult:
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
                reaper.keep_directory(work)
                progress.console.print(f"kept: {work}", highlight=False, soft_wrap=True)


async def _on_a_stage(
    request: RunRequest,
    progress: RunProgress,
    externals: Externals,
    directory: Path,
    work: Path,
    supervisor: Supervisor,
) -> RunResult:
    stage: Stage
    if request.project is None:
        stage = LocalStage(supervisor, request.parts, externals, work, directory)
    else:
        with progress.step("starting broker and database in containers"):
            stage = await ContainerStage.create(request.project, directory.name)
    lab = asyncio.create_task(Run(request, progress, externals, directory, stage).execute())
    watch = asyncio.create_task(stage.watch())
    try:
        await asyncio.wait([lab, watch], return_when=asyncio.FIRST_COMPLETED)
        if not lab.done():
            await watch
        return await lab
    except PartGone as gone:
        words = ["it died, or was replaced, and cannot be: what it knew is lost with it"]
        raise PartFailed(str(gone), None, words) from gone
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
        self.vendors = Vendors(request.scenario.fleet)
        self.stage = stage
        self.stage.news = progress.news
        self.stage.in_real_time = self.in_real_time
        self.stage.own_head_end = request.external is None
        # When the parts' time begins, and when the judged window does; at speed 1 the meters must be connected first.
        self.origin_s = int(time.time()) if self.in_real_time else self.scenario.start_s
        self.start_s = self.origin_s
        # Topics and client ids carry it, so two runs on one broker do not mix. RL-DSP wants it alphanumeric.
        # Random too, since two runs with different --out may begin in the same second.
        self.group = (re.sub(r"[^A-Za-z0-9]", "", directory.name) + secrets.token_hex(3))[-GROUP_LENGTH:]

    @property
    def in_real_time(self) -> bool:
        return self.request.speed == REAL_TIME

    @property
    def end_s(self) -> int:
        """When the judged window ends; settling comes after it."""
        return self.start_s + self.scenario.duration_s

    @property
    def settled_s(self) -> int:
        """When all that was measured by `end_s` has had its chance to be stored."""
        return self.vendors.settled_s(self.end_s, self.scenario.settle_s)

    async def execute(self) -> RunResult:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.stage.close)
            try:
                with self.progress.step("starting the database and loading the feeder"):
                    store, grid = await self._first_parts(stack)
                count = self.scenario.fleet.meters or len(grid["usage_points"])
                with self.progress.step(f"commissioning {count:,} meters"):
                    plan, disturbances, broker = await self._commission(stack, grid, store)
                real_time: RealTime | None = None
                if self.in_real_time:
                    real_time = RealTime(self.stage.grid, self.stage.fleets, self.stage, start_s=self.origin_s)
                    disturbances = await self._begin_in_real_time(stack, real_time, plan, disturbances, broker)
                began = time.monotonic()
                with self.progress.simulated_time(self.start_s, self.settled_s):
                    await self._live(disturbances, real_time, await self._begin_history(stack, store))
                wall_s = time.monotonic() - began
                with self.progress.step("collecting truth, journal and what was stored"):
                    rejected = await self._collect(store, plan)
            except Exception:
                # It may have failed because a part is dead. The supervisor is about to notice, and knows more.
                await asyncio.sleep(_NOTICE_S)
                raise
            finally:
                # Whoever writes must be gone before his schema goes.
                await self.stage.stop()
            host = Host.here(
                database=store.version,
                timescaledb=store.timescaledb,
                broker=broker.version,
            )
        with self.progress.step("judging"):
            context = RunContext(
                scenario=self.scenario.name,
                seed=self.scenario.seed,
                host=host,
                feeder=FeederFacts(grid["name"], grid["buses"], len(grid["usage_points"]), grid["transformers"]),
                clock=ClockFacts(self.start_s, self.scenario.duration_s, wall_s),
                ingest=self.stage.ingest.facts() if self.request.external is None else None,
                rejected_frames=rejected,
                collectors=len(plan.fleet.collectors),
                headend=OWN if self.request.external is None else EXTERNAL,
            )
            verdict = judge_run(self.directory, context, targets=self.scenario.criteria)
            events = [_run_event(d) for d in disturbances]
            write_record(self.directory, context, events, self.scenario.criteria)
            report = write_report(self.directory, verdict, events)
            link_latest(self.directory)
        return RunResult(verdict, self.directory, report)

    async def _first_parts(self, stack: AsyncExitStack) -> tuple[Database | ExternalStore, Body]:
        """Database, grid and the other processes at once: loading the feeder takes longest."""
        await self.stage.begin(head_end=self.request.external is None)
        loading = asyncio.create_task(self._load_feeder())
        try:
            return await self._open_store(stack), await loading
        finally:
            loading.cancel()
            await asyncio.gather(loading, return_exceptions=True)

    async def _open_store(self, stack: AsyncExitStack) -> Database | ExternalStore:
        if self.request.external is not None:
            version, notice = await self.request.external.stored.check()
            if notice is not None:
                self.progress.notice(notice)
            return ExternalStore(self.request.external.stored, f"{EXTERNAL}: {version}")
        return await stack.enter_async_context(
            self.stage.open_store(schema=f"amilab_{self.group.lower()}", keep=self.request.keep)
        )

    async def _load_feeder(self) -> Body:
        await self.stage.link.wait_for(GRID)
        reply = await self.stage.link.call(
            GRID, "init", feeder=self.scenario.feeder.name, seed=self.scenario.seed, start_s=self.origin_s
        )
        return reply.body

    async def _commission(
        self, stack: AsyncExitStack, grid: Body, store: Database | ExternalStore
    ) -> tuple[FleetPlan, list[Disturbance], BrokerAccess]:
        ports = stack.enter_context(ExitStack())
        stage, layout = self.stage, self.stage.layout
        plan = plan_fleet(
            self.scenario,
            self.vendors,
            grid,
            group=self.group,
            broker=self.externals.broker,
            new_gateway=stage.new_gateway(ports),
        )
        fleet = plan.fleet
        require_open_files(min(fleet.connections, stage.meters_per_fleet) + _OPEN_FILES_BESIDE_METERS)
        readings = len(fleet.meters) * (self.settled_s - self.start_s) // self.vendors.interval_length_s
        for place in (self.directory, layout.memory):
            require_free_space(place, readings * _BYTES_PER_READING)
        disturbances = await choose_targets(
            self.scenario, start_s=self.start_s, link=self.stage.link, grid=GRID, fleet=fleet
        )
        await stage.link.call(GRID, "write_network", path=layout.seen(layout.network))
        network = layout.hand_out(layout.network)
        public_key = write_command_key(layout.command_key)
        write_shipment(layout.shipment, fleet.meters, group=self.group, command_public_key=public_key)
        for path in (layout.command_key, layout.shipment):
            layout.hand_out(path)
        broker = await stack.enter_async_context(stage.open_broker(self.group, fleet))
        keys = None if broker.keyring is None else broker.keyring.places
        starting = [
            stage.start_fleet(
                stage.shares(fleet),
                world_rows=plan.rows,
                init={
                    "broker_host": broker.host,
                    "broker_port": broker.port,
                    "broker_ca": None if keys is None else layout.seen(keys.trust),
                    "identities": None if keys is None else layout.seen(keys.devices),
                    "seed": self.scenario.seed,
                    "start_s": self.origin_s,
                    "interval_length_s": self.vendors.interval_length_s,
                    # Somebody else's head-end need not be a Sparkplug host.
                    "primary_host": head_end_client(self.group) if isinstance(store, Database) else None,
                },
            )
        ]
        if isinstance(store, Database):
            settings = {
                "database_url": store.seen_url or store.url,
                "database_schema": store.schema,
                "broker_host": broker.host,
                "broker_port": broker.port,
                "broker_username": broker.username,
                "broker_password": broker.password,
                "client_id": head_end_client(self.group),
                "group": self.group,
                "shipment": layout.seen(layout.shipment),
                "command_key": layout.seen(layout.command_key),
                "network_model": layout.seen(network),
                "interval_length_s": self.vendors.interval_length_s,
            }
            if keys is not None:
                settings["broker_ca"] = layout.seen(keys.trust)
                settings["broker_certificate"] = layout.seen(keys.head_end / f"{HEAD_END}.pem")
                settings["broker_host_certificate"] = layout.seen(keys.head_end / f"{HEAD_END_HOST}.pem")
            init = {"wall_clock": self.in_real_time, "settings": settings}
            starting.append(stage.start_head(init, self.start_s))
        await asyncio.gather(*starting)
        return plan, disturbances, broker

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
        count = len(plan.fleet.meters)
        with self.progress.step(f"connecting {count:,} meters"):
            ready_s = await real_time.until_connected(count)
        length_s = self.vendors.interval_length_s
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
            interval_length_s=self.vendors.interval_length_s,
        )

    async def _begin_history(self, stack: AsyncExitStack, store: Database | ExternalStore) -> Historian | None:
        """What looks at our head-end's schema sees it from now on, and what SCADA measures with it."""
        if not isinstance(store, Database):
            return None
        await asyncio.to_thread(show_run, store)
        historian = Historian(self.stage.link, GRID, store.url, store.schema, start_s=self.origin_s)
        stack.push_async_callback(historian.cancel)
        return historian

    async def _live(
        self, disturbances: Sequence[Disturbance], real_time: RealTime | None, historian: Historian | None
    ) -> None:
        told = {d.from_s: d for d in disturbances}
        planned = actions(disturbances)
        end_s = self.settled_s

        def at(now_s: int) -> None:
            self.progress.at(now_s)
            if historian is not None:
                historian.hear(now_s)
            for from_s in [instant for instant in told if instant <= now_s]:
                self.progress.news(f"{datetime.fromtimestamp(from_s, UTC):%H:%M:%S} {told.pop(from_s).label}")

        if real_time is not None:
            await real_time.until(end_s, planned, progress=at)
        else:
            await self._in_lockstep(planned, at)
        if historian is not None:
            await historian.finish()

    async def _in_lockstep(self, planned: Sequence[Action], at: Callable[[int], None]) -> None:
        stage = self.stage
        barrier = Barrier(stage.grid, stage.fleets, stage.head)
        try:
            await conduct(
                barrier,
                stage,
                planned,
                start_s=self.start_s,
                end_s=self.settled_s,
                seed=self.scenario.seed,
                speed=self.request.speed,
                progress=at,
            )
        except BarrierStalled as error:
            raise await self._explained(error) from error

    async def _collect(self, store: Database | ExternalStore, plan: FleetPlan) -> int | None:
        """Write the three tables and the fleet's description; returns how many frames were rejected, if known."""
        stage, directory = self.stage, self.directory
        if isinstance(store, Database):
            await stage.read_ingest()
            stage.ingest.write_latencies(directory / LATENCIES)
        results = stage.layout.results
        journal = stage.layout.hand_out_directory(results / "journal")
        await asyncio.gather(
            stage.link.call(
                GRID,
                "finish",
                directory=stage.layout.seen(results),
                interval_length_s=self.vendors.interval_length_s,
                until_s=self.end_s,
            ),
            stage.finish_fleets(journal),
        )
        stage.layout.collect(directory)
        write_fleet_table(directory / "meters.parquet", plan.fleet, plan.places)
        path = directory / "stored.parquet"
        if isinstance(store, Database):
            return await asyncio.to_thread(export_results, store, path, self.start_s, self.end_s)
        await asyncio.to_thread(store.source.fetch, path, start_s=self.start_s, end_s=self.end_s)
        return None

    async def _explained(self, stalled: BarrierStalled) -> UserError:
        try:
            await check_externals(self.request.database_url, self.request.broker_url)
        except UserError as away:
            return UserError([str(stalled), *away.faults], away.hint)
        return UserError(
            [str(stalled)], "See the parts' logs in the run's directory; is the database or the broker overloaded?"
        )


def _refuse_kills_of_externals(request: RunRequest) -> None:
    options = {
        part: option
        for part, option, value in (
            (BROKER, "--broker-url", request.broker_url),
            (DATABASE, "--database-url", request.database_url),
        )
        if value is not None
    }
    kills = [event for event in request.scenario.events if isinstance(event, KillEvent) and event.part in options]
    faults = [f"event in line {event.line} kills the {event.part}" for event in kills]
    if faults:
        given = " and ".join(sorted({options[event.part] for event in kills}))
        hint = f"Only an embedded one can be killed: leave out {given}, or the event."
        raise UserError(faults, hint)


async def _check_network_faults(request: RunRequest) -> None:
    events = [event for event in request.scenario.events if isinstance(event, NetworkEvent)]
    if request.project is not None:
        if any(event.fault == "delay" for event in events):
            await require_netem(request.project)
        return
    faults = [f"event in line {event.line} disturbs the network of the {event.part}" for event in events]
    if faults:
        raise UserError(faults, "Only containers have networks of their own: add --compose, or leave out the event.")


def _refuse_rotations_of_nothing(request: RunRequest) -> None:
    """Certificates are there where the run's own mosquitto serves the run's own head-end."""
    rotations = [event for event in request.scenario.events if isinstance(event, RotateEvent)]
    if not rotations:
        return
    if request.broker_url is not None:
        why = "with --broker-url it is somebody else's broker that knows the meters: leave it out"
    elif request.external is not None:
        why = "somebody else's head-end is let in by password, and so is everybody"
    elif request.project is None and find_broker().kind != "mosquitto":
        why = "the broker of this run, rumqttd, knows passwords only: install mosquitto"
    else:
        return
    faults = [f"event in line {event.line} rotates certificates, and there are none" for event in rotations]
    raise UserError(faults, f"Leave out the event, or: {why}.")


def _clock(time_s: float) -> str:
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d %H:%M:%S}"


def _run_event(disturbance: Disturbance) -> RunEvent:
    until_s = disturbance.until_s if disturbance.until_s > disturbance.from_s else None
    return RunEvent(disturbance.from_s, disturbance.kind, disturbance.label, until_s)
