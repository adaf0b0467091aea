"""The database and the broker of a run: embedded, or those that the user names."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from lab.services.broker import EmbeddedBroker
from lab.services.broker_config import BrokerUser, device_user, head_end_user
from lab.services.external import ExternalBroker, check_database_url
from lab.services.postgres import EmbeddedPostgres
from lab.shipment import ShippedMeter
from lab.supervisor import Supervisor

SCHEMA = "amilab"


@dataclass(frozen=True, slots=True)
class Database:
    """Where the head-end stores. `url` holds the password: not for logs."""

    url: str
    schema: str
    version: str
    timescaledb: str | None


@dataclass(frozen=True, slots=True)
class BrokerAccess:
    """Where the meters and the head-end connect, and the head-end's credentials; `embedded` can be killed."""

    host: str
    port: int
    username: str | None
    password: str | None
    version: str
    embedded: EmbeddedBroker | None


@asynccontextmanager
async def open_database(
    url: str | None, work: Path, supervisor: Supervisor, *, schema: str, keep: bool
) -> AsyncIterator[Database]:
    """A PostgreSQL of the run's own; or a schema of its own in the one at `url`, dropped afterwards unless `keep`.

    :raises UserError: the database at `url` cannot be reached, or used.
    """
    if url is not None:
        facts = await check_database_url(url)
        try:
            yield Database(url, schema, facts.version, facts.timescaledb)
        finally:
            if not keep:
                await _drop_schema(url, schema)
        return
    postgres = EmbeddedPostgres(work, supervisor)
    try:
        await postgres.start()
        yield Database(postgres.url, SCHEMA, postgres.version, postgres.timescaledb)
    finally:
        postgres.close()


@asynccontextmanager
async def open_broker(
    external: ExternalBroker | None,
    work: Path,
    supervisor: Supervisor,
    *,
    group: str,
    meters: Sequence[ShippedMeter],
) -> AsyncIterator[BrokerAccess]:
    """The `external` broker, or one of the run's own that lets in the head-end and these meters and nobody else."""
    if external is not None:
        yield BrokerAccess(
            external.host, external.port, external.username, external.password, external.version, embedded=None
        )
        return
    head = head_end_user(group, f"{group}-headend", secrets.token_urlsafe(24))
    users: list[BrokerUser] = [head, *(device_user(group, m.serial, m.username, m.password) for m in meters)]
    broker = EmbeddedBroker(work, supervisor, users)
    try:
        await broker.start()
        yield BrokerAccess(broker.host, broker.port, head.username, head.password, broker.version, broker)
    finally:
        broker.close()


async def _drop_schema(url: str, schema: str) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))
