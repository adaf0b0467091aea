"""The files and the words that a verdict leaves behind."""

import io
import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict
from rich.console import Console

from lab.verdict.judge_files import judge_run, write_verdict
from lab.verdict.summary import summary
from lab.verdict.verdict import judge
from tests.lab.verdict.synthetic import Dark, Run, make_run


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class HostBlock(Strict):
    cpu_count: int
    cpu_model: str
    memory_gib: float
    python: str
    database: str
    timescaledb: str | None
    broker: str


class FeederBlock(Strict):
    name: str
    buses: int
    usage_points: int
    transformers: int
    flow: str
    time_zone: str | None


class FleetBlock(Strict):
    meters: int
    by_vendor: dict[str, int]
    by_protocol: dict[str, int]
    collectors: int


class ClockBlock(Strict):
    simulated_s: int
    wall_s: float
    speed: float


class ReadsBlock(Strict):
    expected: int
    unrecorded: int
    stored: int
    lost: int
    duplicate_rows: int
    altered: int
    late: int | None
    estimated: int
    recovered: int
    rejected_frames: int | None


class AccuracyBlock(Strict):
    max_abs_error_wh: float | None
    class_violations: int


class LatencyBlock(Strict):
    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None


class IngestBlock(Strict):
    messages: int | None
    rows: int | None
    messages_per_s: float | None
    rows_per_s: float | None
    receive_to_commit_ms: LatencyBlock


class DetectBlock(Strict):
    p50: float | None
    p95: float | None


class OutagesBlock(Strict):
    injected: int
    detected: int | None
    false: int | None
    recall: float | None
    precision: float | None
    localised: float | None
    momentary_injected: int
    momentary_recorded: int | None
    detect_s: DetectBlock
    saidi_error_pct: float | None


class CriterionBlock(Strict):
    id: str
    target: str
    value: float | None
    passed: bool
    source: str


class TransformersBlock(Strict):
    meters: int
    by_vendor: dict[str, int]
    reads: dict[str, int | None]
    accuracy: AccuracyBlock


class PhasesBlock(Strict):
    judged: int
    told: int
    false: int
    brief: int
    cannot_tell: int
    recall: float


class VoltageBlock(Strict):
    recorded: int
    stored: int
    altered: int


class Schema1(Strict):
    """verdict.json, schema 1, written down once more."""

    schema_: int
    scenario: str
    seed: int
    passed: bool
    headend: str
    host: HostBlock
    feeder: FeederBlock
    fleet: FleetBlock
    clock: ClockBlock
    reads: ReadsBlock
    accuracy: AccuracyBlock
    ingest: IngestBlock
    outages: OutagesBlock
    phases: PhasesBlock | None
    voltage: VoltageBlock | None
    transformers: TransformersBlock | None
    diagnosis: list[str]
    criteria: list[CriterionBlock]


def parse(text: str) -> Schema1:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    document = json.loads(text, parse_constant=refuse)
    document["schema_"] = document.pop("schema")
    return Schema1.model_validate(document)


def test_verdict_json_is_schema_1(tmp_path: Path) -> None:
    run = make_run(4, 30, darks=(Dark(0, 2, 5, 9), Dark(2, 3, 12, 13)))
    run_dir = run.write(tmp_path / "run")
    verdict = judge_run(run_dir, run.context(rejected_frames=3))
    document = parse((run_dir / "verdict.json").read_text())
    assert document.schema_ == 1
    assert document.passed
    assert document.reads.rejected_frames == 3
    assert document.fleet.by_vendor == {"rl-dsp": 4}
    # two sustained ones and the 40 s one that every synthetic run has
    assert (document.outages.injected, document.outages.momentary_injected) == (2, 1)
    assert document.outages.detected is None
    assert {c.id for c in document.criteria} == {c.id for c in verdict.criteria}


def test_verdict_json_of_an_empty_run_is_json_all_the_same(tmp_path: Path) -> None:
    run = make_run(1, 2)
    for name in ("truth", "journal", "stored"):
        run.drop(name, [0, 1])
    write_verdict(judge(run.tables(), run.context()), tmp_path)
    document = parse((tmp_path / "verdict.json").read_text())
    assert not document.passed
    assert document.accuracy.max_abs_error_wh is None
    assert all(c.value is None for c in document.criteria)


def test_discrepancies_are_written_as_a_table(tmp_path: Path) -> None:
    run = make_run(4, 30)
    run.stored["import_wh"][7] += 2
    write_verdict(judge(run.tables(), run.context()), tmp_path)
    (row,) = pq.read_table(tmp_path / "discrepancies.parquet").to_pylist()
    assert (row["kind"], row["usage_point"], row["serial"]) == ("altered", "UP00000", "AMI00000000")
    assert row["stored"] - row["journal"] == row["by"] == 2


def test_junit_has_a_case_for_each_criterion_and_failures_say_why(tmp_path: Path) -> None:
    run = make_run(4, 30)
    hostile = "<&>\"'\x00\x1b[31m\ud800".encode("utf-8", "replace").decode()
    run.fleet["serial"] = run.fleet["serial"].astype(object)
    run.fleet["serial"][0] = hostile
    run.drop("stored", list(range(25)))
    write_verdict(judge(run.tables(), run.context(scenario=hostile)), tmp_path)
    suite = ET.parse(tmp_path / "junit.xml").getroot()
    cases = {case.get("name"): case for case in suite.iter("testcase")}
    assert len(cases) == int(suite.attrib["tests"]) == 8
    failing = {name for name, case in cases.items() if case.find("failure") is not None}
    assert failing == {"reads.lost", "reads.success_rate"}
    assert int(suite.attrib["failures"]) == 2
    failure = cases["reads.lost"].find("failure")
    assert failure is not None
    assert failure.get("message") == "reads.lost is 25, target == 0"
    told = failure.text or ""
    assert "UP00000" in told
    assert "and 5 more" in told


def printed(run: Run, **changes: Any) -> str:
    paper = io.StringIO()
    console = Console(file=paper, width=110, no_color=True)
    console.print(summary(judge(run.tables(), run.context(**changes)), report="runs/[x]/report.html"))
    return paper.getvalue()


def test_summary_says_what_failed_and_where_the_report_is() -> None:
    run = make_run(4, 30)
    assert "PASSED" in printed(run)
    run.drop("stored", [3])
    text = printed(run, scenario="[red]odd[/red]")
    assert "FAILED" in text
    assert "1 of 8" in text
    assert "[red]odd[/red]" in text
    assert "runs/[x]/report.html" in text
    (lost,) = [line for line in text.splitlines() if "reads.lost" in line]
    assert lost.startswith("✗")


def test_summary_accounts_for_every_expected_read_in_one_line() -> None:
    run = make_run(4, 30)
    run.drop("stored", [3])
    run.stored["quality"][40:47] = "estimated"
    (line,) = [line for line in printed(run).splitlines() if " expected " in line]
    assert line == "120 expected  112 stored  7 estimated  1 lost"


def test_summary_never_rounds_a_missed_rate_up_to_its_target() -> None:
    run = make_run(100, 100)
    run.stored["import_wh"][:11] += 1
    text = printed(run)
    (line,) = [line for line in text.splitlines() if "identical_rate" in line]
    assert line.startswith("✗")
    assert "0.99890" in line
