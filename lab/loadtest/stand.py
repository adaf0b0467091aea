"""What a load test needs beside its generator: broker, database, head-end and gateways, without a grid.

Devices are registered as those of a run are, and let in by the same certificates. What differs: gap recovery waits so
long that it does nothing, since it would make up for what is to be counted as lost.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import psycopg

from dashboards.roles import ROLES, create_roles
from grid.world import QUADRANTS, WorldFrame
from lab.containers.services import GATEWAYS
from lab.containers.stage import ContainerStage
from lab.errors import UserError
from lab.fleet.commissioning import Commissioned, commission
from lab.fleet.plan import Vendors
from lab.fleet.shipment import write_command_key, write_shipment
from lab.headends.ingest_totals import IngestTotals
from lab.headends.store import Database
from lab.loadtest.loads import Polled, polled, usage_points, write_network_model
from lab.processes.supervisor import Supervisor
from lab.run.headend_settings import headend_settings
from lab.run.local_stage import LocalStage
from lab.run.stage import BROKER, FLEET, HEADEND, Stage
from lab.run.surroundings import BrokerAccess, Externals, open_database, show_run
from lab.scenario.load import FleetChoice
from lab.services.database_session import session
from lab.services.external import ExternalBroker
from lab.services.host import require_open_files
from lab.verdict.context import IngestFacts
from loadtests.plan import Broker, Reading

COMMIT_TIMESTAMPS = "track_commit_timestamp = on\nmax_connections = 200\n"
NO_RECOVERY_S = 30 * 86_400
POSTGRES = "postgres"
_SPARE_FILES = 400
_NOMINAL_V = 230.0


class LoadStage(Stage):
    """A stage with the parts that are under load, and without a grid. `gateways_part`: the process of polled meters."""

    gateways_part: str
    external_broker: ExternalBroker | None = None

    async def gateway_process(self) -> None:
        """Start it, if the fleet's processes are not started by their plan."""

    def busy_s(self, generators: Sequence[str]) -> dict[str, float]:
        """Processor time so far, s, of parts and generators; nothing where that is not known."""
        del generators
        return {}


class LocalLoadStage(LoadStage, LocalStage):
    """Processes of this machine."""

    gateways_part = f"{FLEET}-0"

    def __init__(
        self, supervisor: Supervisor, modules: Mapping[str, str], externals: Externals, work: Path, directory: Path
    ) -> None:
        super().__init__(supervisor, modules, externals, work, directory)
        self.external_broker = externals.broker

    async def begin(self, *, head_end: bool) -> None:
        assert head_end, "a load test without a head-end loads nothing"
        await self._start(HEADEND, HEADEND)

    @asynccontextmanager
    async def open_store(self, *, schema: str, keep: bool) -> AsyncIterator[Database]:
        async with open_database(
            self._externals.database,
            self._work,
            self._supervisor,
            schema=schema,
            keep=keep,
            tell=self.news,
            more_settings=COMMIT_TIMESTAMPS,
        ) as store:
            yield store

    async def gateway_process(self) -> None:
        await self._start(self.gateways_part, FLEET)

    def busy_s(self, generators: Sequence[str]) -> dict[str, float]:
        parts = {
            "head-end": [HEADEND],
            "broker": [BROKER],
            "database": [POSTGRES],
            "gateways": [self.gateways_part],
            "generator": generators,
        }
        running = self._supervisor.is_running
        return {
            part: sum(busy_s_of(self._supervisor.pid(name)) for name in names if running(name))
            for part, names in parts.items()
        }


class ContainerLoadStage(LoadStage, ContainerStage):
    """Containers of a Compose project."""

    gateways_part = GATEWAYS
    parts_beside = ()

    def take(self, path: Path) -> None:
        """Make a file or directory that of whom the containers run as."""
        self._owner.take(path)


async def start_gateways(
    stage: LoadStage, gateways: Sequence[Polled], broker: BrokerAccess, seed: int, profiles: Sequence[str]
) -> None:
    """Meters behind gateways, which stand still at a load of nothing."""
    entries = [meter for gateway in gateways for meter in gateway.meters]
    await stage.gateway_process()
    now_s = int(time.time())
    rows = {entry: row for row, entry in enumerate(entries)}
    await stage.start_fleet(
        {stage.gateways_part: entries},
        world_rows=[rows.get(entry, 0) for entry in range(max(entries) + 1)],
        relay_rows=(),
        init={
            "broker_host": broker.host,
            "broker_port": broker.port,
            "broker_ca": None,
            "identities": None,
            "seed": seed,
            "start_s": now_s,
            "profiles": list(profiles),
            "in_lockstep": False,
            "primary_host": None,
        },
    )
    still = np.zeros((len(entries), 3))
    frame = WorldFrame(
        sequence=0,
        time_s=now_s,
        phase_energised=np.ones(still.shape, dtype=bool),
        import_wh=still,
        export_wh=still,
        reactive_varh=np.zeros((QUADRANTS, *still.shape)),
        active_power_w=still,
        reactive_power_var=still,
        voltage_v=still + _NOMINAL_V,
        voltage_angle_rad=still,
        breaker_closed=np.ones(len(entries), dtype=bool),
    )
    await stage.fleets[0].advance(now_s, frame.to_bytes())


@dataclass(frozen=True, slots=True)
class Stand:
    """Everything is up."""

    fleet: Commissioned
    group: str
    interval_s: int
    store: Database
    broker: BrokerAccess
    stage: LoadStage
    reader_url: str | None

    @property
    def plan_broker(self) -> Broker:
        keyring, seen = self.broker.keyring, self.stage.layout.seen
        return Broker(
            self.broker.host,
            self.broker.port,
            None if keyring is None else seen(keyring.places.trust),
            None if keyring is None else seen(keyring.places.devices),
        )

    def reading(self, pause_s: float) -> Reading | None:
        return None if self.reader_url is None else Reading(self.reader_url, self.store.schema, pause_s)

    async def counted(self) -> IngestFacts:
        """What the head-end has counted since it was started, in all its processes."""
        totals = IngestTotals()
        for head in self.stage.heads:
            stats = await head.stats()
            if stats is not None:
                totals.note(head.life, stats)
        return totals.facts()

    async def settle(self) -> None:
        """Return when everything that the broker has is committed."""
        await self.stage.head.settle()

    def busy_s(self, generators: Sequence[str] = ()) -> dict[str, float]:
        return self.stage.busy_s(generators)


@asynccontextmanager
async def open_stand(
    stage: LoadStage, choice: FleetChoice, *, meters: int, seed: int, group: str, keep: bool, readers: int
) -> AsyncIterator[Stand]:
    """Raises UserError: surroundings, or a fleet that cannot be made."""
    vendors = Vendors(choice.by_profile, choice.interval_s)
    interval_s = vendors.one_interval_s
    if interval_s is None:
        raise UserError(
            "the meters of this fleet have different capture periods, and a load has one rhythm",
            "Set them all to one with `interval` in [fleet] of the scenario.",
        )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(stage.close)
        await stage.begin(head_end=True)
        store = await stack.enter_async_context(stage.open_store(schema=f"amilab_{group.lower()}", keep=keep))
        url = await asyncio.to_thread(reader_url, store) if readers else None
        ports = stack.enter_context(ExitStack())
        points, places = usage_points(meters)
        fleet = commission(
            points, places, vendors.mix, group=group, seed=seed, new_gateway=stage.new_gateway(ports),
            broker=stage.external_broker,
        )  # fmt: skip
        # The generator, too, has a connection for each.
        require_open_files(fleet.connections + readers + _SPARE_FILES)
        layout = stage.layout
        write_network_model(layout.network, points, places)
        network = layout.hand_out(layout.network)
        key = write_command_key(layout.command_key)
        write_shipment(layout.shipment, fleet.meters, group=group, command_public_key=key)
        for path in (layout.command_key, layout.shipment):
            layout.hand_out(path)
        broker = await stack.enter_async_context(stage.open_broker(group, fleet))
        try:
            gateways = polled(fleet)
            if gateways:
                await start_gateways(stage, gateways, broker, seed, vendors.texts)
            await stage.start_head(
                {
                    "wall_clock": True,
                    "settings": {
                        **headend_settings(
                            store,
                            broker,
                            layout,
                            group=group,
                            network=network,
                        ),
                        "gap_grace_s": NO_RECOVERY_S,
                    },
                },
                int(time.time()),
            )
            await asyncio.to_thread(show_run, store)
            yield Stand(fleet, group, interval_s, store, broker, stage, url)
        finally:
            # Whatever writes must be gone before its schema goes.
            await stage.stop()


def reader_url(store: Database) -> str:
    """Where dashboards are read, by a role that may only read; to be asked before the head-end gives it its rights.

    In somebody else's database the user's own role reads, in transactions that can only read.
    """
    if store.embedded is None or store.admin_url is None:
        return store.seen_url or store.url
    password = secrets.token_urlsafe(18)
    with psycopg.connect(session(store.admin_url)) as connection:
        create_roles(connection, password=password, households_password=secrets.token_urlsafe(18))
    return psycopg.conninfo.make_conninfo(store.url, user=ROLES[0], password=password)


def busy_s_of(pid: int) -> float:
    """Processor time of a process and of those below it, s; 0 if it is gone."""
    try:
        process = psutil.Process(pid)
        total = 0.0
        for each in [process, *process.children(recursive=True)]:
            times = each.cpu_times()
            # Of children that have ended, too: PostgreSQL has a process for each connection.
            total += times.user + times.system + (times.children_user + times.children_system if each == process else 0)
    except psutil.Error:
        return 0.0
    return total
