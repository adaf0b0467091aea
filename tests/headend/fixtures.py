"""Fixtures of the tests that need a real database and a real broker (`pytest_plugins = ["tests.headend.fixtures"]`)."""

import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from headend.service import HeadEnd
from tests.headend.fleet import Shipment
from tests.headend.reader import Reader
from tests.headend.services import Mosquitto, Postgres
from tests.meters.meter_broker import broker

__all__ = ["broker"]

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
def database(postgres: Postgres, schema: str) -> Iterator[Reader]:
    reader = Reader(postgres.url(), schema)
    yield reader
    reader.close()


@pytest.fixture
async def head_end(make: Callable[[], HeadEnd]) -> AsyncIterator[HeadEnd]:
    """What the module's own fixture `make` makes, started."""
    head_end = make()
    await head_end.start()
    yield head_end
    await head_end.stop()
