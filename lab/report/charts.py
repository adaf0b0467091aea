"""The report's plots. Each comes with its figures as a table, for those who cannot or would not see the drawing."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from lab.report.events import RunEvent
from lab.report.figures import READ_KINDS, Figures
from lab.report.svg import Plot, hhmm, nice_ticks, tag

Float = NDArray[np.float64]
NOMINAL_V = 230.0
EN_50160 = 0.10
READ_LABELS = {
    "on_time": "on time",
    "recovered": "recovered",
    "late": "late",
    "estimated": "estimated",
    "lost": "lost",
}


@dataclass(frozen=True, slots=True)
class Chart:
    """`legend`: pairs of CSS class and label. `rows` are the figures drawn, below `columns`."""

    id: str
    title: str
    note: str
    svg: Markup
    legend: tuple[tuple[str, str], ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Axis:
    """The time axis that all plots share, and what happened along it."""

    start_s: float
    end_s: float
    events: Sequence[tuple[int, RunEvent]]


def draw(figures: Figures, axis: Axis) -> list[Chart]:
    return [
        _reads(figures, axis),
        _load(figures, axis),
        _voltage(figures, axis),
        _energised(figures, axis),
        _transformers(figures, axis),
    ]


def _ends(time_s: Float, end_s: float) -> Float:
    return np.append(time_s[1:], end_s)[: len(time_s)]


def _shown(value: float, digits: int = 0) -> str:
    return f"{value:,.{digits}f}" if np.isfinite(value) else "–"


def _peak(values: Float, floor: float) -> float:
    finite = values[np.isfinite(values)]
    return max(float(finite.max()), floor) if len(finite) else floor


def _load(figures: Figures, axis: Axis) -> Chart:
    frames = figures.frames
    drawn, fed_in = frames.drawn_w / 1000, frames.fed_in_w / 1000
    net = drawn - fed_in
    ticks = nice_ticks(-_peak(fed_in, 0.0), _peak(drawn, 1.0))
    plot = Plot(axis.start_s, axis.end_s, ticks[0], ticks[-1])
    zero = np.zeros(len(net))
    tips = [
        f"{hhmm(t)} UTC\ndrawn {_shown(d, 1)} kW\nfed in {_shown(f, 1)} kW\nnet {_shown(n, 1)} kW\n"
        f"losses {_shown(w / 1000, 1)} kW"
        for t, d, f, n, w in zip(frames.time_s, drawn, fed_in, net, frames.losses_w, strict=True)
    ]
    note = "No frames."
    if len(drawn):
        peak = int(np.argmax(drawn))
        note = f"Highest demand {_shown(drawn[peak])} kW at {hhmm(frames.time_s[peak])}."
        if fed_in.any():
            note += f" Highest feed-in {_shown(fed_in.max())} kW at {hhmm(frames.time_s[int(np.argmax(fed_in))])}."
    svg = plot.svg(
        plot.axes(ticks, "kW"),
        plot.area(frames.time_s, zero, drawn, "c-load", step=True),
        plot.area(frames.time_s, -fed_in, zero, "c-generation", step=True),
        plot.line(frames.time_s, net, "c-net", step=True),
        plot.events(axis.events),
        plot.hover(frames.time_s, _ends(frames.time_s, axis.end_s), tips),
        title="Load and generation",
        description=f"Power drawn and fed in by all usage points over the day, in kilowatts. {note}",
        id_="load",
    )
    rows = tuple(
        (hhmm(t), _shown(d, 1), _shown(f, 1), _shown(n, 1), _shown(w / 1000, 2))
        for t, d, f, n, w in zip(frames.time_s, drawn, fed_in, net, frames.losses_w, strict=True)
    )
    return Chart(
        "load",
        "Load and generation",
        note,
        svg,
        (("c-load", "drawn by usage points"), ("c-generation", "fed in"), ("c-net line", "net")),
        ("from (UTC)", "drawn kW", "fed in kW", "net kW", "network losses kW"),
        rows,
    )


def _voltage(figures: Figures, axis: Axis) -> Chart:
    v = figures.voltages
    low_limit, high_limit = NOMINAL_V * (1 - EN_50160), NOMINAL_V * (1 + EN_50160)
    finite = v.quantiles_v[np.isfinite(v.quantiles_v)]
    least, most = (float(finite.min()), float(finite.max())) if len(finite) else (NOMINAL_V, NOMINAL_V)
    ticks = nice_ticks(min(least, low_limit - 3), max(most, high_limit + 3))
    plot = Plot(axis.start_s, axis.end_s, ticks[0], ticks[-1])
    # the interval's mean stands at its middle
    middle = (v.start_s + v.end_s) / 2
    minimum, p5, median, p95, maximum = v.quantiles_v.T
    outside = "" if low_limit <= least and most <= high_limit else " Outside EN 50160 for some."
    note = f"Usage points with supply saw {_shown(least, 1)} to {_shown(most, 1)} V (interval means).{outside}"
    tips = [
        f"{hhmm(t)} UTC\nhighest {_shown(q[4], 1)} V\n95 % {_shown(q[3], 1)} V\nmedian {_shown(q[2], 1)} V\n"
        f"5 % {_shown(q[1], 1)} V\nlowest {_shown(q[0], 1)} V"
        for t, q in zip(v.start_s, v.quantiles_v, strict=True)
    ]
    svg = plot.svg(
        plot.axes(ticks, "V"),
        plot.area(middle, minimum, maximum, "c-band-outer"),
        plot.area(middle, p5, p95, "c-band-inner"),
        plot.line(middle, median, "c-median"),
        plot.level(high_limit, f"EN 50160 +10 %: {high_limit:g} V", "limit"),
        plot.level(low_limit, f"EN 50160 −10 %: {low_limit:g} V", "limit"),
        plot.events(axis.events),
        plot.hover(v.start_s, v.end_s, tips),
        title="Voltage at the usage points",
        description=f"Range, 5 to 95 per cent range and median of the interval mean voltages. {note}",
        id_="voltage",
    )
    rows = tuple((hhmm(t), *(_shown(value, 1) for value in q)) for t, q in zip(v.start_s, v.quantiles_v, strict=True))
    return Chart(
        "voltage",
        "Voltage at the usage points",
        note,
        svg,
        (("c-band-outer", "lowest to highest"), ("c-band-inner", "5 % to 95 %"), ("c-median line", "median")),
        ("from (UTC)", "lowest V", "5 % V", "median V", "95 % V", "highest V"),
        rows,
    )


def _reads(figures: Figures, axis: Axis) -> Chart:
    reads = figures.reads
    ticks = nice_ticks(0, _peak(reads.expected, 1))
    plot = Plot(axis.start_s, axis.end_s, ticks[0], ticks[-1])
    below = np.zeros(len(reads.expected))
    bars = []
    for kind in READ_KINDS:
        above = below + reads.counts[kind]
        bars.append(plot.bars(reads.start_s, reads.end_s, below, above, f"c-{kind.replace('_', '-')}"))
        below = above
    tips = [
        f"{hhmm(t)} UTC\nexpected {_shown(e)}\n"
        + "\n".join(f"{READ_LABELS[k]} {_shown(reads.counts[k][i])}" for k in READ_KINDS)
        for i, (t, e) in enumerate(zip(reads.start_s, reads.expected, strict=True))
    ]
    note = ", ".join(f"{_shown(reads.counts[k].sum())} {READ_LABELS[k]}" for k in READ_KINDS) + "."
    svg = plot.svg(
        plot.axes(ticks, "reads"),
        *bars,
        plot.line(reads.start_s, reads.expected, "c-expected", step=True),
        plot.events(axis.events),
        plot.hover(reads.start_s, reads.end_s, tips),
        title="Reads by interval",
        description=f"For each interval, what became of the reads that were expected: {note}",
        id_="reads",
    )
    rows = tuple(
        (hhmm(t), _shown(e), *(_shown(reads.counts[k][i]) for k in READ_KINDS))
        for i, (t, e) in enumerate(zip(reads.start_s, reads.expected, strict=True))
    )
    return Chart(
        "reads",
        "Reads by interval",
        note,
        svg,
        (*((f"c-{k.replace('_', '-')}", READ_LABELS[k]) for k in READ_KINDS), ("c-expected line", "expected")),
        ("from (UTC)", "expected", *(READ_LABELS[k] for k in READ_KINDS)),
        rows,
    )


def _energised(figures: Figures, axis: Axis) -> Chart:
    frames = figures.frames
    most = _peak(frames.energised, 1)
    least = float(frames.energised.min()) if len(frames.energised) else 0.0
    ticks = nice_ticks(max(0.0, least - 0.25 * max(most - least, 4.0)), most, about=4)
    plot = Plot(axis.start_s, axis.end_s, ticks[0], ticks[-1], height=190)
    begins = f" The axis begins at {_shown(ticks[0])}." if ticks[0] > 0 else ""
    note = f"{_shown(most)} with supply at most, {_shown(least)} at least.{begins}"
    ends = _ends(frames.time_s, axis.end_s)
    tips = [
        f"{hhmm(t)} UTC\n{_shown(e)} with supply\n{_shown(most - e)} fewer than at most"
        for t, e in zip(frames.time_s, frames.energised, strict=True)
    ]
    svg = plot.svg(
        plot.axes(ticks, ""),
        plot.area(frames.time_s, np.full(len(frames.time_s), ticks[0]), frames.energised, "c-energised", step=True),
        plot.line(frames.time_s, frames.energised, "c-energised-line", step=True),
        plot.events(axis.events),
        plot.hover(frames.time_s, ends, tips),
        title="Usage points with supply",
        description=note,
        id_="energised",
    )
    changes = np.flatnonzero(np.append(True, np.diff(frames.energised) != 0)[: len(frames.energised)])
    rows = tuple((hhmm(frames.time_s[i]), _shown(frames.energised[i])) for i in changes)
    return Chart("energised", "Usage points with supply", note, svg, (), ("from (UTC)", "with supply"), rows)


def _transformers(figures: Figures, axis: Axis) -> Chart:
    """Small multiples on one scale, so that they can be compared at a glance."""
    found = figures.transformers
    top = nice_ticks(0, _peak(found.loading_percent, 10.0), about=3)
    small = []
    for i, (name, loading) in enumerate(zip(found.names, found.loading_percent, strict=True)):
        plot = Plot(axis.start_s, axis.end_s, 0, top[-1], width=230, height=104, left=30, right=8, top=10, bottom=20)
        peak = _peak(loading, 0.0)
        right = plot.width - plot.right
        parts = []
        for value in (0, top[-1]):
            y = round(plot.y(value), 1)
            parts.append(tag("line", class_="grid", x1=plot.left, x2=right, y1=y, y2=y))
            parts.append(tag("text", f"{value:g}", class_="tick end", x=plot.left - 5, y=y, dy="0.32em"))
        for time_s, anchor in ((axis.start_s, "start"), (axis.end_s, "end")):
            x = round(plot.x(time_s), 1)
            parts.append(tag("text", hhmm(time_s), class_=f"tick {anchor}", x=x, y=plot.height - 5))
        if top[-1] >= 100:
            y = round(plot.y(100), 1)
            parts.append(tag("line", class_="level limit", x1=plot.left, x2=right, y1=y, y2=y))
        zero = np.zeros(len(found.time_s))
        drawing = plot.svg(
            *parts,
            plot.area(found.time_s, zero, loading, "c-loading", step=True),
            plot.line(found.time_s, loading, "c-loading-line", step=True),
            title=f"Transformer {name}: loading",
            description=f"At most {_shown(peak, 1)} per cent.",
            id_=f"transformer-{i}",
        )
        caption = tag("figcaption", tag("b", name), tag("span", f"max {_shown(peak, 1)} %"))
        small.append(tag("figure", drawing, caption, class_="small"))
    rows = tuple(
        (name, _shown(_peak(loading, 0.0), 1), _shown(float(np.nanmean(loading)) if len(loading) else 0.0, 1))
        for name, loading in zip(found.names, found.loading_percent, strict=True)
    )
    note = f"{len(found.names)} transformers on one scale, per cent of rated power; 100 % is drawn where it is near."
    return Chart(
        "transformers",
        "Transformer loading",
        note,
        tag("div", *small, class_="multiples"),
        (),
        ("transformer", "highest %", "mean %"),
        rows,
    )
