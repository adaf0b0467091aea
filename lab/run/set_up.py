"""Brings a lab's parts up: database, grid and fleet, broker and head-end, each as soon as it can."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path

from lab.errors import UserError
from lab.fleet.plan import FleetPlan, Vendors, plan_fleet
from lab.fleet.shipment import write_command_key, write_shipment
from lab.headends.store import Database, ExternalStore
from lab.lockstep.answers import GridBegun, checked
from lab.lockstep.link import Body
from lab.lockstep.timeline import Disturbance
from lab.run.headend_settings import LOCKSTEP_LIMITS, headend_settings
from lab.run.progress import RunProgress
from lab.run.request import RunRequest
from lab.run.stage import GRID, Stage
from lab.run.surroundings import BrokerAccess, Externals, make_roles
from lab.scenario.air_targets import Airspace
from lab.scenario.load import Scenario
from lab.scenario.targets import choose_targets
from lab.services.broker_config import head_end_client
from lab.services.host import require_free_space, require_open_files
from lab.verdict.context import EXTERNAL

_BYTES_PER_READING = 400
"""On the disk, in the meters' memory and in the results together; measured at 250 to 330."""
_OPEN_FILES_BESIDE_METERS = 200


@dataclass(frozen=True, slots=True)
class SetUp:
    """What the parts of a run are begun with.

    `group`: in all topics and client ids. `origin_s`: when the parts' time begins; `start_s`, `settled_s`: when the
    judged window does, and when all of it has had its chance to be stored.
    """

    request: RunRequest
    progress: RunProgress
    stage: Stage
    vendors: Vendors
    externals: Externals
    directory: Path
    group: str
    origin_s: int
    start_s: int
    settled_s: int

    @property
    def scenario(self) -> Scenario:
        return self.request.scenario

    async def first_parts(self, stack: AsyncExitStack) -> tuple[Database | ExternalStore, Body]:
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
            assert self.externals.stored is not None, "looked at with the other things of the user's"
            return ExternalStore(self.request.external.stored, f"{EXTERNAL}: {self.externals.stored.version}")
        if self.externals.database is not None and self.externals.database.superuser:
            self.progress.notice(
                "the user of --database-url is a superuser, and so is the head-end: better name a role that may only "
                "create schemas (GRANT CREATE ON DATABASE)"
            )
        store = await stack.enter_async_context(
            self.stage.open_store(schema=f"amilab_{self.group.lower()}", keep=self.request.keep)
        )
        if self.request.companion is not None and store.embedded is not None:
            await asyncio.to_thread(make_roles, store)
        return store

    async def _load_feeder(self) -> Body:
        await self.stage.link.wait_for(GRID)
        choice = self.scenario.feeder
        try:
            reply = await self.stage.link.call(
                GRID,
                "init",
                feeder=choice.name,
                flow=choice.flow,
                time_zone=choice.time_zone,
                seed=self.scenario.seed,
                start_s=self.origin_s,
            )
        except UserError as error:
            where = "with --feeder" if self.request.feeder_option else "in the scenario's [feeder] table"
            raise UserError(error.faults, f"Choose another feeder {where}.") from error
        grid = checked(reply, GridBegun)
        for notice in grid["notices"]:
            self.progress.notice(notice)
        return grid

    async def commission(
        self, stack: AsyncExitStack, grid: Body, store: Database | ExternalStore
    ) -> tuple[FleetPlan, list[Disturbance], BrokerAccess]:
        ports = stack.enter_context(ExitStack())
        stage, layout = self.stage, self.stage.layout
        plan = plan_fleet(
            self.vendors,
            grid,
            meters=self.scenario.fleet.meters,
            current_transformers=self.scenario.fleet.current_transformers,
            voltage_transformers=self.scenario.fleet.voltage_transformers,
            seed=self.scenario.seed,
            group=self.group,
            broker=self.externals.broker,
            new_gateway=stage.new_gateway(ports),
        )
        everybody = plan.everybody
        fleet = everybody.fleet
        require_open_files(min(fleet.connections, stage.meters_per_fleet) + _OPEN_FILES_BESIDE_METERS)
        readings = round(len(fleet.meters) * (self.settled_s - self.start_s) * self.vendors.intervals_per_s)
        for place in (self.directory, layout.memory):
            require_free_space(place, readings * _BYTES_PER_READING)
        airspace = Airspace.of(self.scenario, everybody, time_zone=grid["time_zone"], start_s=self.origin_s)
        disturbances = await choose_targets(
            self.scenario, start_s=self.start_s, link=stage.link, grid=GRID, fleet=plan.fleet, airspace=airspace
        )
        await stage.link.call(GRID, "write_network", path=layout.seen(layout.network))
        network = layout.hand_out(layout.network)
        public_key = write_command_key(layout.command_key)
        cells = () if airspace is None else airspace.cells
        write_shipment(layout.shipment, fleet.meters, group=self.group, command_public_key=public_key, cells=cells)
        for path in (layout.command_key, layout.shipment):
            layout.hand_out(path)
        broker = await stack.enter_async_context(stage.open_broker(self.group, fleet))
        init = self._fleet_init(broker, own_head_end=isinstance(store, Database))
        starting = [
            stage.start_fleet(
                stage.shares(fleet),
                world_rows=everybody.rows,
                relay_rows=everybody.relay_rows,
                init=init,
                network=None if airspace is None else airspace.setup,
            )
        ]
        if isinstance(store, Database):
            starting.append(stage.start_head(self._head_init(store, broker, network), self.start_s))
        await asyncio.gather(*starting)
        return plan, disturbances, broker

    def _fleet_init(self, broker: BrokerAccess, *, own_head_end: bool) -> Body:
        keys, layout = None if broker.keyring is None else broker.keyring.places, self.stage.layout
        return {
            "broker_host": broker.host,
            "broker_port": broker.port,
            "broker_ca": None if keys is None else layout.seen(keys.trust),
            "identities": None if keys is None else layout.seen(keys.devices),
            "seed": self.scenario.seed,
            "start_s": self.origin_s,
            "profiles": self.vendors.texts,
            "in_lockstep": not self.request.in_real_time,
            # Somebody else's head-end need not be a Sparkplug host.
            "primary_host": head_end_client(self.group) if own_head_end else None,
        }

    def _head_init(self, store: Database, broker: BrokerAccess, network: Path) -> Body:
        settings = headend_settings(
            store,
            broker,
            self.stage.layout,
            group=self.group,
            network=network,
        )
        if not self.request.in_real_time:
            settings |= LOCKSTEP_LIMITS
        if self.scenario.network.on:
            settings["pacing"] = True
        return {"wall_clock": self.request.in_real_time, "settings": settings}
