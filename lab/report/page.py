"""Composes the page: facts and figures into the template."""

import base64
import hashlib
import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from grid.wording import counted
from lab.report.causes import causes, known_better
from lab.report.chart import Axis
from lab.report.charts import draw
from lab.report.clock import Clock
from lab.report.communications import causes_text, describe_communications, share_text
from lab.report.dead_letters import read_dead_letters
from lab.report.discrepancy_rows import CSV_FILE, columns_of, page_data, write_csv
from lab.report.events import RunEvent
from lab.report.evidence import Witness
from lab.report.feeder_map import draw_map
from lab.report.figures import read_figures
from lab.report.findings import SHOWN_AT_MOST, summarise, vendors_of
from lab.report.head_end import read_head_end
from lab.report.latency import draw_latencies
from lab.report.meters import read_meters
from lab.report.outages import describe, device_name
from lab.report.phase_losses import describe_phases
from lab.report.plane import read_plane
from lab.report.scorecard import lead, scorecard
from lab.report.states import read_history, seconds
from lab.report.supply import draw_supply
from lab.report.svg import instant, kind_class
from lab.report.transformers import read_transformers
from lab.report.unusable import read_implausible, read_polls
from lab.report.vendors import vendor_rows
from lab.report.written import length, significant
from lab.verdict.context import LatencyMs
from lab.verdict.summary import format_value
from lab.verdict.verdict import Verdict

_PAGE = "report.html"
REPORT_FILES = (_PAGE, CSV_FILE)
"""What `write_report` writes."""
_SCRIPTS = ("map.js", "discrepancies.js")


def write_report(run_dir: Path, verdict: Verdict, events: Sequence[RunEvent]) -> Path:
    """Writes report.html beside the files of the run and of its verdict, and returns its path."""
    clock = verdict.context.clock
    numbered = list(enumerate(sorted(events, key=lambda event: event.time_s), start=1))
    figures = read_figures(run_dir, start_s=clock.start_s, end_s=clock.end_s)
    meters = read_meters(run_dir)
    history = read_history(run_dir, meters.usage_points, start_s=clock.start_s, end_s=clock.end_s)
    axis = Axis(clock.start_s, clock.end_s, numbered)
    dead_letters = read_dead_letters(run_dir)
    plane = read_plane(run_dir, meters)
    feeder_map = None if plane is None else draw_map(plane, meters, history, numbered, start_s=clock.start_s)
    reads, *physics = draw(figures, axis)
    polls = read_polls(run_dir)
    discrepancies = pq.read_table(run_dir / "discrepancies.parquet")
    happened = [event for _, event in numbered]
    implausible = read_implausible(run_dir)
    because = causes(discrepancies, meters, history, happened, dead_letters, polls, implausible, verdict.explanations)
    if verdict.communications is not None:
        because = known_better(because, verdict.communications.reasons)
    vendors = vendors_of(discrepancies, meters)
    columns = columns_of(discrepancies, because, vendors)
    write_csv(columns, run_dir / CSV_FILE)

    def witness(usage_points: Sequence[str]) -> Witness:
        return Witness(run_dir, usage_points, meters, history, numbered, dead_letters)

    findings = summarise(discrepancies, because, vendors, Clock.of(_starts_s(discrepancies)), witness)
    page = (
        _environment()
        .get_template("report.html.j2")
        .render(
            verdict=verdict,
            context=verdict.context,
            **_failed(verdict),
            lead=lead(verdict),
            tiles=scorecard(verdict),
            facts=_facts(verdict),
            feeder_map=feeder_map,
            map_data=feeder_map and _json(feeder_map.data),
            **_script(),
            start_s=clock.start_s,
            interval_s=int(meters.interval_length_s.min()) if len(meters) else 900,
            speeds=_speeds(clock.simulated_s),
            supply=draw_supply(history, axis),
            says_communication=history.says_communication,
            read_charts=[reads, *draw_latencies(run_dir, meters, _intake(verdict))],
            physics_charts=physics,
            communications=describe_communications(verdict),
            transformers=read_transformers(run_dir, verdict, meters),
            vendors=vendor_rows(run_dir, verdict, meters, dead_letters, polls),
            head_end=read_head_end(run_dir),
            findings=findings,
            discrepancy_data=_json(page_data(columns, findings.group_of)),
            shown_at_most=SHOWN_AT_MOST,
            events=numbered,
            outages=None if verdict.detection is None else describe(verdict.detection),
            phases=None if verdict.phases is None else describe_phases(verdict.phases),
        )
    )
    return _written(run_dir / _PAGE, page)


def _written(path: Path, page: str) -> Path:
    # a lone surrogate in a hostile name cannot be encoded, and must not cost the report
    path.write_bytes(page.encode("utf-8", errors="replace"))
    return path


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("lab.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"instant": instant, "duration": length, "kind_class": kind_class}
    environment.filters |= {"figure": format_value, "significant": significant, "device": device_name}
    environment.filters |= {"network_share": share_text, "network_causes": causes_text}
    return environment


def _script() -> dict[str, object]:
    """Ours, as it is: the page's content policy lets only the script with this very text run."""
    templates = resources.files("lab.report").joinpath("templates")
    script = Markup("\n".join(templates.joinpath(name).read_text(encoding="utf-8") for name in _SCRIPTS))  # noqa: S704
    return {"script": script, "script_hash": _sha256(script)}


def _intake(verdict: Verdict) -> LatencyMs | None:
    return None if verdict.context.ingest is None else verdict.context.ingest.receive_to_commit_ms


def _failed(verdict: Verdict) -> dict[str, object]:
    failed = [result for result in verdict.criteria if not result.passed]
    of_outages = [result.id.startswith(("outages.", "phases.", "voltage.")) for result in failed]
    of_network = [result.id.startswith("network.") for result in failed]
    return {
        "failed": failed,
        "failed_reads": sum(of_outages) + sum(of_network) < len(failed),
        "failed_outages": any(of_outages),
        "failed_network": any(of_network),
    }


def _starts_s(discrepancies: pa.Table) -> list[float]:
    starts: list[float] = seconds(discrepancies["interval_start"]).tolist()
    return starts


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _json(data: dict[str, object]) -> Markup:
    """For a script element: no name can end it."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace("&", "\\u0026"))  # noqa: S704


def _speeds(simulated_s: float) -> list[tuple[int, str, bool]]:
    """How fast the map may play: seconds in a second, in words, and the one that shows the run in about a minute."""
    known = (1, 10, 60, 600, 1800, 3600, 6 * 3600)
    shown = [value for value in known if value <= max(simulated_s / 8, 1)]
    best = min(shown, key=lambda value: abs(value - simulated_s / 48))
    return [(value, f"{length(value)}/s", value == best) for value in shown]


def _at_transformers(verdict: Verdict) -> str:
    if verdict.transformers is None:
        return ""
    vendors = ", ".join(f"{count:,} {name}" for name, count in verdict.transformers.by_vendor.items())
    return f"; at transformers {vendors}"


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
        ("Window", f"{instant(clock.start_s)} to {instant(clock.end_s)} UTC"),
        (
            "Feeder",
            f"{feeder.name}: {counted(feeder.usage_points, 'usage point')}, "
            f"{counted(feeder.buses, 'bus', 'buses')}, {counted(feeder.transformers, 'transformer')}; "
            f"{feeder.flow} power flow" + ("" if feeder.time_zone is None else f"; its clocks: {feeder.time_zone}"),
        ),
        ("Fleet", f"{counted(fleet.meters, 'meter')} ({vendors}){_at_transformers(verdict)}"),
        ("Speed", f"{clock.pace}: {length(clock.simulated_s)} in {clock.wall_s:,.1f} s"),
        ("Host", f"{host.cpu_count} × {host.cpu_model}, {host.memory_gib:g} GiB, Python {host.python}"),
        ("Services", f"{database}; {host.broker}"),
        ("Head-end", context.headend),
        ("Intake", intake),
        (
            "Accuracy",
            f"largest error {significant(error_wh)} Wh in an interval" if error_wh == error_wh else "not measured",
        ),
    ]
