"""Outages that begin while the broker or the head-end is down are found all the same, if later."""

from __future__ import annotations

from pathlib import Path

from tests.stack.labs import live, scenario_text

EVENTS = """
[[event]]
at = "00:02:10"
kind = "outage"
device = "transformer"
duration = "20min"
select = { customers = [100, 200] }

[[event]]
at = "00:02:30"
kind = "kill"
part = "broker"
down = "3min"

[[event]]
at = "00:32:00"
kind = "outage"
device = "transformer"
duration = "15min"
select = { customers = [100, 200] }

[[event]]
at = "00:32:20"
kind = "kill"
part = "headend"
down = "3min"
"""


def test_last_gasps_that_nobody_heard_or_heard_late(tmp_path: Path) -> None:
    result = live(tmp_path, scenario_text(meters=100, duration="1h", events=EVENTS))
    assert result.verdict.passed
    detection = result.verdict.detection
    assert detection is not None
    broker_down, head_end_down = detection.matches
    # The gasps are lost with the broker: only the restores tell, 20 minutes later.
    assert not [share for share in broker_down.detected.shares if share.gasp_s is not None]
    assert broker_down.detect_s > 20 * 60
    # The broker kept them for the head-end, which was back after 3 minutes.
    assert [share for share in head_end_down.detected.shares if share.gasp_s is not None]
    assert 3 * 60 <= head_end_down.detect_s < 5 * 60
