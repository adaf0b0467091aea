"""The database and the broker of a run: embedded, or those that the user names."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from dashboards.roles import ROLES, create_roles, show_schema
from lab.errors import UserError
from lab.fleet.commissioning import Commissioned
from lab.headends.store import Database
from lab.headends.stored_source import LookedAt, StoredSource
from lab.keys.keyring import Keyring
from lab.processes.supervisor import Supervisor
from lab.services.broker import Certificates, EmbeddedBroker, keyring_below
from lab.services.broker_config import (
    HEAD_END,
    HEAD_END_HOST,
    BrokerUser,
    RateLimit,
    collector_user,
    device_user,
    head_end_client,
    head_end_user,
)
from lab.services.database_role import HEADEND_ROLE
from lab.services.database_session import session
from lab.services.external import ExternalBroker, ExternalDatabase, check_broker_url, check_database_url
from lab.services.postgres import EmbeddedPostgres

SCHEMA = "amilab"


@dataclass(frozen=True, slots=True)
class BrokerAccess:
    """Where the meters and the head-end connect, and the head-end's credentials; `embedded` can be killed."""

    host: str
    port: int
    username: str | None
    password: str | None
    version: str
    embedded: EmbeddedBroker | None
    keyring: Keyring | None = None
    """If it talks TLS: whom to trust, and everybody's identities."""


@dataclass(frozen=True, slots=True)
class Externals:
    """What somebody else runs, if anything."""

    database: ExternalDatabase | None
    broker: ExternalBroker | None
    stored: LookedAt | None = None
    """Where somebody else's head-end stores."""


async def check_externals(
    database_url: str | None, broker_url: str | None, stored: StoredSource | None = None
) -> Externals:
    """Look at all of them before anything is started. Raises UserError with the faults of all."""

    async def nothing() -> None:
        return None

    found = await asyncio.gather(
        nothing() if database_url is None else check_database_url(database_url),
        nothing() if broker_url is None else check_broker_url(broker_url),
        nothing() if stored is None else stored.check(),
        return_exceptions=True,
    )
    refusals = [one for one in found if isinstance(one, UserError)]
    if refusals:
        raise UserError(
            [fault for refusal in refusals for fault in refusal.faults],
            "\n".join(dict.fromkeys(refusal.hint for refusal in refusals if refusal.hint)),
        )
    database, broker, looked_at = found
    if isinstance(database, BaseException):
        raise database
    if isinstance(broker, BaseException):
        raise broker
    if isinstance(looked_at, BaseException):
        raise looked_at
    return Externals(database, broker, looked_at)


@asynccontextmanager
async def open_database(
    external: ExternalDatabase | None,
    work: Path,
    supervisor: Supervisor,
    *,
    schema: str,
    keep: bool,
    tell: Callable[[str], None],
    more_settings: str = "",
) -> AsyncIterator[Database]:
    """A PostgreSQL of the run's own; or a schema of its own in the `external` one, dropped afterwards unless `keep`.

    :param more_settings: of one of the run's own.
    """
    if external is not None:
        try:
            yield Database(external.url, schema, external.version, external.timescaledb)
        finally:
            if keep:
                tell(f"kept: the schema {schema}")
            else:
                await drop_schema(external.url, schema, tell)
        return
    postgres = EmbeddedPostgres(work, supervisor, more_settings=more_settings)
    try:
        await postgres.start()
        yield Database(
            postgres.url, SCHEMA, postgres.version, postgres.timescaledb, postgres, admin_url=postgres.admin_url
        )
    finally:
        postgres.close()


@asynccontextmanager
async def open_broker(
    external: ExternalBroker | None,
    work: Path,
    supervisor: Supervisor,
    *,
    group: str,
    fleet: Commissioned,
    certificates: bool,
    rate: RateLimit,
    tell: Callable[[str], None],
) -> AsyncIterator[BrokerAccess]:
    """The `external` broker, or one of the run's own.

    That lets in the head-end, these meters and their collectors, and nobody else.

    :param certificates: know them by these, if the run's own broker can.
    :param rate: what a device may publish, where there are certificates.
    """
    if external is not None:
        yield BrokerAccess(
            external.host, external.port, external.username, external.password, external.version, embedded=None
        )
        return
    head = head_end_user(group, head_end_client(group), secrets.token_urlsafe(24))
    users: list[BrokerUser] = [
        head,
        *(device_user(group, m.serial, m.username, m.password) for m in fleet.meters if not m.address),
        *(collector_user(group, name, m[0].username, m[0].password) for name, m in fleet.collectors.items()),
    ]
    stations = fleet.stations
    known = Certificates(keyring_below(work), len(stations), rate=rate) if certificates else None
    broker = EmbeddedBroker(work, supervisor, users, certificates=known)
    try:
        await broker.start()
        if broker.unguarded is not None:
            tell(f"the broker limits no rates: {broker.unguarded}")
        if broker.keyring is not None:
            await asyncio.to_thread(broker.keyring.issue, stations, [HEAD_END, HEAD_END_HOST])
        yield BrokerAccess(
            broker.host, broker.port, head.username, head.password, broker.version, broker, broker.keyring
        )
    finally:
        broker.close()


def make_roles(store: Database) -> None:
    """Dashboards' roles in a database of ours, to be taken on; nobody can log in with them.

    :raises psycopg.OperationalError: the database is away.
    """
    assert store.admin_url is not None, "in somebody else's database we make no roles"
    with psycopg.connect(session(store.admin_url), autocommit=True, connect_timeout=5) as connection:
        create_roles(connection, password=secrets.token_hex(16), households_password=secrets.token_hex(16))
        connection.execute(
            sql.SQL("GRANT {} TO {}").format(
                sql.SQL(", ").join(map(sql.Identifier, ROLES)), sql.Identifier(HEADEND_ROLE)
            )
        )


def show_run(store: Database) -> None:
    """Let Grafana, or whoever else has dashboards' roles, see the schema of this run. Nothing to do without the roles.

    :raises psycopg.OperationalError: the database is away.
    """
    with psycopg.connect(session(store.admin_url or store.url), autocommit=True, connect_timeout=5) as connection:
        # In a database of the lab's own the head-end's role is of the lab, too.
        show_schema(connection, store.schema, [HEADEND_ROLE] if store.admin_url else [])


async def drop_schema(url: str, schema: str, tell: Callable[[str], None]) -> None:
    """Drop it, or `tell` why that could not be done."""
    try:
        async with await psycopg.AsyncConnection.connect(
            session(url), autocommit=True, connect_timeout=5
        ) as connection:
            await connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))
    except psycopg.OperationalError:
        tell(f"the database is away, so the schema {schema} could not be dropped: drop it when it is back")
