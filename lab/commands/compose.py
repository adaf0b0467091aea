"""The commands `amilab compose …`: what is done before and beside `docker compose`."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console

from lab.commands.compose_backup import backup, restore
from lab.commands.compose_project import DIRECTORY, Directory, project_of, settings_of
from lab.commands.compose_runs import app as runs_app
from lab.commands.interruption import until_interrupted
from lab.commands.refusal import failures_shown, refusals_shown
from lab.errors import UserError

app = typer.Typer(help="The lab in containers: see compose/README.md.", no_args_is_help=True)
app.command()(backup)
app.command()(restore)
app.add_typer(runs_app, name="runs")


@app.command()
def init(
    directory: Directory = DIRECTORY,
    debian: Annotated[
        bool,
        typer.Option("--debian", help="Build broker and database from Debian's packages: needs no image registry."),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Write .env anew; keys and passwords stay.")] = False,
) -> None:
    """Write .env, keys and passwords. What is there already stays."""
    from lab.containers.init import init_project

    with refusals_shown():
        written = init_project(directory, debian=debian, force=force)
    console = Console(highlight=False, soft_wrap=True)
    for path in written:
        console.print(f"[green]✓[/] {os.path.relpath(path)}")
    console.print("Everything was there already." if not written else "Keep state/ and secrets/ to yourself.")


@app.command()
def wheelhouse(directory: Directory = DIRECTORY) -> None:
    """Fetch the images' Python packages beforehand, for machines without internet."""
    from lab.containers.wheelhouse import make_wheelhouse

    console = Console(highlight=False, soft_wrap=True)
    with refusals_shown(), console.status("fetching wheels"):
        wheels = make_wheelhouse(directory / "wheelhouse", directory.parent / "requirements-loadtest.lock")
    size_mib = sum(wheel.stat().st_size for wheel in wheels) / 2**20
    console.print(
        f"[green]✓[/] {len(wheels)} wheels, {size_mib:,.0f} MiB in {os.path.relpath(directory / 'wheelhouse')}"
    )


@app.command()
def rotate(
    directory: Directory = DIRECTORY,
    authority: Annotated[bool, typer.Option("--authority", help="A new certificate authority, too.")] = False,
    finish: Annotated[bool, typer.Option("--finish", help="Refuse what the last rotation has replaced.")] = False,
) -> None:
    """Give everybody new certificates; the old ones are accepted until --finish. See docs/broker.md."""
    from lab.containers import keys

    with refusals_shown():
        if finish and authority:
            raise UserError("--finish ends whatever rotation has begun", "Leave out --authority.")
        count = asyncio.run(keys.rotate(project_of(directory), authority=authority, finish=finish))
    said = "the old certificates are refused" if finish else f"{count} new identities; end the old ones with --finish"
    Console(highlight=False).print(f"[green]✓[/] {said}")


@app.command()
def revoke(device: str, directory: Directory = DIRECTORY) -> None:
    """Refuse a device's certificate from its next connection on."""
    from lab.containers import keys

    with refusals_shown():
        asyncio.run(keys.revoke(project_of(directory), device))
    Console(highlight=False).print(f"[green]✓[/] {device} is refused")


@app.command()
def demonstrate(directory: Directory = DIRECTORY) -> None:
    """What the service `conductor` runs: a village in today's time, from within the project. See compose/README.md."""
    from lab.containers.demonstration import demonstrate
    from lab.containers.member import beating

    console = Console(highlight=False, soft_wrap=True)
    # To be told to stop is how it ends: a run takes its place, or the project is taken down.
    told = suppress(asyncio.CancelledError)
    with failures_shown(), TemporaryDirectory(prefix="demonstration-") as out, told:
        until_interrupted(beating(demonstrate(directory, Path(out), console)))
    console.print("the demonstration has ended")


@app.command()
def stack(directory: Directory = DIRECTORY) -> None:
    """Print the stack file of the same project: amilab compose stack | docker stack deploy -c - NAME"""
    from lab.containers.swarm import SwarmProject

    with refusals_shown():
        document = asyncio.run(SwarmProject(directory, settings_of(directory)).stack())
    # JSON is YAML, too.
    typer.echo(json.dumps(document, indent=2))
