"""Looks after the containers of a run while it goes on: who is gone, who is waited for, and why."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import NoReturn, Protocol

from lab.containers.claims import is_claimed
from lab.containers.project import ComposeProject, Container
from lab.containers.services import SERVICES, service_of
from lab.containers.waits import LOOK_EVERY_S, PATIENCE_S, Kind, Reason, Seen, Waits, ended, reason_for
from lab.errors import PartFailed, UserError
from lab.lockstep.link import LabLink
from lab.run.stage import BROKER, DATABASE

_ALIVE = frozenset({"running", "paused", "starting"})
"""The states of a container whose process is there; "starting" is Swarm's, before its health is known."""


class Watched(Protocol):
    """A run in containers, as far as it is looked after."""

    project: ComposeProject
    link: LabLink
    news: Callable[[str], None]

    @property
    def locks(self) -> Path:
        """Where each part has a file that its container locks."""

    @property
    def away(self) -> Set[str]:
        """The parts that the scenario has killed or cut off."""

    @property
    def disturbs(self) -> bool:
        """Whether a network fault of the scenario is under way."""

    def count(self, service: str) -> int:
        """How many parts of the run a service serves."""


class Watch:
    """One for each run. `reasons`: what the run waits for at present.

    `is_over`: the run ends, or is judged, and needs nobody any more: whoever is not there is not waited for.
    """

    def __init__(self, lab: Watched, clock: Callable[[], float] = time.monotonic) -> None:
        self._lab = lab
        self._project = lab.project
        self._link = lab.link
        self._clock = clock
        self._began_s = time.time()
        self._waits = Waits()
        self._ailing: Mapping[str, float] = {}  # who is there and does not serve, since when
        self._sees = False  # whoever conducts from within a container never does
        self._reached: set[str] = set()  # services whose containers reach the lab
        self.reasons: Sequence[str] = ()
        self.is_over = False

    async def forever(self) -> NoReturn:
        """Look again and again, and name whatever is waited for.

        :raises PartFailed: for a container that ends by itself again and again, since Docker's restarts do not help it;
            or if nobody has come back for a part.
        :raises UserError: for a container that needs more memory than it may have, or a firewall in between.
        """
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Once."""
        if not self.is_over:
            await self._refuse_starved()
        lives = {name: self._link.life(name) for name in self._link.present}
        found = await self._project.containers_of(list(SERVICES.values()))
        self._sees = self._sees or any(found.values())
        if not self.is_over:
            await self._refuse_restarting(found)
        self._drop_the_dead(lives, found)
        await self._name(found)

    async def why_gone(self, name: str) -> UserError | PartFailed:
        """Of a part that cannot be replaced."""
        try:
            await self._refuse_starved()
        except UserError as starved:
            return starved
        service = service_of(name)
        lost = "what it knew is lost with it, and nobody can take its place"
        exits = [end for end in await self._project.ends(self._began_s) if end.service == service]
        if not exits:
            return PartFailed(name, None, what=f"died, or was replaced: {lost}")
        last = exits[-1]
        there = [each for each in await self._project.containers(service) if each.name == last.container]
        words = await self._project.last_words(there[0]) if there else []
        then = "restarted" if any(each.state in _ALIVE for each in there) else "not there any more"
        what = f"is gone: its container {last.container} {ended(last.exit_code)} and is {then}; {lost}"
        return PartFailed(name, last.exit_code, words, what=what)

    async def _refuse_starved(self) -> None:
        starved = await self._project.out_of_memory(self._began_s)
        if starved:
            raise UserError(
                [f"{name} ran out of the memory that it may use" for name in starved],
                "Give it more in compose/.env (AMILAB_…_MEMORY), or fewer meters (METERS_PER_CONTAINER).",
            )

    async def _refuse_restarting(self, found: Mapping[str, Sequence[Container]]) -> None:
        for containers in found.values():
            for container in containers:
                if container.state == "restarting":
                    await self._project.refuse_foreign_state(container)
                    words = await self._project.last_words(container)
                    raise PartFailed(container.name, container.exit_code, words)

    def _drop_the_dead(self, lives: Mapping[str, int], found: Mapping[str, Sequence[Container]]) -> None:
        """Nobody answers from a container that is gone: whoever asks it is told."""
        for name, life in lives.items():
            alive = {each.id for each in found[service_of(name)] if each.state in _ALIVE}
            # The kernel takes a part from a process that is dead, wherever it is looked at from.
            serves = self._link.host(name) in alive if self._sees else is_claimed(self._lab.locks, name)
            if name not in self._lab.away and not serves:
                self._link.drop(name, life=life)

    async def _name(self, found: Mapping[str, Sequence[Container]]) -> None:
        now_s = self._clock()
        waits = {} if self.is_over else {**self._link.awaited, **self._ailing_since(found, now_s)}
        awaited = {name: since_s for name, since_s in waits.items() if name not in self._lab.away}
        reasons = {name: await self._reason(name, found) for name in self._waits.ripe(awaited, now_s)}
        self.reasons = [f"{name}: {reason.text}" for name, reason in reasons.items()]
        for name, reason in reasons.items():
            since_s = awaited[name]
            if self._waits.is_to_be_named(name, since_s, reason, now_s):
                self._lab.news(f"waiting for {name}: {reason.text}. {self._hint(name, reason)}")
            if now_s - since_s >= reason.patience_s:
                self._give_up(name, reason, now_s - since_s)

    def _give_up(self, name: str, reason: Reason, waited_s: float) -> NoReturn:
        hint = self._hint(name, reason)
        if reason.kind is Kind.UNREACHED:
            raise UserError(f"{name}: {reason.text}", hint)
        what = f"did not come back within {waited_s:.0f} s: {reason.text}. {hint}"
        raise PartFailed(name, None, what=what)

    def _ailing_since(self, found: Mapping[str, Sequence[Container]], now_s: float) -> Mapping[str, float]:
        """Broker, database, and whoever is frozen and has been asked something: since when."""
        ailing = set(self._frozen(found)) - self._lab.away
        for name in (BROKER, DATABASE) if self._sees else ():
            if not any(each.health == "healthy" for each in found[SERVICES[name]]):
                ailing.add(name)
        self._ailing = {name: self._ailing.get(name, now_s) for name in ailing}
        return self._ailing

    def _frozen(self, found: Mapping[str, Sequence[Container]]) -> dict[str, Container]:
        """The parts whose containers somebody has paused, not the scenario."""
        paused = {each.id: each for containers in found.values() for each in containers if each.state == "paused"}
        hosts = {name: self._link.host(name) for name in self._link.present}
        return {} if self._lab.disturbs else {name: paused[host] for name, host in hosts.items() if host in paused}

    async def _reason(self, name: str, found: Mapping[str, Sequence[Container]]) -> Reason:
        service = service_of(name)
        if not self._sees:
            doing = "is still starting in its container" if is_claimed(self._lab.locks, name) else "is in no container"
            return Reason(doing, Kind.STARTING, PATIENCE_S)
        if name in (BROKER, DATABASE):
            there = found[service]
            states = {each.state for each in there}
            if states & _ALIVE:
                doing = ", ".join(f"{each.name} is {each.health or each.state}" for each in there)
                # It may well serve, on a machine that is too busy to ask it.
                return Reason(doing, Kind.FROZEN if "paused" in states else Kind.STARTING, math.inf)
            return reason_for(Seen(service, there), "")
        frozen = self._frozen(found).get(name)
        if frozen is not None:
            return Reason(f"{frozen.name} is paused", Kind.FROZEN, math.inf)
        serving = {self._link.host(each) for each in self._link.present}
        seen = Seen(service, found[service], serving, is_claimed(self._lab.locks, name))
        host, port = self._where
        if seen.taken and seen.free and service not in self._reached:
            unreached = await self._project.unreached(seen.free[0], host, port)
            if unreached is None:
                self._reached.add(service)
            seen = replace(seen, unreached=unreached)
        return reason_for(seen, f"{host}:{port}")

    def _hint(self, name: str, reason: Reason) -> str:
        service = service_of(name)
        if reason.kind is Kind.UNREACHED:
            _, port = self._where
            subnet = self._project.settings.lab_subnet
            return f"Let it in, for instance: ufw allow proto tcp from {subnet} to any port {port}"
        if reason.kind is Kind.STARTING:
            return self._project.how_to_look(service)
        if reason.kind is Kind.FROZEN:
            return f"Let it go on: docker compose unpause {service}"
        return self._project.how_to_bring_back(service, self._lab.count(service))

    @property
    def _where(self) -> tuple[str, int]:
        host, _, port = self._link.address.removeprefix("tcp://").rpartition(":")
        return host, int(port)
