"""The role of the head-end in a database of the lab's own (headend/role.sql), and what a superuser does for it."""

from __future__ import annotations

import contextlib
from importlib import resources

import psycopg

from headend.store.features import absence, extension_version

HEADEND_ROLE = "amilab_headend"
CAREFUL = "options=-csearch_path%3Dpg_catalog"
"""In a superuser's address: the head-end may make functions, and none of them is to be taken for the server's."""


def make_headend_role(admin_url: str, password: str) -> None:
    """Make the role, or give it this password; and make TimescaleDB's extension, where the server has it.

    :raises psycopg.OperationalError: the database is away.
    """
    with psycopg.connect(admin_url, autocommit=True, connect_timeout=5) as connection:
        with connection.transaction():
            connection.execute("SELECT set_config('amilab.headend_password', %s, true)", [password])
            connection.execute((resources.files("headend") / "role.sql").read_bytes())
        if extension_version(connection) is None and absence(connection) is None:
            # If it cannot be made, the head-end tries again, and notes why not.
            with contextlib.suppress(psycopg.Error):
                connection.execute("CREATE EXTENSION timescaledb SCHEMA public")


def owner_of(admin_url: str, schema: str) -> str | None:
    """Which role a schema belongs to; None: it is not there. Raises psycopg.OperationalError."""
    with psycopg.connect(admin_url, autocommit=True, connect_timeout=5) as connection:
        found = connection.execute(
            "SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = %s", [schema]
        ).fetchone()
    return None if found is None else str(found[0])
