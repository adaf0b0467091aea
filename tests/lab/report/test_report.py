"""The report says what the verdict found, fetches nothing, and trusts no name that it prints."""

import base64
import hashlib
import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from lab.report import RunEvent, write_report
from lab.verdict.judge_files import judge_run
from lab.verdict.tables import FRAMES, TRUTH, empty
from tests.lab.report import surroundings
from tests.lab.report.example import EVENTS, write_example
from tests.lab.report.text import first
from tests.lab.verdict.synthetic import START_S, STEP_S, Dark, Run, make_run

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Outline(HTMLParser):
    """Checks that elements nest, and keeps the text and the tags."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.data: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script" and data.startswith("{"):
            self.data.append(data)
        if self.open and self.open[-1] not in {"style", "script"}:
            self.text.append(data)


def outline(path: Path) -> Outline:
    parser = Outline()
    parser.feed(path.read_text(encoding="utf-8"))
    parser.close()
    assert parser.open == []
    return parser


def words(path: Path) -> str:
    return re.sub(r"\s+", " ", " ".join(outline(path).text))


def report_of(run: Run, directory: Path, events: tuple[RunEvent, ...] = EVENTS, **changes: object) -> Path:
    run_dir = run.write(directory)
    return write_report(run_dir, judge_run(run_dir, run.context(**changes)), events)


@pytest.fixture(scope="module")
def village(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Reports of a day of 1,506 usage points, passed and failed."""
    directory = tmp_path_factory.mktemp("village")
    return {
        "passed": write_example(directory / "passed"),
        "failed": write_example(directory / "failed", failing=True),
    }


@pytest.mark.parametrize("outcome", ["passed", "failed"])
def test_is_one_file_that_fetches_nothing(village: dict[str, Path], outcome: str) -> None:
    page = outline(village[outcome])
    text = village[outcome].read_text(encoding="utf-8")
    assert not re.search(r"https?:|//[a-z]|url\(|@import|fetch\(|XMLHttp|import\(", text)
    assert not {"link", "img", "iframe", "object", "base"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name in {"src", "srcset", "style"} or name.startswith("on")]
    assert all(value.startswith("#") for name, value in page.attributes if name == "href" and value)
    assert village[outcome].stat().st_size < 2_500_000


@pytest.mark.parametrize("outcome", ["passed", "failed"])
def test_only_our_own_script_may_run(village: dict[str, Path], outcome: str) -> None:
    text = village[outcome].read_text(encoding="utf-8")
    policy = first(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text).group(1)
    scripts = re.findall(r"<script>(.*?)</script>", text, flags=re.S)
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


@pytest.mark.parametrize("outcome", ["passed", "failed"])
def test_drawings_are_well_formed_and_described(village: dict[str, Path], outcome: str) -> None:
    text = village[outcome].read_text(encoding="utf-8")
    drawings = re.findall(r"<svg.*?</svg>", text, flags=re.S)
    assert len([d for d in drawings if 'role="img"' in d]) == 1 + 1 + 2 + 1 + 3 + 14
    for drawing in drawings:
        svg = ET.fromstring(drawing)
        if "aria-hidden" in svg.attrib:
            continue
        assert svg.findtext("title")
        assert svg.findtext("desc")
        assert not re.search(r"\b(nan|inf)\b", drawing, flags=re.I)
    page = outline(village[outcome])
    assert len(page.ids) == len(set(page.ids))
    named = {part for name, value in page.attributes if name == "aria-labelledby" and value for part in value.split()}
    assert named <= set(page.ids)


def test_a_passed_run_says_so_and_has_the_figures(village: dict[str, Path]) -> None:
    text = words(village["passed"])
    assert "✓ Passed" in text
    assert "estimated 0 over missed polls" in text
    assert "outages found – not reported by the head-end" in text
    assert "143,605 of 143,605" in text  # 1,506 × 96 less 112 × 8 and 25 × 3 dark intervals
    assert "Failed" not in text
    assert "EN 50160 +10 %: 253 V" in text
    assert "377 recovered, 240 late, 0 estimated, 0 lost" in text
    for event in EVENTS:
        assert event.label in text


def test_where_reads_are_estimated_it_is_not_said_that_all_is_well(tmp_path: Path) -> None:
    run = make_run(4, 4)
    run.stored["quality"][5] = "estimated"
    text = words(report_of(run, tmp_path / "run"))
    assert "None among the reads that are stored as actual" in text
    assert "1 other is estimated, and counts as not on time." in text


@pytest.mark.parametrize("flow", ["three-phase", "balanced"])
def test_it_is_said_which_power_flow_the_truth_is_of(flow: str, tmp_path: Path) -> None:
    run = make_run(4, 4)
    path = report_of(run, tmp_path / "run", feeder=replace(run.context().feeder, flow=flow))
    assert f"{flow} power flow" in words(path)


def test_a_failed_run_names_the_criteria_and_the_reads(village: dict[str, Path]) -> None:
    text = words(village["failed"])
    assert "✗ Failed" in text
    assert re.search(r"\b5 of \d+ criteria not met", text)
    assert "lost: nothing known, sparkplug-mesh 259 at 259 usage points" in text
    assert "UP01201 AMI00001201 2026-01-15 17:30" in text
    assert "The first 200 are listed" in text
    assert "more of this kind" in text


def test_a_few_discrepancies_are_all_listed_with_the_three_values(tmp_path: Path) -> None:
    run = make_run(4, 30)
    row = 35
    run.stored["import_wh"][row] += 7
    recorded = int(run.journal["import_wh"][row])
    text = words(report_of(run, tmp_path / "run"))
    assert "1 in all, by what they are" in text
    assert f"import_wh – {recorded} {recorded + 7} by 7" in text
    assert "more of this kind" not in text


def test_outages_are_listed_with_duration_and_customers(tmp_path: Path) -> None:
    run = make_run(20, 30, darks=(Dark(0, 12, 4, 12),))
    text = words(report_of(run, tmp_path / "run"))
    assert "2026-01-15 01:00:00 2026-01-15 03:00:00 2 h 12 transformer T03 sustained" in text
    assert "40 s 4 transformer T04 momentary" in text


def test_hostile_names_are_shown_and_not_obeyed(tmp_path: Path) -> None:
    run = make_run(4, 30)
    hostile = '</td><script>alert("1")</script>{{ 7*7 }}'
    for table in (run.fleet, run.journal, run.stored):
        table["serial"] = np.where(table["serial"] == "AMI00000001", hostile, table["serial"].astype(object))
    run.stored["import_wh"][31] += 1
    run.transformers["transformer"] = run.transformers["transformer"].astype(object)
    run.transformers["transformer"][run.transformers["transformer"] == "T00"] = "<svg onload=alert(2)>"
    events = (RunEvent(START_S + 60, '"><img src=x>', "</title><script>alert(3)</script>", START_S + 1800),)
    run_dir = run.write(tmp_path / "run")
    surroundings.write_geography(run_dir, list(run.fleet["usage_point"]))
    verdict = judge_run(run_dir, run.context(scenario="<script>alert(4)</script>"))
    path = write_report(run_dir, verdict, events)
    page = outline(path)
    assert page.tags.count("script") == 3
    assert "img" not in page.tags
    data = [json.loads(text) for text in page.data]
    assert hostile in next(each for each in data if "serials" in each)["serials"]
    assert [hostile] == next(each for each in data if "header" in each)["texts"]["serial"]
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    text = "".join(page.text)
    assert hostile in text
    assert "<script>alert(3)</script>" in text
    for drawing in re.findall(r"<svg.*?</svg>", path.read_text(encoding="utf-8"), flags=re.S):
        ET.fromstring(drawing)


def test_an_empty_run_has_a_report_that_says_failed(tmp_path: Path) -> None:
    run = make_run(2, 4)
    for name in ("journal", "stored"):
        run.drop(name, list(range(8)))
    run_dir = run.write(tmp_path / "run")
    for name, schema in (("truth", TRUTH), ("truth_frames", FRAMES)):
        pq.write_table(empty(schema), run_dir / f"{name}.parquet")
    path = write_report(run_dir, judge_run(run_dir, run.context()), ())
    text = words(path)
    assert "✗ Failed" in text
    assert "not measured" in text
    assert "no event was in the scenario" in text


def test_frames_between_interval_boundaries_are_drawn_where_they_happened(tmp_path: Path) -> None:
    """A switching at 00:07 adds a frame there; the table of figures names the minute."""
    run = make_run(3, 4)
    at = (START_S + 7 * 60) * 1_000_000
    extra = {name: values[:3].copy() for name, values in run.frames.items()}
    extra["time"][:] = np.int64(at).astype("datetime64[us]")
    extra["energised"][:] = [True, False, False]
    run.frames = {name: np.concatenate([values, extra[name]]) for name, values in run.frames.items()}
    text = words(report_of(run, tmp_path / "run"))
    assert "2 of 3 meters dark at most; 1 with supply at least" in text
    assert "from (UTC) supplied dark 00:00 3 0 00:07 1 2 00:15 3 0" in text


def test_runs_of_several_days_name_the_day(tmp_path: Path) -> None:
    run = make_run(2, 96 * 3)
    text = words(report_of(run, tmp_path / "run", (RunEvent(START_S + 50 * STEP_S, "kill", "broker"),)))
    assert "16 Jan 00:00" in text
