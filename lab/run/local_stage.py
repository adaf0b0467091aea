"""The stage on this machine: every part is a process of its own; database and broker are embedded or external."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from lab.fleet.commissioning import Commissioned
from lab.headends.store import Database
from lab.lockstep.link import Body, LabLink
from lab.lockstep.link_keys import VARIABLE, PartKey
from lab.lockstep.network_fault import NetworkFault
from lab.lockstep.remote import RemoteFleet, RemoteHead
from lab.processes.interpreter import python
from lab.processes.supervisor import ProcessSpec, Supervisor
from lab.run.layout import Layout
from lab.run.stage import BROKER, DATABASE, FLEET, GRID, HEADEND, INGEST, Stage
from lab.run.surroundings import BrokerAccess, Externals, open_broker, open_database
from lab.services.broker import EmbeddedBroker
from lab.services.broker_config import COMPRESSED_TIME, REAL_TIME
from lab.services.external import await_broker
from lab.services.ports import ReservedPort
from lab.services.postgres import EmbeddedPostgres

PART_MODULES = {GRID: "lab.parts.grid", FLEET: "lab.parts.fleet", HEADEND: "lab.parts.headend"}
OWN, MEMORY = "lab", "memory"
"""Below the private directory of a run: what is the lab's and its parts' alone, and the meters' durable memories."""
BROKER_PATIENCE_S = 60.0
"""For how long an external broker may be away, on the wall clock."""


class LocalStage(Stage):
    """Every part is a process of this machine, under the supervisor; database and broker are embedded or external."""

    def __init__(
        self, supervisor: Supervisor, modules: Mapping[str, str], externals: Externals, work: Path, directory: Path
    ) -> None:
        """:param modules: modules to run as parts instead of those in `PART_MODULES`."""
        own, memory = work / OWN, work / MEMORY
        for place in (own, memory):
            place.mkdir(mode=0o700)
        super().__init__(LabLink(f"ipc://{own}/link", run=directory.name), Layout(own, own, memory, directory))
        self._part_keys: dict[str, PartKey] = {}
        self._supervisor = supervisor
        self._modules = {**PART_MODULES, **modules}
        self._externals = externals
        self._work = work
        self._broker: BrokerAccess | None = None
        self._store: Database | None = None

    @property
    def head(self) -> RemoteHead:
        return self.heads[0]

    async def begin(self, *, head_end: bool) -> None:
        for name in [GRID, *([HEADEND] if head_end else [])]:
            await self._start(name, name)
        await self._start(f"{FLEET}-0", FLEET)

    @asynccontextmanager
    async def open_store(self, *, schema: str, keep: bool) -> AsyncIterator[Database]:
        external = self._externals.database
        async with open_database(
            external, self._work, self._supervisor, schema=schema, keep=keep, tell=self.news
        ) as self._store:
            yield self._store

    @asynccontextmanager
    async def open_broker(self, group: str, fleet: Commissioned) -> AsyncIterator[BrokerAccess]:
        external = self._externals.broker
        async with open_broker(
            external,
            self._work,
            self._supervisor,
            group=group,
            fleet=fleet,
            certificates=self.own_head_end,
            rate=REAL_TIME if self.in_real_time else COMPRESSED_TIME,
            tell=self.news,
        ) as self._broker:
            self.keyring = self._broker.keyring
            yield self._broker

    async def reload_broker(self) -> None:
        await self._embedded_broker.reload()

    def new_gateway(self, ports: ExitStack) -> Callable[[], str]:
        def reserve() -> str:
            port = ports.enter_context(ReservedPort())
            return f"{port.host}:{port.port}"

        return reserve

    async def fleet_parts(self, names: Sequence[str]) -> None:
        for name in names[1:]:
            await self._start(name, FLEET)

    async def start_head(self, init: Body, now_s: int) -> None:
        head = RemoteHead(self.link, HEADEND, init)
        await head.join_at(now_s)
        self.heads.append(head)

    async def say_farewell(self, part: str) -> None:
        if part in (HEADEND, INGEST):
            await self.read_ingest()

    def heads_of(self, part: str) -> Sequence[RemoteHead]:
        return self.heads if part in (HEADEND, INGEST) else ()

    async def kill(self, part: str) -> None:
        if part == BROKER:
            await self._embedded_broker.kill()
            await self._broker_died()
        elif part == DATABASE:
            await self._embedded_database.kill()
            if not self.in_real_time:
                # The head-end waits for it, and simulated time for the head-end.
                await self._embedded_database.restart()
        else:
            member = self._member(part)
            member.absent = True
            await self._supervisor.kill(member.name)
            self.link.drop(member.name)

    async def bring_back(self, part: str, now_s: int) -> None:
        if part == BROKER:
            await self._embedded_broker.restart()
        elif part == DATABASE:
            if self.in_real_time:
                await self._embedded_database.restart()
        else:
            member = self._member(part)
            await self._start(member.name, FLEET if part == FLEET else HEADEND)
            member.absent = False
            await member.join_at(now_s)

    async def impair(self, part: str, fault: NetworkFault) -> None:
        raise AssertionError(f"{part}, {fault.label}: processes have no network of their own, refused before the run")

    async def await_repairs(self) -> None:
        """There is nothing to repair."""

    async def replaced(self, part: str) -> AsyncIterator[str]:
        for member in list(self.fleets if part == FLEET else self.heads):
            if not member.absent:
                await self._supervisor.stop(member.name)
                await self._start(member.name, FLEET if part == FLEET else HEADEND)
                yield member.name

    @property
    def is_whole(self) -> bool:
        return all(map(self._supervisor.is_running, (GRID, *(fleet.name for fleet in self.fleets))))

    async def stop(self) -> None:
        await self._supervisor.stop_all()

    async def watch(self) -> NoReturn:
        """The supervisor does."""
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    async def save_logs(self, directory: Path) -> None:
        """The supervisor has them write there."""

    async def await_broker(self, now_s: int) -> None:
        """An embedded one is away only when the scenario says so.

        :raises UserError: it stays away for `BROKER_PATIENCE_S`.
        """
        broker = self._externals.broker
        if broker is None:
            return

        def away() -> None:
            self.news(
                f"{datetime.fromtimestamp(now_s, UTC):%H:%M:%S} the broker at {broker.host}:{broker.port} is away: "
                "simulated time stands still until it is back"
            )

        await await_broker(broker, patience_s=BROKER_PATIENCE_S, away=away)

    @property
    def _embedded_broker(self) -> EmbeddedBroker:
        assert self._broker is not None
        assert self._broker.embedded is not None, "kills of an external one are refused before the run"
        return self._broker.embedded

    @property
    def _embedded_database(self) -> EmbeddedPostgres:
        assert self._store is not None
        assert self._store.embedded is not None, "kills of an external one are refused before the run"
        return self._store.embedded

    def _member(self, part: str) -> RemoteFleet | RemoteHead:
        return self.fleets[0] if part == FLEET else self.heads[0]

    async def _start(self, name: str, kind: str) -> None:
        if name not in self._part_keys:
            self._part_keys[name] = self.link.new_part(name)
        await self._supervisor.start(
            ProcessSpec(
                name,
                python(
                    *("-m", self._modules[kind]),
                    *("--link", self.link.address, "--run", self.link.run, "--name", name),
                ),
                environment={
                    VARIABLE: self._part_keys[name].to_text(),
                    # The parts share the machine: threads of linear algebra would only wait for each other.
                    "OPENBLAS_NUM_THREADS": "1",
                    "OMP_NUM_THREADS": "1",
                },
            )
        )
