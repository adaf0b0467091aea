"""The verdict as JUnit XML, the form that CI systems read: one test case per criterion."""

import math
import re
import xml.etree.ElementTree as ET
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from grid.wording import counted
from lab.verdict.deliveries import MESH, Deliveries
from lab.verdict.detected import DetectedOutage
from lab.verdict.detection import Detection
from lab.verdict.outages import InjectedOutage
from lab.verdict.phase_losses import PhaseLosses
from lab.verdict.tables import CAUSES
from lab.verdict.verdict import Verdict
from lab.verdict.voltage_events import VoltageEvents

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
    return discrepancies.filter(pc.is_in(kinds, value_set=pa.array(RELEVANT.get(criterion_id, ()), pa.string())))


def outage_lines(detection: Detection, criterion_id: str) -> list[str]:
    """The outages that speak for a criterion's failure, one line each."""
    match criterion_id:
        case "outages.recall":
            found = {id(match.injected) for match in detection.matches}
            missed = (outage for outage in detection.injected if id(outage) not in found)
            return [f"missed {_injected(outage)}" for outage in missed]
        case "outages.false":
            return [f"never was {_detected(outage)}" for outage in detection.false]
        case "outages.localised":
            wrong = (match for match in detection.matches if not match.localised)
            return [f"{_injected(match.injected)} was taken for {_detected(match.detected)}" for match in wrong]
        case "outages.momentary_recorded":
            found = {id(match.injected) for match in detection.momentary_matches}
            missed = (outage for outage in detection.momentary_injected if id(outage) not in found)
            return [f"not recorded {_injected(outage)}" for outage in missed]
        case "outages.saidi_error_pct":
            true, found_indices = detection.true_indices, detection.detected_indices
            return [f"SAIDI {found_indices.saidi_min:.4f} min instead of {true.saidi_min:.4f} min"]
        case _:
            return []


def phase_lines(phases: PhaseLosses, criterion_id: str) -> list[str]:
    """The lost phases that speak for a criterion's failure, one line each."""
    match criterion_id:
        case "phases.recall":
            return [f"missed {each.usage_point} {each.phase} {_instant(each.start_s)}" for each in phases.missed]
        case "phases.false":
            return [f"never was {each.usage_point} {each.phase} {_instant(each.down_s)}" for each in phases.false]
        case _:
            return []


def delivery_lines(deliveries: Deliveries, criterion_id: str) -> list[str]:
    """The first messages of the mesh that speak for a criterion's failure, one line each."""
    frames = deliveries.frames
    missed = deliveries.missed.get((MESH, criterion_id.removeprefix("network.")))
    if missed is None:
        return []
    lines = []
    for row, arrived_s in zip(missed.first[:FIRST].tolist(), missed.arrived_s[:FIRST].tolist(), strict=True):
        delay_s = arrived_s - float(frames.sent_s[row])
        fate = f"arrived after {delay_s:.0f} s" if math.isfinite(delay_s) else "never arrived"
        begun = "not sent" if frames.unsent[row] else "sent"
        lines.append(
            f"{frames.serials[frames.serial[row]]} via {frames.carriers[frames.via[row]]} {begun} "
            f"{_instant(float(frames.sent_s[row]))} {fate}: {CAUSES[frames.cause[row]]}"
        )
    return lines


def voltage_lines(voltage: VoltageEvents) -> list[str]:
    """The sags and swells that are stored otherwise, one line each."""
    return [
        f"altered {each.code} {each.serial} number {each.sequence} {_instant(each.time_s)}" for each in voltage.altered
    ]


def _instant(time_s: float | None) -> str:
    return "at no time" if time_s is None else f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _injected(outage: InjectedOutage) -> str:
    at = datetime.fromtimestamp(outage.start_s, UTC)
    customers = counted(outage.customers, "customer")
    return f"{outage.device_id} {at:%Y-%m-%dT%H:%M:%SZ} for {outage.duration_s:.0f} s, {customers}"


def _detected(outage: DetectedOutage) -> str:
    at = datetime.fromtimestamp(outage.start_s, UTC)
    customers = counted(outage.customers, "customer")
    return f"{outage.device} {at:%Y-%m-%dT%H:%M:%SZ} for {outage.duration_s:.0f} s, {customers}"


def junit_xml(verdict: Verdict) -> bytes:
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
        if verdict.detection is not None:
            lines += outage_lines(verdict.detection, result.id)[:FIRST]
        if verdict.phases is not None:
            lines += phase_lines(verdict.phases, result.id)[:FIRST]
        if verdict.voltage is not None and result.id == "voltage.altered":
            lines += voltage_lines(verdict.voltage)[:FIRST]
        if verdict.communications is not None:
            lines += delivery_lines(verdict.communications.deliveries, result.id)
        if len(rows) > FIRST:
            lines.append(f"… and {len(rows) - FIRST} more: see discrepancies.parquet")
        failure.text = _clean("\n".join(lines))
    if verdict.diagnosis:
        ET.SubElement(suite, "system-out").text = _clean("\n".join(verdict.diagnosis))
    return bytes(ET.tostring(suite, encoding="utf-8", xml_declaration=True))
