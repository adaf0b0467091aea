"""How old readings were when they were committed, and how long the head-end's intake took."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from markupsafe import Markup
from numpy.typing import NDArray

from lab.report.chart import Chart
from lab.report.histogram import Histogram, Mark
from lab.report.meters import Meters
from lab.report.states import seconds
from lab.report.svg import tag
from lab.verdict.context import LatencyMs
from lab.verdict.expected import GRACE_S

LATENCIES = "latencies.json"
"""The head-end's own histogram, in a run's directory: `upper_ms` and `messages`, one entry per bin."""
_BINS_PER_DECADE = 20
_AGE_TICKS = ((1, "≤ 1 s"), (10, "10 s"), (60, "1 min"), (300, "5 min"), (900, "15 min"), (3600, "1 h"),
              (4 * 3600, "4 h"), (12 * 3600, "12 h"), (48 * 3600, "2 d"), (7 * 86400, "7 d"))  # fmt: skip
_AGES_PER_DECADE = 8
Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ages:
    """Of one vendor profile's stored actual readings: committed − interval's end [s], and their deadline [s]."""

    vendor: str
    ages_s: Float
    deadline_s: float

    @property
    def late(self) -> int:
        return int((self.ages_s > self.deadline_s).sum())


def draw_latencies(run_dir: Path, meters: Meters, intake: LatencyMs | None) -> list[Chart]:
    """Charts for what this run can tell: an external head-end may say nothing of either."""
    charts = []
    if ages := read_ages(run_dir, meters):
        charts.append(_ages(ages))
    path = run_dir / LATENCIES
    if path.exists() and intake is not None:
        bins = json.loads(path.read_text(encoding="utf-8"))
        if bins["messages"]:
            charts.append(_intake(np.array(bins["upper_ms"]), np.array(bins["messages"], dtype=np.float64), intake))
    return charts


def read_ages(run_dir: Path, meters: Meters) -> list[Ages]:
    """By vendor; empty where nobody says when rows were committed."""
    names = set(pq.read_schema(run_dir / "stored.parquet").names)
    if not {"committed_at"} <= names or not {"usage_point", "serial"} & names:
        return []
    key = "usage_point" if "usage_point" in names else "serial"
    columns = [key, "interval_start", "interval_length_s", "committed_at", *({"quality"} & names)]
    table = pq.read_table(run_dir / "stored.parquet", columns=columns)
    known = meters.usage_points if key == "usage_point" else meters.serials
    row = pc.fill_null(pc.index_in(table[key].cast(pa.string()), pa.array(known, pa.string())), -1).to_numpy()
    age_s = seconds(table["committed_at"]) - seconds(table["interval_start"]) - table["interval_length_s"].to_numpy()
    usable = (row >= 0) & np.isfinite(age_s)
    if "quality" in table.column_names:
        usable &= np.asarray(pc.not_equal(table["quality"].cast(pa.string()), "estimated").to_numpy(), dtype=bool)
    vendors = np.array(meters.vendors, dtype=object)
    found = []
    for vendor in sorted(set(meters.vendors)):
        mine = vendors == vendor
        picked = usable & mine[row]
        if picked.any():
            deadline_s = float(meters.report_every_s[mine].max()) + GRACE_S
            found.append(Ages(vendor, age_s[picked], deadline_s))
    return found


def _ages(found: list[Ages]) -> Chart:
    oldest = max(max(float(ages.ages_s.max()), 2 * ages.deadline_s) for ages in found)
    drawings, rows = [], []
    for place, ages in enumerate(found):
        edges = _age_edges(oldest, ages.deadline_s)
        clipped = np.clip(ages.ages_s, edges[0], edges[-1])
        # an age on an edge belongs below it: the deadline itself is in time
        place_of = np.clip(np.searchsorted(edges, clipped, side="left") - 1, 0, len(edges) - 2)
        counts = np.bincount(place_of, minlength=len(edges) - 1).astype(np.float64)
        classes = tuple("c-late" if low >= ages.deadline_s else "c-on-time" for low in edges[:-1])
        tips = [
            f"{_age(low)} to {_age(high)}\n{count:,.0f} readings"
            for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
        ]
        p50, p95, p99 = np.percentile(ages.ages_s, (50, 95, 99)).tolist()
        label = f"deadline {_age(ages.deadline_s)}"
        text = f"{len(ages.ages_s):,} readings, half within {_age(p50)}, 95 % within {_age(p95)}, {ages.late:,} late."
        drawing = Histogram(edges, counts, classes, log_counts=True, height=190, top=30).svg(
            _AGE_TICKS,
            [Mark(ages.deadline_s, label, "limit")],
            tips,
            unit="reads",
            title=f"Age of readings: {ages.vendor}",
            description=text,
            id_=f"age-{place}",
        )
        caption = tag("figcaption", tag("b", ages.vendor), tag("span", text))
        drawings.append(tag("figure", caption, drawing, class_="row"))
        figures = (p50, p95, p99, float(ages.ages_s.max()))
        shown = (*map(_age, figures), _age(ages.deadline_s), f"{ages.late:,}")
        rows.append((ages.vendor, f"{len(ages.ages_s):,}", *shown))
    return Chart(
        "age",
        "Age of readings when stored",
        "From the end of the interval to the commit, simulated time, both axes logarithmic. The deadline is the "
        "profile's reporting period and five minutes.",
        Markup("").join(drawings),
        (("c-on-time", "in time"), ("c-late", "after the deadline")),
        ("vendor profile", "readings", "50 %", "95 %", "99 %", "oldest", "deadline", "late"),
        tuple(rows),
    )


def _age_edges(oldest_s: float, deadline_s: float) -> Float:
    """Logarithmic from 1 s, with the deadline as an edge; whatever is younger is in the first bin."""
    last = math.ceil(math.log10(max(oldest_s, 10.0)) * _AGES_PER_DECADE)
    edges = 10.0 ** (np.arange(last + 1) / _AGES_PER_DECADE)
    ratio = 10.0 ** (0.45 / _AGES_PER_DECADE)
    apart = edges[(edges < deadline_s / ratio) | (edges > deadline_s * ratio)]
    return np.sort(np.append(np.append(apart, deadline_s), 10.0 ** (-1 / _AGES_PER_DECADE)))


def _age(age_s: float) -> str:
    """2 d 3 h, 4 h 5 min, 5 min 32 s, 31 s; a second at least, which is how fine simulated time is."""
    if age_s < 60:
        return f"{max(age_s, 1):.3g} s"
    for large_s, small_s, units in ((86_400, 3600, "d h"), (3600, 60, "h min"), (60, 1, "min s")):
        # two days are the first that are called so
        if age_s >= large_s * (2 if large_s == 86_400 else 1):
            large, small = divmod(round(age_s / small_s), large_s // small_s)
            names = units.split()
            return " ".join(f"{n} {unit}" for n, unit in zip((large, small), names, strict=True) if n)
    raise AssertionError("a minute at least")


def _intake(upper_ms: Float, messages: Float, intake: LatencyMs) -> Chart:
    decade = np.floor(np.round(np.log10(upper_ms) * _BINS_PER_DECADE, 6) - 1e-9)
    first, last = int(decade[0]), int(decade[-1])
    edges = 10.0 ** (np.arange(first, last + 2) / _BINS_PER_DECADE)
    binned = np.bincount((decade - first).astype(np.int64), weights=messages, minlength=last - first + 1)
    counts = binned.astype(np.float64)
    if len(edges) < 12:
        spare = np.arange(1, 7) / _BINS_PER_DECADE
        edges = np.concatenate([edges[0] * 10.0 ** -spare[::-1], edges, edges[-1] * 10.0**spare])
        counts = np.concatenate([np.zeros(6), counts, np.zeros(6)])
    ticks = [(m * 10.0**e, _ms(m * 10.0**e)) for e in range(-3, 7) for m in (1, 2, 5)]
    tips = [
        f"{_ms(low)} to {_ms(high)}\n{count:,.0f} messages"
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]
    figures = (("p50", intake.p50), ("p95", intake.p95), ("p99", intake.p99))
    marks = [Mark(ms, f"{name} {_ms(ms)}", "percentile", row=row) for row, (name, ms) in enumerate(figures)]
    total = messages.sum()
    note = (
        f"From the socket to the commit, on the wall clock: {total:,.0f} messages, half within {_ms(intake.p50)}, "
        f"99 % within {_ms(intake.p99)}, the slowest {_ms(intake.max)}."
    )
    drawing = Histogram(edges, counts, ("c-intake",) * len(counts), top=46).svg(
        ticks, marks, tips, unit="messages", title="Intake latency", description=note, id_="intake"
    )
    rows = tuple(
        (_ms(high), f"{count:,.0f}", f"{share:.3%}")
        for high, count, share in zip(edges[1:], counts, np.cumsum(counts) / total, strict=True)
        if count
    )
    return Chart(
        "intake", "Receive to commit, wall clock", note, drawing, (), ("up to", "messages", "share up to here"), rows
    )


def _ms(ms: float) -> str:
    return f"{ms / 1000:.3g} s" if ms >= 1000 else f"{ms:.3g} ms"
