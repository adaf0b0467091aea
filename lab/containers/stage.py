"""The stage in containers: the lab on this machine conducts, and everything else runs in a Compose project."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence, Set
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import NoReturn, Self

from lab.containers.claims import Claim
from lab.containers.conducting import claim_to_conduct
from lab.containers.database import address, admin_url, secret
from lab.containers.keys import HOLD, project_keyring, reload_broker, save_broker
from lab.containers.link_keys import LinkKeys, read_link_keys
from lab.containers.network_faults import impose
from lab.containers.plan import LOCKS, Plan, withdraw_plan, write_plan
from lab.containers.project import ComposeProject
from lab.containers.runs import begin_run, drop_oldest, end_run
from lab.containers.services import GATEWAYS, OUTAGES, POLLER, SERVICES, service_of
from lab.containers.settings import HEADEND_PASSWORD, MOST_INGEST_WORKERS
from lab.containers.state import BROKER as BROKER_STATE
from lab.containers.state import PLAN, SECRETS, Owner, SharedLayout, make_state
from lab.containers.watch import Watch
from lab.errors import PartFailed, UserError
from lab.fleet.commissioning import Commissioned, processes
from lab.headends.store import Database
from lab.lockstep.head_group import HeadGroup
from lab.lockstep.link import Body, LabLink, PartGone
from lab.lockstep.network_fault import NetworkFault
from lab.lockstep.remote import RemoteFleet, RemoteHead
from lab.run.stage import BROKER, DATABASE, FLEET, GRID, HEADEND, INGEST, Stage
from lab.run.surroundings import BrokerAccess
from lab.services.broker_config import HEAD_END, HEAD_END_HOST, ingest_identity
from lab.services.database_role import HEADEND_ROLE, make_headend_role
from lab.services.external import check_database_url
from lab.services.host import allow_many_files

METERING, STORE = "metering", "store"
"""Networks of the project."""
METERS = "meters"
FIRST_GATEWAY_PORT = 15_001
BROKER_PORT = 8883
_STOP_S = 15.0


class ContainerStage(Stage):
    """Drives the containers of a Compose project. They take their parts by themselves (lab/containers/member.py)."""

    gateway_host = "0.0.0.0"  # noqa: S104 - in a network of the project's own
    parts_beside: Sequence[str] = (GRID,)
    """Those beside fleets and head-end."""
    is_demonstration = False
    """Whether what it stores goes with the next one."""

    def __init__(self, project: ComposeProject, run: str, link: LabLink, keys: LinkKeys) -> None:
        settings = project.settings
        owner = Owner(settings.uid, settings.gid)
        root = project.directory / "state"
        make_state(root, owner)
        super().__init__(link, SharedLayout.of(root, owner, run))
        self.project = project
        self.meters_per_fleet = settings.meters_per_container
        self._root = root
        self._owner = owner
        self._plan = Plan(run, link.address, {})
        self._part_keys = keys.parts
        self._conducting: Claim | None = None
        self._took_over = False
        self._killed: dict[str, list[str]] = {}
        self._away: set[str] = set()  # broker or database, killed or cut off by the scenario
        self._watch = Watch(self)
        # A run that was killed, or a machine that lost its power, may have left it held back.
        self._release_broker()
        self._impaired: list[asyncio.Task[None]] = []

    @classmethod
    async def create(cls, project: ComposeProject, run: str) -> Self:
        """:raises UserError: the link's port is taken, or the project has no keys for it."""
        keys = read_link_keys(project.directory)
        # The project's networks must be there: one of their addresses is ours.
        await project.up([SERVICES[BROKER], SERVICES[DATABASE]])
        took_over = await project.end_demonstration()
        conducting = claim_to_conduct(project.directory / "state", Owner(project.settings.uid, project.settings.gid))
        allow_many_files()
        address = f"tcp://{await project.lab_address()}:{project.settings.link_port}"
        stage = cls(project, run, LabLink(address, run=run, key=keys.lab), keys)
        stage._conducting, stage._took_over = conducting, took_over
        return stage

    @property
    def head(self) -> HeadGroup:
        return HeadGroup(self.heads[0], self.heads[1:])

    async def begin(self, *, head_end: bool) -> None:
        if self._took_over:
            self.news("the demonstration has ended for this run; docker compose start conductor begins it anew")
        parts = {part: [part] for part in self.parts_beside}
        scale = {SERVICES[part]: 1 for part in self.parts_beside}
        if head_end:
            running = await self._running(SERVICES[INGEST])
            workers = min(max(self.project.settings.ingest_workers, running), MOST_INGEST_WORKERS)
            parts |= {OUTAGES: [OUTAGES], POLLER: [POLLER], INGEST: [f"{INGEST}-{n}" for n in range(workers)]}
            scale |= {SERVICES[INGEST]: workers, SERVICES[POLLER]: 1, SERVICES[OUTAGES]: 1}
        # First the containers: one that is about to be replaced by a newer one must not take a part.
        await self.project.up(list(scale), scale)
        self._publish(parts)

    @asynccontextmanager
    async def open_store(self, *, schema: str, keep: bool) -> AsyncIterator[Database]:
        # Of each run: Grafana shows the last one, or the one that was chosen (lab/containers/runs.py).
        del keep
        found = await check_database_url(await admin_url(self.project))
        password = secret(self.project.directory, HEADEND_PASSWORD)
        await asyncio.to_thread(make_headend_role, found.url, password)
        url, admin = address(HEADEND_ROLE, password, self.project.database_place), found.url
        await asyncio.to_thread(begin_run, admin, url, schema, self._plan.run, demonstration=self.is_demonstration)
        try:
            kept = self.project.settings.kept_runs
            for dropped in await asyncio.to_thread(drop_oldest, admin, kept, keeping=schema):
                self.news(f"dropped what the run {dropped} had stored: the last {kept} are kept (AMILAB_KEPT_RUNS)")
            yield Database(
                url,
                schema,
                found.version,
                found.timescaledb,
                seen_url=address(HEADEND_ROLE, password, f"{SERVICES[DATABASE]}:5432"),
                admin_url=admin,
            )
        finally:
            await asyncio.to_thread(end_run, admin, schema)

    @asynccontextmanager
    async def open_broker(self, group: str, fleet: Commissioned) -> AsyncIterator[BrokerAccess]:
        del group
        await self.project.until_healthy(SERVICES[BROKER])
        keyring = self.keyring = project_keyring(self.project.directory, self._owner)
        workers = range(len(self._plan.parts.get(INGEST, ())))
        head_ends = [HEAD_END, HEAD_END_HOST, *(ingest_identity(number) for number in workers)]
        await asyncio.to_thread(keyring.write_trust)
        await self.reload_broker()
        await save_broker(self.project)
        await asyncio.to_thread(keyring.issue, fleet.stations, head_ends)
        said = await self.project.execute(SERVICES[BROKER], "sh", "-c", "mosquitto -h | head -n 1")
        version = " ".join(said.split()[::2])
        yield BrokerAccess(SERVICES[BROKER], BROKER_PORT, None, None, version, embedded=None, keyring=keyring)

    def new_gateway(self, ports: ExitStack) -> Callable[[], str]:
        del ports
        numbers = iter(range(FIRST_GATEWAY_PORT, 65536))
        return lambda: f"{SERVICES[GATEWAYS]}:{next(numbers)}"

    def shares(self, fleet: Commissioned) -> dict[str, list[int]]:
        polled = [row for row, meter in enumerate(fleet.meters) if meter.profile.capabilities.needs_gateway]
        shares = processes(fleet, self.meters_per_fleet, without=frozenset(polled))
        named = {f"{FLEET}-{number}": share for number, share in enumerate(shares)}
        return named | ({GATEWAYS: polled} if polled else {})

    async def fleet_parts(self, names: Sequence[str]) -> None:
        fleets = [name for name in names if name != GATEWAYS]
        parts = {METERS: fleets} | ({GATEWAYS: [GATEWAYS]} if GATEWAYS in names else {})
        needed = len(fleets) + self.project.settings.spare_meters if fleets else 0
        scale = {SERVICES[FLEET]: max(needed, await self._running(SERVICES[FLEET]))}
        if GATEWAYS in names:
            scale[SERVICES[GATEWAYS]] = 1
        await self.project.up(list(scale), scale)
        self._publish(parts)

    async def start_head(self, init: Body, now_s: int) -> None:
        settings = init["settings"]
        names = [OUTAGES, POLLER, *self._plan.parts[INGEST]]
        for name in names:
            role = name.partition("-")[0]
            client = settings["client_id"] if role == OUTAGES else f"{settings['client_id']}-{name}"
            own = {**settings, "role": role, "client_id": client, "sparkplug_host_id": settings["client_id"]}
            if role == INGEST:
                identity = ingest_identity(int(name.rpartition("-")[2]))
                own["broker_certificate"] = self.layout.seen(self._root / SECRETS / f"{identity}.pem")
            self.heads.append(RemoteHead(self.link, name, {**init, "settings": own}))
        await asyncio.gather(*(head.join_at(now_s) for head in self.heads))

    async def say_farewell(self, part: str) -> None:
        await self.read_ingest(self.heads_of(part))

    def heads_of(self, part: str) -> Sequence[RemoteHead]:
        return [member for member in self._members(part) if isinstance(member, RemoteHead)]

    async def kill(self, part: str) -> None:
        """The containers of a part get SIGKILL from Docker, which does not restart what it was told to kill."""
        members = self._members(part)
        if not members:
            self._away.add(part)
        for member in members:
            member.absent = True
        # One that stands by may have taken the part before Docker says that all are dead.
        lives = {member.name: self.link.life(member.name) for member in members}
        containers = await self._containers(part)
        if part == BROKER:
            (self._root / BROKER_STATE / HOLD).touch()
        await asyncio.gather(*(self.project.signal(container) for container in containers))
        for member in members:
            self.link.drop(member.name, life=lives[member.name])
        if part == BROKER:
            await self._broker_died()
            # Its machine stays: an address that nobody has is not refused, but waited for, seconds for each attempt.
            await self.project.start(*containers)
        elif part == DATABASE and not self.in_real_time:
            # The head-end waits for it, and simulated time for the head-end.
            await self.project.start(*containers)
        else:
            self._killed[part] = containers

    async def bring_back(self, part: str, now_s: int) -> None:
        containers = self._killed.pop(part, [])
        if containers:
            await self.project.start(*containers)
        if part == BROKER:
            self._release_broker()
        if part in (BROKER, DATABASE):
            await self.project.until_healthy(SERVICES[part])
            self._away.discard(part)
        for member in self._members(part):
            member.absent = False
            await (member.join_at(now_s) if isinstance(member, RemoteHead) else member.join())

    async def impair(self, part: str, fault: NetworkFault) -> None:
        network = STORE if part == DATABASE else METERING
        own = set() if self._members(part) else {part}
        self._away |= own
        undo = [await impose(self.project, name, network, fault) for name in await self._containers(part)]

        async def end() -> None:
            try:
                await asyncio.sleep(fault.wall_s)
            finally:
                await asyncio.gather(*(one() for one in undo))
                self._away -= own

        self._impaired.append(asyncio.create_task(end(), name=f"{fault.kind} of {part}"))

    async def await_repairs(self) -> None:
        await asyncio.gather(*self._impaired)

    async def reload_broker(self) -> None:
        await reload_broker(self.project, self._keys)

    def replaced(self, part: str) -> AsyncIterator[str]:
        return self.project.replaced(SERVICES[part])

    async def await_broker(self, now_s: int) -> None:
        """:raises UserError: it is away, not because the scenario says so, and does not come back."""
        del now_s
        if BROKER not in self._away:
            await self.project.until_healthy(SERVICES[BROKER])

    async def stop(self) -> None:
        self._watch.is_over = True
        names = [member.name for member in (*self.fleets, *self.heads) if not member.absent]

        async def told(name: str) -> None:
            with contextlib.suppress(PartGone, TimeoutError):
                async with asyncio.timeout(_STOP_S):
                    await self.link.call(name, "stop")

        # Whoever stands by must not take what is given back now.
        write_plan(self._root / PLAN, replace(self._plan, parts={}), self._owner.take)
        await asyncio.gather(*(told(name) for name in [*names, *self.parts_beside]))
        withdraw_plan(self._root / PLAN)

    async def save_logs(self, directory: Path) -> None:
        await self.project.logs(directory)

    async def watch(self) -> NoReturn:
        await self._watch.forever()

    async def why_gone(self, name: str) -> UserError | PartFailed:
        return await self._watch.why_gone(name)

    @property
    def reasons(self) -> Sequence[str]:
        return self._watch.reasons

    @property
    def locks(self) -> Path:
        return self._root / PLAN / LOCKS

    @property
    def away(self) -> Set[str]:
        return self._away | {member.name for member in (*self.fleets, *self.heads) if member.absent}

    @property
    def disturbs(self) -> bool:
        return not all(task.done() for task in self._impaired)

    def count(self, service: str) -> int:
        return max(sum(service_of(name) == service for names in self._plan.parts.values() for name in names), 1)

    async def close(self) -> None:
        for task in self._impaired:
            task.cancel()
        await asyncio.gather(*self._impaired, return_exceptions=True)
        self._release_broker()
        withdraw_plan(self._root / PLAN)
        await super().close()
        if self._conducting is not None:
            self._conducting.close()

    def _release_broker(self) -> None:
        (self._root / BROKER_STATE / HOLD).unlink(missing_ok=True)

    async def _running(self, service: str) -> int:
        """With how many containers somebody has started a service: a run needs no fewer, and takes none away."""
        return sum(found.state == "running" for found in await self.project.containers(service))

    async def _containers(self, part: str) -> list[str]:
        members = self._members(part)
        if members:
            return [await self._container(member.name) for member in members]
        return [found.id for found in await self.project.containers(SERVICES[part]) if found.state == "running"]

    async def _container(self, name: str) -> str:
        """That serves a part. What it says of itself is believed only if its service has such a container.

        :raises PartFailed: it has not.
        """
        service, said = service_of(name), self.link.host(name)
        if said in {found.id for found in await self.project.containers(service)}:
            return said
        raise PartFailed(name, None, what=f"says that it is the container {said}, which the service {service} has not")

    def _members(self, part: str) -> Sequence[RemoteFleet | RemoteHead]:
        """Who of the barrier a part is: nobody for broker and database."""
        if part == HEADEND:
            return self.heads
        if part == FLEET:
            return self.fleets[:1]
        return [head for head in self.heads if head.name == part or head.name == f"{part}-0"]

    def _publish(self, parts: Mapping[str, Sequence[str]]) -> None:
        self._plan = replace(self._plan, parts={**self._plan.parts, **parts})
        for kind, names in parts.items():
            for name in names:
                self.link.admit(name, self._part_keys[kind])
        write_plan(self._root / PLAN, self._plan, self._owner.take)
