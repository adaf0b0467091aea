"""`amilab compose restore`: a backup into a project that has nothing yet, or in the place of what it has.

Everything that speaks against it is said before anything is changed. The database comes into being beside the one that
is there, is brought to this release's state and counted, and only then takes its place; keys follow.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from dotenv import dotenv_values
from psycopg.conninfo import conninfo_to_dict
from pydantic import ValidationError

from grid.wording import counted
from headend.errors import DatabaseError
from headend.store.migrate import migrate
from lab.containers.backup_keys import VAULT, has_keys, installed, is_there_already, unpack
from lab.containers.backup_manifest import DATABASE, KEYS, ROLES, SETTINGS, Manifest, SchemaFacts
from lab.containers.claims import Claim
from lab.containers.conducting import claim_to_conduct
from lab.containers.database import (
    DATABASE_NAME,
    REPLACED,
    SERVICE,
    ContainerPrograms,
    address,
    admin_url,
    secret,
)
from lab.containers.docker import docker
from lab.containers.init import init_project
from lab.containers.private_directory import private_directory
from lab.containers.project import CONDUCTOR, ComposeProject
from lab.containers.runs import keep_all
from lab.containers.settings import ENV, HEADEND_PASSWORD, parse_settings, read_settings
from lab.containers.state import Owner, make_state
from lab.errors import UserError, faults_of
from lab.keys.pki import write_file
from lab.services.database_dump import (
    Programs,
    extension_fault,
    fill,
    in_database,
    replace_database,
    server_major,
)
from lab.services.database_role import HEADEND_ROLE, make_headend_role, owner_of
from lab.services.database_roles import Roles, apply_roles, make_missing_roles
from lab.services.database_session import session
from lab.services.row_counts import rows_of, schemas_of

_REPLACE = (
    "amilab compose restore --replace puts the backup in the place of what is there. Back that up first, if you may "
    "want it again: amilab compose backup."
)
_MAINTENANCE = "postgres"
_SETTING = re.compile(
    r"""\s*(#.*)?|(AMILAB_[A-Z_]+|METERS_PER_CONTAINER|COMPOSE_FILE)=(["']?)[\w./:@,+-]*\3""", re.ASCII
)
"""A line that every reader of such files takes for the same."""


@dataclass(frozen=True, slots=True)
class Restored:
    """`kept_keys`: where the keys are that were there before; `kept_settings`: whether .env stayed as it was."""

    readings: int
    schemas: int
    kept_keys: Path | None
    kept_settings: bool


async def restore(
    directory: Path, source: Path, manifest: Manifest, *, replace: bool, tell: Callable[[str], None]
) -> Restored:
    """Bring the backup in `source`, a copy that was found whole, into the project in `directory`.

    Only its database runs for it, and nothing afterwards.

    :raises UserError: with everything that speaks against it, or because of what came between. The database and the
        keys that were there are then as they were.
    """
    kept_settings = (directory / ENV).exists()
    if not kept_settings:
        refuse_foreign_settings(source, directory)
        write_file(directory / ENV, (source / SETTINGS).read_bytes())
    settings = read_settings(directory)
    project = ComposeProject(directory, settings)
    owner = Owner(settings.uid, settings.gid)
    aside = directory / f"{REPLACED}{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    with on_the_disks_of(directory) as unpacked:
        unpack(source / KEYS, unpacked, owner)
        foreign_keys = has_keys(directory) and not is_there_already(directory, unpacked)
        await _refuse_beforehand(project, replace=replace, foreign_keys=foreign_keys)
        keys: AbstractContextManager[object] = installed(directory, unpacked, aside)
        if not has_keys(directory):
            # The server is made with the passwords that its roles have in the backup.
            with keys:
                _complete(directory, owner)
            keys = nullcontext()
        tell("starting the database")
        await project.compose("down")
        conducting = _conduct(project)
        try:
            await _only_the_database(project)
            await _refuse_by_database(project, manifest, replace=replace)
            await restore_database(
                await ContainerPrograms.of(project),
                in_database(await admin_url(project), _MAINTENANCE),
                source,
                manifest,
                secret(directory, HEADEND_PASSWORD),
                keys,
                tell,
            )
            _complete(directory, owner)
        finally:
            # Whatever is started next is to see the keys that are there then.
            await project.compose("down")
            conducting.close()
    kept_keys = aside if aside.exists() else None
    return Restored(manifest.readings, len(manifest.schemas), kept_keys, kept_settings)


@contextmanager
def on_the_disks_of(directory: Path) -> Iterator[Path]:
    """A place from which a project's keys can be renamed to theirs: its state/ may be on another disk."""
    state = directory / "state"
    state.mkdir(mode=0o700, exist_ok=True)
    elsewhere = state.is_symlink() or state.is_mount()
    with (
        private_directory(directory) as place,
        private_directory(state.resolve() if elsewhere else directory) as of_state,
    ):
        (place / state.name).symlink_to(of_state.resolve())
        yield place


def refuse_foreign_settings(source: Path, directory: Path) -> None:
    """:raises UserError: a backup's settings are not plainly a lab's. Docker reads more into such a file than we do: it
    would start files that are none of this project's own, or obey another engine.
    """
    own = {path.name for path in directory.glob("compose*.yaml")}
    faults = []
    for number, line in enumerate((source / SETTINGS).read_text(errors="replace").splitlines(), start=1):
        name, _, value = line.partition("=")
        files = value.strip("\"'").split(":") if name == "COMPOSE_FILE" else []
        if not _SETTING.fullmatch(line):
            faults.append(f"{SETTINGS}: line {number} is no setting of a lab: {line[:60]!r}")
        faults += [f"{SETTINGS}: COMPOSE_FILE names {file!r}, which is not here" for file in files if file not in own]
    if faults:
        raise UserError(faults, f"Make {directory / ENV} first (amilab compose init): it then stays as it is.")
    parse_settings(dotenv_values(source / SETTINGS), SETTINGS)


async def _refuse_beforehand(project: ComposeProject, *, replace: bool, foreign_keys: bool) -> None:
    name = project.settings.project
    if await docker("ps", "--quiet", "--filter", f"label=com.docker.stack.namespace={name}"):
        raise UserError(f"the stack {name} serves this project's volumes", f"docker stack rm {name}")
    faults = []
    listed = await project.compose("ps", "--services", "--status", "running")
    running = sorted(set(listed.split()) - {SERVICE})
    if running:
        faults.append(f"the lab is running: {', '.join(running)}")
    if CONDUCTOR not in running:
        _conduct(project).close()  # a run that somebody conducts is not ended by us
    if foreign_keys:
        faults.append(f"{project.directory / VAULT} has other keys than the backup")
    if faults and not replace:
        raise UserError(faults, _REPLACE)


def _conduct(project: ComposeProject) -> Claim:
    return claim_to_conduct(project.directory / "state", Owner(project.settings.uid, project.settings.gid))


async def _only_the_database(project: ComposeProject) -> None:
    await project.up([SERVICE])
    await project.until_healthy(SERVICE)


async def _refuse_by_database(project: ComposeProject, manifest: Manifest, *, replace: bool) -> None:
    with psycopg.connect(session(await admin_url(project)), autocommit=True) as connection:
        faults = faults_of_server(connection, manifest)
        there = {schema: rows_of(connection, schema).get("interval_reading", 0) for schema in schemas_of(connection)}
    if there and not replace:
        readings = counted(sum(there.values()), "interval reading")
        faults.append(f"the database is not empty: it has {readings} in {', '.join(sorted(there))}")
    if faults:
        raise UserError(faults, _REPLACE if there and not replace else "The database is as it was.")


def faults_of_server(connection: psycopg.Connection[Any], manifest: Manifest) -> list[str]:
    """Why a backup cannot be restored on this server."""
    faults = []
    if server_major(connection) < manifest.postgresql_major:
        faults.append(
            f"the backup is of PostgreSQL {manifest.postgresql}, and the server is the older "
            f"{connection.info.parameter_status('server_version')}: restore it into the same or a newer one"
        )
    if manifest.timescaledb is not None:
        # In the database that is made for it there is no extension yet, whatever this one has.
        fault = extension_fault(connection, manifest.timescaledb, anew=True)
        faults += [fault] if fault else []
    return faults


async def restore_database(
    programs: Programs,
    maintenance: str,
    source: Path,
    manifest: Manifest,
    password: str,
    keys: AbstractContextManager[object],
    tell: Callable[[str], None],
) -> None:
    """Put the backup's database and roles in the place of those that are there, and the keys that belong to them.

    :param maintenance: another database of the server, as a superuser.
    :param password: that the head-end's role has until the backup's roles are there.
    :param keys: has them in place once it is entered, and undoes that if the block fails.
    :raises UserError: the database, what there is of roles, and keys are then as they were.
    """
    roles = _roles(source)
    server = conninfo_to_dict(maintenance)

    async def fill_it(url: str) -> None:
        await fill_and_check(url, programs, source / DATABASE, manifest, tell)
        await asyncio.to_thread(make_headend_role, url, password)
        place = f"{server['host']}:{server['port']}"
        ours = address(HEADEND_ROLE, password, place, str(conninfo_to_dict(url)["dbname"]))
        await migrate_and_check(url, ours, manifest, tell)
        await asyncio.to_thread(keep_all, url, f"restored from the backup of {manifest.made_at}")

    def settle(connection: psycopg.Connection[Any], database: str) -> None:
        with _refused_roles():
            apply_roles(connection, roles, database)

    try:
        with psycopg.connect(session(maintenance), autocommit=True) as connection, _refused_roles():
            make_missing_roles(connection, roles)
        await replace_database(maintenance, DATABASE_NAME, fill_it, settle, keys)
    except psycopg.OperationalError as error:
        raise UserError(
            f"the database went away: {_first_line(error)}",
            "Has it enough memory (AMILAB_DATABASE_MEMORY), and the disk enough space? Then restore again.",
        ) from error


@contextmanager
def _refused_roles() -> Iterator[None]:
    try:
        yield
    except psycopg.OperationalError:
        raise  # it is not the roles
    except psycopg.Error as error:
        raise UserError(
            f"this server does not take the backup's roles: {_first_line(error)}",
            "The database that was there is as it was.",
        ) from error


def _first_line(error: psycopg.Error) -> str:
    """Without the place in the statement, which is none of the user's."""
    return str(error).strip().partition("\n")[0]


def _roles(source: Path) -> Roles:
    try:
        return Roles.model_validate_json((source / ROLES).read_bytes())
    except ValidationError as error:
        raise UserError([f"{ROLES}: {fault}" for fault in faults_of(error)], "Use another backup.") from None


async def fill_and_check(
    url: str, programs: Programs, dump_file: Path, manifest: Manifest, tell: Callable[[str], None]
) -> None:
    """Bring a dump into an empty database, and hold what is there against the manifest. Raises UserError."""
    tell("restoring the database")
    await fill(url, programs, dump_file, timescaledb=manifest.timescaledb)
    with psycopg.connect(session(url), autocommit=True) as connection:
        faults = missing(connection, manifest.schemas)
    if faults:
        raise UserError(faults, "The backup is not what it says of itself. The database that was there is as it was.")


async def migrate_and_check(url: str, ours: str, manifest: Manifest, tell: Callable[[str], None]) -> None:
    """Bring each schema to this release's state, and count the readings again.

    :param ours: the same database as the head-end's role, whose functions are run as nobody else.
    :raises UserError: a schema is of a newer release, or not as a release left it; or readings are missing.
    """
    tell("bringing it to this release's state")
    for schema in manifest.schemas:
        owner = await asyncio.to_thread(owner_of, url, schema)
        if owner not in (HEADEND_ROLE, conninfo_to_dict(url)["user"]):
            continue  # of somebody else's head-end, which does it; we run nobody else's functions
        try:
            await asyncio.to_thread(migrate, ours if owner == HEADEND_ROLE else url, schema)
        except DatabaseError as error:
            raise UserError(str(error), "Install the release that made the backup, or a newer one.") from error
        except psycopg.Error as error:
            raise UserError(
                f"{schema} cannot be brought to this release's state: {_first_line(error)}",
                "The database that was there is as it was.",
            ) from error
    with psycopg.connect(session(url), autocommit=True) as connection:
        faults = [
            f"{schema} has {found:,} of {facts.readings:,} readings after its migration"
            for schema, facts in manifest.schemas.items()
            if (found := rows_of(connection, schema).get("interval_reading", 0)) != facts.readings
        ]
    if faults:
        raise UserError(faults, "The database that was there is as it was.")


def missing(connection: psycopg.Connection[Any], wanted: Mapping[str, SchemaFacts]) -> list[str]:
    """Every relation that has not the rows that it had."""
    faults = []
    for schema, facts in wanted.items():
        found = rows_of(connection, schema)
        faults += [
            f"{schema}.{relation} has {found.get(relation, 0):,} of {rows:,} rows"
            for relation, rows in facts.rows.items()
            if found.get(relation, 0) != rows
        ]
    return faults


def _complete(directory: Path, owner: Owner) -> None:
    """What modes, directories and files a release wants besides, which may be a newer one."""
    (directory / VAULT).chmod(0o700)
    make_state(directory / "state", owner)
    init_project(directory, debian=False, force=False)
