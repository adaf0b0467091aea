"""The report's plots. Each comes with its figures as a table, for those who cannot or would not see the drawing."""

import numpy as np
from numpy.typing import NDArray

from grid.wording import counted
from lab.report.chart import Axis, Chart, ends, highest, written
from lab.report.clock import Clock
from lab.report.figures import READ_KINDS, Figures
from lab.report.svg import Plot, nice_ticks, tag
from lab.report.written import length, scale

Float = NDArray[np.float64]
NOMINAL_V = 230.0
EN_50160 = 0.10
MULTIPLES_SHOWN = 30
READ_LABELS = {
    "on_time": "on time",
    "recovered": "recovered",
    "late": "late",
    "estimated": "estimated",
    "lost": "lost",
}


def draw(figures: Figures, axis: Axis) -> list[Chart]:
    """Reads first. What nobody has measured is left out, or says why there is nothing."""
    charts = [_reads(figures, axis), _load(figures, axis), _voltage(figures, axis)]
    if np.isfinite(figures.transformers.loading_percent).any():
        charts.append(_transformers(figures, axis))
    return charts


def _load(figures: Figures, axis: Axis) -> Chart:
    frames = figures.frames
    title = "Load and generation"
    if not len(frames.time_s):
        return Chart("load", title, "Nothing to draw: no physical frame lies in the judged window.")
    factor, unit = scale(highest(np.maximum(frames.drawn_w, frames.fed_in_w), 0.0), "W")
    drawn, fed_in, losses = frames.drawn_w / factor, frames.fed_in_w / factor, frames.losses_w / factor
    net = drawn - fed_in
    clock = Clock.of(frames.time_s)
    ticks = nice_ticks(-highest(fed_in, 0.0), highest(drawn, 1.0))
    plot = Plot(axis.start_s, axis.end_s, ticks[0], ticks[-1])
    zero = np.zeros(len(net))
    tips = [
        f"{clock.time(t)} UTC\ndrawn {written(d, 1)} {unit}\nfed in {written(f, 1)} {unit}\n"
        f"net {written(n, 1)} {unit}\nlosses {written(w, 2)} {unit}"
        for t, d, f, n, w in zip(frames.time_s, drawn, fed_in, net, losses, strict=True)
    ]
    peak = int(np.argmax(drawn))
    note = f"Highest demand {written(drawn[peak], 1)} {unit} at {clock.time(frames.time_s[peak])}."
    if fed_in.any():
        most = int(np.argmax(fed_in))
        note += f" Highest feed-in {written(fed_in[most], 1)} {unit} at {clock.time(frames.time_s[most])}."
    svg = plot.svg(
        plot.axes(ticks, unit),
        plot.area(frames.time_s, zero, drawn, "c-load", step=True),
        plot.area(frames.time_s, -fed_in, zero, "c-generation", step=True),
        plot.line(frames.time_s, net, "c-net", step=True),
        plot.events(axis.events),
        plot.hover(frames.time_s, ends(frames.time_s, axis.end_s), tips),
        title=title,
        description=f"Power drawn and fed in by all usage points over the run, in {unit}. {note}",
        id_="load",
    )
    rows = tuple(
        (clock.time(t), written(d, 1), written(f, 1), written(n, 1), written(w, 2))
        for t, d, f, n, w in zip(frames.time_s, drawn, fed_in, net, losses, strict=True)
    )
    generation = (("c-generation", "fed in"), ("c-net line", "net")) if fed_in.any() else ()
    return Chart(
        "load",
        title,
        note,
        svg,
        (("c-load", "drawn by usage points"), *generation),
        ("from (UTC)", f"drawn {unit}", f"fed in {unit}", f"net {unit}", f"network losses {unit}"),
        rows,
    )


def _voltage(figures: Figures, axis: Axis) -> Chart:
    v = figures.voltages
    title = "Voltage at the usage points"
    if not np.isfinite(v.quantiles_v).any():
        return Chart(
            "voltage", title, "Nothing to draw: no usage point with supply has a voltage in the judged window."
        )
    clock = Clock.of(v.start_s)
    low_limit, high_limit = NOMINAL_V * (1 - EN_50160), NOMINAL_V * (1 + EN_50160)
    finite = v.quantiles_v[np.isfinite(v.quantiles_v)]
    least, most = (float(finite.min()), float(finite.max())) if len(finite) else (NOMINAL_V, NOMINAL_V)
    ticks = nice_ticks(min(least, low_limit - 3), max(most, high_limit + 3))
    plot = Plot(axis.start_s, axis.end_s, ticks[0], ticks[-1])
    # the interval's mean stands at its middle
    middle = (v.start_s + v.end_s) / 2
    minimum, p5, median, p95, maximum = v.quantiles_v.T
    outside = "" if low_limit <= least and most <= high_limit else " Outside EN 50160 for some."
    note = f"Usage points with supply saw {written(least, 1)} to {written(most, 1)} V (interval means).{outside}"
    tips = [
        f"{clock.time(t)} UTC\nhighest {written(q[4], 1)} V\n95 % {written(q[3], 1)} V\nmedian {written(q[2], 1)} V\n"
        f"5 % {written(q[1], 1)} V\nlowest {written(q[0], 1)} V"
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
        title=title,
        description=f"Range, 5 to 95 per cent range and median of the interval mean voltages. {note}",
        id_="voltage",
    )
    rows = tuple(
        (clock.time(t), *(written(value, 1) for value in q)) for t, q in zip(v.start_s, v.quantiles_v, strict=True)
    )
    return Chart(
        "voltage",
        title,
        note,
        svg,
        (("c-band-outer", "lowest to highest"), ("c-band-inner", "5 % to 95 %"), ("c-median line", "median")),
        ("from (UTC)", "lowest V", "5 % V", "median V", "95 % V", "highest V"),
        rows,
    )


def _reads(figures: Figures, axis: Axis) -> Chart:
    reads = figures.reads
    title = "Reads by interval"
    if not len(reads.start_s):
        return Chart("reads", title, "Nothing to draw: no read was expected.")
    clock = Clock.of(reads.start_s)
    ticks = nice_ticks(0, highest(reads.expected, 1))
    plot = Plot(axis.start_s, axis.end_s, ticks[0], ticks[-1])
    below = np.zeros(len(reads.expected))
    bars = []
    for kind in READ_KINDS:
        above = below + reads.counts[kind]
        bars.append(plot.bars(reads.start_s, reads.end_s, below, above, f"c-{kind.replace('_', '-')}"))
        below = above
    tips = [
        f"{clock.time(t)} UTC\nexpected {written(e)}\n"
        + "\n".join(f"{READ_LABELS[k]} {written(reads.counts[k][i])}" for k in READ_KINDS)
        for i, (t, e) in enumerate(zip(reads.start_s, reads.expected, strict=True))
    ]
    note = ", ".join(f"{written(reads.counts[k].sum())} {READ_LABELS[k]}" for k in READ_KINDS) + "."
    note += " Late are here those that came by themselves; what was recovered may be late, too."
    if reads.intervals > 1:
        note += f" A bar stands for {reads.intervals} intervals: {length(reads.end_s[0] - reads.start_s[0])}."
    svg = plot.svg(
        plot.axes(ticks, "reads"),
        *bars,
        plot.line(reads.start_s, reads.expected, "c-expected", step=True),
        plot.events(axis.events),
        plot.hover(reads.start_s, reads.end_s, tips),
        title=title,
        description=f"For each interval, what became of the reads that were expected: {note}",
        id_="reads",
    )
    rows = tuple(
        (clock.time(t), written(e), *(written(reads.counts[k][i]) for k in READ_KINDS))
        for i, (t, e) in enumerate(zip(reads.start_s, reads.expected, strict=True))
    )
    return Chart(
        "reads",
        title,
        note,
        svg,
        (*((f"c-{k.replace('_', '-')}", READ_LABELS[k]) for k in READ_KINDS), ("c-expected line", "expected")),
        ("from (UTC)", "expected", *(READ_LABELS[k] for k in READ_KINDS)),
        rows,
    )


def _transformers(figures: Figures, axis: Axis) -> Chart:
    """Small multiples on one scale, so that they can be compared at a glance."""
    found = figures.transformers
    clock = Clock.of((axis.start_s, axis.end_s))
    top = nice_ticks(0, highest(found.loading_percent, 10.0), about=3)
    small = []
    most_loaded = sorted(range(len(found.names)), key=lambda i: -highest(found.loading_percent[i], 0.0))
    for i in sorted(most_loaded[:MULTIPLES_SHOWN]):
        name, loading = found.names[i], found.loading_percent[i]
        plot = Plot(axis.start_s, axis.end_s, 0, top[-1], width=230, height=104, left=30, right=8, top=10, bottom=20)
        peak = highest(loading, 0.0)
        right = plot.width - plot.right
        parts = []
        for value in (0, top[-1]):
            y = round(plot.y(value), 1)
            parts.append(tag("line", class_="grid", x1=plot.left, x2=right, y1=y, y2=y))
            parts.append(tag("text", f"{value:g}", class_="tick end", x=plot.left - 5, y=y, dy="0.32em"))
        for time_s, anchor in ((axis.start_s, "start"), (axis.end_s, "end")):
            x = round(plot.x(time_s), 1)
            parts.append(tag("text", clock.time(time_s), class_=f"tick {anchor}", x=x, y=plot.height - 5))
        if top[-1] >= 100:
            y = round(plot.y(100), 1)
            parts.append(tag("line", class_="level limit", x1=plot.left, x2=right, y1=y, y2=y))
        zero = np.zeros(len(found.time_s))
        drawing = plot.svg(
            *parts,
            plot.area(found.time_s, zero, loading, "c-loading", step=True),
            plot.line(found.time_s, loading, "c-loading-line", step=True),
            title=f"Transformer {name}: loading",
            description=f"At most {written(peak, 1)} per cent.",
            id_=f"transformer-{i}",
        )
        caption = tag("figcaption", tag("b", name), tag("span", f"max {written(peak, 1)} %"))
        small.append(tag("figure", drawing, caption, class_="small"))
    rows = tuple(
        (name, written(highest(loading, 0.0), 1), written(float(np.nanmean(loading)) if len(loading) else 0.0, 1))
        for name, loading in zip(found.names, found.loading_percent, strict=True)
    )
    which = f"The {MULTIPLES_SHOWN} most loaded of " if len(small) < len(found.names) else ""
    scale = "on one scale, per cent of rated power; 100 % is drawn where it is near"
    note = f"{which}{counted(len(found.names), 'transformer')} {scale}."
    return Chart(
        "transformers",
        "Transformer loading",
        note,
        tag("div", *small, class_="multiples"),
        (),
        ("transformer", "highest %", "mean %"),
        rows,
    )
