"""Reads the head-end's database as a guest: read-only transactions, a time limit, and few at a time.

Where the roles of dashboards are there (dashboards/role.sql), it takes them on: then what single households used cannot
be read unless that is asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from dashboards.roles import ROLES
from headend.store.migrate import connection_info
from lab.headends.store import Database

AT_ONCE = 3
TIME_LIMIT_MS = 10_000
ROWS_AT_MOST = 20_000


@dataclass(frozen=True, slots=True)
class Rows:
    """`cut`: there were more than `ROWS_AT_MOST`."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]
    cut: bool


class ReadError(Exception):
    """The database cannot be reached, or does not like the query."""


class Reader:
    """Queries the schema of one run. A connection for each query: the database may be killed at any time."""

    def __init__(self, store: Database, *, roles: bool) -> None:
        """:param roles: whether dashboards' roles are there, and ours to take on."""
        self._conninfo = connection_info(store.url, store.schema)
        self._roles = roles
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def rows(self, query: str, parameters: Mapping[str, Any] | None = None, *, households: bool = False) -> Rows:
        """Raises ReadError."""
        async with self._turns:
            try:
                async with await psycopg.AsyncConnection.connect(self._conninfo, connect_timeout=5) as connection:
                    await connection.set_read_only(True)
                    await connection.execute(f"SET LOCAL statement_timeout = {TIME_LIMIT_MS}")
                    if self._roles:
                        await connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(ROLES[households])))
                    cursor = await connection.execute(query.encode(), parameters)
                    found = await cursor.fetchmany(ROWS_AT_MOST + 1)
                    names = tuple(column.name for column in cursor.description or ())
            except psycopg.Error as error:
                raise ReadError(" ".join(str(error).split())) from error
        return Rows(names, found[:ROWS_AT_MOST], len(found) > ROWS_AT_MOST)


async def may_take_roles(store: Database) -> bool:
    """Raises ReadError."""
    found = await Reader(store, roles=False).rows(
        "SELECT count(*) FROM pg_roles WHERE rolname = ANY (%(roles)s) AND pg_has_role(oid, 'MEMBER')",
        {"roles": list(ROLES)},
    )
    return bool(found.rows[0][0] == len(ROLES))
