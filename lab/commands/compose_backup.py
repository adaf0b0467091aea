"""The commands `amilab compose backup` and `amilab compose restore`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from grid.wording import counted
from lab.commands.compose_project import DIRECTORY, Directory, Swarm, project_of, require_project
from lab.commands.interruption import until_interrupted
from lab.commands.paths import shown_path
from lab.commands.refusal import failures_shown
from lab.wording import printable_line

BACKUPS = Path("backups")


def backup(
    to: Annotated[
        Path | None,
        typer.Argument(help="The directory that is made. Default: backups/ and the project's name with the time."),
    ] = None,
    directory: Directory = DIRECTORY,
    swarm: Swarm = False,
) -> None:
    """Write database, roles, keys, shipment and settings to a new directory, also while a run goes on."""
    from lab.containers.backup import backup as back_up
    from lab.containers.backup import new_name

    console = Console(highlight=False, soft_wrap=True)
    with failures_shown():
        project = project_of(directory, swarm=swarm)
        place = (to or BACKUPS / new_name(project)).absolute()
        with console.status("") as status:
            manifest, digest = until_interrupted(
                back_up(project, place, lambda what: status.update(f"writing down {what}"))
            )
    size_mib = sum(part.bytes for part in manifest.parts.values()) / 2**20
    console.print(f"[green]✓[/] {shown_path(place)}: {size_mib:,.1f} MiB, its keys included: keep it to yourself")
    for name, schema in manifest.schemas.items():
        console.print(printable_line(f"  {name}: {counted(schema.readings, 'interval reading')}"), markup=False)
    console.print(f"  digest {digest}")


def restore(
    backup: Annotated[Path, typer.Argument(help="A directory that `amilab compose backup` has written.")],
    directory: Directory = DIRECTORY,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Stop what runs, and put the backup in the place of database and keys."),
    ] = False,
    digest: Annotated[
        str | None, typer.Option(help="Refuse a backup with another digest than `backup` printed.")
    ] = None,
) -> None:
    """Bring a backup into a project of this release or a newer one, and count what came back."""
    from lab.containers.backup_manifest import read_backup
    from lab.containers.private_directory import private_directory
    from lab.containers.restore import restore as bring_back

    console = Console(highlight=False, soft_wrap=True)
    with failures_shown():
        require_project(directory)
        # Of this user alone (0700), and gone afterwards.
        with private_directory(directory) as copy, console.status("reading") as status:
            manifest = read_backup(backup, copy, digest=digest)
            restored = until_interrupted(
                bring_back(directory, copy, manifest, replace=replace, tell=lambda what: status.update(what))
            )
    readings = f"{restored.readings:,} of {manifest.readings:,}"
    console.print(f"[green]✓[/] {readings} readings are back, in {counted(restored.schemas, 'schema')}")
    if restored.kept_keys is not None:
        console.print(f"  the keys that were there are in {os.path.relpath(restored.kept_keys)}: remove them yourself")
    if restored.kept_settings:
        console.print("  .env stays as it was; that of the backup is settings.env in it")
    console.print(
        "  start it: docker compose up --detach --scale conductor=0 (a demonstration would be shown in its place)"
    )
