"""The Compose project that a command is about."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from lab.containers.project import ComposeProject
from lab.containers.settings import ComposeSettings, read_settings
from lab.errors import UserError

DIRECTORY = Path(os.environ.get("AMILAB_COMPOSE_DIRECTORY") or Path(__file__).parents[2] / "compose")
Directory = Annotated[Path, typer.Option(help="Where compose.yaml is.", file_okay=False)]
Swarm = Annotated[bool, typer.Option("--swarm", help="Of the stack that was deployed on this machine's Docker Swarm.")]


def project_of(directory: Path, *, swarm: bool = False) -> ComposeProject:
    """The Compose project of a directory, or the stack that is made of it. Raises UserError."""
    from lab.containers.swarm import SwarmProject

    return (SwarmProject if swarm else ComposeProject)(directory, settings_of(directory))


def settings_of(directory: Path) -> ComposeSettings:
    """Of the project in a directory. Raises UserError."""
    require_project(directory)
    return read_settings(directory)


def require_project(directory: Path) -> None:
    """Raises UserError."""
    if not (directory / "compose.yaml").is_file():
        raise UserError(f"{directory} has no compose.yaml", "Run this in a checkout of amilab's repository.")
