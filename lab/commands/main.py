"""The command `amilab`."""

from __future__ import annotations

import typer

from lab import __version__
from lab.commands.command import app as command_app
from lab.commands.compose import app as compose_app
from lab.commands.dashboards import app as dashboards_app
from lab.commands.db import app as db_app
from lab.commands.judge import judge
from lab.commands.live import exercise_app, inject_app
from lab.commands.loadtest import loadtest
from lab.commands.run import run
from lab.commands.sweep import sweep
from lab.commands.terminal import make_output_tolerant
from lab.commands.up import up
from lab.commands.vendors import vendors
from lab.scenario.load import bundled_scenarios, load_scenario

app = typer.Typer(
    name="amilab",
    help="A full-stack digital twin of an Advanced Metering Infrastructure. Every run ends in a verdict.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


app.add_typer(compose_app, name="compose")
app.command()(run)
app.command()(sweep)
app.command()(judge)
app.command()(up)
app.add_typer(inject_app, name="inject")
app.add_typer(command_app, name="command")
app.add_typer(exercise_app, name="exercise")
app.add_typer(db_app, name="db")
app.add_typer(dashboards_app, name="dashboards")
app.command()(loadtest)
app.command()(vendors)


@app.callback()
def _main() -> None:
    """Keeps `run` a subcommand."""


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


@app.command()
def scenarios() -> None:
    """List the scenarios that come with amilab."""
    for name in bundled_scenarios():
        scenario = load_scenario(name)
        typer.echo(f"{name:<20} {scenario.description}")


def main() -> None:
    make_output_tolerant()
    app()


if __name__ == "__main__":
    main()
