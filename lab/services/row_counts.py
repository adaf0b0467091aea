"""How many rows a schema's relations have: by which what was restored is held against what was there.

Tables alone: a superuser who asks a view of somebody else's runs that one's functions.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from headend.store.features import extension_version

_TABLES = """
SELECT relname::text, nspname::text, relname::text FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
WHERE nspname = %s AND relkind IN ('r', 'p') ORDER BY 1
"""
_SUMS = """
SELECT view_name::text, materialization_hypertable_schema::text, materialization_hypertable_name::text
FROM timescaledb_information.continuous_aggregates WHERE view_schema = %s ORDER BY 1
"""


def rows_of(connection: psycopg.Connection[Any], schema: str) -> dict[str, int]:
    """Of each table, chunks included, and of the continuous aggregates, which may outlive their readings."""
    relations = connection.execute(_TABLES, [schema]).fetchall()
    if extension_version(connection) is not None:
        relations += connection.execute(_SUMS, [schema]).fetchall()
    found = {}
    for name, where, table in relations:
        row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(where, table))).fetchone()
        assert row is not None, "an aggregate answers one row"
        found[name] = int(row[0])
    return found
