"""How many rows a schema's relations have: by which what was restored is held against what was there.

A superuser asks, in schemas of the head-end's role. A view of that role's would have the superuser run its functions,
so tables alone are looked at, also when one becomes a view in between.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from headend.store.features import extension_version
from headend.store.migrate import head_end_schemas

_TABLES = """
SELECT relname::text, nspname::text, relname::text FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
WHERE nspname = %s AND relkind IN ('r', 'p') ORDER BY 1
"""
_SUMS = """
SELECT view_name::text, materialization_hypertable_schema::text, materialization_hypertable_name::text
FROM timescaledb_information.continuous_aggregates WHERE view_schema = %s ORDER BY 1
"""
_RESTRICTION = "restrict_nonsystem_relation_kind"
"""By which pg_dump guards itself: PostgreSQL 17, and patches of older ones since August 2024."""


def schemas_of(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """The head-end's schemas, with the last migration of each."""
    with tables_alone(connection):
        return head_end_schemas(connection)


def rows_of(connection: psycopg.Connection[Any], schema: str) -> dict[str, int]:
    """Of each table, chunks included, and of the continuous aggregates, which may outlive their readings."""
    relations = connection.execute(_TABLES, [schema]).fetchall()
    if extension_version(connection) is not None:
        relations += connection.execute(_SUMS, [schema]).fetchall()
    found = {}
    with tables_alone(connection):
        for name, where, table in relations:
            row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(where, table))).fetchone()
            assert row is not None, "an aggregate answers one row"
            found[name] = int(row[0])
    return found


@contextmanager
def tables_alone(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """In the block the server expands no view that is not its own, where it can be told so."""
    known = connection.execute("SELECT FROM pg_settings WHERE name = %s", [_RESTRICTION]).fetchone() is not None
    if known:
        connection.execute("SELECT set_config(%s, 'view, foreign-table', false)", [_RESTRICTION])
    yield
    # Where it failed, the session is of no more use than its transaction.
    if known:
        connection.execute("SELECT set_config(%s, '', false)", [_RESTRICTION])
