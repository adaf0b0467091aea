"""Brings a database schema to this release's state, and refuses one that is ahead of it."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from yoyo import read_migrations
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.connections import DatabaseURI
from yoyo.migrations import MigrationList

from headend.errors import (
    DatabaseError,
    DatabaseRefused,
    DatabaseUnavailable,
    SchemaMissing,
    SchemaTooNew,
    SchemaTooOld,
)
from headend.store.features import Feature
from headend.store.timescale import set_up

# What a server's, a database's or a role's own defaults would change under us: how times are written, whether anything
# may be, which statements see what. Notices ("relation already exists, skipping") are for people at a prompt.
_SESSION = {
    "DateStyle": "ISO,MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
    "default_transaction_read_only": "off",
    "default_transaction_isolation": r"read\ committed",
    "client_min_messages": "warning",
}

# Answers of a server that is there but does not want us: trying again changes nothing.
# 28 invalid authorisation, 3D000 no such database, 42501 no right.
_REFUSED = re.compile(
    r"password authentication failed|no password supplied|no pg_hba.conf entry"
    r"|role .* does not exist|database .* does not exist|authentication failed|permission denied"
)

# libpq's own question after "Connection refused"; what we say asks it already.
_QUESTION = re.compile(r" Is the server running [^?]*\?")

_HEADEND_SCHEMAS = """
SELECT namespace.nspname::text FROM pg_namespace AS namespace
WHERE 2 = (
    SELECT count(*) FROM pg_class
    WHERE relnamespace = namespace.oid AND relname IN ('_yoyo_migration', 'interval_reading') AND relkind IN ('r', 'p')
)
ORDER BY 1
"""
_MOST_NAMED = 10

_SURROUNDINGS = (
    psycopg.OperationalError,
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.ReadOnlySqlTransaction,
)


def connection_info(database_url: str, schema: str) -> str:
    """The libpq connection string with the schema as search_path. Raises DatabaseError for a malformed URL, and for
    the schema `$user`, which a search path takes for that of whoever connects.

    `public` stays behind it: that is where extensions keep their functions. What else a session depends on is set too,
    so that no default of the server, the database or the role changes what we read and write.
    """
    try:
        parameters = conninfo_to_dict(database_url)
    except psycopg.ProgrammingError as error:
        raise DatabaseError(f"the database URL cannot be read: {str(error).strip()}") from error
    session = {**_SESSION, "search_path": f"{_quoted(schema)},public"}
    given = str(parameters.get("options") or "")
    # Of two settings of one name the last one holds.
    options = " ".join([given, *(f"-c{name}={value}" for name, value in session.items())]).strip()
    return make_conninfo(database_url, options=options, client_encoding="UTF8", application_name="amilab-headend")


def _quoted(schema: str) -> str:
    """As an identifier in libpq's options, where a blank or a backslash is escaped."""
    if schema == "$user":
        raise DatabaseError("the schema $user cannot be in a search path: give it another name")
    return re.sub(r"([\s\\])", r"\\\1", '"' + schema.replace('"', '""') + '"')


def describe(database_url: str) -> str:
    """The database of a URL in words, without its password."""
    parameters = conninfo_to_dict(database_url)
    host, port = parameters.get("host") or "the local socket", parameters.get("port") or 5432
    return f"{parameters.get('dbname') or 'the default database'} at {host}:{port}"


def classify(error: psycopg.Error, database_url: str) -> DatabaseError:
    """What a failure to connect means for the person who started us."""
    text = " ".join(str(error).split())
    if error.sqlstate == "25006":
        return DatabaseRefused(
            f"the database cannot be written ({describe(database_url)}): {text}; is it a standby? Give the address of "
            "the primary"
        )
    if (error.sqlstate or "")[:2] in {"28", "3D", "42"} or _REFUSED.search(text):
        return DatabaseRefused(
            f"the database refuses us ({describe(database_url)}): {text}; check user, password, database and rights"
        )
    return DatabaseUnavailable(
        f"no database answers ({describe(database_url)}): {_QUESTION.sub('', text)}; is it running, is the address "
        "right?"
    )


def migrate(database_url: str, schema: str, *, retention_days: int | None = None) -> list[Feature]:
    """Create the schema if it is missing and apply what it lacks; blocking, safe to run from many processes at once.

    Returns what TimescaleDB adds to it, or why not.

    Raises DatabaseUnavailable, DatabaseRefused, SchemaTooNew.
    """
    logging.getLogger("yoyo").setLevel(logging.WARNING)
    info = connection_info(database_url, schema)
    try:
        with psycopg.connect(info, autocommit=True, connect_timeout=5) as connection:
            encoding = connection.info.parameter_status("server_encoding")
            if encoding != "UTF8":
                raise DatabaseRefused(
                    f"the database has the encoding {encoding} ({describe(database_url)}), but payloads and names are "
                    "Unicode; use one that was created with ENCODING 'UTF8' TEMPLATE template0"
                )
            # Held until this connection closes: the second of two head-ends waits here and then finds nothing to do.
            connection.execute(
                "SELECT pg_advisory_lock(hashtextextended('amilab-headend-migrate:' || %s, 0))", [schema]
            )
            # Asked first: IF NOT EXISTS wants the right to create schemas even where there is nothing to create.
            if connection.execute("SELECT FROM pg_namespace WHERE nspname = %s", [schema]).fetchone() is None:
                connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
            _apply(connection, schema)
            features = set_up(connection, retention_days=retention_days)
            # After whatever was made, or made anew.
            connection.execute((resources.files("headend") / "grants.sql").read_bytes())
            return features
    except _SURROUNDINGS as error:
        raise classify(error, database_url) from error


@contextmanager
def open_schema(database_url: str, schema: str) -> Iterator[psycopg.Connection]:
    """A connection to a schema that is of this release, in autocommit.

    Raises DatabaseUnavailable, DatabaseRefused, SchemaMissing, SchemaTooNew, SchemaTooOld.
    """
    try:
        with psycopg.connect(connection_info(database_url, schema), autocommit=True, connect_timeout=5) as connection:
            found = connection.execute("SELECT to_regclass(quote_ident(%s) || '._yoyo_migration')", [schema]).fetchone()
            if found == (None,):
                raise SchemaMissing(
                    f"there is no head-end's schema {schema} ({describe(database_url)}); {_others(connection)}"
                )
            with _migrations() as migrations:
                known = [migration.id for migration in migrations]
            if lacking := sorted(set(known) - _refuse_newer(connection, schema, known)):
                raise SchemaTooOld(
                    f"schema {schema} is of an older release (it lacks {', '.join(lacking)}); start this release's "
                    "head-end once, which brings it up to date"
                )
            yield connection
    except _SURROUNDINGS as error:
        raise classify(error, database_url) from error


def head_end_schemas(connection: psycopg.Connection) -> dict[str, str]:
    """The database's schemas that are a head-end's, with the last migration of each."""
    found = {}
    for (name,) in connection.execute(_HEADEND_SCHEMAS).fetchall():
        last = connection.execute(
            sql.SQL("SELECT coalesce(max(migration_id), '') FROM {}").format(sql.Identifier(name, "_yoyo_migration"))
        ).fetchone()
        found[str(name)] = str(last[0]) if last else ""
    return found


def _others(connection: psycopg.Connection) -> str:
    names = [name for (name,) in connection.execute(_HEADEND_SCHEMAS)]
    if not names:
        return "nor any other there: a head-end makes its own when it starts"
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"there are: {', '.join(names[:_MOST_NAMED])}{more}"


class _Backend(PostgresqlPsycopgBackend):  # type: ignore[misc]  # yoyo has no types
    """Does everything on one connection that is there already, in autocommit: the one that holds the lock."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._given = connection
        super().__init__(DatabaseURI("postgresql+psycopg", None, None, None, None, "", {}), "_yoyo_migration")

    def connect(self, _uri: DatabaseURI) -> psycopg.Connection:
        return self._given

    def copy(self) -> "_Backend":
        return self

    def __exit__(self, *_error: object) -> None:
        """The connection is not ours to close."""


def _apply(connection: psycopg.Connection, schema: str) -> None:
    backend = _Backend(connection)
    backend.init_database()
    # We hold the advisory lock: whatever is in yoyo's own lock table was left by a process that was killed.
    backend.break_lock()
    backend.ensure_internal_schema_updated()
    with _migrations() as migrations:
        _refuse_newer(connection, schema, [migration.id for migration in migrations])
        backend.apply_migrations(backend.to_apply(migrations))


@contextmanager
def _migrations() -> Iterator[MigrationList]:
    with resources.as_file(resources.files("headend") / "migrations") as directory:
        yield read_migrations(quote(str(directory), safe="/ "))


def _refuse_newer(connection: psycopg.Connection, schema: str, known: list[str]) -> set[str]:
    """The migrations that were applied. Raises SchemaTooNew."""
    applied = {row[0] for row in connection.execute("SELECT migration_id FROM _yoyo_migration")}
    if ahead := sorted(applied - set(known)):
        raise SchemaTooNew(
            f"schema {schema} was migrated by a newer release (unknown here: {', '.join(ahead)}); "
            "install that release, or use another schema"
        )
    return applied
