"""The command `amilab judge`: a run that is over, judged again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lab.commands.paths import shown_path
from lab.commands.refusal import refusals_shown
from lab.commands.secret_option import AT_FILE, disclosed
from lab.processes.private_environment import STORED


def judge(
    run_dir: Annotated[Path, typer.Argument(help="The directory of a run, such as runs/latest.")],
    stored: Annotated[
        str | None,
        typer.Option(
            help="Where your head-end keeps its readings, as for [b]amilab run[/b]: postgresql://…?query=…, a .csv "
            f"or a .parquet file. {AT_FILE} Without it, what the run has fetched is judged once more.",
            envvar=STORED,
        ),
    ] = None,
) -> None:
    """Judge a run that is over once more, from its directory: after a slip in --stored, or a repair of your head-end.

    The former verdict is kept beside the new one. Exit codes as those of run.
    """
    console = Console(soft_wrap=False)
    with refusals_shown():
        # Heavy imports wait: a typing error is answered at once.
        from lab.errors import UserError

        if not run_dir.is_dir():
            raise UserError(f"{run_dir} is no directory", "Name the directory of a run, such as runs/latest.")
        import asyncio

        from lab.headends.stored_source import parse_stored
        from lab.run.judge_again import judge_again
        from lab.verdict.summary import summary

        text = disclosed("--stored", stored)
        fresh = None
        if text is not None:
            source = parse_stored(text)
            fresh = (source, asyncio.run(source.check()))
            if not fresh[1].ready:
                raise UserError(
                    f"what --stored names is not there ({fresh[1].version})", "Nothing in the directory has changed."
                )
            for notice in fresh[1].notices:
                console.print(notice, highlight=False, markup=False, soft_wrap=True)
        judged = judge_again(run_dir, fresh)
    console.print(summary(judged.verdict, report=shown_path(judged.report)))
    if judged.former is not None:
        console.print(f"the former verdict is in {judged.former.name}/", highlight=False)
    raise typer.Exit(judged.verdict.exit_status)
