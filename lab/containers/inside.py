"""Conducting from within a container of the project, without a say over Docker: Compose has started the rest."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from socket import gaierror, gethostbyname

from lab.containers.project import ComposeProject, Container, End
from lab.containers.services import SERVICES
from lab.containers.settings import ComposeSettings, parse_settings
from lab.containers.stage import BROKER_PORT, ContainerStage
from lab.errors import UserError
from lab.run.stage import BROKER, DATABASE, METERS_PER_FLEET
from lab.scenario.events import NetworkEvent

LINK_HOST = "lab-link"
"""The conductor's name in the network of the lab link."""
DATABASE_PORT = 5432
_PORTS = {SERVICES[BROKER]: BROKER_PORT, SERVICES[DATABASE]: DATABASE_PORT}
_SERVES_S = 180.0
_TRY_EVERY_S = 0.5


class InsideProject(ComposeProject):
    """The project that this container is one of. It starts nothing, and sees no container."""

    def __init__(self, directory: Path) -> None:
        """:raises UserError: listing every setting that is wrong."""
        super().__init__(directory, _settings())

    @property
    def database_place(self) -> str:
        return f"{SERVICES[DATABASE]}:{DATABASE_PORT}"

    async def up(self, services: Sequence[str], scale: Mapping[str, int] | None = None) -> None:
        """They run, or soon will: the restart policy sees to that."""

    async def end_demonstration(self) -> bool:
        """It is what conducts here."""
        return False

    async def until_healthy(self, service: str) -> None:
        """:raises UserError: it takes no connection within three minutes."""
        try:
            async with asyncio.timeout(_SERVES_S):
                # Docker tells no more than whether it answers.
                while not await _answers(service, _PORTS[service]):  # noqa: ASYNC110
                    await asyncio.sleep(_TRY_EVERY_S)
        except TimeoutError:
            raise UserError(
                f"the service {service} takes no connection", f"docker compose ps; docker compose logs {service}"
            ) from None

    async def containers_of(self, services: Sequence[str]) -> dict[str, list[Container]]:
        return {service: [] for service in services}

    async def out_of_memory(self, since_s: float) -> list[str]:
        del since_s
        return []

    async def ends(self, since_s: float) -> list[End]:
        del since_s
        return []

    async def lab_address(self) -> str:
        """:raises UserError: this container is not on the network of the lab link."""
        try:
            return gethostbyname(LINK_HOST)
        except gaierror as error:
            raise UserError(
                f"this container is not known as {LINK_HOST}: {error.strerror}",
                "`amilab compose demonstrate` is for the service conductor: docker compose up --detach conductor",
            ) from error

    async def execute(self, service: str, *command: str) -> str:
        """Nothing is asked for that is not told otherwise."""
        del service, command
        return ""

    async def logs(self, directory: Path) -> None:
        """Docker has them."""


class InsideStage(ContainerStage):
    is_demonstration = True

    async def await_broker(self, now_s: int) -> None:
        """Simulated time stands still while it is away; then it hurries."""
        del now_s
        await self.project.until_healthy(SERVICES[BROKER])


@dataclass(frozen=True, slots=True)
class InsideSite:
    project: InsideProject

    async def check_network_faults(self, events: Sequence[NetworkEvent]) -> None:
        """:raises UserError: there is one."""
        if events:
            raise UserError("who conducts from within a container disturbs no networks", "Leave out the event.")

    async def new_stage(self, run: str) -> InsideStage:
        return await InsideStage.create(self.project, run)


def _settings() -> ComposeSettings:
    """As Compose starts a service without --scale: one container of each."""
    found = parse_settings(os.environ, "the environment")
    return found.model_copy(update={"meters_per_container": METERS_PER_FLEET, "ingest_workers": 1})


async def _answers(host: str, port: int) -> bool:
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_connection(host, port)
        writer.close()
        return True
    return False
