"""How refusals and failures look in the terminal."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer
from rich.console import Console

from lab.commands.interruption import EXIT_INTERRUPTED
from lab.errors import PartFailed, UserError
from lab.wording import printable


@contextmanager
def refusals_shown() -> Iterator[None]:
    """A `UserError` becomes its message and exit code 2."""
    try:
        yield
    except UserError as error:
        refuse(error)


@contextmanager
def failures_shown(left: str = "nothing was left running") -> Iterator[None]:
    """Around a lab that runs: also a part that failed, with its last words, and an interruption; each has its code.

    :param left: what an interruption leaves.
    """
    try:
        with refusals_shown():
            yield
    except PartFailed as error:
        Console(stderr=True).print(f"[bold red]{error.name}[/] failed", highlight=False)
        sys.stderr.write(f"{printable(str(error))}\n")
        raise typer.Exit(error.exit_code) from error
    except asyncio.CancelledError:
        Console(stderr=True).print(f"interrupted; {left}", highlight=False)
        raise typer.Exit(EXIT_INTERRUPTED) from None


def refuse(error: UserError) -> NoReturn:
    """Show every fault, and what to do; exit."""
    # Not folded: a line of a message is a line, also where it is searched for something.
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for fault in error.faults:
        console.print("[bold red]✗[/] ", end="")
        # Whatever is named in it begins no line that looks like ours.
        console.print(printable(fault).replace("\n", "\n  "), markup=False)
    if error.hint:
        console.print(printable(error.hint), markup=False, style="dim")
    raise typer.Exit(error.exit_code)
