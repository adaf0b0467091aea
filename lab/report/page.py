"""Composes the page: facts and figures into the template."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
from jinja2 import Environment, PackageLoader, StrictUndefined

from lab.report.charts import Axis, draw
from lab.report.events import RunEvent
from lab.report.figures import read_figures
from lab.report.findings import SHOWN_AT_MOST, summarise
from lab.report.outages import describe
from lab.report.svg import kind_class
from lab.verdict.summary import format_value
from lab.verdict.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure of the scorecard; `tone`: good, bad, or nothing of both."""

    label: str
    value: str
    hint: str
    tone: str = ""


def write_report(run_dir: Path, verdict: Verdict, events: Sequence[RunEvent]) -> Path:
    """Writes report.html beside the files of the run and of its verdict (`Verdict.write`), and returns its path."""
    clock = verdict.context.clock
    numbered = list(enumerate(sorted(events, key=lambda event: event.time_s), start=1))
    figures = read_figures(run_dir, start_s=clock.start_s, end_s=clock.end_s)
    environment = Environment(
        loader=PackageLoader("lab.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"instant": _instant, "duration": _length, "kind_class": kind_class, "figure": format_value}
    page = environment.get_template("report.html.j2").render(
        verdict=verdict,
        context=verdict.context,
        reads=verdict.comparison.reads,
        accuracy=verdict.comparison.accuracy,
        failed=[result for result in verdict.criteria if not result.passed],
        tiles=_tiles(verdict),
        facts=_facts(verdict),
        charts=draw(figures, Axis(clock.start_s, clock.end_s, numbered)),
        findings=summarise(pq.read_table(run_dir / "discrepancies.parquet")),
        shown_at_most=SHOWN_AT_MOST,
        events=numbered,
        outages=None if verdict.detection is None else describe(verdict.detection),
    )
    path = run_dir / "report.html"
    # a lone surrogate in a hostile name cannot be encoded, and must not cost the report
    path.write_bytes(page.encode("utf-8", errors="replace"))
    return path


def _instant(time_s: float | None) -> str:
    return "–" if time_s is None else f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d %H:%M:%S}"


def _length(seconds: float) -> str:
    """2 h, 45 min, 1 h 30 min, 40 s."""
    hours, rest = divmod(round(seconds), 3600)
    minutes, secs = divmod(rest, 60)
    parts = [f"{n} {unit}" for n, unit in ((hours, "h"), (minutes, "min"), (secs, "s")) if n]
    return " ".join(parts) or "0 s"


def _tiles(verdict: Verdict) -> list[Tile]:
    reads = verdict.comparison.reads

    def zero(label: str, count: int, hint: str) -> Tile:
        return Tile(label, f"{count:,}", hint, "bad" if count else "good")

    share = f"{reads.stored / reads.expected:.3%} of expected" if reads.expected else "nothing was expected"
    late = "–" if reads.late is None else f"{reads.late:,}"
    rejected = verdict.context.rejected_frames
    return [
        Tile("expected", f"{reads.expected:,}", "meter-intervals with supply"),
        Tile("stored", f"{reads.stored:,}", share),
        zero("lost", reads.lost, "neither stored nor estimated"),
        zero("altered", reads.altered, "not what the meter recorded"),
        zero("duplicates", reads.duplicate_rows, "rows beyond the first"),
        Tile("recovered", f"{reads.recovered:,}", "obtained by asking again"),
        Tile("late", late, "stored after their deadline"),
        Tile("rejected frames", "–" if rejected is None else f"{rejected:,}", "kept as dead letters"),
    ]


def _facts(verdict: Verdict) -> list[tuple[str, str]]:
    context, clock, ingest = verdict.context, verdict.context.clock, verdict.context.ingest
    host, feeder, fleet = context.host, context.feeder, verdict.fleet
    database = host.database if host.timescaledb is None else f"{host.database}, TimescaleDB {host.timescaledb}"
    vendors = ", ".join(f"{count:,} {name}" for name, count in fleet.by_vendor.items())
    intake = "not known: the head-end is external"
    if ingest is not None:
        p95 = ingest.receive_to_commit_ms.p95
        commit = f", receive to commit {p95:.1f} ms (95 %)" if p95 == p95 else ""  # NaN is not itself
        intake = f"{ingest.messages:,} messages, {ingest.rows:,} rows, {ingest.rows_per_s:,.0f} rows/s{commit}"
    error_wh = verdict.comparison.accuracy.max_abs_error_wh
    return [
        ("Scenario", f"{context.scenario}, seed {context.seed}"),
        ("Window", f"{_instant(clock.start_s)} to {_instant(clock.end_s)} UTC"),
        (
            "Feeder",
            f"{feeder.name}: {feeder.usage_points:,} usage points, {feeder.buses:,} buses, "
            f"{feeder.transformers:,} transformers",
        ),
        ("Fleet", f"{fleet.meters:,} meters ({vendors})"),
        ("Speed", f"{clock.pace}: {_length(clock.simulated_s)} in {clock.wall_s:,.1f} s"),
        ("Host", f"{host.cpu_count} × {host.cpu_model}, {host.memory_gib:g} GiB, Python {host.python}"),
        ("Services", f"{database}; {host.broker}"),
        ("Head-end", context.headend),
        ("Intake", intake),
        ("Accuracy", f"largest error {error_wh:.2f} Wh in an interval" if error_wh == error_wh else "not measured"),
    ]
