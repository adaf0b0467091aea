"""The database of a project, as the lab reaches it: by its published port, and by the programs in its container."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self
from urllib.parse import quote

from lab.containers.docker import program
from lab.containers.project import ComposeProject
from lab.containers.settings import INIT_HINT
from lab.errors import UserError
from lab.services.database_dump import run_streaming
from lab.services.database_role import CAREFUL
from lab.services.external import check_database_url

SERVICE = "database"
ADMIN = DATABASE_NAME = "amilab"
PASSWORD = "database_password"  # noqa: S105 - a file's name
REPLACED = "secrets.replaced-"
"""What a directory's name begins with in which keys are whose place others have taken; the instant follows."""
# The password is read where it is needed: what stands in a command line, every user of the machine can read.
_WITH_PASSWORD = 'PGPASSWORD=$(cat /run/secrets/database_password) exec "$@"'  # noqa: S105 - a script


@dataclass(frozen=True, slots=True)
class ContainerPrograms:
    """`pg_dump` and `pg_restore` in the database's container: of its very version."""

    container: str

    @classmethod
    async def of(cls, project: ComposeProject) -> Self:
        """:raises UserError: the database does not run."""
        found = [container for container in await project.containers(SERVICE) if container.state == "running"]
        if not found:
            raise UserError("the database does not run", "Start it: docker compose up --detach database")
        return cls(found[0].id)

    async def run(
        self, program_name: str, *arguments: str, given: BinaryIO | None = None, to: BinaryIO | None = None
    ) -> None:
        interactive = [] if given is None else ["--interactive"]
        named = [program_name, f"--username={ADMIN}", *arguments]
        command = [program(), "exec", *interactive, self.container, "sh", "-c", _WITH_PASSWORD, "sh", *named]
        await run_streaming(command, what=program_name, given=given, to=to)


def secret(directory: Path, name: str) -> str:
    """A password of the project in this directory. Raises UserError."""
    try:
        return (directory / "secrets" / name).read_text().strip()
    except OSError as error:
        raise UserError(f"secrets/{name} cannot be read: {error.strerror}", INIT_HINT) from error


def address(user: str, password: str, place: str, database: str = DATABASE_NAME) -> str:
    """Of a database at `place`, which is `host:port`."""
    return f"postgresql://{user}:{quote(password, safe='')}@{place}/{database}?sslmode=disable"


async def admin_url(project: ComposeProject) -> str:
    """As the superuser, who takes nothing in the head-end's schemas for the server's own.

    :raises UserError: it does not become healthy, or does not let us in.
    """
    await project.until_healthy(SERVICE)
    url = f"{address(ADMIN, secret(project.directory, PASSWORD), project.database_place)}&{CAREFUL}"
    try:
        return (await check_database_url(url)).url
    except UserError as error:
        aside = sorted(path.name for path in project.directory.glob(f"{REPLACED}*"))
        theirs = f" (a restoration that was cut short may have put them into {aside[-1]})" if aside else ""
        raise UserError(
            error.faults,
            f"Its volume may have been made with other passwords than those in secrets/{theirs}: bring those back, or "
            "forget the volume (docker compose down --volumes).",
        ) from error
