"""The database roles that dashboards read with: making them, and pointing them at a head-end's schema."""

from collections.abc import Sequence
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


def show_schema(connection: psycopg.Connection, schema: str, also: Sequence[str] = ()) -> bool:
    """Let new sessions of the roles read this schema; False where the roles are not there, or are not ours to alter.

    :param also: other roles that are to find it.
    """
    (database,) = connection.execute("SELECT current_database()").fetchone() or ("",)
    for role in (*ROLES, *also):
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


def shown_schema(connection: psycopg.Connection) -> str | None:
    """Which schema the roles read in this database; None: they are not there, or were not shown any."""
    found = connection.execute(
        "SELECT (parse_ident(split_part(substr(setting, length('search_path=') + 1), ',', 1)))[1]"
        " FROM pg_db_role_setting AS s JOIN pg_database AS d ON d.oid = s.setdatabase, unnest(s.setconfig) AS setting"
        " WHERE d.datname = current_database() AND s.setrole = to_regrole(%s) AND setting LIKE 'search_path=%%'",
        [ROLES[0]],
    ).fetchone()
    return None if found is None else str(found[0])
