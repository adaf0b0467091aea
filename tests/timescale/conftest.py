"""One fixture, and the databases that the head-end is to run on."""

import itertools
from collections.abc import Iterator

import pytest

from tests.timescale.schema import Schema
from tests.timescale.servers import SERVERS, Server, run_server

_schemas = itertools.count(1)


@pytest.fixture(scope="session", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with run_server(request.param) as server:
        yield server


@pytest.fixture
def schema(server: Server) -> Iterator[Schema]:
    """A head-end's schema of its own for each test, migrated, with the meters 1 to 4."""
    schema = Schema(server, f"t{next(_schemas)}")
    schema.migrate()
    schema.run(
        "INSERT INTO end_device (serial, vendor_profile, usage_point, device_group, registered_at)"
        " SELECT 'M' || n, 'rl-dsp', 'U' || n, 'g', to_timestamp(0) FROM generate_series(1, 4) n"
    )
    yield schema
    schema.drop()
