"""The commands `amilab compose …`: what is done before and beside `docker compose`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lab.containers.project import ComposeProject
from lab.containers.settings import read_settings
from lab.errors import UserError
from lab.refusal import refusals_shown

app = typer.Typer(help="The lab in containers: see compose/README.md.", no_args_is_help=True)

DIRECTORY = Path(os.environ.get("AMILAB_COMPOSE_DIRECTORY") or Path(__file__).parents[1] / "compose")
Directory = Annotated[Path, typer.Option(help="Where compose.yaml is.", file_okay=False)]


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


def project_of(directory: Path) -> ComposeProject:
    """The Compose project of a directory. Raises UserError."""
    if not (directory / "compose.yaml").is_file():
        raise UserError(f"{directory} has no compose.yaml", "Run this in a checkout of amilab's repository.")
    return ComposeProject(directory, read_settings(directory))
