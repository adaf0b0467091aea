"""How a command that runs a lab ends early."""

from __future__ import annotations

import asyncio

import pytest
import typer

from lab.commands.interruption import EXIT_INTERRUPTED
from lab.commands.refusal import failures_shown


@pytest.mark.parametrize("left", ["nothing was left running", "the containers wait for the next run"])
def test_an_interruption_says_what_it_leaves(left: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended, failures_shown(left):
        raise asyncio.CancelledError
    assert ended.value.exit_code == EXIT_INTERRUPTED
    assert capsys.readouterr().err == f"interrupted; {left}\n"
