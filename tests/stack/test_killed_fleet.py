"""A process of meters is killed while its frames are in the air and its communications network is disturbed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from meters.radio.passage import Cause, DeliveryClass
from tests.stack.labs import deliveries_in, live, scenario_text

START = datetime(2026, 1, 15, tzinfo=UTC)
MESH = """\
name = "mesh-15min"
title = "The same meter in a mesh whose collector reads it each quarter of an hour"
wire = "sparkplug-mesh"
[facts]
report_every_s = { value = 900, source = "the tender" }
"""
SLOW = """
[network.cellular]
latency_least_s = 9.0
latency_easy_s = 12.0
latency_most_s = 20.0
[criteria]
reads.success_rate = 0.5
"""
IN_THE_AIR = timedelta(minutes=30, seconds=8)
BACK, OVER = timedelta(minutes=48, seconds=2), timedelta(minutes=70)
EVENTS = """
[[event]]
at = "00:30:08"
kind = "kill"
part = "fleet"
down = "1min"

[[event]]
at = "00:40:00"
kind = "network"
fault = "operator-outage"
duration = "30min"

[[event]]
at = "00:40:00"
kind = "network"
fault = "jam"
strength = 0.9
duration = "30min"

[[event]]
at = "00:45:02"
kind = "kill"
part = "fleet"
down = "3min"
"""


def test_what_is_in_the_air_is_lost_by_its_cause_and_faults_are_in_force_again(tmp_path: Path) -> None:
    (tmp_path / "mesh.toml").write_text(MESH)
    fleet = f'shares = {{ "file:{tmp_path}/mesh.toml" = 0.6, rl-dsp = 0.4 }}'
    text = scenario_text(
        meters=60, duration="75min", settle="30min", fleet=fleet, events=EVENTS, more=SLOW, network="radio"
    )
    result = live(tmp_path / "runs", text)
    reads = result.verdict.comparison.reads
    assert reads.expected == 60 * 5
    assert (reads.lost, reads.unrecorded, reads.duplicate_rows, reads.altered) == (0, 0, 0, 0)
    rows = [{**row, "sent": row["sent_at"] - START} for row in deliveries_in(result.directory)]
    assert any(row["arrived_at"] for row in rows if row["sent"] < timedelta(minutes=30)), (
        "the file outlives the process"
    )

    # All had just sent what they measured until 00:30.
    sent = [row for row in rows if timedelta(0) <= IN_THE_AIR - row["sent"] < timedelta(seconds=10) and row["attempts"]]
    dead = [row for row in sent if row["arrived_at"] is None]
    assert len({row["serial"] for row in dead}) == 60
    assert {(row["technology"], row["cause"]) for row in dead} == {("mesh", Cause.COLLECTOR), ("cellular", Cause.CELL)}

    disturbed = [row for row in rows if BACK < row["sent"] < OVER]
    unsent = [row for row in disturbed if row["delivery_class"] == DeliveryClass.READ and not row["attempts"]]
    cut_off = [row for row in unsent if row["technology"] == "cellular"]
    assert {(row["cause"], row["about"]) for row in cut_off} == {(Cause.CELL, (START.timestamp() + 45 * 60))}
    assert len({row["via"].partition("/")[0] for row in cut_off}) == 1
    assert any(row["arrived_at"] for row in disturbed if row["technology"] == "cellular")
    assert any(row["cause"] == Cause.JAMMED for row in disturbed)
    assert not any(row["cause"] == Cause.JAMMED for row in rows if row["sent"] > OVER)
