"""report.html of a load test: one file, opens without network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lab.loadtest.judgement import LoadVerdict, Word, figure
from lab.loadtest.plot import XY, Line
from lab.loadtest.samples import Sample
from lab.verdict.context import Host

STAMPS = {Word.PASSED: ("pass", "✓ Passed"), Word.FAILED: ("fail", "✗ Failed"), Word.INVALID: ("void", "Invalid")}
REPORT = "report.html"


def write_page(directory: Path, verdict: LoadVerdict, samples: Sequence[Sample]) -> Path:
    """Returns its path."""
    measured = verdict.measured
    tone, stamp = STAMPS[verdict.word]
    return render(
        directory / REPORT,
        "loadtest.html.j2",
        verdict=verdict,
        measured=measured,
        found=measured.intervals,
        tone=tone,
        stamp=stamp,
        invalid=verdict.word is Word.INVALID,
        results=[*verdict.criteria, *verdict.validity],
        charts=_charts(verdict, samples),
        facts=facts(verdict.host),
    )


def render(path: Path, template: str, **values: object) -> Path:
    """Write a page by one of the templates of this package, with the report's style sheet at hand."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("lab.loadtest", "templates"), PackageLoader("lab.report", "templates")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": figure, "thousands": "{:,}".format, "ms": "{:,.1f}".format}
    path.write_text(environment.get_template(template).render(**values), encoding="utf-8")
    return path


def facts(host: Host) -> list[tuple[str, str]]:
    """The machine and the services."""
    database = host.database if host.timescaledb is None else f"{host.database}, TimescaleDB {host.timescaledb}"
    return [
        ("Host", f"{host.cpu_count} × {host.cpu_model}, {host.memory_gib:g} GiB, Python {host.python}"),
        ("Services", f"{database}; {host.broker}"),
    ]


def _charts(verdict: LoadVerdict, samples: Sequence[Sample]) -> list[tuple[XY, Markup]]:
    begin_s = min((sample.at_s for sample in samples), default=0.0)

    def line(label: str, class_: str, source: str, metric: str) -> Line:
        chosen = [s for s in samples if s.source == source and s.metric == metric]
        chosen.sort(key=lambda sample: sample.at_s)
        return Line(label, class_, [(max(0.0, s.at_s - begin_s), s.value) for s in chosen])

    limit_ms = next((r.criterion.target for r in verdict.criteria if r.id.endswith("p95_ms")), 0.0)
    plots = [
        XY(
            "throughput", "Throughput", "s", "per second",
            (
                line("messages published", "l-client", "client", "offered_messages_per_s"),
                line("messages acknowledged", "l-ack", "client", "messages_per_s"),
                line("rows by the head-end", "l-headend", "head-end", "rows_per_s"),
                line("rows in the database", "l-database", "database", "rows_per_s"),
            ),
        ),
        XY(
            "latency", "From publish to commit, by the second of publishing", "s", "ms",
            (
                line("95 %", "l-headend", "database", "p95_ms"),
                line("50 %", "l-database", "database", "p50_ms"),
            ),
            level=(limit_ms, f"objective {limit_ms:,g} ms"),
        ),
        XY(
            "cores", "Processors", "s", "% of a core",
            (
                line("head-end", "l-headend", "head-end", "cpu_percent"),
                line("database", "l-database", "database", "cpu_percent"),
                line("generator", "l-client", "generator", "cpu_percent"),
            ),
        ),
        XY(
            "lag", "How far the generator is behind its schedule, 95 %", "s", "ms",
            (line("generator", "l-client", "generator", "lag_ms"),),
        ),
        XY("users", "Users", "s", "users", (line("users", "l-client", "client", "users"),), height=180),
    ]  # fmt: skip
    return [(plot, plot.svg()) for plot in plots]
