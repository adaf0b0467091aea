"""A process of meters is killed while its frames are in the air and its communications network is disturbed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from meters.radio.passage import Cause, DeliveryClass
from tests.stack.labs import live, scenario_text
from tests.stack.test_communications import deliveries

START = datetime(2026, 1, 15, tzinfo=UTC)
IN_THE_AIR = timedelta(minutes=30, seconds=2)
AMID_FAULTS = timedelta(minutes=45, seconds=2)
BACK, OVER = AMID_FAULTS + timedelta(minutes=3), timedelta(minutes=80)
EVENTS = """
[[event]]
at = "00:30:00"
kind = "outage"
device = "section"
duration = "6min"
select = { customers = [5, 30] }

[[event]]
at = "00:30:02"
kind = "kill"
part = "fleet"
down = "1min"

[[event]]
at = "00:40:00"
kind = "network"
fault = "operator-outage"
duration = "40min"

[[event]]
at = "00:40:00"
kind = "network"
fault = "jam"
strength = 0.9
duration = "40min"

[[event]]
at = "00:45:02"
kind = "kill"
part = "fleet"
down = "3min"

[[event]]
at = "00:55:00"
kind = "outage"
device = "section"
duration = "6min"
select = { customers = [5, 30] }
"""


def test_what_is_in_the_air_is_lost_by_its_cause_and_faults_are_in_force_again(tmp_path: Path) -> None:
    fleet = "shares = { sparkplug-mesh = 0.6, rl-dsp = 0.4 }"
    more = "[criteria]\nreads.success_rate = 0.5"
    text = scenario_text(
        meters=80, duration="2h", settle="30min", fleet=fleet, events=EVENTS, more=more, network="radio"
    )
    result = live(tmp_path, text)
    reads = result.verdict.comparison.reads
    assert reads.expected == 80 * 8
    assert (reads.lost, reads.unrecorded, reads.duplicate_rows, reads.altered) == (0, 0, 0, 0)
    rows = [{**row, "sent": row["sent_at"] - START} for row in deliveries(result)]
    assert any(row["arrived_at"] for row in rows if row["sent"] < IN_THE_AIR), "the file outlives the process"

    air = [row for row in rows if IN_THE_AIR - timedelta(seconds=3) < row["sent"] <= IN_THE_AIR and row["attempts"]]
    dead = {(row["technology"], row["cause"]) for row in air if row["arrived_at"] is None}
    assert {("mesh", Cause.COLLECTOR), ("cellular", Cause.CELL)} <= dead
    assert not any(row["arrived_at"] for row in air if row["delivery_class"] == DeliveryClass.READ)

    later = [row for row in rows if BACK < row["sent"] < OVER]
    unsent = [row for row in later if row["delivery_class"] == DeliveryClass.READ and not row["attempts"]]
    assert {row["cause"] for row in unsent} == {Cause.CELL}
    (operator,) = {row["via"].partition("/")[0] for row in unsent}
    assert len({row["about"] for row in unsent}) == 2, "the blocks of 01:00 and 01:15"
    assert any(row["arrived_at"] for row in later if not row["via"].startswith(operator))
    assert any(row["cause"] == Cause.JAMMED for row in later if row["technology"] == "mesh")
    assert not any(row["cause"] == Cause.JAMMED for row in rows if row["sent"] > OVER)
