"""The commands `amilab compose runs …`: what runs have stored, and which of them Grafana shows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.console import Console

from lab.commands.compose_project import DIRECTORY, Directory, Swarm, project_of
from lab.commands.refusal import refusals_shown
from lab.wording import printable_line

if TYPE_CHECKING:
    from lab.containers.runs import Size, StoredRun

app = typer.Typer(help="What runs in containers have stored: see compose/README.md.", no_args_is_help=True)

Run = Annotated[str, typer.Argument(metavar="RUN", help="A run's name, or its schema's.")]
T = TypeVar("T")


@app.command("list")
def list_runs(directory: Directory = DIRECTORY, swarm: Swarm = False) -> None:
    """List what is stored, the oldest first, and which one is shown."""
    from lab.containers.runs import size_of, stored_runs
    from lab.services.database_session import session

    def look(url: str) -> list[tuple[StoredRun, Size]]:
        import psycopg

        with psycopg.connect(session(url), autocommit=True) as connection:
            return [(run, size_of(connection, run.schema)) for run in stored_runs(connection)]

    found = _asked(directory, swarm, look)
    console = Console(highlight=False, soft_wrap=True)
    if not found:
        console.print("No run has stored anything yet.")
        return
    for run, size in found:
        facts = [run.name, f"{size.readings:,} readings", f"{size.bytes / 2**20:,.1f} MiB"]
        facts += [f"began {run.began[:19].replace('T', ' ')} UTC"] if run.began else []
        facts += [f"kept: {run.kept}"] if run.kept else []
        console.print(("[green]▶[/] " if run.shown else "  "), end="")
        console.print(", ".join(facts), markup=False)
        console.print(printable_line(f"    schema {run.schema}"), markup=False, style="dim")


@app.command()
def show(run: Run, directory: Directory = DIRECTORY, swarm: Swarm = False) -> None:
    """Have Grafana show this run, from the next connection of its data sources on: a minute at most."""
    from lab.containers import runs

    shown = _asked(directory, swarm, lambda url: runs.show(url, run))
    _done(f"{shown.name} is shown")


@app.command()
def keep(
    run: Run,
    directory: Directory = DIRECTORY,
    swarm: Swarm = False,
    no_longer: Annotated[
        bool, typer.Option("--no-longer", help="Let it go when it is no more among the last.")
    ] = False,
) -> None:
    """Keep what this run has stored, however many others follow."""
    from lab.containers import runs

    kept = _asked(directory, swarm, lambda url: runs.keep(url, run, None if no_longer else "you said so"))
    _done(f"{kept.name} goes with the others" if no_longer else f"{kept.name} is kept until you drop it")


@app.command()
def drop(
    run: Annotated[list[str], typer.Argument(metavar="RUN…", help="Names of runs, or of their schemas.")],
    directory: Directory = DIRECTORY,
    swarm: Swarm = False,
) -> None:
    """Drop what these runs have stored in the database. Their directories in runs/ stay."""
    from lab.containers import runs
    from lab.containers.plan import read_plan
    from lab.containers.state import PLAN

    plan = read_plan(directory / "state" / PLAN)
    shown = _asked(directory, swarm, lambda url: runs.drop(url, run, under_way=plan.run if plan else None))
    _done(f"dropped: {', '.join(run)}" + (f"; {shown} is shown now" if shown else ""))


def _asked(directory: Path, swarm: bool, question: Callable[[str], T]) -> T:
    """The answer of the project's database, which has to run."""
    from lab.containers.database import ContainerPrograms, admin_url

    async def url() -> str:
        project = project_of(directory, swarm=swarm)
        await ContainerPrograms.of(project)  # it says at once if the database does not run
        return await admin_url(project)

    with refusals_shown():
        return question(asyncio.run(url()))


def _done(said: str) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print("[green]✓[/] ", end="")
    console.print(printable_line(said), markup=False)
