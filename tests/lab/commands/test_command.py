"""The table of `amilab command`."""

from __future__ import annotations

import pytest

from lab.commands.command import _show


def test_what_a_meter_says_writes_no_escape_sequences_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    told = {"serial": "AMI00000001", "state": "failed", "round_trip_s": None}
    _show([{**told, "reason": "no\x1b]0;pwned\x07\u202ee[bold]"}], shows=False)
    shown = capsys.readouterr().out
    assert "no�]0;pwned��e[bold]" in shown
    assert all(letter.isprintable() or letter == "\n" for letter in shown)
