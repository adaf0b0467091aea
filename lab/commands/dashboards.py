"""The commands `amilab dashboards …`: Grafana's files, and bringing everything to a Grafana that runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import unquote, urlsplit

import typer
from rich.console import Console

from lab.commands.refusal import refusals_shown
from lab.commands.secret_option import AT_FILE, disclosed
from lab.errors import UserError
from lab.processes.private_environment import DASHBOARDS_DATABASE_URL, GRAFANA_TOKEN, HOUSEHOLDS_PASSWORD

if TYPE_CHECKING:
    from dashboards.push import Mark
    from lab.run.record import RunRecord

app = typer.Typer(help="Grafana: dashboards, alert rules, annotations. See docs/dashboards.md.", no_args_is_help=True)

_MARGIN_S = 900


@app.command()
def build(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit code 1 if a file is outdated.")] = False,
) -> None:
    """Write Grafana's files from the catalogue: dashboards/generated/, which Compose mounts."""
    from dashboards import generate

    console = Console(highlight=False, soft_wrap=True)
    if check:
        outdated = generate.outdated()
        for name in outdated:
            console.print(f"[red]✗[/] {name} is not as the catalogue has it: run amilab dashboards build")
        raise typer.Exit(1 if outdated else 0)
    with refusals_shown():
        try:
            written = generate.write()
        except OSError as error:
            raise UserError(f"cannot write {error.filename}: {error.strerror}") from error
    for name in written:
        console.print(f"[green]✓[/] {name}")
    if not written:
        console.print("Everything is up to date.")


@app.command()
def push(
    url: Annotated[str, typer.Option(help="Of the Grafana.", envvar="GRAFANA_URL")] = "http://127.0.0.1:3000",
    token: Annotated[
        str | None, typer.Option(help=f"Of a service account with the role Admin. {AT_FILE}", envvar=GRAFANA_TOKEN)
    ] = None,
    database_url: Annotated[
        str | None,
        typer.Option(
            help="Where Grafana finds the database: postgresql://amilab_dashboards:PASSWORD@host:port/database. "
            f"Without it the data sources are left as they are. {AT_FILE}",
            envvar=DASHBOARDS_DATABASE_URL,
        ),
    ] = None,
    households_password: Annotated[
        str | None,
        typer.Option(help=f"Of the role amilab_households, if another. {AT_FILE}", envvar=HOUSEHOLDS_PASSWORD),
    ] = None,
    renew_passwords: Annotated[
        bool, typer.Option("--renew-passwords", help="Send the passwords even where nothing else has changed.")
    ] = False,
    run: Annotated[
        Path | None, typer.Option(help="Also mark what happened in this run: its directory.", file_okay=False)
    ] = None,
) -> None:
    """Bring folders, data sources, dashboards and alert rules to a Grafana. A second push changes nothing."""
    from dashboards.push import Grafana, GrafanaRefused
    from lab.run.record import read_record

    console = Console(highlight=False, soft_wrap=True)
    with refusals_shown():
        token = disclosed("--token", token)
        database_url = disclosed("--database-url", database_url)
        households_password = disclosed("--households-password", households_password)
        if not token:
            raise UserError(
                "no token for Grafana was given",
                "Make one under Administration → Service accounts, with the role Admin; pass it as GRAFANA_TOKEN.",
            )
        sources, passwords = ([], {}) if database_url is None else _sources(database_url, households_password)
        record = None if run is None else read_record(run)
        try:
            grafana = Grafana(url, token=token)
            version = grafana.check()
            grafana.push_folders()
            grafana.push_data_sources(sources, passwords, renew_passwords=renew_passwords)
            grafana.push_dashboards()
            grafana.push_alert_rules()
            if run is not None and record is not None:
                grafana.push_marks(run.resolve().name, _marks(record))
        except GrafanaRefused as refused:
            raise UserError(str(refused), refused.hint) from refused
    for what in grafana.report.done:
        console.print(f"[green]✓[/] {what}")
    console.print(f"Grafana {version}: {len(grafana.report.done)} sent, {grafana.report.unchanged} as they were.")
    if record is not None:
        console.print(f"{url.rstrip('/')}/d/amilab-operations?{_range(record)}")


def _sources(database_url: str, households_password: str | None) -> tuple[list[dict[str, Any]], dict[str, str]]:
    from dashboards.grafana import HOUSEHOLDS_SOURCE, SOURCE, data_sources
    from dashboards.roles import ROLES

    faults = []
    parts = urlsplit(database_url)
    try:
        port = parts.port or 5432
    except ValueError:
        faults.append("its port is no number")
        port = 0
    if parts.scheme not in ("postgresql", "postgres"):
        faults.append("it does not begin with postgresql://")
    if not parts.hostname:
        faults.append("it names no host")
    if not parts.password:
        faults.append(f"it has no password of the role {ROLES[0]}")
    if not parts.path.strip("/"):
        faults.append("it names no database")
    if faults:
        raise UserError(
            [f"--database-url: {fault}" for fault in faults],
            f"Write it like postgresql://{ROLES[0]}:PASSWORD@host:5432/database, as seen from Grafana.",
        )
    password = unquote(parts.password or "")
    sources = data_sources(
        f"{parts.hostname}:{port}", parts.path.strip("/"), sslmode=_sslmode(parts.query), users=ROLES
    )
    return sources, {SOURCE: password, HOUSEHOLDS_SOURCE: households_password or password}


def _sslmode(query: str) -> str:
    found = [value for name, _, value in (part.partition("=") for part in query.split("&")) if name == "sslmode"]
    return found[0] if found else "require"


def _marks(record: RunRecord) -> list[Mark]:
    from dashboards.push import Mark

    return [Mark(event.time_s, event.until_s, event.label, (event.kind,)) for event in record.events]


def _range(record: RunRecord) -> str:
    """The run's time as Grafana's URLs have it."""
    clock = record.context.clock
    return f"from={(clock.start_s - _MARGIN_S) * 1000}&to={(clock.end_s + _MARGIN_S) * 1000}"
