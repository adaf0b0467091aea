"""Head-end and broker are killed with SIGKILL at twenty seeded moments, most of them in the middle of a burst."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.stack.labs import live, scenario_text


def kills(seed: int) -> str:
    """Ten kills of each part: three in four on an interval's end, when readings flow, the others anywhere."""
    dice = random.Random(seed)
    events = []
    for part, first_s in (("headend", 900), ("broker", 1350)):
        for number in range(10):
            at_s = first_s + number * 2700
            at_s = at_s // 900 * 900 + (0 if dice.random() < 0.75 else dice.randrange(900))
            down_s = dice.choice((5, 20, 60, 240, 600))
            events.append(
                f'[[event]]\nat = "{at_s // 3600:02}:{at_s // 60 % 60:02}:{at_s % 60:02}"\n'
                f'kind = "kill"\npart = "{part}"\ndown = "{down_s}s"\nmoment = "any"\n'
            )
    return "\n".join(events)


@pytest.mark.parametrize("broker", ["mosquitto", pytest.param("iotcore", marks=pytest.mark.long)])
@pytest.mark.timeout(300)
def test_nothing_is_lost_doubled_or_altered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broker: str) -> None:
    monkeypatch.setenv("AMILAB_BROKER", broker)
    result = live(tmp_path, scenario_text(meters=80, duration="9h", settle="1h", events=kills(11)))
    reads = result.verdict.comparison.reads
    assert reads.expected == 80 * 36
    assert (reads.unrecorded, reads.lost, reads.duplicate_rows, reads.altered) == (0, 0, 0, 0)
    assert result.verdict.passed
