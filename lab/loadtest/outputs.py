"""The files of a load test: verdict.json, junit.xml, report.html, samples.parquet; and the summary in the terminal."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from lab.loadtest.judgement import SYSTEM, LoadVerdict, Word, figure
from lab.loadtest.page import write_page
from lab.loadtest.samples import Sample

BANNERS = {
    Word.PASSED: (" PASSED ", "bold white on green"),
    Word.FAILED: (" FAILED ", "bold white on red"),
    Word.INVALID: (" INVALID ", "bold black on yellow"),
}
_LOST_SHOWN = 20


def write_results(directory: Path, verdict: LoadVerdict, samples: Sequence[Sample]) -> Path:
    """Write them all; returns the report."""
    document = json.dumps(verdict.to_json(), indent=2, ensure_ascii=False, allow_nan=False)
    (directory / "verdict.json").write_text(document + "\n", encoding="utf-8")
    (directory / "junit.xml").write_bytes(junit_xml(verdict))
    write_samples(directory, samples)
    return write_page(directory, verdict, samples)


def write_samples(directory: Path, samples: Sequence[Sample]) -> None:
    """As the table `load_test_sample` has them."""
    columns = {
        "at": pa.array([datetime.fromtimestamp(s.at_s, UTC) for s in samples], pa.timestamp("us", tz="UTC")),
        "source": pa.array([s.source for s in samples], pa.string()),
        "metric": pa.array([s.metric for s in samples], pa.string()),
        "value": pa.array([s.value for s in samples], pa.float64()),
    }
    pq.write_table(pa.table(columns), directory / "samples.parquet", compression="zstd")


def junit_xml(verdict: LoadVerdict) -> bytes:
    """A test case for each criterion. In an invalid run none has passed: each is an error."""
    invalid = verdict.word is Word.INVALID
    results = [*verdict.validity, *verdict.criteria]
    failed = [result for result in results if not result.passed]
    suite = ET.Element(
        "testsuite",
        name=f"amilab loadtest {verdict.measured.shape}",
        tests=str(len(results)),
        failures="0" if invalid else str(len(failed)),
        errors=str(len(results)) if invalid else "0",
        skipped="0",
        time=f"{verdict.measured.duration_s:.3f}",
    )
    for result in results:
        case = ET.SubElement(suite, "testcase", classname="loadtest", name=result.id, time="0")
        message = f"{result.id} is {result.value:g}, target {result.criterion.target_text}"
        if invalid:
            reason = message if result in verdict.validity else f"the generator was behind its schedule; {message}"
            ET.SubElement(case, "error", message=reason, type="invalid").text = result.criterion.source
        elif not result.passed:
            failure = ET.SubElement(case, "failure", message=message, type="criterion")
            lines = [f"{message} ({result.criterion.source})"]
            if result.id == "reads.lost":
                lines += lost_lines(verdict)
            failure.text = "\n".join(lines)
    return bytes(ET.tostring(suite, encoding="utf-8", xml_declaration=True))


def lost_lines(verdict: LoadVerdict) -> list[str]:
    """The first of the intervals that were lost."""
    lost = verdict.measured.intervals.lost
    lines = [f"meter {meter + 1}, interval {number}" for meter, number in lost[:_LOST_SHOWN].tolist()]
    return [*lines, f"… and {len(lost) - _LOST_SHOWN:,} more"] if len(lost) > _LOST_SHOWN else lines


def summary(verdict: LoadVerdict, *, report: str) -> RenderableType:
    """What to print at the end; readable without colours too."""
    measured, found = verdict.measured, verdict.measured.intervals
    word, style = BANNERS[verdict.word]
    results = [*verdict.criteria, *verdict.validity]
    failed = sum(not result.passed for result in results)
    said = {
        Word.PASSED: f"all {len(results)} criteria",
        Word.FAILED: f"{failed} of {len(results)} criteria",
        Word.INVALID: "the generator could not keep its schedule: this says nothing of the system",
    }[verdict.word]
    banner = Text.assemble((word, style), f"  {said}")
    banner.append(f"  {measured.shape}, {measured.meters:,} meters, {measured.users:,} users", style="dim")
    table = Table(box=None, pad_edge=False, header_style="dim", show_edge=False)
    table.add_column("")
    table.add_column("criterion")
    table.add_column("value", justify="right")
    table.add_column("target", justify="right", style="dim")
    for result in results:
        mark = Text("✓", style="green") if result.passed else Text("✗", style="bold red")
        table.add_row(
            mark, result.id, Text(figure(result), style="" if result.passed else "bold red"),
            result.criterion.target_text,
        )  # fmt: skip
    counts = Text(
        f"client {found.published:,} ({found.acknowledged:,} acknowledged)  head-end {measured.headend.rows:,}  "
        f"database {found.stored:,}  lost {len(found.lost):,}"
    )
    cores = ", ".join(f"{part} {share:.2f}" for part, share in measured.busy_cores.items() if part in SYSTEM)
    pace = Text(f"{measured.rows_per_s:,.0f} readings/s; cores: {cores}", style="dim")
    lines: list[RenderableType] = [banner, table, counts, pace, client_table(verdict)]
    lines.append(Text.from_markup(f"report: [bold]{escape(report)}[/bold]"))
    return Group(*lines)


def client_table(verdict: LoadVerdict) -> Table:
    """Locust's view."""
    table = Table(box=None, pad_edge=False, header_style="dim", show_edge=False)
    table.add_column("client")
    for name in ("requests", "failed", "p50 ms", "p95 ms", "max ms"):
        table.add_column(name, justify="right")
    for line in verdict.measured.operations:
        times = [f"{value:,.0f}" for value in (line.p50_ms, line.p95_ms, line.max_ms)]
        table.add_row(f"{line.kind} {line.name}", f"{line.requests:,}", f"{line.failures:,}", *times)
    return table
