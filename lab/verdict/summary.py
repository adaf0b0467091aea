"""The verdict in the terminal: a short table, readable without colours too."""

import math

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from lab.verdict.context import EXTERNAL
from lab.verdict.criteria import CriterionResult
from lab.verdict.verdict import Verdict


def format_value(result: CriterionResult) -> str:
    """A criterion's figure. Rates are cut, not rounded: what missed its target must not look as if it had met it."""
    if math.isnan(result.value):
        return "not measured"
    if result.id.endswith("_pct"):
        return "∞" if math.isinf(result.value) else f"{math.ceil(result.value * 1e3) / 1e3:.3f}"
    if result.id.endswith(("_rate", "recall", "localised", "_recorded")) or result.id.startswith("network."):
        return f"{math.floor(result.value * 1e5) / 1e5:.5f}"
    return f"{result.value:,.0f}"


def summary(verdict: Verdict, *, report: str | None = None) -> RenderableType:
    """What to print at a run's end; `report`: where the report is."""
    reads, clock = verdict.comparison.reads, verdict.context.clock
    table = Table(box=None, pad_edge=False, header_style="dim", show_edge=False)
    table.add_column("")
    table.add_column("criterion")
    table.add_column("value", justify="right")
    table.add_column("target", justify="right", style="dim")
    for result in verdict.criteria:
        mark = Text("✓", style="green") if result.passed else Text("✗", style="bold red")
        value = Text(format_value(result), style="" if result.passed else "bold red")
        table.add_row(mark, result.id, value, result.criterion.target_text)
    failed = sum(not result.passed for result in verdict.criteria)
    banner = (
        Text.assemble((" PASSED ", "bold white on green"), f"  all {len(verdict.criteria)} criteria")
        if verdict.passed
        else Text.assemble((" FAILED ", "bold white on red"), f"  {failed} of {len(verdict.criteria)} criteria")
    )
    whose = ", external head-end" if verdict.context.headend == EXTERNAL else ""
    banner.append(f"  {verdict.context.scenario}, seed {verdict.context.seed}{whose}", style="dim")
    late = "unknown" if reads.late is None else f"{reads.late:,}"
    frames = verdict.context.rejected_frames
    rejected = "" if frames is None else f"  {frames:,} frames rejected"
    counts = Text(
        f"{reads.expected:,} expected  {reads.stored:,} stored  {reads.estimated:,} estimated  {reads.lost:,} lost\n"
        f"{reads.recovered:,} recovered  {late} late{rejected}"
    )
    if verdict.transformers is not None:
        own = verdict.transformers.comparison.reads
        counts.append(
            f"\nat transformers: {own.expected:,} expected  {own.stored:,} stored  {own.estimated:,} estimated  "
            f"{own.lost:,} lost"
        )
    if verdict.communications is not None:
        carried = verdict.communications.deliveries.technologies
        counts.append("".join(f"\non {each.name}: {each.told}" for each in carried))
    pace = Text(
        f"{_length(clock.simulated_s)} simulated in {clock.wall_s:.1f} s ({clock.pace})",
        style="dim",
    )
    diagnosis = [Text.assemble(("→ ", "yellow"), sentence) for sentence in verdict.diagnosis]
    lines: list[RenderableType] = [banner, table, *diagnosis, counts, pace]
    if report is not None:
        lines.append(Text.from_markup(f"report: [bold]{escape(report)}[/bold]"))
    return Group(*lines)


def _length(seconds: int) -> str:
    """Hours, where that says something of it."""
    if seconds >= 3600:
        return f"{seconds / 3600:.4g} h"
    return f"{seconds / 60:.3g} min" if seconds >= 60 else f"{seconds} s"
