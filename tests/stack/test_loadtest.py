"""Load tests for real: broker, database, head-end, gateways and Locust. Nothing here asks how fast they are."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import urllib.request
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from lab.loadtest.judgement import Word
from lab.loadtest.progress import LoadProgress
from lab.loadtest.run import LoadRequest, LoadResult, run_shape
from lab.loadtest.settings import parse_settings
from lab.run.stage import HEADEND
from lab.scenario.load import FleetChoice
from lab.services.ports import ReservedPort
from tests.headend.services import Postgres
from tests.stack.command import temporary_directory, wait_for
from tests.stack.labs import amilab
from tests.stack.sabotage.dropping_headend import is_victim

SABOTAGE = "tests.stack.sabotage"
METERS = 40
# However slow the machine is: only a test that means to break an objective has one that can break.
PATIENT = f"""
[load]
meters = {METERS}
period_s = 1.0
readers = 1
[objectives]
publish_to_commit_p95_ms = 600000
[generator]
lag_p95_ms = 60000
sent_share = 0.1
[shape.short]
corners = [[0, 1], [6, 1]]
[shape.dark]
corners = [[0, 1], [12, 1]]
storm = {{ at_s = 4, gather_s = 1, dark_s = 4 }}
wave = {{ at_s = 3, within_s = 6, depth = 20 }}
"""


def written(directory: Path, text: str) -> Path:
    path = directory / "load.toml"
    path.write_text(text)
    return path


def command(*arguments: str | Path) -> tuple[int, str, str]:
    process = amilab("loadtest", *arguments)
    stdout, stderr = process.communicate(timeout=170)
    return process.returncode, stdout, stderr


def verdict_in(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "latest" / "verdict.json").read_text())
    return found


def put_under_load(out: Path, shape: str, text: str = PATIENT, **parts: str) -> LoadResult:
    """In this process, whose parts are processes of their own; `parts`: saboteurs in their places."""
    settings = parse_settings(text, "test.toml")
    request = LoadRequest(settings, FleetChoice(), 7, out, parts=parts)
    return asyncio.run(run_shape(request, settings.shapes[shape], LoadProgress(Console(file=io.StringIO()))))


def missed(result: LoadResult) -> set[str]:
    return {found.id for found in result.verdict.criteria if not found.passed}


def test_a_short_load_passes_and_all_sides_count_the_same(tmp_path: Path) -> None:
    code, stdout, stderr = command("short", "--file", written(tmp_path, PATIENT), "--out", tmp_path, "--workers", "2")
    assert code == 0, stdout + stderr
    assert "PASSED" in stdout
    verdict = verdict_in(tmp_path)
    assert verdict["verdict"] == "passed"
    client, head_end, database = verdict["client"], verdict["headend"], verdict["database"]
    assert client["published"] == client["acknowledged"] == head_end["rows"] == database["rows"] > METERS
    by_name = {(line["kind"], line["name"]): line for line in client["operations"]}
    assert set(by_name) == {("MQTT", "reading"), ("Sparkplug", "block"), ("Modbus", "poll"), ("SQL", "panel")}
    assert all(line["requests"] and not line["failures"] for line in by_name.values())
    samples = pq.read_table(tmp_path / "latest" / "samples.parquet").to_pylist()
    assert {sample["source"] for sample in samples} == {"client", "head-end", "database", "generator"}
    suite = ET.parse(tmp_path / "latest" / "junit.xml").getroot()
    assert suite.get("failures") == suite.get("errors") == "0"
    assert "<svg" in (tmp_path / "latest" / "report.html").read_text()
    assert (tmp_path / "latest" / "locust.html").exists()


def test_an_objective_that_is_too_tight_fails(tmp_path: Path) -> None:
    tight = PATIENT.replace("publish_to_commit_p95_ms = 600000", "publish_to_commit_p95_ms = 0.001")
    code, stdout, stderr = command("short", "--file", written(tmp_path, tight), "--out", tmp_path)
    assert code == 1, stdout + stderr
    assert "FAILED" in stdout
    verdict = verdict_in(tmp_path)
    assert [line["id"] for line in verdict["criteria"] if not line["passed"]] == ["publish_to_commit.p95_ms"]
    suite = ET.parse(tmp_path / "latest" / "junit.xml").getroot()
    assert [case.get("name") for case in suite if case.find("failure") is not None] == ["publish_to_commit.p95_ms"]


def test_a_head_end_that_forgets_what_it_acknowledged_loses_readings(tmp_path: Path) -> None:
    result = put_under_load(tmp_path, "short", **{HEADEND: f"{SABOTAGE}.dropping_headend"})
    assert missed(result) == {"reads.lost"}
    assert result.verdict.exit_status == 1
    lost = result.verdict.measured.intervals.lost
    assert len(lost)
    assert all(is_victim(f"AMI{meter + 1:08d}") for meter, _ in lost.tolist())
    found = result.verdict.measured.intervals
    assert found.stored + len(lost) == found.acknowledged


@pytest.mark.long
def test_a_starved_generator_makes_the_run_invalid_and_not_slow(tmp_path: Path) -> None:
    text = PATIENT.replace("lag_p95_ms = 60000", "lag_p95_ms = 100")
    result = put_under_load(tmp_path, "short", text, generator=f"{SABOTAGE}.starved_generator")
    assert result.verdict.word is Word.INVALID
    assert result.verdict.exit_status == 4
    suite = ET.parse(result.directory / "junit.xml").getroot()
    assert suite.get("errors") == suite.get("tests")
    assert json.loads((result.directory / "verdict.json").read_text())["passed"] is False


@pytest.mark.long
def test_last_gasps_and_backlogs_arrive_beside_the_readings(tmp_path: Path) -> None:
    result = put_under_load(tmp_path, "dark")
    assert result.verdict.word is Word.PASSED, missed(result)
    events, intervals = result.verdict.measured.events, result.verdict.measured.intervals
    assert events is not None
    # A gasp and a restore of each meter that is not polled: of all vendors but the 5 % behind gateways.
    reporting = METERS - METERS * 5 // 100
    assert events.published == events.stored == 2 * reporting
    kinds = {operation.name for operation in result.verdict.measured.operations}
    assert {"event", "backlog"} <= kinds
    assert intervals.stored > 20 * reporting


@pytest.mark.long
def test_steps_towards_the_knee_never_meet_each_others_intervals(tmp_path: Path) -> None:
    text = PATIENT + "[knee]\nfirst_per_s = 40\nfactor = 2\nstep_s = 2\nmost_steps = 2\n"
    code, stdout, stderr = command("find-knee", "--file", written(tmp_path, text), "--out", tmp_path)
    # Nothing broke within the steps that were allowed: no knee was found.
    assert code == 4, stdout + stderr
    found = json.loads((tmp_path / "latest" / "knee.json").read_text())
    assert [step["word"] for step in found["steps"]] == ["passed", "passed"]
    assert [step["offered_per_s"] for step in found["steps"]] == [40, 80]
    assert found["knee_per_s"] == 80
    assert (tmp_path / "latest" / "report.html").read_text().count("<svg") == 2


def test_locusts_page_is_there_while_the_load_lasts(tmp_path: Path) -> None:
    with ReservedPort() as reserved:
        port = reserved.port
    process = amilab(
        "loadtest", "short", "--file", written(tmp_path, PATIENT), "--out", tmp_path, "--web", "--web-port", str(port)
    )
    shown: list[str] = []

    def page() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                shown.append(answer.read().decode())
        except OSError:
            return process.poll() is not None
        return True

    wait_for(page, "Locust's page")
    stdout, stderr = process.communicate(timeout=170)
    assert process.returncode == 0, stdout + stderr
    assert "Locust" in shown[0]


def test_a_taken_port_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        code, _, stderr = command("plateau", "--web", "--web-port", port, "--out", tmp_path)
    assert code == 2
    assert f"port {port} is taken" in stderr


def test_somebody_elses_database_keeps_samples_beside_the_readings(tmp_path: Path) -> None:
    with temporary_directory() as directory:
        directory.chmod(0o755)
        server = Postgres(directory / "postgres")
        server.start()
        try:
            arguments = ("--file", written(tmp_path, PATIENT), "--out", tmp_path, "--keep")
            code, stdout, stderr = command("short", *arguments, "--database-url", server.url())
            assert code == 0, stdout + stderr
            verdict = verdict_in(tmp_path)
            # It keeps no commit timestamps, and the verdict says so.
            assert verdict["database"]["commit_instant"] == "insertion of the row"
            with psycopg.connect(server.url()) as connection:
                ((schema,),) = connection.execute(
                    "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'amilab_%'"
                ).fetchall()
                connection.execute(f"SET search_path = {schema}")
                ((rows,),) = connection.execute("SELECT count(*) FROM interval_reading").fetchall()
                samples = connection.execute("SELECT DISTINCT run, source FROM load_test_sample").fetchall()
        finally:
            server.stop()
    assert rows == verdict["client"]["published"]
    assert {source for _, source in samples} == {"client", "head-end", "database", "generator"}
    assert {run for run, _ in samples} == {(tmp_path / "latest").resolve().name}


@pytest.mark.parametrize("arguments", [("nonsense",), ("plateau", "--fleet", "none"), ("find-knee", "--web")])
def test_bad_arguments_are_refused(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    code, stdout, stderr = command(*arguments, "--out", tmp_path)
    assert code == 2
    assert "Traceback" not in stdout + stderr
    assert "✗" in stderr


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    text = "[load]\nmeters = 0\nperiods = 3\n[shape.bad]\ncorners = [[0, 2], [0, 1]]\n[objective]\nlost = 0\n"
    code, _, stderr = command(
        "worse", "--file", written(tmp_path, text), "--period", "-1", "--scenario", "none", "--out", tmp_path
    )
    assert code == 2
    for fault in ("load.meters", "load.periods", "levels of the shape bad", "corners of the shape bad", "[objective]"):
        assert fault in stderr
    assert "line 2" in stderr
    assert "--period" in stderr
    assert "no scenario 'none'" in stderr
