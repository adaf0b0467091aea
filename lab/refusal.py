"""How a refusal looks in the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer
from rich.console import Console

from lab.errors import UserError


@contextmanager
def refusals_shown() -> Iterator[None]:
    """A `UserError` becomes its message and exit code 2."""
    try:
        yield
    except UserError as error:
        refuse(error)


def refuse(error: UserError) -> NoReturn:
    """Show every fault, and what to do; exit."""
    # Not folded: a line of a message is a line, also where it is searched for something.
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for fault in error.faults:
        console.print("[bold red]✗[/] ", end="")
        console.print(fault, markup=False)
    if error.hint:
        console.print(error.hint, markup=False, style="dim")
    raise typer.Exit(error.exit_code)
