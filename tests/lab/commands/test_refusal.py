"""How a command that runs a lab ends early."""

from __future__ import annotations

import asyncio

import pytest
import typer

from lab.commands.interruption import EXIT_INTERRUPTED
from lab.commands.refusal import failures_shown
from lab.errors import PartFailed, UserError


@pytest.mark.parametrize("left", ["nothing was left running", "the containers wait for the next run"])
def test_an_interruption_says_what_it_leaves(left: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended, failures_shown(left):
        raise asyncio.CancelledError
    assert ended.value.exit_code == EXIT_INTERRUPTED
    assert capsys.readouterr().err == f"interrupted; {left}\n"


def test_the_last_words_of_a_part_write_no_escape_sequences(capsys: pytest.CaptureFixture[str]) -> None:
    """A device has a say in what is logged of it."""
    with pytest.raises(typer.Exit) as ended, failures_shown():
        raise PartFailed("headend", 1, ["refused AMI\x1b]0;pwned\x07\u202e"])
    assert ended.value.exit_code == PartFailed.exit_code
    said = capsys.readouterr().err
    assert "refused AMI" in said
    assert all(letter.isprintable() or letter == "\n" for letter in said)


def test_what_is_named_in_a_refusal_begins_no_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    """A file may be called so, and a message that is folded by others goes on as one."""
    with pytest.raises(typer.Exit), failures_shown():
        raise UserError(["there is no file x\n✗ all is well\x1b[2J", "and no file y"])
    assert capsys.readouterr().err.splitlines() == [
        "✗ there is no file x",
        "  ✗ all is well\ufffd[2J",
        "✗ and no file y",
    ]
