"""The lab's parts as one thing that can be set up, disturbed, and taken down."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack
from pathlib import Path
from typing import NoReturn

from lab.errors import PartFailed, UserError
from lab.fleet.commissioning import Commissioned, processes
from lab.headends.ingest_totals import IngestTotals
from lab.headends.store import Database
from lab.keys.keyring import Keyring
from lab.lockstep.barrier import Head
from lab.lockstep.link import Body, LabLink
from lab.lockstep.network_fault import NetworkFault
from lab.lockstep.remote import RemoteFleet, RemoteGrid, RemoteHead
from lab.run.layout import Layout
from lab.run.surroundings import BrokerAccess
from meters.radio.setup import NetworkSetup

GRID = "grid"
HEADEND = "headend"
BROKER = "broker"
DATABASE = "database"
FLEET = "fleet"
INGEST = "ingest"
"""One of the head-end's ingest workers, where it has any; else the head-end."""
METERS_PER_FLEET = 10_000


class Stage(ABC):
    """Starts the parts and does to them what the scenario says. Where they live, a subclass knows.

    The grid is started by itself first: it knows the usage points, from which the fleet follows.
    """

    meters_per_fleet: int = METERS_PER_FLEET
    gateway_host: str | None = None
    """Where Modbus gateways listen, if not at the host that their address names."""

    def __init__(self, link: LabLink, layout: Layout) -> None:
        self.link = link
        self.layout = layout
        self.in_real_time = False
        self.own_head_end = True
        """Not somebody else's, which need not have TLS."""
        self.news: Callable[[str], None] = lambda _text: None
        self.fleets: list[RemoteFleet] = []
        self.heads: list[RemoteHead] = []
        self.keyring: Keyring | None = None
        """Everybody's keys, once the broker is there, if it knows its clients by certificate."""
        self.ingest = IngestTotals()

    @property
    def grid(self) -> RemoteGrid:
        return RemoteGrid(self.link, GRID)

    @property
    @abstractmethod
    def head(self) -> Head:
        """The head-end as one member of the barrier."""

    @abstractmethod
    async def begin(self, *, head_end: bool) -> None:
        """Start what does not wait for anything else. Parts connect by themselves, see `LabLink.wait_for`."""

    @abstractmethod
    def open_store(self, *, schema: str, keep: bool) -> AbstractAsyncContextManager[Database]:
        """The database of the run."""

    @abstractmethod
    def open_broker(self, group: str, fleet: Commissioned) -> AbstractAsyncContextManager[BrokerAccess]:
        """The broker of the run, which lets in the head-end and these meters."""

    @abstractmethod
    def new_gateway(self, ports: ExitStack) -> Callable[[], str]:
        """Answers with the `host:port` of a further Modbus gateway, for as long as `ports` is open."""

    def shares(self, fleet: Commissioned) -> dict[str, list[int]]:
        """The meters of each process of the fleet, by its name, as entries of the shipment file."""
        return {f"{FLEET}-{n}": share for n, share in enumerate(processes(fleet, self.meters_per_fleet))}

    async def start_fleet(
        self,
        shares: Mapping[str, Sequence[int]],
        *,
        world_rows: Sequence[int],
        relay_rows: Collection[int],
        init: Body,
        network: NetworkSetup | None = None,
    ) -> None:
        """A process for each of `shares`.

        :param world_rows: for each entry of the shipment file, its usage point's row in the physical frame.
        :param relay_rows: those of them whose meters have a relay.
        :param init: what else each is begun with.
        :param network: the communications network, by entry of the shipment file; None: all is heard at once.
        """
        await self.fleet_parts(list(shares))
        for name, share in shares.items():
            rows = [world_rows[entry] for entry in share]
            body = {
                **init,
                "shipment": self.layout.seen(self.layout.shipment),
                "entries": list(share),
                "world_rows": rows,
                "gateway_host": self.gateway_host,
                "memory": self.layout.seen(self.layout.memory / f"{name}.sqlite"),
            }
            if network is not None:
                body["network"] = network.of(share).model_dump(mode="json")
            own = frozenset(rows).intersection(relay_rows)
            self.fleets.append(RemoteFleet(self.link, name, body, relay_rows=own))
        await asyncio.gather(*(fleet.join() for fleet in self.fleets))

    @abstractmethod
    async def fleet_parts(self, names: Sequence[str]) -> None:
        """Start the processes of meters."""

    @abstractmethod
    async def start_head(self, init: Body, now_s: int) -> None:
        """Let the head-end migrate, connect and subscribe. `init`: its settings, and whether it runs by itself."""

    async def switch(self, verb: str, device: str) -> None:
        await self.link.call(GRID, verb, device=device)

    async def rotate(self, what: str) -> None:
        """Give everybody a new identity, and have everybody connect with it.

        What was before is trusted until `retire`.

        :param what: "identities", or "authority" if a new one is to issue them.
        """
        keyring = self._keys
        await asyncio.to_thread(keyring.begin, authority=what == "authority")
        await self.reload_broker()
        await asyncio.to_thread(keyring.reissue)
        await asyncio.gather(
            *(fleet.disturb("renew", sorted(fleet.stations)) for fleet in self.fleets),
            *(head.renew() for head in self.heads),
        )

    async def retire(self) -> None:
        """Trust nothing any more that is older than the last rotation."""
        await asyncio.to_thread(self._keys.finish)
        await self.reload_broker()

    @abstractmethod
    async def reload_broker(self) -> None:
        """Have the broker read its certificates again; return when it has."""

    @property
    def _keys(self) -> Keyring:
        assert self.keyring is not None, "rotations without certificates are refused before the run"
        return self.keyring

    async def command(
        self, purpose: str, serials: Sequence[str], *, by: str, within_s: int, now_s: int
    ) -> list[tuple[str, str, str, str | None]]:
        """Have the head-end make a command for each of these meters: id, serial, state, and why it has ended already.

        :raises UserError: they cannot be made, or the head-end's process for some is dead; those of others are made.
        """
        found = await asyncio.gather(
            *(
                head.command(now_s, purpose=purpose, serials=list(serials), by=by, within_s=within_s)
                for head in self.heads
            )
        )
        made = [command for commands in found if commands is not None for command in commands]
        if lacking := len(set(serials)) - len(made):
            raise UserError(
                f"{lacking:,} of these meters cannot be commanded: the head-end's process for them is dead;"
                f" {len(made):,} others were",
                "Wait until it is back.",
            )
        return made

    async def disturb(self, verb: str, stations: Sequence[str]) -> None:
        await asyncio.gather(*(fleet.disturb(verb, stations) for fleet in self.fleets))

    async def disturb_network(self, fault: Body) -> None:
        """Tell all meters of a fault of the modelled network, or of its end."""
        await asyncio.gather(*(fleet.disturb_network(fault) for fleet in self.fleets))

    async def read_ingest(self, heads: Sequence[RemoteHead] | None = None) -> None:
        """Note what the head-end says of its life so far, which ends with the process."""
        for head in self.heads if heads is None else heads:
            stats = await head.stats()
            if stats is not None:
                self.ingest.note(head.life, stats)

    async def finish_fleets(self, journal: Path, deliveries: Path | None) -> None:
        """Let them write their journals, and what became of frames if a communications network carries them."""
        seen = None if deliveries is None else self.layout.seen(deliveries)
        await asyncio.gather(*(fleet.finish(self.layout.seen(journal), seen) for fleet in self.fleets))

    @abstractmethod
    async def say_farewell(self, part: str) -> None:
        """Read from a part that is about to be killed what would be lost with it."""

    async def hold(self, part: str) -> None:
        """Let what the meters say to the head-end be on its way, unread, until this part is killed."""
        heads = self.heads if part == BROKER else self.heads_of(part)
        await asyncio.gather(*(head.hold() for head in heads))

    @abstractmethod
    def heads_of(self, part: str) -> Sequence[RemoteHead]:
        """The processes of the head-end that a part is; none for other parts."""

    @abstractmethod
    async def kill(self, part: str) -> None:
        """SIGKILL a part and return when it is dead and every connection to it has noticed."""

    @abstractmethod
    async def bring_back(self, part: str, now_s: int) -> None:
        """Start a killed part; return once it is ready."""

    async def update(self, part: str) -> AsyncIterator[str]:
        """Give a part new processes, one after another: with each `anext`, another old one has gone."""
        await self.read_ingest()
        async for gone in self.replaced(part):
            yield gone
            # Where no barrier has asked for whoever took its place, this begins it.
            await self.read_ingest()

    @abstractmethod
    def replaced(self, part: str) -> AsyncIterator[str]:
        """End the processes of a part one after another, and answer with each when its successor is on its way."""

    @abstractmethod
    async def impair(self, part: str, fault: NetworkFault) -> None:
        """Begin a fault of a part's network, which ends by itself."""

    @abstractmethod
    async def await_repairs(self) -> None:
        """Return when every fault has ended."""

    @abstractmethod
    async def await_broker(self, now_s: int) -> None:
        """Return once a broker serves that the scenario has not killed."""

    @property
    def is_whole(self) -> bool:
        """Whether grid and fleets are there to be asked, as far as that is known."""
        return True

    @abstractmethod
    async def stop(self) -> None:
        """End the parts: nobody writes any more."""

    @abstractmethod
    async def watch(self) -> NoReturn:
        """Raise PartFailed for a part that ends by itself, where the supervisor would not."""

    async def why_gone(self, name: str) -> UserError | PartFailed:
        """Of a part that is gone, and cannot be replaced."""
        return PartFailed(name, None, what="died, or was replaced, and cannot be: what it knew is lost with it")

    @property
    def reasons(self) -> Sequence[str]:
        """Who is waited for at present, and why, as far as that is known."""
        return ()

    @abstractmethod
    async def save_logs(self, directory: Path) -> None:
        """Bring what the parts said to `directory`, if it is not there already."""

    async def close(self) -> None:
        """No more calls."""
        await self.link.close()

    async def _broker_died(self) -> None:
        await asyncio.gather(*(fleet.wait_disconnected() for fleet in self.fleets))
        # Whoever was held could still read what the kernel has, which is more on one day than on another.
        await asyncio.gather(*(head.drop() for head in self.heads))
