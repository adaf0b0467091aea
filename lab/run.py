"""One run from scenario to verdict: set up, live through, take down, judge."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psycopg
from psycopg import sql

from lab.barrier import Barrier, BarrierStalled
from lab.conductor import conduct
from lab.errors import UserError
from lab.fleet_table import write_fleet_table
from lab.link import Body
from lab.progress import RunProgress
from lab.realtime import run_in_real_time
from lab.reaper import Reaper
from lab.report import RunEvent, write_report
from lab.scenario import FleetChoice, KillEvent, Scenario
from lab.services.external import check_broker_url
from lab.services.host import make_private_directory, require_free_space, require_open_files
from lab.shipment import ShippedMeter, commission, write_command_key, write_shipment
from lab.stage import BROKER, FLEET, GRID, HEADEND, METERS_PER_FLEET, Stage
from lab.supervisor import Supervisor
from lab.surroundings import BrokerAccess, Database, open_broker, open_database
from lab.targets import choose_targets
from lab.timeline import Disturbance, actions
from lab.verdict.adapters import export_stored
from lab.verdict.context import ClockFacts, FeederFacts, Host, RunContext
from lab.verdict.tables import TableError
from lab.verdict.verdict import Verdict, judge_run
from meters.errors import ProfileError
from meters.profile import VendorProfile, load_profile

REAL_TIME = 1.0
_BYTES_PER_READING = 400
"""On the disk, in the meters' memory and in the results together; measured at 250 to 330."""
_OPEN_FILES_BESIDE_METERS = 200
GROUP_LENGTH = 48
"""Short enough for the names of schemas (63) and of the head-end's client (64) that it is a part of."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What `amilab run` was asked for. `speed`: None as fast as possible, 1 the wall clock without a barrier."""

    scenario: Scenario
    out: Path
    speed: float | None = None
    database_url: str | None = None
    broker_url: str | None = None
    keep: bool = False
    parts: Mapping[str, str] = field(default_factory=dict)
    """Modules to run instead of lab/parts/*.py, by kind: how a test puts a saboteur in a part's place."""


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
    if request.broker_url is not None:
        _refuse_kills_of_an_external_broker(request.scenario)
    directory = new_run_directory(request.out, request.scenario)
    with Reaper(directory.name) as reaper:
        work = make_private_directory(reaper)
        supervisor = Supervisor(directory / "logs", reaper)
        lab = asyncio.create_task(_Run(request, progress, directory, work, supervisor).execute())
        watch = asyncio.create_task(supervisor.watch())
        try:
            await asyncio.wait([lab, watch], return_when=asyncio.FIRST_COMPLETED)
            if not lab.done():
                lab.cancel()
                await asyncio.gather(lab, return_exceptions=True)
                await watch
            return await lab
        finally:
            for task in (lab, watch):
                task.cancel()
            await asyncio.gather(lab, watch, return_exceptions=True)
            await supervisor.stop_all()
            if request.keep:
                reaper.keep_directory(work)
                progress.console.print(f"kept: {work}", highlight=False)


class _Run:
    """The state of one run while it goes on."""

    def __init__(
        self, request: RunRequest, progress: RunProgress, directory: Path, work: Path, supervisor: Supervisor
    ) -> None:
        self.request = request
        self.scenario = request.scenario
        self.progress = progress
        self.directory = directory
        self.work = work
        self.supervisor = supervisor
        self.profile = _profile(request.scenario.fleet)
        self.stage = Stage.create(supervisor, request.parts)
        self.start_s = self._start_s()
        # Topics and client ids carry it, so two runs on one broker do not mix. RL-DSP wants it alphanumeric.
        self.group = re.sub(r"[^A-Za-z0-9]", "", directory.name)[-GROUP_LENGTH:]

    @property
    def end_s(self) -> int:
        """When the judged window ends; settling comes after it."""
        return self.start_s + self.scenario.duration_s

    async def execute(self) -> RunResult:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.stage.link.close)
            with self.progress.step("starting the database and loading the feeder"):
                database, grid = await self._first_parts(stack)
            with self.progress.step(f"commissioning {len(grid['usage_points']):,} meters"):
                meters, disturbances, broker = await self._commission(stack, grid, database)
            began = time.monotonic()
            with self.progress.simulated_time(self.start_s, self.end_s + self.scenario.settle_s):
                await self._live(disturbances)
            wall_s = time.monotonic() - began
            with self.progress.step("collecting truth, journal and what was stored"):
                rejected = await self._collect(database, meters)
            host = Host.here(database=database.version, timescaledb=database.timescaledb, broker=broker.version)
            await self.supervisor.stop_all()
        with self.progress.step("judging"):
            context = RunContext(
                scenario=self.scenario.name,
                seed=self.scenario.seed,
                host=host,
                feeder=FeederFacts(grid["name"], grid["buses"], len(grid["usage_points"]), grid["transformers"]),
                clock=ClockFacts(self.start_s, self.scenario.duration_s, wall_s),
                ingest=self.stage.ingest.facts(),
                rejected_frames=rejected,
            )
            verdict = judge_run(self.directory, context, targets=self.scenario.criteria)
            report = write_report(self.directory, verdict, [_run_event(d) for d in disturbances])
            link_latest(self.directory)
        return RunResult(verdict, self.directory, report)

    async def _first_parts(self, stack: AsyncExitStack) -> tuple[Database, Body]:
        """Database, grid and the other processes at once: loading the feeder takes longest."""
        for name, kind in ((GRID, GRID), (HEADEND, HEADEND), (f"{FLEET}-0", FLEET)):
            await self.stage.start_part(name, kind)
        database, grid = await asyncio.gather(
            stack.enter_async_context(
                open_database(
                    self.request.database_url,
                    self.work,
                    self.supervisor,
                    schema=f"amilab_{self.group.lower()}",
                    keep=self.request.keep,
                )
            ),
            self._load_feeder(),
        )
        return database, grid

    async def _load_feeder(self) -> Body:
        await self.stage.link.wait_for(GRID)
        reply = await self.stage.link.call(
            GRID, "init", feeder=self.scenario.feeder.name, seed=self.scenario.seed, start_s=self.start_s
        )
        return reply.body

    async def _commission(
        self, stack: AsyncExitStack, grid: Body, database: Database
    ) -> tuple[list[ShippedMeter], list[Disturbance], BrokerAccess]:
        rows = self._metered_rows(len(grid["usage_points"]))
        count = len(rows)
        require_open_files(min(count, METERS_PER_FLEET) + _OPEN_FILES_BESIDE_METERS)
        readings = count * (self.scenario.duration_s + self.scenario.settle_s) // self.profile.facts.interval_length_s
        require_free_space(self.directory, readings * _BYTES_PER_READING)
        external = None if self.request.broker_url is None else await check_broker_url(self.request.broker_url)
        meters = commission([grid["usage_points"][row] for row in rows], self.group, external)
        disturbances = await choose_targets(
            self.scenario,
            start_s=self.start_s,
            link=self.stage.link,
            grid=GRID,
            serial_of={meter.usage_point: meter.serial for meter in meters},
        )
        shipment = self.work / "shipment.csv"
        key = self.work / "command.key"
        write_shipment(
            shipment,
            meters,
            vendor_profile=self.profile.name,
            group=self.group,
            command_public_key=write_command_key(key),
        )
        broker = await stack.enter_async_context(
            open_broker(external, self.work, self.supervisor, group=self.group, meters=meters)
        )
        self.stage.broker = broker.embedded
        for number in range(1, -(-count // METERS_PER_FLEET)):
            await self.stage.start_part(f"{FLEET}-{number}", FLEET)
        self.stage.head_init = {
            "wall_clock": self.request.speed == REAL_TIME,
            "settings": {
                "database_url": database.url,
                "database_schema": database.schema,
                "broker_host": broker.host,
                "broker_port": broker.port,
                "broker_username": broker.username,
                "broker_password": broker.password,
                "client_id": f"{self.group}-headend",
                "group": self.group,
                "shipment": str(shipment),
                "command_key": str(key),
                "interval_length_s": self.profile.facts.interval_length_s,
            },
        }
        await asyncio.gather(
            self.stage.start_head(self.start_s),
            self.stage.start_fleet(
                meters,
                world_rows=rows,
                shipment=shipment,
                directory=self.work,
                broker=(broker.host, broker.port),
                seed=self.scenario.seed,
                start_s=self.start_s,
                interval_length_s=self.profile.facts.interval_length_s,
            ),
        )
        return meters, disturbances, broker

    async def _live(self, disturbances: Sequence[Disturbance]) -> None:
        told = {d.from_s: d for d in disturbances}
        planned = actions(disturbances)
        end_s = self.end_s + self.scenario.settle_s

        def at(now_s: int) -> None:
            self.progress.at(now_s)
            for from_s in [instant for instant in told if instant <= now_s]:
                self.progress.news(f"{datetime.fromtimestamp(from_s, UTC):%H:%M:%S} {told.pop(from_s).label}")

        stage = self.stage
        if self.request.speed == REAL_TIME:
            await run_in_real_time(
                stage.grid, stage.fleets, stage, planned, start_s=self.start_s, end_s=end_s, progress=at
            )
            return
        barrier = Barrier(stage.grid, stage.fleets, stage.head)
        try:
            await conduct(
                barrier,
                stage,
                planned,
                start_s=self.start_s,
                end_s=end_s,
                seed=self.scenario.seed,
                speed=self.request.speed,
                progress=at,
            )
        except BarrierStalled as error:
            raise UserError(
                [str(error)], "See the parts' logs in the run's directory; is the database or the broker overloaded?"
            ) from error

    async def _collect(self, database: Database, meters: Sequence[ShippedMeter]) -> int:
        """Write the three tables and the fleet's description; returns how many frames the head-end rejected."""
        link, directory = self.stage.link, self.directory
        await self.stage.read_ingest()
        (directory / "journal").mkdir()
        await asyncio.gather(
            link.call(
                GRID,
                "finish",
                directory=str(directory),
                interval_length_s=self.profile.facts.interval_length_s,
                until_s=self.end_s,
            ),
            *(link.call(fleet.name, "finish", directory=str(directory / "journal")) for fleet in self.stage.fleets),
        )
        write_fleet_table(directory / "meters.parquet", meters, self.profile)
        return await asyncio.to_thread(_export, database, directory / "stored.parquet", self.start_s, self.end_s)

    def _metered_rows(self, usage_points: int) -> list[int]:
        """Which usage points have a meter: all, or as many as the scenario says, drawn by seed."""
        wanted = self.scenario.fleet.meters
        if wanted is None:
            return list(range(usage_points))
        if wanted > usage_points:
            raise UserError(
                [f"the scenario wants {wanted:,} meters, but the feeder has {usage_points:,} usage points"],
                "Lower `meters` in [fleet], or leave it out to meter them all.",
            )
        return sorted(np.random.default_rng(self.scenario.seed).permutation(usage_points)[:wanted].tolist())

    def _start_s(self) -> int:
        """The scenario's start; at speed 1 the beginning of the interval that the wall clock is in."""
        if self.request.speed == REAL_TIME:
            return int(time.time()) // self.profile.facts.interval_length_s * self.profile.facts.interval_length_s
        return self.scenario.start_s


def _profile(fleet: FleetChoice) -> VendorProfile:
    """The vendor profile of a fleet, at the interval that the scenario sets its meters to."""
    try:
        profile = load_profile(fleet.profile)
        return profile if fleet.interval_s is None else profile.at_interval(fleet.interval_s)
    except ProfileError as error:
        raise UserError(str(error), "Change `profile` or `interval` in [fleet].") from error


def new_run_directory(out: Path, scenario: Scenario) -> Path:
    """A new directory below `out`, named by scenario, seed and time. Two runs at one moment get two.

    :raises UserError: it cannot be made.
    """
    stem = f"{scenario.name}-{scenario.seed}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    try:
        out.mkdir(parents=True, exist_ok=True)
        for number in range(1, 1000):
            directory = out.resolve() / (stem if number == 1 else f"{stem}-{number}")
            try:
                directory.mkdir()
            except FileExistsError:
                continue
            return directory
    except OSError as error:
        raise UserError([f"cannot make a directory in {out}: {error.strerror}"], "Choose another --out.") from error
    raise UserError([f"{out} is full of runs of this second"], "Choose another --out.")


def link_latest(directory: Path) -> None:
    """Point `latest` beside the run's directory at it, in one step, so that a reader never finds it missing."""
    link = directory.parent / f".latest-{directory.name}"
    link.symlink_to(directory.name)
    link.replace(directory.parent / "latest")


def _export(database: Database, path: Path, start_s: int, end_s: int) -> int:
    """Fetch what is stored as any reader of the database would; returns the number of dead letters."""
    schema = sql.Identifier(database.schema)
    query = sql.SQL("SELECT * FROM {}.stored_reading").format(schema).as_string(None)
    try:
        export_stored(database.url, path, query=query, start_s=start_s, end_s=end_s)
    except TableError as error:
        raise UserError(error.faults, "The head-end's view stored_reading could not be read.") from error
    with psycopg.connect(database.url) as connection:
        row = connection.execute(sql.SQL("SELECT count(*) FROM {}.dead_letter").format(schema)).fetchone()
    return int(row[0]) if row else 0


def _refuse_kills_of_an_external_broker(scenario: Scenario) -> None:
    faults = [
        f"event in line {event.line} kills the broker"
        for event in scenario.events
        if isinstance(event, KillEvent) and event.part == BROKER
    ]
    if faults:
        raise UserError(faults, "Only an embedded broker can be killed: leave out --broker-url, or the event.")


def _run_event(disturbance: Disturbance) -> RunEvent:
    until_s = disturbance.until_s if disturbance.until_s > disturbance.from_s else None
    return RunEvent(disturbance.from_s, disturbance.kind, disturbance.label, until_s)
