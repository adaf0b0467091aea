"""A database and a broker that somebody else runs: looked at before the run, so that it does not fail in its middle.

What is wrong is said with host and port and with what to do. Passwords are never shown: no part of an address is
repeated before it has been taken apart, since a password with an unescaped '@' or '/' ends up in what looks like the
host.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import psycopg

from lab.errors import UserError
from lab.services.database_session import ENCODING, session
from lab.services.mqtt_probe import ConnectAnswer, probe
from lab.services.postgres import OLDEST_MAJOR

_TIMEOUT_S = 5.0
_RETURN_POLL_S = 0.25
_DEFAULT_MQTT_PORT = 1883
_DEFAULT_POSTGRES_PORT = 5432
_USER_INFO = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:]|%[0-9A-Fa-f]{2})*")  # RFC 3986, 3.2.1
_ESCAPE_HINT = (
    "Write it as {shape}; in user name and password every special character is percent-encoded (@ as %40, / as %2F, "
    ": as %3A, # as %23, % as %25)."
)


@dataclass(frozen=True, slots=True)
class ExternalDatabase:
    """A database that answers and will do. `url` holds the password: not for logs."""

    url: str = field(repr=False)
    version: str
    timescaledb: str | None  # the version on offer
    superuser: bool = False
    """Whether the user of `url` is one."""


@dataclass(frozen=True, slots=True)
class ExternalBroker:
    """A broker that lets this user in."""

    host: str
    port: int
    username: str | None
    password: str | None = field(repr=False)
    version: str = "external"


async def check_database_url(url: str) -> ExternalDatabase:
    """Connect to `postgresql://user:password@host:port/database` and see whether it will do. Raises UserError."""
    parts = _split(url, "--database-url", ("postgresql", "postgres"), "postgresql://user:password@host:5432/database")
    where = f"{parts.hostname or 'the local server'}:{parts.port or _DEFAULT_POSTGRES_PORT}"
    connection = await _connect(url, parts, "--database-url")
    async with connection:
        row = await (
            await connection.execute(
                "SELECT current_setting('server_version'), current_setting('server_version_num')::int / 10000,"
                " current_setting('server_encoding'), current_setting('default_transaction_read_only') = 'on',"
                " has_database_privilege(current_database(), 'CREATE'), pg_is_in_recovery(), current_database(),"
                " (SELECT max(default_version) FROM pg_available_extensions WHERE name = 'timescaledb'),"
                " (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)"
            )
        ).fetchone()
    assert row is not None, "a query without a table answers one row"
    version, major, encoding, read_only, may_create, is_standby, database, timescaledb, superuser = row
    faults = []
    if major < OLDEST_MAJOR:
        faults.append(f"the database at {where} is PostgreSQL {version}; amilab needs {OLDEST_MAJOR} or newer")
    if is_standby:
        faults.append(f"the database at {where} is a standby and can only be read")
    elif not may_create:
        faults.append(f"the user may not create schemas in the database {database!r} at {where}")
    if read_only and not is_standby:
        faults.append(
            f"the database {database!r} at {where}, or the user's role, is set to be read-only "
            "(default_transaction_read_only)"
        )
    if encoding != ENCODING:
        faults.append(
            f"the database {database!r} at {where} has the encoding {encoding}, but names and payloads are Unicode"
        )
    if faults:
        raise UserError(
            faults,
            "Name a PostgreSQL in which the user may write, such as a database of its own: "
            "CREATE DATABASE … OWNER … ENCODING 'UTF8' TEMPLATE template0;",
        )
    return ExternalDatabase(url, f"PostgreSQL {version.split()[0]}", timescaledb, superuser)


def check_database_url_shape(url: str) -> None:
    """See whether it is `postgresql://user:password@host:port/database`. Raises UserError."""
    _split(url, "--database-url", ("postgresql", "postgres"), "postgresql://user:password@host:5432/database")


@dataclass(frozen=True, slots=True)
class StoredServer:
    """A server that lets us read, and whether it would let us do anything at all."""

    version: str
    as_superuser: bool


async def check_stored_url(url: str) -> StoredServer:
    """Connect to `postgresql://user:password@host:port/database`, to read. Raises UserError."""
    shape = "postgresql://user:password@host:5432/database?query=SELECT%20…"
    parts = _split(url, "--stored", ("postgresql", "postgres"), shape)
    connection = await _connect(url, parts, "--stored")
    async with connection:
        row = await (
            await connection.execute("SELECT current_setting('server_version'), current_setting('is_superuser') = 'on'")
        ).fetchone()
    assert row is not None, "a query without a table answers one row"
    return StoredServer(f"PostgreSQL {row[0].split()[0]}", row[1])


async def _connect(url: str, parts: SplitResult, option: str) -> psycopg.AsyncConnection[tuple[Any, ...]]:
    where = f"{parts.hostname or 'the local server'}:{parts.port or _DEFAULT_POSTGRES_PORT}"
    try:
        # What the user's database sets for itself is to be seen, if it is about writing.
        info = session(url, read_only=None)
        return await psycopg.AsyncConnection.connect(info, connect_timeout=int(_TIMEOUT_S), autocommit=True)
    except psycopg.ProgrammingError:
        raise UserError(
            f"{option} has a parameter after the '?' that PostgreSQL does not know",
            "See https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS.",
        ) from None
    except psycopg.OperationalError as error:
        raise _database_refusal(where, parts, str(error), option) from None


async def check_broker_url(url: str) -> ExternalBroker:
    """Connect to `mqtt://user:password@host:port` and see whether it lets us in. Raises UserError."""
    shape = "mqtt://user:password@host:1883"
    parts = _split(url, "--broker-url", ("mqtt",), shape)
    if not parts.hostname:
        raise UserError("--broker-url names no host", _ESCAPE_HINT.format(shape=shape))
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise UserError("--broker-url goes on after host and port", _ESCAPE_HINT.format(shape=shape))
    username = None if parts.username is None else unquote(parts.username)
    password = None if parts.password is None else unquote(parts.password)
    broker = ExternalBroker(parts.hostname, parts.port or _DEFAULT_MQTT_PORT, username, password)
    await check_broker(broker)
    return broker


async def check_broker(broker: ExternalBroker) -> None:
    """Connect to `broker` and see whether it lets us in. Raises UserError."""
    where = f"{broker.host}:{broker.port}"
    try:
        answer = await probe(broker.host, broker.port, broker.username, broker.password, _TIMEOUT_S)
    except TimeoutError:
        raise UserError(f"no answer from {where} within {_TIMEOUT_S:.0f} s", _reach_hint("broker")) from None
    except socket.gaierror as error:
        raise UserError(f"the host {broker.host!r} is not known: {error.strerror}", _reach_hint("broker")) from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "connection failed"
        raise UserError(f"cannot connect to the broker at {where}: {reason}", _reach_hint("broker")) from None
    if answer is not ConnectAnswer.ACCEPTED:
        raise _broker_refusal(where, broker, answer)


async def await_broker(broker: ExternalBroker, *, patience_s: float, away: Callable[[], None]) -> None:
    """Return once `broker` lets us in; `away` is told, once, if it does not at first.

    :raises UserError: it does not within `patience_s` of wall-clock time.
    """
    deadline_s = time.monotonic() + patience_s
    told = False
    while True:
        try:
            await check_broker(broker)
        except UserError as error:
            if time.monotonic() > deadline_s:
                raise UserError(
                    [f"the broker has not come back within {patience_s:.0f} s", *error.faults],
                    "See why it went away, and start the run again once it is back.",
                ) from None
            if not told:
                away()
            told = True
            await asyncio.sleep(_RETURN_POLL_S)
        else:
            return


def _split(url: str, option: str, schemes: tuple[str, ...], shape: str) -> SplitResult:
    hint = _ESCAPE_HINT.format(shape=shape)
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - the property raises ValueError for what is not a port
    except ValueError:
        raise UserError(f"{option} is not a valid address: its host or its port cannot be read", hint) from None
    if parts.scheme not in schemes:
        # What stands before the first ':' may be a user name, never a password.
        raise UserError(f"{option} must begin with {schemes[0]}://", hint)
    user_info, at, _ = parts.netloc.rpartition("@")
    stray = not at and "@" in url.removeprefix(f"{parts.scheme}://")
    if stray or not _USER_INFO.fullmatch(user_info):
        raise UserError(f"{option} has special characters in the user name or password that are not encoded", hint)
    if any(character.isspace() or not character.isprintable() for character in url):
        raise UserError(f"{option} has a blank or a control character in it", hint)
    return parts


def _database_refusal(where: str, parts: SplitResult, text: str, option: str) -> UserError:
    """What libpq said, by what the user can do about it. Its own text can hold parts of the address: not repeated."""
    user = unquote(parts.username) if parts.username else "(none given)"
    database = unquote(parts.path.lstrip("/")) or user
    said = text.lower()
    if "password authentication failed" in said or "no password supplied" in said or "authentication failed" in said:
        return UserError(
            f"PostgreSQL at {where} does not accept the password of the user {user!r}",
            f"Check user name and password in {option} (special characters are percent-encoded).",
        )
    if "does not exist" in said:
        what = f"role {user!r}" if "role" in said else f"database {database!r}"
        return UserError(f"PostgreSQL at {where} has no {what}", "Create it first (createuser, createdb).")
    if "no pg_hba.conf entry" in said:
        return UserError(
            f"PostgreSQL at {where} does not admit the user {user!r} from this machine",
            "Add a line to its pg_hba.conf, or try ?sslmode=require.",
        )
    if "invalid response to ssl" in said or "expected authentication request" in said:
        return UserError(f"what listens at {where} does not speak PostgreSQL's protocol", "Is it the database's port?")
    if "ssl" in said:
        return UserError(f"PostgreSQL at {where} and this machine do not agree on TLS", "See the parameter sslmode.")
    if "too many" in said or "starting up" in said or "shutting down" in said or "recovery" in said:
        return UserError(f"PostgreSQL at {where} takes no connections at the moment", "Try again in a while.")
    if "resolve" in said or "name or service" in said or "translate host" in said:
        return UserError(f"the host {parts.hostname!r} is not known", _reach_hint("database", option))
    if "timeout" in said or "timed out" in said:
        return UserError(f"no answer from {where} within {_TIMEOUT_S:.0f} s", _reach_hint("database", option))
    if "refused" in said:
        return UserError(f"nothing listens at {where}: connection refused", _reach_hint("database", option))
    return UserError(f"cannot connect to PostgreSQL at {where}", _reach_hint("database", option))


def _broker_refusal(where: str, broker: ExternalBroker, answer: ConnectAnswer) -> UserError:
    whom = f"the user {broker.username!r}" if broker.username is not None else "clients without a user name"
    credentials = "Check user name and password in --broker-url (special characters are percent-encoded)."
    match answer:
        case ConnectAnswer.BAD_CREDENTIALS | ConnectAnswer.NOT_AUTHORISED:
            return UserError(f"the broker at {where} does not admit {whom}, or not with this password", credentials)
        case ConnectAnswer.CLOSED:
            return UserError(
                f"{where} closed the connection without an answer: it does not admit {whom}, or expects TLS",
                credentials,
            )
        case ConnectAnswer.SILENT:
            return UserError(f"{where} accepts connections, but does not answer MQTT", "Is it the broker's port?")
        case ConnectAnswer.NOT_MQTT:
            return UserError(f"what listens at {where} does not speak MQTT", "Is it the broker's port?")
        case _:
            return UserError(f"the broker at {where} refuses: {answer.name.lower().replace('_', ' ')}", credentials)


def _reach_hint(what: str, option: str | None = None) -> str:
    own = "" if option == "--stored" else f" Without --{what}-url amilab brings its own."
    return f"Is the {what} running, and can this machine reach it?{own}"
