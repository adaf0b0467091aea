"""The commands `amilab db …`: what a head-end's database does by itself, and what has to be done for it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from grid.wording import counted
from lab.commands.refusal import refusals_shown
from lab.commands.secret_option import AT_FILE, disclosed
from lab.errors import UserError
from lab.processes.private_environment import DATABASE_URL, HEADEND_DATABASE_URL
from lab.wording import printable_line

if TYPE_CHECKING:
    import psycopg

app = typer.Typer(help="The head-end's database: see docs/database.md.", no_args_is_help=True)

DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        help=f"postgresql://user:password@host:5432/database. {AT_FILE}", envvar=[HEADEND_DATABASE_URL, DATABASE_URL]
    ),
]
SchemaName = Annotated[
    str | None,
    typer.Option(
        help="The head-end's schema. Default: the one that dashboards are shown, else headend.",
        envvar="AMILAB_HEADEND_DATABASE_SCHEMA",
        show_default=False,
    ),
]
_LEAST_DAYS = 42  # as HeadEndSettings.retention_days
ReadingDays = Annotated[
    int | None,
    typer.Option(
        help="Remove interval readings of days that are older.",
        envvar="AMILAB_HEADEND_RETENTION_DAYS",
        min=_LEAST_DAYS,
    ),
]


def _days(what: str, variable: str, least: int) -> Any:
    help_ = f"Remove {what} that are older."
    return typer.Option(help=help_, envvar=f"AMILAB_HEADEND_{variable}_RETENTION_DAYS", min=least, metavar="DAYS")


@app.command()
def status(database_url: DatabaseUrl = None, schema: SchemaName = None) -> None:
    """Say which features of TimescaleDB are active, and why the others are not."""
    from headend.store.features import look, size
    from headend.store.migrate import describe
    from headend.store.retention import beside_readings

    with refusals_shown():
        url = _url(database_url)
        with _opened(url, schema) as (connection, name):
            found, taken, beside = look(connection), size(connection), beside_readings(connection)
            version = connection.info.parameter_status("server_version") or "?"
    console = Console(highlight=False, soft_wrap=True)
    console.print(printable_line(f"schema {name} of {describe(url)}: PostgreSQL {version.split()[0]}"), markup=False)
    console.print(f"interval_reading takes {taken} with its indexes; beside it: {beside}")
    table = Table.grid(padding=(0, 2))
    for feature in found:
        mark = Text("✓", style="green") if feature.active else Text("–", style="yellow")
        table.add_row(mark, feature.name, Text(feature.detail))
    console.print(table)


@app.command()
def maintain(
    database_url: DatabaseUrl = None,
    schema: SchemaName = None,
    retention_days: ReadingDays = None,
    other_reading_retention_days: Annotated[int | None, _days("other readings", "OTHER_READING", 1)] = None,
    implausible_retention_days: Annotated[int | None, _days("implausible intervals", "IMPLAUSIBLE", 1)] = None,
    event_retention_days: Annotated[int | None, _days("end device events", "EVENT", 1)] = None,
    dead_letter_retention_days: Annotated[int | None, _days("dead letters", "DEAD_LETTER", 1)] = None,
    gap_retention_days: Annotated[int | None, _days("gaps", "GAP", _LEAST_DAYS)] = None,
    communication_retention_days: Annotated[int | None, _days("changes of communication", "COMMUNICATION", 1)] = None,
    interruption_retention_days: Annotated[
        int | None, _days("reported interruptions", "INTERRUPTION", _LEAST_DAYS)
    ] = None,
    doubtful_retention_days: Annotated[int | None, _days("doubtful interruptions", "DOUBTFUL", 1)] = None,
    register_retention_days: Annotated[int | None, _days("polled registers", "REGISTER", 1)] = None,
    poll_failure_retention_days: Annotated[int | None, _days("polls that failed", "POLL_FAILURE", 1)] = None,
    command_retention_days: Annotated[
        int | None, _days("commands that have ended, and what was read by them,", "COMMAND", 1)
    ] = None,
) -> None:
    """Remove old readings where no policy of the database does it, and other old records. Run it daily."""
    from headend.store.features import retention_days as policy_days
    from headend.store.retention import drop_older_rows
    from headend.store.timescale import drop_older

    others = {
        "other_reading": other_reading_retention_days,
        "implausible_reading": implausible_retention_days,
        "end_device_event": event_retention_days,
        "dead_letter": dead_letter_retention_days,
        "interval_gap": gap_retention_days,
        "device_communication": communication_retention_days,
        "interruption": interruption_retention_days,
        "doubtful_interruption": doubtful_retention_days,
        "register_reading": register_retention_days,
        "poll_failure": poll_failure_retention_days,
        "command": command_retention_days,
    }
    wanted = {relation: days for relation, days in others.items() if days is not None}
    with refusals_shown(), _opened(_url(database_url), schema) as (connection, _):
        console = Console(highlight=False, soft_wrap=True)
        by_policy = policy_days(connection)
        if by_policy is None and retention_days is None and not wanted:
            raise UserError(
                "nothing says how long interval readings are to be kept",
                "Pass --retention-days, or set AMILAB_HEADEND_RETENTION_DAYS as for the head-end.",
            )
        if by_policy is not None:
            nothing = "" if wanted else "Nothing to do: "
            console.print(f"{nothing}a policy of the database drops readings after {by_policy} days.")
        elif retention_days is not None:
            with console.status("removing old readings"):
                days = drop_older(connection, retention_days)
            console.print(f"[green]✓[/] readings of {counted(days, 'day')} removed; {retention_days} days stay")
        for relation, kept_days in wanted.items():
            with console.status(f"removing old rows of {relation}"):
                rows = drop_older_rows(connection, relation, kept_days)
            console.print(f"[green]✓[/] {counted(rows, 'row')} of {relation} removed; {counted(kept_days, 'day')} stay")


def _url(given: str | None) -> str:
    """Raises UserError."""
    from lab.services.external import check_database_url_shape

    url = disclosed("--database-url", given)
    if url is None:
        raise UserError(
            "nothing says which database", f"Pass --database-url, or set {HEADEND_DATABASE_URL} or {DATABASE_URL}."
        )
    check_database_url_shape(url)
    return url


@contextmanager
def _opened(database_url: str, schema: str | None) -> Iterator[tuple[psycopg.Connection, str]]:
    """A connection to the schema, and the name of that, which nobody may have given."""
    from headend.errors import DatabaseError, SchemaMissing
    from headend.store.migrate import open_schema

    if schema is not None and not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", schema):
        raise UserError(f"--schema is {schema!r}", "Small letters, digits and '_', as the head-end has it.")
    name = schema or _shown(database_url) or "headend"
    try:
        with open_schema(database_url, name) as connection:
            yield connection, name
    except SchemaMissing as error:
        raise UserError(str(error), "Name the schema with --schema.") from error
    except DatabaseError as error:
        raise UserError(str(error)) from error


def _shown(database_url: str) -> str | None:
    import psycopg

    from dashboards.roles import shown_schema
    from lab.services.database_session import session

    try:
        with psycopg.connect(session(database_url), autocommit=True, connect_timeout=5) as connection:
            return shown_schema(connection)
    except psycopg.OperationalError:
        return None  # whoever opens the schema says why
