"""Whole labs: on both brokers and both databases, at any speed, side by side."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from lab.run.request import RunResult
from tests.stack.labs import amilab, conductor_event, live, scenario_text

DISTURBED = """
[[event]]
at = "00:20:10"
kind = "outage"
device = "section"
duration = "12min"
select = { customers = [5, 60] }

[[event]]
at = "00:25"
kind = "uplink_loss"
duration = "35min"
select = { meters = 15 }

[[event]]
at = "01:02"
kind = "reboot"
select = { meters = 3 }

[[event]]
at = "01:10:05"
kind = "outage"
device = "transformer"
duration = "40s"
select = { customers = [50, 200] }
"""

CONDUCTORS = (
    conductor_event("00:04", "L1", "transformer", "14min", (150, 200))
    + conductor_event("00:33:20", "L3", "line", "13min", (40, 120))
    + conductor_event("00:48", "N", "section", "12min", (20, 60))
)
TRUTH = (
    "truth.parquet", "truth_frames.parquet", "truth_sources.parquet", "truth_phase_losses.parquet",
    "truth_outages.json", "detected_outages.parquet", "phase_events.parquet",
)  # fmt: skip
"""Files of a run that hold nothing of the wall clock: what happened, and what the head-end says of it."""


def stored(result: RunResult) -> pa.Table:
    """What is stored, without the wall clock."""
    table = pq.read_table(result.directory / "stored.parquet")
    names = [name for name in table.column_names if name != "ingested_at"]
    table = table.select(names)
    table = table.set_column(names.index("serial"), "serial", table["serial"].cast(pa.string()))
    return table.sort_by([("serial", "ascending"), ("interval_start", "ascending")])


def journal(result: RunResult) -> pa.Table:
    return pq.read_table(result.directory / "journal" / "fleet-0-rl-dsp.parquet")


def figures(result: RunResult) -> dict[str, Any]:
    """verdict.json without what depends on the wall clock and the host."""
    document: dict[str, Any] = json.loads((result.directory / "verdict.json").read_text())
    for name in ("host", "clock", "ingest"):
        del document[name]
    return document


@pytest.mark.parametrize(("broker", "postgres"), [("mosquitto", "system"), ("iotcore", "wheel")])
def test_a_disturbed_lab_passes_on_the_systems_services_and_on_those_from_wheels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broker: str, postgres: str
) -> None:
    monkeypatch.setenv("AMILAB_BROKER", broker)
    if postgres == "wheel":
        monkeypatch.setenv("AMILAB_POSTGRES", postgres)
    result = live(tmp_path, scenario_text(meters=200, events=DISTURBED))
    reads = result.verdict.comparison.reads
    assert result.verdict.passed
    assert reads.expected > 200 * 7
    assert reads.recovered > 15, "those who lost their uplink were asked for what they had not sent"
    events = pq.read_table(result.directory / "journal" / "fleet-0-rl-dsp_events.parquet")
    assert "command_refused" not in events["code"].to_pylist(), "nobody finds an old command when it is back"
    assert result.verdict.context.host.broker.startswith(broker)
    assert (tmp_path / "latest").resolve() == result.directory
    assert {"verdict.json", "junit.xml", "report.html", "truth.parquet", "stored.parquet", "journal"} <= {
        path.name for path in result.directory.iterdir()
    }
    assert not (result.directory / "network").exists(), "nothing is told of a network that the scenario does without"
    with (result.directory / "report.html").open() as page:
        assert "Passed" in page.read()


def test_every_lockstep_speed_gives_the_same_run(tmp_path: Path) -> None:
    text = scenario_text(meters=150, duration="75min", events=DISTURBED + CONDUCTORS)
    fast = live(tmp_path / "fast", text)
    paced = live(tmp_path / "paced", text, speed=600.0)
    assert paced.verdict.context.clock.wall_s >= (75 + 15) * 60 / 600
    assert figures(fast) == figures(paced)
    assert fast.verdict.passed
    assert fast.verdict.phases is not None
    assert fast.verdict.phases.judged, "somebody lost a phase and told of it"
    for name in TRUTH:
        assert (fast.directory / name).read_bytes() == (paced.directory / name).read_bytes(), name
    assert journal(fast).equals(journal(paced))
    assert stored(fast).equals(stored(paced))


@pytest.mark.long
def test_another_seed_is_another_day(tmp_path: Path) -> None:
    """With meters set to one minute, which are read each minute and asked each minute for what is missing."""
    loss = '[[event]]\nat = "00:05"\nkind = "uplink_loss"\nduration = "3min"\nselect = { meters = 5 }\n'
    texts = [scenario_text(meters=20, duration="30min", seed=seed, events=loss) for seed in (7, 8)]
    one, other = (
        live(tmp_path / str(seed), text.replace("[fleet]", '[fleet]\ninterval = "1min"'))
        for seed, text in enumerate(texts)
    )
    for result in (one, other):
        assert result.verdict.passed
        assert result.verdict.comparison.reads.expected == 20 * 30
        assert result.verdict.comparison.reads.recovered >= 5
    assert journal(one)["import_wh"] != journal(other)["import_wh"]


@pytest.mark.long
async def test_two_runs_side_by_side_do_not_collide(tmp_path: Path) -> None:
    scenario = tmp_path / "small.toml"
    scenario.write_text(scenario_text(meters=30, duration="1h"))
    # In directories of the same name, if they begin in the same second.
    runs = [amilab("run", scenario, "--out", tmp_path / name) for name in ("one", "other")]
    outputs = await asyncio.gather(*(asyncio.to_thread(process.communicate, timeout=100) for process in runs))
    assert [process.returncode for process in runs] == [0, 0], outputs
    verdicts = [path for name in ("one", "other") for path in (tmp_path / name).glob("small-*/verdict.json")]
    assert len(verdicts) == 2
    assert all(json.loads(path.read_text())["passed"] for path in verdicts)


def test_at_speed_1_the_parts_run_on_the_wall_clock(tmp_path: Path) -> None:
    """Without a barrier; a head-end that is killed comes back beside the meters and finds what was kept for it."""
    kill = '[[event]]\nat = "00:00:04"\nkind = "kill"\npart = "headend"\ndown = "2s"\n'
    text = scenario_text(meters=10, duration="10s", settle="3s", events=kill)
    began_s = time.time()
    result = live(tmp_path, text.replace("[fleet]", '[fleet]\ninterval = "5s"'), speed=1.0)
    clock, reads = result.verdict.context.clock, result.verdict.comparison.reads
    assert began_s < clock.start_s < clock.end_s + 3 < time.time()
    assert clock.start_s % 5 == 0
    assert reads.expected == 10 * 2
    assert (reads.unrecorded, reads.lost, reads.duplicate_rows, reads.altered) == (0, 0, 0, 0)
    assert result.verdict.passed
    meters = pq.read_table(result.directory / "meters.parquet")
    assert set(meters["interval_length_s"].to_pylist()) == set(meters["report_every_s"].to_pylist()) == {5}
    assert (
        pc.min(pq.read_table(result.directory / "stored.parquet")["interval_start"]).as_py().timestamp()
        == clock.start_s
    )
    # What the meters recorded before they were all connected is not judged.
    assert pc.min(journal(result)["interval_start"]).as_py().timestamp() < clock.start_s
