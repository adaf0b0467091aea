"""`amilab compose backup`: all of a project that cannot be made anew, in a directory that is whole or not there.

What is written goes to a directory with another name, each file is brought to the disk, and the manifest is the last of
them. Only then has the directory its name. The database is dumped as of one moment, also while a run stores.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from headend.store.features import extension_version
from lab import __version__
from lab.containers.backup_directory import NewDirectory, sync, write
from lab.containers.backup_keys import pack
from lab.containers.backup_manifest import (
    DATABASE,
    KEYS,
    MANIFEST,
    PARTS,
    ROLES,
    SETTINGS,
    Manifest,
    SchemaFacts,
    digest_of,
    fault_of_size,
    part_of,
)
from lab.containers.database import DATABASE_NAME, ContainerPrograms, admin_url
from lab.containers.project import ComposeProject
from lab.containers.settings import ENV
from lab.containers.state import Owner
from lab.errors import UserError, full_disk_as_user_error
from lab.services.database_dump import Programs, dump, frozen, server_major, unusual_extension
from lab.services.database_roles import read_roles
from lab.services.planted_code import planted_code
from lab.services.row_counts import rows_of, schemas_of


def new_name(project: ComposeProject) -> str:
    return f"{project.settings.project}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"


async def backup(project: ComposeProject, to: Path, tell: Callable[[str], None]) -> tuple[Manifest, str]:
    """Write a backup of the project, whose database runs. Returns its manifest, and the digest of that.

    :raises UserError: there is something of that name already, or a part of it cannot be had. Then nothing is left.
    """
    programs = await ContainerPrograms.of(project)
    url = await admin_url(project)
    with full_disk_as_user_error(), NewDirectory(to) as directory:
        tell("the keys")
        owner = Owner(project.settings.uid, project.settings.gid)
        try:
            pack(project.directory, owner, directory / KEYS)
            write(directory / SETTINGS, (project.directory / ENV).read_bytes())
        except PermissionError as error:
            raise UserError(
                f"{error.filename} cannot be read: {error.strerror}", "Back up as whoever made the project, or as root."
            ) from error
        return await write_database(url, programs, DATABASE_NAME, directory, project.settings.project, tell)


async def write_database(
    url: str,
    programs: Programs,
    database: str,
    directory: Path,
    project: str,
    tell: Callable[[str], None],
) -> tuple[Manifest, str]:
    """Add roles, dump and manifest to the parts that are there already. Raises UserError."""
    with frozen(url) as (connection, snapshot):
        if (fault := unusual_extension(connection)) is not None:
            raise UserError(fault, "A project's own database has it there: was this one made otherwise?")
        if planted := planted_code(connection):
            hint = (
                "Whoever restored it would run that as a superuser, and amilab makes no such thing: find out who did."
            )
            raise UserError(planted, hint)
        tell("the roles")
        write(directory / ROLES, read_roles(connection).model_dump_json(indent=1).encode())
        tell("what there is")
        facts = facts_of(connection)
        tell("the database")
        await dump(programs, database, directory / DATABASE, snapshot=snapshot)
        version = str(connection.info.parameter_status("server_version")).split()[0]
        major, timescaledb = server_major(connection), extension_version(connection)
    for name in PARTS:
        sync(directory / name)
    parts = {name: part_of(directory / name) for name in PARTS}
    if faults := [fault for name, part in parts.items() if (fault := fault_of_size(name, part.bytes))]:
        raise UserError(faults, "Nobody could restore it.")
    manifest = Manifest(
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        project=project,
        amilab=__version__,
        postgresql=version,
        postgresql_major=major,
        timescaledb=timescaledb,
        schemas=facts,
        parts=parts,
    )
    said = manifest.to_bytes()
    write(directory / MANIFEST, said)
    return manifest, digest_of(said)


def facts_of(connection: psycopg.Connection[Any]) -> dict[str, SchemaFacts]:
    """Of each head-end's schema of the database."""
    return {
        schema: SchemaFacts(migration=migration, rows=rows_of(connection, schema))
        for schema, migration in schemas_of(connection).items()
    }
