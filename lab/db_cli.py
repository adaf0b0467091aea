"""The commands `amilab db …`: what a head-end's database does by itself, and what has to be done for it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lab.errors import UserError
from lab.refusal import refusals_shown
from lab.secret_option import AT_FILE, DATABASE_URL, HEADEND_DATABASE_URL, disclosed

if TYPE_CHECKING:
    import psycopg

app = typer.Typer(help="The head-end's database: see docs/database.md.", no_args_is_help=True)

DatabaseUrl = Annotated[
    str,
    typer.Option(
        help=f"postgresql://user:password@host:5432/database. {AT_FILE}", envvar=[HEADEND_DATABASE_URL, DATABASE_URL]
    ),
]
SchemaName = Annotated[str, typer.Option(help="The head-end's schema.", envvar="AMILAB_HEADEND_DATABASE_SCHEMA")]
_LEAST_DAYS = 42  # as HeadEndSettings.retention_days


@app.command()
def status(database_url: DatabaseUrl, schema: SchemaName = "headend") -> None:
    """Say which features of TimescaleDB are active, and why the others are not."""
    from headend.features import look, size
    from headend.migrate import describe

    with refusals_shown():
        url = _url(database_url)
        with _opened(url, schema) as connection:
            found, taken = look(connection), size(connection)
            version = connection.info.parameter_status("server_version") or "?"
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"schema {schema} of {describe(url)}: PostgreSQL {version.split()[0]}", markup=False)
    console.print(f"interval_reading takes {taken} with its indexes")
    table = Table.grid(padding=(0, 2))
    for feature in found:
        mark = Text("✓", style="green") if feature.active else Text("–", style="yellow")
        table.add_row(mark, feature.name, Text(feature.detail))
    console.print(table)


@app.command()
def maintain(
    database_url: DatabaseUrl,
    schema: SchemaName = "headend",
    retention_days: Annotated[
        int | None,
        typer.Option(
            help="Remove interval readings of days that are older.",
            envvar="AMILAB_HEADEND_RETENTION_DAYS",
            min=_LEAST_DAYS,
        ),
    ] = None,
) -> None:
    """Remove old readings where no policy of the database does it. Run it daily."""
    from headend.features import retention_days as policy_days
    from headend.timescale import drop_older

    with refusals_shown(), _opened(_url(database_url), schema) as connection:
        console = Console(highlight=False, soft_wrap=True)
        by_policy = policy_days(connection)
        if by_policy is not None:
            console.print(f"Nothing to do: a policy of the database drops readings after {by_policy} days.")
            return
        if retention_days is None:
            raise UserError(
                "nothing says how long interval readings are to be kept",
                "Pass --retention-days, or set AMILAB_HEADEND_RETENTION_DAYS as for the head-end.",
            )
        with console.status("removing old readings"):
            removed = drop_older(connection, retention_days)
    console.print(
        f"[green]✓[/] readings of {removed} {'day' if removed == 1 else 'days'} removed; {retention_days} days stay"
    )


def _url(given: str) -> str:
    """Raises UserError."""
    from lab.services.external import check_database_url_shape

    url = disclosed("--database-url", given) or ""
    check_database_url_shape(url)
    return url


@contextmanager
def _opened(database_url: str, schema: str) -> Iterator[psycopg.Connection]:
    from headend.errors import DatabaseError
    from headend.migrate import open_schema

    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", schema):
        raise UserError(f"--schema is {schema!r}", "Small letters, digits and '_', as the head-end has it.")
    try:
        with open_schema(database_url, schema) as connection:
            yield connection
    except DatabaseError as error:
        raise UserError(str(error)) from error
