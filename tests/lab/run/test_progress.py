"""What is told of a run: words in which others have a say."""

from __future__ import annotations

from contextlib import nullcontext
from io import StringIO

import pytest
from rich.console import Console

from lab.run.progress import RunProgress

SAID = "amilab-meters-1 is [/red] \x1b]0;pwned\x07\u202eunreached"
SHOWN = "amilab-meters-1 is [/red] \ufffd]0;pwned\ufffd\ufffdunreached"


@pytest.mark.parametrize("in_life", [True, False])
@pytest.mark.parametrize("terminal", [True, False])
def test_what_a_container_says_is_told_as_text(in_life: bool, terminal: bool) -> None:
    paper = StringIO()
    progress = RunProgress(Console(file=paper, width=110, force_terminal=terminal, color_system=None))
    with progress.simulated_time(0, 900) if in_life else nullcontext():
        progress.news(SAID)
    progress.notice(SAID, SAID)
    said = [line for line in paper.getvalue().splitlines() if "meters" in line]
    # Of the bar there are sequences before it.
    assert [line[line.index("amilab") :] for line in said] == [SHOWN] * 3
