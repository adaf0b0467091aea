"""A Compose project on this machine: its services, containers and networks, by the command `docker`."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lab.containers.docker import docker, docker_json
from lab.containers.logs import write_log
from lab.containers.settings import ComposeSettings
from lab.errors import UserError

CONDUCTOR = "conductor"
"""The service of the demonstration, and of the lab's own image."""
_READY_POLL_S = 0.3
_READY_S = 180.0
REFUSES_ITS_STATE = 78
"""The exit code (EX_CONFIG of sysexits.h) of a service whose volume is not for it, however often it is started."""
REFUSAL = "amilab: "
"""What each line begins with by which it says why."""
_KNOCK = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 2).close()
except OSError as error:
    print(error.strerror or error)
"""
_KNOCK_S = 10.0


@dataclass(frozen=True, slots=True)
class Container:
    """`id`: the short one, which is also its host name. `number`: within its service, from 1."""

    id: str
    name: str
    service: str
    number: int
    state: str
    health: str
    exit_code: int | None


@dataclass(frozen=True, slots=True)
class End:
    """Of a container, by its name. `exit_code`: above 128 for a signal."""

    service: str
    container: str
    exit_code: int


class ComposeProject:
    """The project of `directory`, whose .env says which files it is made of."""

    label = "com.docker.compose.project"
    """By which its containers are known."""

    def __init__(self, directory: Path, settings: ComposeSettings) -> None:
        self.directory = directory
        self.settings = settings
        self._since = datetime.now(UTC).isoformat()

    async def compose(self, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
        """`docker compose …` of this project. Raises UserError."""
        return await docker(
            "compose",
            "--project-directory",
            str(self.directory),
            *arguments,
            directory=self.directory,
            environment=environment,
        )

    async def up(self, services: Sequence[str], scale: Mapping[str, int] | None = None) -> None:
        """Start these services, with so many containers; what runs as it should is left running.

        As `docker compose up` would, word for word: Compose also replaces what another way of asking has made.
        """
        scales = [part for name, count in (scale or {}).items() for part in ("--scale", f"{name}={count}")]
        await self.compose("up", "--detach", "--no-build", "--pull", "never", *scales, *services)
        # What failed again and again before, Docker leaves alone for up to a minute.
        waiting = [
            found.id for name in services for found in await self.containers(name) if found.state == "restarting"
        ]
        if waiting:
            await docker("restart", "--time", "0", *waiting)

    @property
    def database_place(self) -> str:
        """Where the database is reached from here: `host:port`."""
        return f"127.0.0.1:{self.settings.database_port}"

    async def end_demonstration(self) -> bool:
        """Stop the service that conducts by itself; whether it ran."""
        running = [found for found in await self.containers(CONDUCTOR) if found.state in ("running", "restarting")]
        if running:
            await self.compose("stop", CONDUCTOR)
        return bool(running)

    async def until_healthy(self, service: str) -> None:
        """:raises UserError: it is not within three minutes, or refuses to start; with its last words."""
        try:
            async with asyncio.timeout(_READY_S):
                # Docker tells of health only who asks.
                while not await self._is_healthy(service):  # noqa: ASYNC110
                    await asyncio.sleep(_READY_POLL_S)
        except TimeoutError:
            words = (await self.compose("logs", "--no-log-prefix", "--tail", "8", service)).splitlines()
            raise UserError(
                [f"the service {service} has not become healthy within {_READY_S:.0f} s; it said:", *words],
                "compose/README.md says what to do about an unhealthy container.",
            ) from None

    async def containers(self, service: str) -> list[Container]:
        """The containers of a service by their numbers, dead ones too."""
        return (await self.containers_of([service]))[service]

    async def containers_of(self, services: Sequence[str]) -> dict[str, list[Container]]:
        """The containers of each of these services."""
        listed = await docker(
            "ps",
            "--all",
            "--no-trunc",
            "--filter",
            f"label=com.docker.compose.project={self.settings.project}",
            "--filter",
            # Compose labels the images that it builds as well, and so whatever else is run from them.
            "label=com.docker.compose.oneoff=False",
            "--format",
            '{{.ID}}\t{{.Names}}\t{{.Label "com.docker.compose.service"}}\t'
            '{{.Label "com.docker.compose.container-number"}}\t{{.State}}\t{{.Status}}',
        )
        found: dict[str, list[Container]] = {service: [] for service in services}
        for line in listed.splitlines():
            identity, name, service, number, state, status = line.split("\t")
            if service not in found:
                continue
            health = re.search(r"\((?:health: )?(\w+)\)", status)
            code = re.match(r"(?:Exited|Restarting) \((\d+)\)", status)
            found[service].append(
                Container(
                    identity[:12],
                    name,
                    service,
                    int(number),
                    state,
                    health[1] if health and state == "running" else "",
                    int(code[1]) if code else None,
                )
            )
        return {name: sorted(each, key=lambda container: container.number) for name, each in found.items()}

    async def out_of_memory(self, since_s: float) -> list[str]:
        """The containers in which the kernel had to kill something since then [epoch s], for want of memory."""
        said = await docker(
            "events",
            *("--since", f"{since_s:.3f}", "--until", f"{time.time():.3f}"),
            *("--filter", "event=oom", "--filter", f"label={self.label}={self.settings.project}"),
            *("--format", "{{.Actor.Attributes.name}}"),
        )
        return sorted(set(said.split()))

    async def ends(self, since_s: float) -> list[End]:
        """How containers have ended since then [epoch s], the earliest first."""
        said = await docker(
            "events",
            *("--since", f"{since_s:.3f}", "--until", f"{time.time():.3f}"),
            *("--filter", "event=die", "--filter", f"label={self.label}={self.settings.project}"),
            *("--format", "{{json .Actor.Attributes}}"),
        )
        found = []
        for line in said.splitlines():
            about = json.loads(line)
            found.append(End(self._service(about), about["name"], int(about["exitCode"])))
        return found

    async def unreached(self, container: Container, host: str, port: int) -> str | None:
        """Why a container of ours does not reach an address; None if it does, or if it cannot be asked."""
        command = ("/opt/venv/bin/python", "-c", _KNOCK, host, str(port))
        try:
            said = await docker("exec", container.id, *command, patience_s=_KNOCK_S)
        except UserError:
            return None
        return said.strip() or None

    def how_to_look(self, service: str) -> str:
        """What to do to see what a service says."""
        return f"What it says: docker compose logs {service}"

    def how_to_bring_back(self, service: str, count: int) -> str:
        """What to do to have so many containers of a service again."""
        return f"Bring it back: docker compose up --detach --no-recreate --scale {service}={count} {service}"

    async def _is_healthy(self, service: str) -> bool:
        """:raises UserError: it refuses to start."""
        found = await self.containers(service)
        for container in found:
            await self.refuse_foreign_state(container)
        return any(container.health == "healthy" for container in found)

    async def refuse_foreign_state(self, container: Container) -> None:
        """:raises UserError: it does not start with the volume that it has; with its words."""
        if container.exit_code == REFUSES_ITS_STATE:
            said = dict.fromkeys(line for line in await self.last_words(container) if line.startswith(REFUSAL))
            raise UserError([line.removeprefix(REFUSAL) for line in said] or [f"{container.name} refuses to start"])

    async def last_words(self, container: Container) -> list[str]:
        """The last lines that a container wrote."""
        return (await docker("logs", "--tail", "20", container.name, merge=True)).splitlines()

    def _service(self, labels: Mapping[str, str]) -> str:
        return labels.get("com.docker.compose.service", "")

    async def lab_address(self) -> str:
        """This machine's address in the network of the lab link."""
        return str(next(self.settings.lab_subnet.hosts()))

    async def signal(self, container: str, number: str = "SIGKILL") -> None:
        await docker("kill", "--signal", number, container)

    async def start(self, *containers: str) -> None:
        await docker("start", *containers)

    async def pause(self, container: str) -> None:
        await docker("pause", container)

    async def unpause(self, container: str) -> None:
        await docker("unpause", container)

    async def plugged(self, container: str, network: str) -> Plug:
        """How a container is on a network. Raises UserError: it is not."""
        name = f"{self.settings.project}_{network}"
        inspected = await docker_json("inspect", "--format", "{{json .NetworkSettings.Networks}}", container)
        if name not in inspected:
            raise UserError(f"{container} is not on the network {name}")
        found = inspected[name]
        return Plug(container, name, found["IPAddress"], found["IPPrefixLen"], tuple(found["Aliases"] or ()))

    async def unplug(self, plug: Plug) -> None:
        """Take a container off a network."""
        await docker("network", "disconnect", "--force", plug.network, plug.container)

    async def plug(self, plug: Plug) -> None:
        """Put a container back, with the address and the names that it had."""
        aliases = [part for alias in plug.aliases for part in ("--alias", alias)]
        await docker("network", "connect", "--ip", plug.address, *aliases, plug.network, plug.container)

    async def image(self, service: str) -> str:
        """The name of the image of a service."""
        config = json.loads(await self.compose("config", "--format", "json", service))
        name: str = config["services"][service]["image"]
        return name

    async def replaced(self, service: str) -> AsyncIterator[str]:
        """Replace a service's containers one after another; answers with each as soon as its successor is started."""
        containers = await self.containers(service)
        for old in [found.id for found in containers if found.state == "running"]:
            await docker("stop", old)
            await docker("rm", old)
            scale = f"{service}={len(containers)}"
            await self.compose("up", "--detach", "--no-build", "--no-recreate", "--scale", scale, service)
            yield old

    async def execute(self, service: str, *command: str) -> str:
        """What a command prints in the first container of a service."""
        return await self.compose("exec", "-T", service, *command)

    async def logs(self, directory: Path) -> None:
        """Write what each service has said since this run took the project in hand to a file of its own."""
        names = (await self.compose("config", "--services")).split()
        for name in names:
            if await self.containers(name):
                text = await self.compose("logs", "--no-color", "--timestamps", "--since", self._since, name)
                write_log(directory, name, text)


@dataclass(frozen=True, slots=True)
class Plug:
    """How a container was on a network."""

    container: str
    network: str
    address: str
    prefix_length: int
    aliases: tuple[str, ...]
