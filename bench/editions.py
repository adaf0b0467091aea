"""Where the editions of TimescaleDB are that the benches and tests run on, and how they are started."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

REPOSITORY = Path(__file__).parents[1]
APACHE_ROOT = REPOSITORY / "build" / "timescale-apache"
PGLITE = REPOSITORY / "tests" / "timescale"


NOTES = REPOSITORY / "build" / "editions"
"""Why scripts/editions.sh could not fetch an edition."""


class Lacking(Exception):  # noqa: N818 - names the state
    """An edition cannot be had on this machine, and how to get it."""

    def __init__(self, name: str, otherwise: str) -> None:
        note = NOTES / f"{name}.lacking"
        reason = note.read_text(encoding="utf-8").strip() if note.exists() else otherwise
        self.edition = f"TimescaleDB's {'Apache' if name == 'apache' else name} edition"
        self.how = f"{reason}; make editions tries again"
        super().__init__(f"{self.edition} is not there ({self.how})")


def apache_binaries() -> Path:
    """The programs of a PostgreSQL 17 with TimescaleDB's Apache edition. Raises Lacking."""
    if not (APACHE_ROOT / "complete").exists():
        raise Lacking("apache", "it was not fetched yet")
    return APACHE_ROOT / "usr/lib/postgresql/17/bin"


@contextmanager
def pglite() -> Iterator[str]:
    """The URL of a PostgreSQL in WebAssembly with TimescaleDB's community edition. Raises Lacking.

    It takes one connection at a time, no COPY, has no background jobs, and one session for all connections: what one
    leaves (search_path, prepared statements, temporary tables) the next one finds.
    """
    node = shutil.which("node")
    if node is None:
        raise Lacking("community", "node is missing: apt install npm")
    if not (PGLITE / "node_modules").exists():
        raise Lacking("community", "PGlite was not fetched yet")
    process = subprocess.Popen(
        [node, PGLITE / "pglite.mjs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PGLITE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = process.stdout.readline().strip()
        yield f"postgresql://postgres:postgres@127.0.0.1:{port}/postgres?sslmode=disable&gssencmode=disable"
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


def begin_pglite(url: str, schema: str) -> None:
    """Clear away what the last connection left, and choose the schema: start-up options are not heeded."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in ("DEALLOCATE ALL", "DISCARD TEMP", "RESET ALL", f"SET search_path TO {schema}, public"):
            connection.execute(statement)
