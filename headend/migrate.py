"""Brings a database schema to this release's state, and refuses one that is ahead of it."""

import logging
import re
from importlib import resources
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from yoyo import read_migrations
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.connections import DatabaseURI

from headend.errors import DatabaseError, DatabaseRefused, DatabaseUnavailable, SchemaTooNew
from headend.timescale import Feature, set_up

# Answers of a server that is there but does not want us: trying again changes nothing.
# 28 invalid authorisation, 3D000 no such database, 42501 no right.
_REFUSED = re.compile(
    r"password authentication failed|no password supplied|no pg_hba.conf entry"
    r"|role .* does not exist|database .* does not exist|authentication failed|permission denied"
)


def connection_info(database_url: str, schema: str) -> str:
    """The libpq connection string with the schema as search_path. Raises DatabaseError for a malformed URL.

    `public` stays behind it: that is where extensions keep their functions.
    """
    try:
        parameters = conninfo_to_dict(database_url)
    except psycopg.ProgrammingError as error:
        raise DatabaseError(f"the database URL cannot be read: {str(error).strip()}") from error
    given = str(parameters.get("options") or "")
    # Notices ("relation already exists, skipping") are for people at a prompt.
    options = f"{given} -csearch_path={schema},public -cclient_min_messages=warning".strip()
    return make_conninfo(database_url, options=options, application_name="amilab-headend")


def describe(database_url: str) -> str:
    """The database of a URL in words, without its password."""
    parameters = conninfo_to_dict(database_url)
    host, port = parameters.get("host") or "the local socket", parameters.get("port") or 5432
    return f"{parameters.get('dbname') or 'the default database'} at {host}:{port}"


def classify(error: psycopg.Error, database_url: str) -> DatabaseError:
    """What a failure to connect means for the person who started us."""
    text = " ".join(str(error).split())
    if (error.sqlstate or "")[:2] in {"28", "3D", "42"} or _REFUSED.search(text):
        return DatabaseRefused(
            f"the database refuses us ({describe(database_url)}): {text}; check user, password, database and rights"
        )
    return DatabaseUnavailable(
        f"no database answers ({describe(database_url)}): {text}; is it running, is the address right?"
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
            if connection.execute("SELECT to_regnamespace(%s)", [schema]).fetchone() == (None,):
                connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
            _apply(info, schema)
            return set_up(connection, retention_days=retention_days)
    except (psycopg.OperationalError, psycopg.errors.InsufficientPrivilege) as error:
        raise classify(error, database_url) from error


def require_known_schema(database_url: str, schema: str) -> None:
    """Whether this release knows everything that is in the schema, if it is there at all; blocking.

    Raises DatabaseUnavailable, DatabaseRefused, SchemaTooNew.
    """
    info = connection_info(database_url, schema)
    try:
        with psycopg.connect(info, autocommit=True, connect_timeout=5) as connection:
            if connection.execute("SELECT to_regclass(%s)", [f"{schema}._yoyo_migration"]).fetchone() == (None,):
                return
            applied = connection.execute("SELECT migration_id FROM _yoyo_migration").fetchall()
    except psycopg.OperationalError as error:
        raise classify(error, database_url) from error
    with resources.as_file(resources.files("headend") / "migrations") as directory:
        known = {migration.id for migration in read_migrations(quote(str(directory), safe="/ "))}
    _refuse_newer({row[0] for row in applied} - known, schema)


def _refuse_newer(unknown: set[str], schema: str) -> None:
    if unknown:
        raise SchemaTooNew(
            f"schema {schema} was migrated by a newer release (unknown here: {', '.join(sorted(unknown))}); "
            "install that release, or use another schema"
        )


def _apply(info: str, schema: str) -> None:
    # All as arguments: the fields of a URL cannot say "host is a directory" or "options".
    parameters = {key: str(value) for key, value in conninfo_to_dict(info).items() if value is not None}
    database = parameters.pop("dbname", None)
    uri = DatabaseURI("postgresql+psycopg", None, None, None, None, database, parameters)
    backend = PostgresqlPsycopgBackend(uri, "_yoyo_migration")
    try:
        backend.init_database()
        # We hold the advisory lock: whatever is in yoyo's own lock table was left by a process that was killed.
        backend.break_lock()
        backend.ensure_internal_schema_updated()
        with resources.as_file(resources.files("headend") / "migrations") as directory:
            migrations = read_migrations(quote(str(directory), safe="/ "))
            applied = backend.execute("SELECT migration_id FROM _yoyo_migration ORDER BY migration_id").fetchall()
            _refuse_newer({row[0] for row in applied} - {migration.id for migration in migrations}, schema)
            backend.apply_migrations(backend.to_apply(migrations))
    finally:
        backend.connection.close()
