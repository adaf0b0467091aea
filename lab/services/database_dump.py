"""A database in a file, and back into a server that is the same or newer: with TimescaleDB's chunks and aggregates.

The programs are PostgreSQL's own. Whoever calls says where they run: as a rule in the server's container.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from headend.store.features import extension_version
from lab.errors import UserError
from lab.services.database_session import session

_TAIL_LINES = 8
_LOCK_WAIT = "120s"
"""For which a dump waits for somebody who alters or drops what it is to read."""


class Programs(Protocol):
    """`pg_dump` and `pg_restore`, with the rights of a superuser of one server, whose password no command line has."""

    async def run(
        self, program: str, *arguments: str, given: BinaryIO | None = None, to: BinaryIO | None = None
    ) -> None:
        """:raises UserError: it fails, with its last words."""


async def run_streaming(
    command: Sequence[str],
    *,
    what: str,
    given: BinaryIO | None = None,
    to: BinaryIO | None = None,
) -> None:
    """A command that reads and writes files of any size.

    :raises UserError: it fails, with its last words.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL if given is None else given,
        stdout=asyncio.subprocess.DEVNULL if to is None else to,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        _, words = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        lines = [line.strip() for line in words.decode(errors="replace").splitlines() if line.strip()]
        raise UserError([f"{what} failed:", *(lines[-_TAIL_LINES:] or ["(it said nothing)"])])


@contextmanager
def frozen(admin_url: str) -> Iterator[tuple[psycopg.Connection[Any], str]]:
    """A connection that sees one moment of a database until the end of the block, and the name under which a dump
    sees the same moment.
    """
    with psycopg.connect(session(admin_url), autocommit=True, connect_timeout=5) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        row = connection.execute("SELECT pg_export_snapshot()").fetchone()
        assert row is not None, "a query without a table answers one row"
        yield connection, str(row[0])
        connection.execute("COMMIT")


async def dump(
    programs: Programs, database: str, to: Path, *, snapshot: str | None = None, options: Sequence[str] = ()
) -> None:
    """Write a dump of a whole database to a new file of this user alone. Raises UserError.

    :param snapshot: of `frozen`, so that the dump is of the moment that was counted.
    """
    moment = () if snapshot is None else (f"--snapshot={snapshot}",)
    descriptor = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        await programs.run(
            "pg_dump",
            "--format=custom",
            "--no-password",
            f"--lock-wait-timeout={_LOCK_WAIT}",
            *moment,
            *options,
            f"--dbname={database}",
            to=file,
        )


async def fill(admin_url: str, programs: Programs, dump_file: Path, *, timescaledb: str | None) -> None:
    """Bring a dump into the empty database of `admin_url`, whose server has the roles that own things in it.

    :param timescaledb: the extension's version at the dump. Restored into that, and brought up to date after it.
    :raises UserError: see `extension_fault`; or `pg_restore` fails.
    """
    database = str(conninfo_to_dict(admin_url)["dbname"])
    if timescaledb is not None:
        with _connected(admin_url) as connection:
            if fault := extension_fault(connection, timescaledb):
                raise UserError(fault)
            if extension_version(connection) is None:
                connection.execute(
                    sql.SQL("CREATE EXTENSION timescaledb SCHEMA public VERSION {}").format(sql.Literal(timescaledb))
                )
        # Each in a session of its own: the library of one version is loaded once.
        with _connected(admin_url) as connection:
            connection.execute("SELECT public.timescaledb_pre_restore()")
    with dump_file.open("rb") as file:
        await programs.run("pg_restore", "--exit-on-error", "--no-password", f"--dbname={database}", given=file)
    if timescaledb is not None:
        with _connected(admin_url) as connection:
            connection.execute("SELECT public.timescaledb_post_restore()")
            outdated = _default_version(connection) != timescaledb
        if outdated:
            with _connected(admin_url) as connection:
                # As the very first: any other statement loads the old version's library.
                connection.execute("ALTER EXTENSION timescaledb UPDATE")
    with _connected(admin_url) as connection:
        connection.execute("ANALYZE")


def extension_fault(connection: psycopg.Connection[Any], version: str, *, anew: bool = False) -> str | None:
    """Why a dump with this version of TimescaleDB cannot be restored here; None: it can.

    :param anew: into another database of the server, which has no extension yet.
    """
    there = None if anew else extension_version(connection)
    offered = {
        found
        for (found,) in connection.execute(
            "SELECT version FROM pg_available_extension_versions WHERE name = 'timescaledb'"
        )
    }
    if not offered:
        return f"the backup is of a database with TimescaleDB {version}, and this server has none"
    if there is not None and there != version:
        return f"the database has TimescaleDB {there} already, and the backup is of {version}"
    if version not in offered:
        return (
            f"the backup is of TimescaleDB {version}, and this server offers {', '.join(sorted(offered))} alone: "
            "restore it with an image that has that version (official images have those before their own too), then "
            "upgrade"
        )
    return None


def unusual_extension(connection: psycopg.Connection[Any]) -> str | None:
    """Why a dump of this database could not be restored; None: it can. A lab makes TimescaleDB in `public`."""
    found = connection.execute(
        "SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'timescaledb'"
    ).fetchone()
    if found is None or found[0] == "public":
        return None
    return f"the extension timescaledb is in the schema {found[0]}, and can be restored from public alone"


def server_major(connection: psycopg.Connection[Any]) -> int:
    return connection.info.server_version // 10_000


def in_database(url: str, name: str) -> str:
    """The same address with another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


async def replace_database(
    maintenance_url: str,
    name: str,
    fill_it: Callable[[str], Awaitable[None]],
    settle: Callable[[psycopg.Connection[Any], str], None],
    beside: AbstractContextManager[object],
) -> None:
    """Fill a new database beside `name`, and give it that name once it is whole. What was `name` is dropped then.

    :param maintenance_url: of another database of the server, as a superuser.
    :param fill_it: given the new one's address.
    :param settle: given a connection, and the new one's present name: what is to change with it, in the transaction
        that gives it its name. The superuser's own password may be among it.
    :param beside: around that transaction: what is to change with it and is in no database. It undoes that if the block
        fails.

    If any of it fails, the new one is dropped, and `name` and the roles are as they were.

    :raises psycopg.OperationalError: the server is gone. What it has of the new one is dropped at the next call.
    """
    new, old = f"{name}_restoring", f"{name}_replaced"
    # One connection for all of it: for another one it may be the wrong password by then.
    with _connected(maintenance_url) as connection:
        _drop(connection, new)
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(sql.Identifier(new)))
        try:
            await fill_it(in_database(maintenance_url, new))
            _drop(connection, old)
            with beside, connection.transaction():
                settle(connection, new)
                _rename(connection, name, old)
                _rename(connection, new, name)
        except BaseException:
            with suppress(psycopg.OperationalError):
                _drop(connection, new)
            raise
        with suppress(psycopg.OperationalError):
            _drop(connection, old)


def _rename(connection: psycopg.Connection[Any], name: str, to: str) -> None:
    """Whoever is connected is thrown out: TimescaleDB's workers as well, who come back by themselves."""
    connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
    connection.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(name), sql.Identifier(to)))


def _drop(connection: psycopg.Connection[Any], name: str) -> None:
    connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def _connected(url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(session(url), autocommit=True, connect_timeout=5) as connection:
        yield connection


def _default_version(connection: psycopg.Connection[Any]) -> str | None:
    row = connection.execute(
        "SELECT max(default_version) FROM pg_available_extensions WHERE name = 'timescaledb'"
    ).fetchone()
    return None if row is None else row[0]
