"""Who else reads a polled meter changes nothing; and a head-end that is not ours is judged by what it has read."""

from __future__ import annotations

import itertools
import json
import threading
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest

from meters.device.curve import Display
from tests.headend.services import wait_for
from tests.stack.labs import amilab, live, processes_of, scenario_text
from tests.stack.plain_poller import Master, PlainPoller
from tests.stack.test_lab import figures, stored
from tests.stack.test_mixed_fleets import BAKEOFF, journals

SPEED = 600.0
INTERVAL_S, INTERVALS, METERS = 10, 3, 8


def gateways(run_name: str, out: Path) -> list[int]:
    """Ports at which the fleet of the run below `out` listens."""
    for mark in out.glob(f"{run_name}-*"):
        for process in processes_of(str(mark)):
            if "lab.parts.fleet" in process.cmdline():
                found = process.net_connections("tcp")
                return sorted(each.laddr.port for each in found if each.status == psutil.CONN_LISTEN)
    return []


class Onlooker(threading.Thread):
    """Looks for the gateways of a run, and reads all meters behind each as fast as it can until it is over."""

    def __init__(self, out: Path) -> None:
        super().__init__()
        self.out = out
        self.over = threading.Event()
        self.masters: dict[int, Master] = {}

    def run(self) -> None:
        while not self.over.wait(0.02):
            for port in gateways("small", self.out):
                if port not in self.masters:
                    meters = {f"{port}/{unit}": ("127.0.0.1", port, unit) for unit in range(1, 12)}
                    self.masters[port] = Master(meters, every_s=0.05)
                    self.masters[port].start()
        for master in self.masters.values():
            master.stop()


def registers(directory: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(
        directory / "journal" / "registers" / "fleet-0-sdm630.parquet"
    ).to_pylist()
    return rows


def shown_at_grants(knot: dict[str, Any]) -> set[int]:
    """Imported energy on the display where a curve changes, which is at a grant, and at the boundaries after that."""
    from_s = knot["from_s"]
    instants = [from_s, *(from_s // 900 * 900 + 900 * number for number in range(1, 3))]
    counted = [knot["import_counted_wh"] + knot["import_wh_per_s"] * (at_s - from_s) for at_s in instants]
    display = Display(knot["counting_step_wh"], knot["roll_over_wh"], knot["float32_unit_wh"])
    return set(display.shown(np.array(counted)).tolist())


@pytest.mark.long
def test_a_second_master_changes_nothing_and_sees_registers_go_on_between_grants(tmp_path: Path) -> None:
    outage = (
        '[[event]]\nat = "00:20:10"\nkind = "outage"\ndevice = "section"\nduration = "12min"\n'
        "select = { customers = [5, 60] }\n"
    )
    text = scenario_text(meters=60, duration="45min", fleet=BAKEOFF, events=outage)
    alone = live(tmp_path / "alone", text)
    onlooker = Onlooker(tmp_path / "watched")
    onlooker.start()
    try:
        watched = live(tmp_path / "watched", text, speed=SPEED)
    finally:
        onlooker.over.set()
        onlooker.join()
    readings = [found for master in onlooker.masters.values() for found in master.readings.values() if found]
    seen = [[reading.import_wh for reading in found] for found in readings]
    assert len(seen) == alone.verdict.fleet.by_vendor["sdm630"]
    for values in seen:
        assert all(before <= after for before, after in itertools.pairwise(values))
    # Registers that stood still between two grants would show nothing but these.
    granted = {registers_wh for row in registers(alone.directory) for registers_wh in shown_at_grants(row)}
    assert {value for values in seen for value in values} - granted
    assert alone.verdict.passed
    assert figures(alone) == figures(watched)
    assert journals(alone) == journals(watched)
    assert registers(alone.directory) == registers(watched.directory)
    assert stored(alone).equals(stored(watched))


class Faulty(PlainPoller):
    """Of its meters some are stored without instants, some wrongly; of one, a boundary is not read."""

    def intervals(self, serial: str) -> list[dict[str, object]]:
        rows = super().intervals(serial)
        number = sorted(self.readings).index(serial)
        for row in rows:
            if number in (1, 3):
                del row["window_start"], row["window_end"]
            if number in (2, 3):
                # A step of the register is at most 8 Wh, and in five seconds no household uses as much.
                row["import_register_wh"] = int(str(row["import_register_wh"])) + 24
                row["import_wh"] = int(str(row["import_wh"])) + 24
        return [] if number == 4 else rows

    def near(self, serial: str) -> dict[int, Any]:
        near = super().near(serial)
        if sorted(self.readings).index(serial) == 5:
            near = {boundary_s: reading for boundary_s, reading in near.items() if boundary_s // self._length_s % 2}
        return near


@pytest.mark.timeout(180)
def test_a_head_end_that_polls_is_judged_by_what_it_reads(tmp_path: Path) -> None:
    scenario = tmp_path / "small.toml"
    text = scenario_text(meters=METERS, duration=f"{INTERVALS * INTERVAL_S}s", settle="4s", fleet='profile = "sdm630"')
    scenario.write_text(text.replace("[fleet]", f'[fleet]\ninterval = "{INTERVAL_S}s"'))
    readings = tmp_path / "readings.csv"
    lab = amilab(
        *("run", scenario, "--speed", "1", "--out", tmp_path / "runs", "--headend", "external"),
        *("--stored", readings, "--lead", "5s"),
    )
    poller: PlainPoller | None = None
    try:
        wait_for(lambda: any(tmp_path.glob("runs/*/connect.json")), "connect.json", 60)
        (connect,) = tmp_path.glob("runs/*/connect.json")
        poller = Faulty(connect, readings)
        poller.start()
        output, errors = lab.communicate(timeout=150)
    finally:
        if poller is not None:
            poller.stop()
        lab.kill()
        lab.wait()
    assert lab.returncode == 1, output + errors
    directory = (tmp_path / "runs" / "latest").resolve()
    verdict = json.loads((directory / "verdict.json").read_text())
    found: defaultdict[int, set[str]] = defaultdict(set)
    for row in pq.read_table(directory / "discrepancies.parquet").to_pylist():
        found[sorted(poller.readings).index(row["serial"])].add(row["kind"])
    assert found == {2: {"altered"}, 3: {"altered"}, 4: {"lost"}, 5: {"lost"}}
    reads = verdict["reads"]
    assert reads["expected"] == METERS * INTERVALS
    # Whoever does not poll changes nothing of what the meter has recorded.
    assert reads["unrecorded"] == 0
    assert reads["altered"] == 2 * INTERVALS
    assert reads["lost"] == 2 * INTERVALS
    failed = {criterion["id"] for criterion in verdict["criteria"] if not criterion["passed"]}
    assert failed == {"reads.lost", "reads.altered", "reads.identical_rate", "reads.success_rate"}


@pytest.mark.long
def test_on_the_wall_clock_our_own_poller_agrees_with_the_meters(tmp_path: Path) -> None:
    """Each has its own clock there, and the meters answer for the instant at which they do."""
    text = scenario_text(meters=METERS, duration="12s", settle="3s", fleet='profile = "sdm630"')
    result = live(tmp_path, text.replace("[fleet]", '[fleet]\ninterval = "4s"'), speed=1.0)
    reads = result.verdict.comparison.reads
    assert reads.expected == METERS * 3
    assert (reads.unrecorded, reads.lost, reads.altered, reads.estimates_off) == (0, 0, 0, 0)
    table = pq.read_table(result.directory / "stored.parquet")
    actual = [row for row in table.to_pylist() if row["quality"] == "actual"]
    assert len(actual) == reads.stored > 0
    assert all(row["window_start"] < row["window_end"] for row in actual)
