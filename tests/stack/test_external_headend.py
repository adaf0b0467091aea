"""The verdict on a head-end that is not ours: what it loses is found, meter by meter and interval by interval."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import paho.mqtt.client as mqtt
import psycopg
import pyarrow.parquet as pq
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.headend.services import Postgres, wait_for
from tests.stack.labs import amilab, processes_of, scenario_text

pytest_plugins = ["tests.headend.fixtures"]

METERS, INTERVAL_S, INTERVALS = 20, 4, 3
WRITER = Path(__file__).with_name("plain_writer.py")
QUERY = """
SELECT meter AS serial, ended - period AS interval_start, extract(epoch FROM period)::int AS interval_length_s,
       wh_in AS import_wh, wh_out AS export_wh, written AS committed_at FROM plain_reading"""

Reading = tuple[str, datetime]
"""Serial and start of the interval."""


class Witness:
    """Hears everything that the meters say, and so knows what a head-end could have stored."""

    def __init__(self, connect: dict[str, Any]) -> None:
        self.readings: set[Reading] = set()
        self.listening = False
        self._length = timedelta(seconds=connect["interval_length_s"])
        self._client = client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="witness")
        client.username_pw_set(connect["broker"]["username"], connect["broker"]["password"])
        self._filter = connect["topic_filter"]
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.connect(connect["broker"]["host"], connect["broker"]["port"])
        client.loop_start()

    def of(self, start: datetime) -> set[Reading]:
        return {reading for reading in list(self.readings) if reading[1] == start}

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: mqtt.Client, *_: object) -> None:
        client.subscribe(self._filter, qos=1)

    def _on_subscribe(self, *_: Any) -> None:
        self.listening = True

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        _, _, serial, kind = message.topic.split("/")
        if kind == "ds":
            ended = datetime.fromisoformat(json.loads(message.payload)["meter"]["ts"])
            self.readings.add((serial, ended - self._length))


@contextmanager
def writing(connect: Path, database_url: str) -> Iterator[subprocess.Popen[str]]:
    """The plain writer, from the moment that it is subscribed (or has failed) until it is killed."""
    argv = [sys.executable, str(WRITER), str(connect), database_url]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield process
        finally:
            process.kill()


def read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def stored(database_url: str) -> set[Reading]:
    with psycopg.connect(database_url) as database:
        rows = database.execute(f"SELECT serial, interval_start FROM ({QUERY}) AS readings")
        return set(rows.fetchall())


def test_a_writer_that_loses_readings_when_it_restarts_is_found_out(tmp_path: Path, postgres: Postgres) -> None:
    scenario = tmp_path / "small.toml"
    text = scenario_text(meters=METERS, duration=f"{INTERVALS * INTERVAL_S}s", settle="2s")
    scenario.write_text(text.replace("[fleet]", f'[fleet]\ninterval = "{INTERVAL_S}s"'))
    database_url = postgres.url()
    lab = amilab(
        *("run", scenario, "--speed", "1", "--out", tmp_path / "runs", "--headend", "external"),
        *("--stored", f"{database_url}?query={quote(QUERY)}", "--lead", "5s"),
    )
    try:
        wait_for(lambda: any(tmp_path.glob("runs/*/connect.json")), "connect.json", 60)
        (connect,) = tmp_path.glob("runs/*/connect.json")
        access = read(connect)
        assert connect.stat().st_mode & 0o777 == 0o600
        assert Path(access["shipment"]).read_text().count("\n") == METERS + 1
        witness = Witness(access)
        wait_for(lambda: witness.listening, "the witness")
        with writing(connect, database_url):
            wait_for(lambda: read(connect)["judged_from"] is not None, "the judged window", 60)
            first = datetime.fromisoformat(read(connect)["judged_from"])
            wait_for(lambda: sum(start == first for _, start in stored(database_url)) == METERS, "the first interval")
        second = first + timedelta(seconds=INTERVAL_S)
        wait_for(lambda: len(witness.of(second)) == METERS, "the second interval")
        with writing(connect, database_url):
            output, errors = lab.communicate(timeout=60)
        witness.close()
    finally:
        lab.kill()
        lab.wait()

    assert lab.returncode == 1, output + errors
    assert access["broker"]["password"] in output
    starts = [first + n * timedelta(seconds=INTERVAL_S) for n in range(INTERVALS)]
    said = {reading for reading in witness.readings if reading[1] in starts}
    directory = (tmp_path / "runs" / "latest").resolve()
    verdict = read(directory / "verdict.json")
    assert (verdict["headend"], verdict["reads"]["rejected_frames"]) == ("external", None)
    assert verdict["host"]["database"].startswith("external: PostgreSQL ")
    assert verdict["ingest"]["rows"] is None
    assert verdict["reads"]["expected"] == len(said) == METERS * INTERVALS
    rows = pq.read_table(directory / "discrepancies.parquet").to_pylist()
    found = {(row["serial"], row["interval_start"]) for row in rows if row["kind"] == "lost"}
    assert found == said - stored(database_url)
    assert found >= witness.of(second)
    assert not found & witness.of(first)
    failed = {criterion["id"] for criterion in verdict["criteria"] if not criterion["passed"]}
    assert failed == {"reads.lost", "reads.success_rate"}
    assert "external" in (directory / "report.html").read_text()
    kept = [path for path in directory.rglob("*") if path.is_file() or path.is_symlink()]
    assert connect not in kept
    assert not any(access["broker"]["password"].encode() in path.read_bytes() for path in kept)


def small_lab(directory: Path, stored: Path, *, intervals: int) -> subprocess.Popen[str]:
    scenario = directory / "small.toml"
    text = scenario_text(meters=5, duration=f"{intervals * INTERVAL_S}s", settle="2s")
    scenario.write_text(text.replace("[fleet]", f'[fleet]\ninterval = "{INTERVAL_S}s"'))
    return amilab(
        *("run", scenario, "--speed", "1", "--out", directory / "runs", "--headend", "external"),
        *("--stored", stored, "--lead", "1s"),
    )


def stored_from_journal(run_dir: Path, path: Path) -> None:
    """What a head-end without a fault exports, in the German way."""
    lines = ["serial;interval_start;interval_length_s;import_wh;committed_at"]
    for row in pq.read_table(run_dir / "journal").to_pylist():
        ended = row["interval_start"] + timedelta(seconds=row["interval_length_s"])
        cells = [row["serial"], row["interval_start"].isoformat(), row["interval_length_s"], f"{row['import_wh']},0"]
        lines.append(";".join(map(str, [*cells, f"{ended:%Y-%m-%dT%H:%M:%S}.123456789Z"])))
    path.write_text("\n".join(lines))


def judged_again(run_dir: Path, stored: Path) -> subprocess.CompletedProcess[str]:
    judge = amilab("judge", run_dir, "--stored", stored)
    output, errors = judge.communicate(timeout=120)
    return subprocess.CompletedProcess([], judge.returncode, output, errors)


@pytest.mark.long
def test_a_run_is_not_lost_for_what_is_wrong_with_the_stored_readings(tmp_path: Path) -> None:
    stored = tmp_path / "late.csv"
    lab = small_lab(tmp_path, stored, intervals=2)
    output, errors = lab.communicate(timeout=120)
    assert lab.returncode == 2, output + errors
    assert "late.csv is not there yet" in output
    (run_dir,) = (tmp_path / "runs").iterdir()
    assert f"amilab judge {run_dir} --stored" in errors
    stored_from_journal(run_dir, stored)
    judged = judged_again(run_dir, stored)
    assert judged.returncode == 0, judged.stdout + judged.stderr
    assert read(run_dir / "verdict.json")["reads"]["expected"] == 5 * 2


@pytest.mark.long
def test_what_an_interrupted_run_lived_through_can_be_judged(tmp_path: Path) -> None:
    stored = tmp_path / "late.csv"
    lab = small_lab(tmp_path, stored, intervals=1000)
    assert lab.stdout is not None
    try:
        until = next(line for line in lab.stdout if line.startswith("judged from"))
        judged_from = datetime.fromisoformat(f"{' '.join(until.split()[2:4])}+00:00")
        three_later = judged_from + timedelta(seconds=3 * INTERVAL_S + 2)
        wait_for(lambda: datetime.now(UTC) > three_later, "three intervals and what settles them", 60)
        lab.send_signal(signal.SIGINT)
        output, errors = lab.communicate(timeout=120)
    finally:
        lab.kill()
        lab.wait()
    assert lab.returncode == 130, output + errors
    (run_dir,) = (tmp_path / "runs").iterdir()
    assert f"amilab judge {run_dir} --stored" in output
    stored_from_journal(run_dir, stored)
    judged = judged_again(run_dir, stored)
    assert judged.returncode == 0, judged.stdout + judged.stderr
    verdict = read(run_dir / "verdict.json")
    assert verdict["reads"]["expected"] >= 5 * 3
    assert verdict["clock"]["simulated_s"] < 1000 * INTERVAL_S


@pytest.mark.long
def test_a_part_that_dies_is_told_at_once_and_not_asked_for_what_was_lived(tmp_path: Path) -> None:
    lab = small_lab(tmp_path, tmp_path / "late.csv", intervals=1000)
    assert lab.stdout is not None
    try:
        until = next(line for line in lab.stdout if line.startswith("judged from"))
        settled = datetime.fromisoformat(f"{' '.join(until.split()[2:4])}+00:00") + timedelta(seconds=INTERVAL_S + 3)
        wait_for(lambda: datetime.now(UTC) > settled, "an interval and what settles it", 60)
        (run_dir,) = (tmp_path / "runs").glob("small-*")
        fleet = next(process for process in processes_of(str(run_dir.resolve())) if "fleet-0" in process.cmdline())
        fleet.kill()
        output, errors = lab.communicate(timeout=120)
    finally:
        lab.kill()
        lab.wait()
    assert lab.returncode == 3, output + errors
    assert "fleet-0" in errors
    assert "kept" not in output


@pytest.fixture(scope="module")
def anything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scenario") / "small.toml"
    path.write_text(scenario_text(events='[[event]]\nat = "00:10"\nkind = "kill"\npart = "headend"\ndown = "1min"\n'))
    return path


def test_what_cannot_be_done_with_another_head_end_is_refused_all_at_once(anything: Path, tmp_path: Path) -> None:
    lab = amilab("run", anything, "--headend", "external", "--out", tmp_path / "runs", "--lead", "soon")
    _, errors = lab.communicate(timeout=60)
    assert lab.returncode == 2
    for part in ("needs --stored", "needs --speed 1", "kills the head-end", "--lead: 'soon' is not a duration"):
        assert part in errors.replace("\n", " ")
    assert not (tmp_path / "runs").exists()
