"""The verdict as JUnit XML, the form that CI systems read: one test case per criterion."""

import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from lab.verdict.verdict import Verdict

FIRST = 20
# XML 1.0 cannot carry these at all, not even escaped
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

RELEVANT = {
    "reads.unrecorded": ("unrecorded",),
    "reads.lost": ("lost",),
    "reads.duplicate_rows": ("duplicate",),
    "reads.altered": ("altered", "fabricated"),
    "reads.identical_rate": ("altered", "fabricated"),
    "reads.success_rate": ("lost", "late"),
    "accuracy.class_violations": ("class_violation",),
}


def _clean(text: str) -> str:
    return _NOT_XML.sub("�", text)


def _line(row: dict[str, object]) -> str:
    shown = " ".join(f"{name}={row[name]}" for name in ("truth", "journal", "stored", "by") if row[name] is not None)
    start = row["interval_start"]
    channel = f" {row['channel']}" if row["channel"] else ""
    return f"{row['kind']}{channel} {row['usage_point']} {row['serial']} {start:%Y-%m-%dT%H:%M:%SZ} {shown}"


def relevant(discrepancies: pa.Table, criterion_id: str) -> pa.Table:
    """The discrepancies that speak for a criterion's failure."""
    kinds = discrepancies["kind"].cast(pa.string())
    return discrepancies.filter(pc.is_in(kinds, value_set=pa.array(RELEVANT[criterion_id], pa.string())))


def junit_xml(verdict: "Verdict") -> bytes:
    """A `testsuite` document, UTF-8. A failure carries the figures and the first discrepancies."""
    failures = sum(not result.passed for result in verdict.criteria)
    suite = ET.Element(
        "testsuite",
        name=_clean(f"amilab {verdict.context.scenario}"),
        tests=str(len(verdict.criteria)),
        failures=str(failures),
        errors="0",
        skipped="0",
        time=f"{verdict.context.clock.wall_s:.3f}",
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in (("seed", verdict.context.seed), ("feeder", verdict.context.feeder.name)):
        ET.SubElement(properties, "property", name=name, value=_clean(str(value)))
    for result in verdict.criteria:
        case = ET.SubElement(suite, "testcase", classname="verdict", name=result.id, time="0")
        if result.passed:
            continue
        message = f"{result.id} is {result.value:g}, target {result.criterion.target_text}"
        failure = ET.SubElement(case, "failure", message=message, type="criterion")
        rows = relevant(verdict.comparison.discrepancies, result.id)
        lines = [f"{message} ({result.criterion.source})", *(_line(row) for row in rows.slice(0, FIRST).to_pylist())]
        if len(rows) > FIRST:
            lines.append(f"… and {len(rows) - FIRST} more: see discrepancies.parquet")
        failure.text = _clean("\n".join(lines))
    return bytes(ET.tostring(suite, encoding="utf-8", xml_declaration=True))
