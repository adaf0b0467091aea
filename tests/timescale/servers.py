"""The databases that the head-end is to run on: plain PostgreSQL, TimescaleDB's Apache and its community edition."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.editions import APACHE_ROOT, Lacking, apache_binaries, pglite
from lab.services.host import is_reachable_by_all
from lab.services.postgres import find_binaries
from tests import left_out
from tests.headend.services import Postgres

LOADED = "shared_preload_libraries = 'timescaledb'\ntimescaledb.telemetry_level = off\n"

Edition = Literal["plain", "apache", "community"]
SERVERS = ("system", "wheel", "apache", "community")
"""The first two are plain PostgreSQL; without one of the system, both are the wheel's."""
WITH_TIMESCALEDB = SERVERS[2:]


@dataclass(frozen=True)
class Server:
    """A server of one edition. The community edition takes one connection at a time, and no COPY."""

    edition: Edition
    url: str


@contextmanager
def run_server(name: str) -> Iterator[Server]:
    """Serve one of SERVERS until the end of the block."""
    with skipped_if_lacking():
        if name == "community":
            with pglite() as url:
                yield Server("community", url)
        elif name == "apache":
            with apache_cluster(LOADED) as postgres:
                yield Server("apache", postgres.url())
        else:
            binaries = find_binaries("wheel").directory if name == "wheel" else None
            with _directory() as directory, _started(Postgres(directory / "cluster", binaries)) as postgres:
                yield Server("plain", postgres.url())


@contextmanager
def skipped_if_lacking() -> Iterator[None]:
    """A test of an edition that is not there is skipped; in CI it fails."""
    try:
        yield
    except Lacking as lacking:
        left_out.lacking(f"tests on {lacking.edition}", lacking.how)


@contextmanager
def apache_cluster(configuration: str) -> Iterator[Postgres]:
    """A PostgreSQL that has TimescaleDB's Apache edition on offer. Raises Lacking."""
    binaries = apache_binaries()
    with _directory() as directory:
        if os.getuid() == 0 and not is_reachable_by_all(binaries):
            shutil.copytree(APACHE_ROOT, directory / "install", symlinks=True)
            binaries = directory / "install" / binaries.relative_to(APACHE_ROOT)
        with _started(Postgres(directory / "cluster", binaries, configuration)) as postgres:
            yield postgres


@contextmanager
def _directory() -> Iterator[Path]:
    """pytest's own temporary directories are closed to the user that PostgreSQL runs as."""
    directory = Path(tempfile.mkdtemp(prefix="timescale-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@contextmanager
def _started(postgres: Postgres) -> Iterator[Postgres]:
    postgres.start()
    yield postgres
    postgres.stop()
