"""The lab's processes as one thing that can be set up, disturbed, and taken down."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lab.ingest_totals import IngestTotals
from lab.link import TOKEN_VARIABLE, LabLink
from lab.remote import RemoteFleet, RemoteGrid, RemoteHead
from lab.services.broker import EmbeddedBroker
from lab.services.external import ExternalBroker, await_broker
from lab.supervisor import ProcessSpec, Supervisor

GRID = "grid"
HEADEND = "headend"
BROKER = "broker"
FLEET = "fleet"
PART_MODULES = {GRID: "lab.parts.grid", FLEET: "lab.parts.fleet", HEADEND: "lab.parts.headend"}
METERS_PER_FLEET = 10_000
BROKER_PATIENCE_S = 60.0
"""For how long an external broker may be away, on the wall clock."""


@dataclass(slots=True)
class Stage:
    """Starts the parts and does to them what the scenario says.

    The grid is started by itself first: it knows the usage points, from which the fleet follows.
    """

    supervisor: Supervisor
    link: LabLink
    token: str
    modules: Mapping[str, str]
    broker: EmbeddedBroker | None = None
    external_broker: ExternalBroker | None = None
    news: Callable[[str], None] = lambda _text: None
    head_init: dict[str, Any] = field(default_factory=dict)
    fleets: list[RemoteFleet] = field(default_factory=list)
    ingest: IngestTotals = field(default_factory=IngestTotals)

    @classmethod
    def create(cls, supervisor: Supervisor, modules: Mapping[str, str]) -> Stage:
        """:param modules: modules to run as parts instead of those in `PART_MODULES`."""
        token = secrets.token_hex(16)
        return cls(supervisor, LabLink(token=token), token, {**PART_MODULES, **modules})

    @property
    def grid(self) -> RemoteGrid:
        return RemoteGrid(self.link, GRID)

    @property
    def head(self) -> RemoteHead:
        return RemoteHead(self.link, HEADEND)

    async def start_part(self, name: str, kind: str) -> None:
        """Start the process of a part; it connects by itself, see `LabLink.wait_for`."""
        await self.supervisor.start(
            ProcessSpec(
                name,
                [sys.executable, "-m", self.modules[kind], "--name", name, "--link", self.link.address],
                environment={
                    TOKEN_VARIABLE: self.token,
                    # The parts share the machine: threads of linear algebra would only wait for each other.
                    "OPENBLAS_NUM_THREADS": "1",
                    "OMP_NUM_THREADS": "1",
                },
            )
        )

    async def start_fleet(
        self,
        shares: Sequence[Sequence[int]],
        *,
        world_rows: Sequence[int],
        shipment: Path,
        directory: Path,
        broker: tuple[str, int],
        seed: int,
        start_s: int,
        interval_length_s: int,
        primary_host: str | None,
    ) -> None:
        """A process for each of `shares`: the meters that it has, as entries of the shipment file.

        :param world_rows: for each entry, its usage point's row in the physical frame.
        """
        for share in shares:
            name = f"{FLEET}-{len(self.fleets)}"
            await self.link.wait_for(name)
            reply = await self.link.call(
                name,
                "init",
                shipment=str(shipment),
                entries=list(share),
                world_rows=[world_rows[entry] for entry in share],
                memory=str(directory / f"{name}.sqlite"),
                broker_host=broker[0],
                broker_port=broker[1],
                seed=seed,
                start_s=start_s,
                interval_length_s=interval_length_s,
                primary_host=primary_host,
            )
            self.fleets.append(RemoteFleet(self.link, name, reply.body["stations"]))

    async def start_head(self, now_s: int, *, broker_may_be_away: bool = False) -> RemoteHead:
        """Wait for the head-end's process and let it migrate, connect and subscribe."""
        await self.link.wait_for(HEADEND)
        settings = {**self.head_init["settings"], "broker_may_be_away": broker_may_be_away}
        await self.link.call(HEADEND, "init", **{**self.head_init, "settings": settings}, now_s=now_s)
        return self.head

    async def switch(self, verb: str, device: str) -> None:
        await self.link.call(GRID, verb, device=device)

    async def disturb(self, verb: str, stations: Sequence[str]) -> None:
        await asyncio.gather(*(fleet.disturb(verb, stations) for fleet in self.fleets))

    async def read_ingest(self) -> None:
        """Add up what the head-end says of its life so far; to be called once for each life."""
        self.ingest.add((await self.link.call(HEADEND, "stats")).body["stats"])

    async def say_farewell(self, part: str) -> None:
        if part == HEADEND:
            await self.read_ingest()

    async def kill(self, part: str) -> None:
        if part == BROKER and self.broker is not None:
            await self.broker.kill()
            await asyncio.gather(*(fleet.wait_disconnected() for fleet in self.fleets))
        elif part == HEADEND:
            await self.supervisor.kill(HEADEND)
            self.link.drop(HEADEND)

    async def bring_back(self, part: str, now_s: int) -> RemoteHead | None:
        if part == BROKER and self.broker is not None:
            await self.broker.restart()
            return None
        await self.start_part(HEADEND, HEADEND)
        return await self.start_head(now_s, broker_may_be_away=True)

    async def await_broker(self, now_s: int) -> None:
        """Return once an external broker serves. An embedded one is away only when the scenario says so.

        :raises UserError: it stays away for `BROKER_PATIENCE_S`.
        """
        broker = self.external_broker
        if broker is None:
            return

        def away() -> None:
            self.news(
                f"{datetime.fromtimestamp(now_s, UTC):%H:%M:%S} the broker at {broker.host}:{broker.port} is away: "
                "simulated time stands still until it is back"
            )

        await await_broker(broker, patience_s=BROKER_PATIENCE_S, away=away)
