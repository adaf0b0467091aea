"""The database roles that dashboards read with: making them, and pointing them at a head-end's schema."""

from importlib import resources

import psycopg
from psycopg import sql

ROLES = ("amilab_dashboards", "amilab_households")
"""Without and with what single households used."""


def role_sql() -> str:
    """The statements of role.sql, which Compose runs as well."""
    return (resources.files("dashboards") / "role.sql").read_text(encoding="utf-8")


def create_roles(connection: psycopg.Connection, *, password: str, households_password: str) -> None:
    """Make the roles, or give them these passwords. Raises psycopg.Error, for instance without the right to."""
    with connection.transaction():
        for name, value in (("dashboards", password), ("households", households_password)):
            connection.execute("SELECT set_config(%s, %s, true)", [f"amilab.{name}_password", value])
        connection.execute(role_sql().encode())


def show_schema(connection: psycopg.Connection, schema: str) -> bool:
    """Let new sessions of the roles read this schema; False where the roles are not there, or are not ours to alter."""
    (database,) = connection.execute("SELECT current_database()").fetchone() or ("",)
    for role in ROLES:
        if connection.execute("SELECT to_regrole(%s)", [role]).fetchone() == (None,):
            return False
        try:
            connection.execute(
                sql.SQL("ALTER ROLE {} IN DATABASE {} SET search_path = {}, public").format(
                    sql.Identifier(role), sql.Identifier(str(database)), sql.Identifier(schema)
                )
            )
        except psycopg.errors.InsufficientPrivilege:
            return False
    return True
