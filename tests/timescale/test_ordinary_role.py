"""The head-end's role is no superuser, and has all the same whatever the server's edition has (headend/role.sql)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.conninfo import make_conninfo

from headend.store.features import look
from headend.store.migrate import connection_info, migrate
from lab.services.database_role import HEADEND_ROLE, make_headend_role
from tests.timescale.schema import Schema
from tests.timescale.servers import Server
from tests.timescale.test_features import ACTIVE

SCHEMA = "ordinary"


@contextmanager
def as_the_head_end(server: Server) -> Iterator[str]:
    """The address with which it connects."""
    if server.edition != "community":
        make_headend_role(server.url, "secret")
        yield make_conninfo(server.url, user=HEADEND_ROLE, password="secret")
        return
    # PGlite has one session for all connections, and can change no database's rights.
    with psycopg.connect(server.url, autocommit=True) as connection:
        for statement in (
            f"CREATE ROLE {HEADEND_ROLE} LOGIN",
            f"CREATE SCHEMA {SCHEMA} AUTHORIZATION {HEADEND_ROLE}",
        ):
            connection.execute(statement.encode())
    Schema(server, SCHEMA).begin()
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"SET ROLE {HEADEND_ROLE}".encode())
    try:
        yield server.url
    finally:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("RESET ROLE")


def test_an_ordinary_role_has_all_that_the_edition_has(server: Server) -> None:
    with as_the_head_end(server) as url:
        migrate(url, SCHEMA, retention_days=60)
        with psycopg.connect(connection_info(url, SCHEMA), autocommit=True) as connection:
            is_superuser = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
            assert connection.execute(is_superuser).fetchone() == (False,)
            found = look(connection)
    active = {feature.name for feature in found if feature.active}
    assert active - {"retention"} == ACTIVE[server.edition], found
    assert ("retention" in active) == (server.edition == "community")
