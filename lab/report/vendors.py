"""Who delivers what its datasheet says: one row per vendor profile."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lab.report.dead_letters import DeadLetters
from lab.report.meters import Meters
from lab.report.unusable import Polls
from lab.report.written import length
from lab.verdict.detection import CLOCK_S, Detection
from lab.verdict.tables import EVENTS_FILE
from lab.verdict.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many; nothing to say where `of` is 0."""

    count: int
    of: int

    @property
    def text(self) -> str:
        if not self.of:
            return "–"
        # cut, not rounded: what is short of all must not look like it
        return f"{math.floor(self.count / self.of * 1000) / 10:g} %"


@dataclass(frozen=True, slots=True)
class VendorRow:
    """Counts of reads as in the verdict.

    `faults`: what this vendor's meters have against them. `remarks`: where they fall short of what the whole fleet is
    asked for, which may be the doing of others: a killed head-end polls nobody, one with a wrong register map is
    refused. `discrepancy_share`: of all findings of the run, those at this vendor's meters.
    """

    vendor: str
    protocol: str
    meters: int
    collectors: int
    cadence: str
    expected: int
    on_time: Share
    late: int | None
    recovered: int
    estimated: int
    lost: int
    altered: int
    class_violations: int
    max_abs_error_wh: float
    gasps: Share
    events: Share
    dead_letters: int | None
    discrepancy_share: Share
    faults: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def standing(self) -> str:
        if self.faults:
            return "at fault"
        return "short" if self.remarks else "in order"


def vendor_rows(
    run_dir: Path, verdict: Verdict, meters: Meters, dead_letters: DeadLetters | None, polls: Polls
) -> list[VendorRow]:
    """By name of the profile."""
    table = verdict.comparison.by_meter
    place = pc.index_in(table["usage_point"], pa.array(meters.usage_points, pa.string())).to_numpy()
    vendor_of_row = np.array(meters.vendors, dtype=object)[place]
    vendors = np.array(meters.vendors, dtype=object)
    gasps = _gasps(verdict.detection, meters)
    heard = _events(run_dir, meters)
    buried = None if dead_letters is None else dead_letters.count_by_vendor(meters)
    found = _discrepancies(verdict, meters)
    least = next(r.criterion.target for r in verdict.criteria if r.id == "reads.success_rate")
    knows_commit = verdict.comparison.reads.late is not None
    rows = []
    for vendor in sorted(set(meters.vendors)):
        mine, here = vendor_of_row == vendor, vendors == vendor
        total = {name: int(table[name].to_numpy()[mine].sum()) for name in table.column_names[2:-1]}
        worst = table["max_abs_error_wh"].to_numpy()[mine]
        expected = total["expected"]
        on_time = Share(total["on_time"] if knows_commit else 0, expected if knows_commit else 0)
        kinds = found.get(vendor, {})
        remarks = [f"{on_time.text} on time, target {least * 100:g} %"] if _is_short(on_time, least) else []
        if refusing := polls.told([s for s, v in zip(meters.serials, meters.vendors, strict=True) if v == vendor]):
            remarks.append(refusing)
        protocol = ", ".join(sorted({p for p, v in zip(meters.protocols, meters.vendors, strict=True) if v == vendor}))
        rows.append(
            VendorRow(
                vendor=vendor,
                protocol=protocol,
                meters=int(here.sum()),
                collectors=len(
                    {c for c, v in zip(meters.collectors, meters.vendors, strict=True) if v == vendor and c}
                ),
                cadence=_cadence(meters, here),
                expected=expected,
                on_time=on_time,
                late=total["late"] if knows_commit else None,
                recovered=total["recovered"],
                estimated=total["estimated"],
                lost=total["lost"],
                altered=total["altered"],
                class_violations=total["class_violations"],
                max_abs_error_wh=float(np.nanmax(worst)) if np.isfinite(worst).any() else math.nan,
                gasps=gasps.get(vendor, Share(0, 0)) if meters.reports_outages[here].any() else Share(0, 0),
                events=heard.get(vendor, Share(0, 0)),
                dead_letters=None if buried is None else buried.get(vendor, 0),
                discrepancy_share=Share(sum(kinds.values()), len(verdict.comparison.discrepancies)),
                faults=_faults(total, kinds),
                remarks=tuple(remarks),
            )
        )
    return rows


def _faults(total: dict[str, int], kinds: dict[str, int]) -> tuple[str, ...]:
    counts = (
        ("lost", total["lost"]),
        ("altered", total["altered"]),
        ("out of class", total["class_violations"]),
        ("unrecorded", kinds.get("unrecorded", 0)),
        ("wrong estimates", kinds.get("estimate_off", 0)),
        ("duplicates", kinds.get("duplicate", 0)),
        ("recorded twice", kinds.get("recorded_twice", 0)),
    )
    return tuple(f"{count:,} {label}" for label, count in counts if count)


def _is_short(on_time: Share, least: float) -> bool:
    return bool(on_time.of) and on_time.count / on_time.of < least


def _cadence(meters: Meters, here: np.ndarray) -> str:
    def span(values: np.ndarray) -> str:
        return ", ".join(length(value) for value in sorted(set(values.tolist())))

    interval, report = span(meters.interval_length_s[here]), span(meters.report_every_s[here])
    return interval if interval == report else f"{interval} / {report}"


def _discrepancies(verdict: Verdict, meters: Meters) -> dict[str, dict[str, int]]:
    """Vendor → kind → findings."""
    table = verdict.comparison.discrepancies
    vendor_of = dict(zip(meters.usage_points, meters.vendors, strict=True))
    counted = pa.table(
        {name: table[name].cast(pa.string()) for name in ("kind", "usage_point")}
    ).group_by(["kind", "usage_point"]).aggregate([([], "count_all")])  # fmt: skip
    found: dict[str, dict[str, int]] = {}
    for row in counted.to_pylist():
        vendor = vendor_of.get(row["usage_point"])
        if vendor is not None:
            kinds = found.setdefault(vendor, {})
            kinds[row["kind"]] = kinds.get(row["kind"], 0) + row["count_all"]
    return found


def _gasps(detection: Detection | None, meters: Meters) -> dict[str, Share]:
    """Of the customers' sustained interruptions, those whose meter was heard to lose its supply."""
    if detection is None:
        return {}
    vendor_of = dict(zip(meters.usage_points, meters.vendors, strict=True))
    heard: dict[str, list[float]] = {}
    for found in (*detection.detected, *detection.momentary_detected):
        for share in found.shares:
            if share.gasp_s is not None:
                heard.setdefault(share.usage_point, []).append(share.from_s)
    counts: dict[str, Share] = {}
    for outage in detection.injected:
        for point in outage.usage_points:
            if (vendor := vendor_of.get(point)) is None:
                continue
            was = any(abs(from_s - outage.start_s) <= 30 * CLOCK_S for from_s in heard.get(point, ()))
            before = counts.get(vendor, Share(0, 0))
            counts[vendor] = Share(before.count + was, before.of + 1)
    return counts


def _events(run_dir: Path, meters: Meters) -> dict[str, Share]:
    """Of the events that meters recorded, those that the head-end stored. By serial, number and code."""
    path = run_dir / EVENTS_FILE
    if not path.exists():
        return {}
    vendor_of = dict(zip(meters.serials, meters.vendors, strict=True))
    keys = ["serial", "sequence", "code"]
    stored = {tuple(row.values()) for row in pq.read_table(path, columns=keys).to_pylist()}
    counts: dict[str, Share] = {}
    for file in sorted((run_dir / "journal").glob("*_events.parquet")):
        if not set(keys) <= set(pq.read_schema(file).names):
            continue
        for row in pq.read_table(file, columns=keys).to_pylist():
            if (vendor := vendor_of.get(row["serial"])) is not None:
                before = counts.get(vendor, Share(0, 0))
                counts[vendor] = Share(before.count + (tuple(row.values()) in stored), before.of + 1)
    return counts
