"""Roles of a PostgreSQL cluster, and what one database sets for them: written down, and brought to another cluster.

A dump of one database has none of it. `pg_dumpall --roles-only` leaves out what is set for a role in one database (the
search path of dashboards), and what may be done with the database; and what it writes fails where a role is there.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import psycopg
from psycopg import sql
from pydantic import BaseModel, ConfigDict

_ATTRIBUTES = ("superuser", "inherit", "createrole", "createdb", "login", "replication", "bypassrls")
_COLUMNS = {"superuser": "super"}
_NAME = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^,"]+))')
_OWN_SETTINGS = frozenset({"timescaledb.restoring"})
"""Of the database while it is restored: nobody's wish."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Role(_Frozen):
    """`attributes`: those that it has, in SQL's words. `password`: as the server keeps it, never what is typed.

    `settings`: everywhere; `in_database`: in the database that was looked at. Each is like "statement_timeout=15s".
    """

    name: str
    attributes: tuple[str, ...]
    connection_limit: int
    valid_until: str | None
    password: str | None
    settings: tuple[str, ...]
    in_database: tuple[str, ...]


class Membership(_Frozen):
    """`options`: ADMIN, and where the server knows these (PostgreSQL 16) INHERIT and SET."""

    group: str
    member: str
    options: dict[str, bool]


class Right(_Frozen):
    """What somebody may do with the database itself; None is everybody."""

    grantee: str | None
    privilege: Literal["CONNECT", "CREATE", "TEMPORARY"]
    grantable: bool


class Roles(_Frozen):
    """Everything beside a database's dump."""

    roles: tuple[Role, ...]
    memberships: tuple[Membership, ...]
    rights: tuple[Right, ...]
    settings: tuple[str, ...]
    """Of the database, for everybody."""


def read_roles(connection: psycopg.Connection[Any]) -> Roles:
    """Of this cluster and this database. Needs a superuser, since passwords are among it."""
    settings: dict[tuple[bool, str | None], tuple[str, ...]] = {
        (in_database, role): tuple(given for given in given_settings if given.partition("=")[0] not in _OWN_SETTINGS)
        for in_database, role, given_settings in connection.execute(
            "SELECT s.setdatabase <> 0, r.rolname, s.setconfig FROM pg_db_role_setting s"
            " LEFT JOIN pg_roles r ON r.oid = s.setrole WHERE s.setdatabase IN (0, %s)",
            [_database(connection)],
        )
    }
    columns = ", ".join(f"rol{'can' if name == 'login' else ''}{_COLUMNS.get(name, name)}" for name in _ATTRIBUTES)
    roles = [
        Role(
            name=name,
            attributes=tuple(word for word, has in zip(_ATTRIBUTES, has_them, strict=True) if has),
            connection_limit=limit,
            valid_until=valid_until,
            password=password,
            settings=settings.get((False, name), ()),
            in_database=settings.get((True, name), ()),
        )
        for name, limit, valid_until, password, *has_them in connection.execute(
            f"SELECT rolname, rolconnlimit, rolvaliduntil::text, rolpassword, {columns} FROM pg_authid"  # noqa: S608
            " WHERE rolname NOT LIKE 'pg\\_%' ORDER BY oid"
        )
    ]
    return Roles(
        roles=tuple(roles),
        memberships=tuple(_memberships(connection)),
        rights=tuple(
            Right(grantee=grantee, privilege=privilege, grantable=grantable)
            for grantee, privilege, grantable in connection.execute(
                "SELECT grantee.rolname, acl.privilege_type, acl.is_grantable FROM pg_database d,"
                " aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) acl"
                " LEFT JOIN pg_roles grantee ON grantee.oid = acl.grantee"
                " WHERE d.oid = %s AND acl.grantee <> d.datdba ORDER BY 1, 2",
                [_database(connection)],
            )
        ),
        settings=settings.get((True, None), ()),
    )


def make_missing_roles(connection: psycopg.Connection[Any], roles: Roles) -> None:
    """So that a dump's objects have their owners. Nobody can log in as a new one yet."""
    there = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles")}
    for role in roles.roles:
        if role.name not in there:
            connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role.name)))


def apply_roles(connection: psycopg.Connection[Any], roles: Roles, database: str) -> None:
    """Give the roles, which are there, what they had; and `database` its settings and rights. All of it or nothing."""
    name = sql.Identifier(database)
    with connection.transaction():
        for role in roles.roles:
            _alter(connection, role, name)
        for membership in roles.memberships:
            _join(connection, membership)
        _set(connection, sql.SQL("ALTER DATABASE {}").format(name), roles.settings)
        connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
        for right in roles.rights:
            grantee = sql.SQL("PUBLIC") if right.grantee is None else sql.Identifier(right.grantee)
            may_grant = sql.SQL(" WITH GRANT OPTION" if right.grantable else "")
            privilege = sql.SQL(right.privilege)
            connection.execute(sql.SQL("GRANT {} ON DATABASE {} TO {}{}").format(privilege, name, grantee, may_grant))


def _alter(connection: psycopg.Connection[Any], role: Role, database: sql.Identifier) -> None:
    name = sql.Identifier(role.name)
    words = [word.upper() if word in role.attributes else f"NO{word.upper()}" for word in _ATTRIBUTES]
    # What a server keeps of a password, it takes as it is.
    password = sql.SQL("NULL") if role.password is None else sql.Literal(role.password)
    until = sql.SQL("") if role.valid_until is None else sql.SQL(" VALID UNTIL {}").format(role.valid_until)
    connection.execute(
        sql.SQL("ALTER ROLE {} {} CONNECTION LIMIT {} PASSWORD {}{}").format(
            name, sql.SQL(" ").join(map(sql.SQL, words)), sql.Literal(role.connection_limit), password, until
        )
    )
    _set(connection, sql.SQL("ALTER ROLE {}").format(name), role.settings)
    _set(connection, sql.SQL("ALTER ROLE {} IN DATABASE {}").format(name, database), role.in_database)


def _set(connection: psycopg.Connection[Any], whose: sql.Composed, settings: tuple[str, ...]) -> None:
    for given in settings:
        name, _, value = given.partition("=")
        # A list is kept as it was written, quotes included: search_path would be one schema with commas in its name.
        parts = _split_list(value) if name in ("search_path", "temp_tablespaces") else [value]
        values = sql.SQL(", ").join(map(sql.Literal, parts))
        setting = sql.SQL(".").join(map(sql.Identifier, name.split(".")))
        connection.execute(sql.SQL("{} SET {} = {}").format(whose, setting, values))


def _split_list(value: str) -> list[str]:
    """Names of a list of identifiers: `headend, public`, `"$user", public`."""
    return [quoted.replace('""', '"') or plain.strip() for quoted, plain in _NAME.findall(value)]


def _memberships(connection: psycopg.Connection[Any]) -> list[Membership]:
    major = connection.info.server_version // 10_000
    newer = ", inherit_option, set_option" if major >= 16 else ""
    names = ("ADMIN", "INHERIT", "SET") if newer else ("ADMIN",)
    return [
        Membership(group=group, member=member, options=dict(zip(names, options, strict=True)))
        for group, member, *options in connection.execute(
            f"SELECT g.rolname, m.rolname, admin_option{newer} FROM pg_auth_members"  # noqa: S608
            " JOIN pg_roles g ON g.oid = roleid JOIN pg_roles m ON m.oid = member"
            " WHERE m.rolname NOT LIKE 'pg\\_%' ORDER BY 1, 2"
        )
    ]


def _join(connection: psycopg.Connection[Any], membership: Membership) -> None:
    options = membership.options
    if connection.info.server_version < 160_000:
        given = " WITH ADMIN OPTION" if options.get("ADMIN") else ""
    else:
        words = [
            f"{name} {'TRUE' if options[name] else 'FALSE'}" for name in ("ADMIN", "INHERIT", "SET") if name in options
        ]
        given = f" WITH {', '.join(words)}"
    group, member = map(sql.Identifier, (membership.group, membership.member))
    connection.execute(sql.SQL("GRANT {} TO {}").format(group, member) + sql.SQL(given))


def _database(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("SELECT oid FROM pg_database WHERE datname = current_database()").fetchone()
    assert row is not None, "a session is in some database"
    return int(row[0])
