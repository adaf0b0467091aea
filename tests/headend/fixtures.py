"""Fixtures of the tests that need a real database and a real broker (`pytest_plugins = ["tests.headend.fixtures"]`)."""

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.headend.fleet import Shipment
from tests.headend.services import Mosquitto, Postgres

_schemas = itertools.count(1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    # pytest's own temporary directories are closed to the user that PostgreSQL runs as.
    directory = Path(tempfile.mkdtemp(prefix="headend-pg-"))
    directory.chmod(0o755)
    server = Postgres(directory)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(directory)


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path / "mosquitto")
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture
def schema() -> str:
    """A schema of its own for each test."""
    return f"t{next(_schemas)}"


@pytest.fixture
def shipment(tmp_path: Path) -> Shipment:
    return Shipment(tmp_path / "shipped")


@pytest.fixture
def database(postgres: Postgres, schema: str) -> Iterator["Reader"]:
    reader = Reader(postgres.url(), schema)
    yield reader
    reader.close()


class Reader:
    """Reads a head-end's tables over a connection of its own."""

    def __init__(self, url: str, schema: str) -> None:
        self._url = url
        self._schema = schema
        self._connection: psycopg.Connection[tuple[object, ...]] | None = None

    def rows(self, query: str, *arguments: object) -> list[tuple[object, ...]]:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self._url, autocommit=True, options=f"-csearch_path={self._schema},public"
            )
        return self._connection.execute(query, arguments).fetchall()  # type: ignore[arg-type]  # tests write their SQL

    def value(self, query: str, *arguments: object) -> object:
        return self.rows(query, *arguments)[0][0]

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
