"""How many meters were dark, how many of them unknown to the head-end, and how many it could not hear, over time."""

import math
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from lab.report.chart import Axis, Chart, Float, ends, written
from lab.report.clock import Clock
from lab.report.feeder_map import legend
from lab.report.states import (
    DARK_KNOWN,
    DARK_UNKNOWN,
    DISCONNECTED,
    HEARD,
    PHANTOM,
    STATES,
    SUPPLIED_UNHEARD,
    TROUBLE,
    History,
)
from lab.report.svg import Plot, number, tag

ROWS_SHOWN = 400
_MINUTES_FROM_S = 7200


def draw_supply(history: History, axis: Axis) -> Chart:
    """Meters in each state but the good one over time, with the line that the map's script moves along."""
    shown_s = history.worst_s()
    entries = legend(history, history.counts[0].tolist())
    dark = history.counts[:, [DARK_KNOWN, DARK_UNKNOWN]].sum(axis=1).astype(np.float64)
    if not history.counts[:, TROUBLE].any() and not history.has_disconnected:
        every = f"All {written(history.counts[0].sum())} meters had supply all the time"
        return Chart("supply", "Supply and communication", f"{every}{_heard(history)}.")
    most = max(int(history.counts[:, HEARD + 1 :].max()), int(dark.max()), 9)
    ticks = [0, *(10**decade for decade in range(math.ceil(math.log10(most)) + 1))]
    plot = Plot(axis.start_s, axis.end_s, 0.0, _height(ticks[-1]), height=190)
    times = history.times_s
    shown = [entry for entry in entries if entry.state != STATES[HEARD]]
    areas = [
        _area(plot, times, history.counts[:, STATES.index(entry.state)], f"t-{entry.state}")
        for entry in shown
        if entry.state != STATES[DARK_KNOWN]
    ]
    # where nobody says what the head-end knows, all that is dark is of one kind
    darkness = [_area(plot, times, dark, "t-darkness")] if history.says_outages else []
    kept = _each_minute(times) if axis.end_s - axis.start_s > _MINUTES_FROM_S else list(range(len(times)))
    clock = Clock.of(times[kept])
    tips = [
        "\n".join(
            [
                f"{clock.time(times[i])} UTC",
                *(f"{e.label} {written(history.counts[i, STATES.index(e.state)])}" for e in shown),
            ]
        )
        for i in kept
    ]
    least = int(history.counts[:, [HEARD, SUPPLIED_UNHEARD, PHANTOM, DISCONNECTED]].sum(axis=1).min())
    of_all = f"of {written(history.counts[0].sum())} meters"
    note = f"{written(dark.max())} {of_all} dark at most; {written(least)} with supply at least. Logarithmic from 1."
    svg = plot.svg(
        plot.axes([_height(count) for count in ticks], "meters", ["", *(f"{count:,}" for count in ticks[1:])]),
        *darkness,
        *areas,
        plot.events(axis.events),
        plot.hover(times[kept], ends(times[kept], axis.end_s), tips),
        _cursor(plot, shown_s),
        title="Supply and communication over time",
        description=note,
        id_="supply",
    )
    rows = tuple(
        (clock.time(times[i]), *(written(history.counts[i, STATES.index(e.state)]) for e in entries))
        for i in kept[:ROWS_SHOWN]
    )
    swatches = (
        *([("t-darkness", "dark")] if history.says_outages else []),
        *((f"s-{e.state}", e.label) for e in shown if e.state != STATES[DARK_KNOWN]),
    )
    return Chart(
        "supply", "Supply and communication", note, svg, swatches, ("from (UTC)", *(e.label for e in entries)), rows
    )


def _cursor(plot: Plot, shown_s: float) -> Markup:
    at = plot.x(shown_s)
    return tag(
        "line", id="supply-cursor", class_="cursor",
        x1=number(at), x2=number(at), y1=number(plot.top), y2=number(plot.base),
        data_left=number(plot.left), data_right=number(plot.width - plot.right),
    )  # fmt: skip


def _heard(history: History) -> str:
    return ", and the head-end could reach each that has a connection" if history.says_communication else ""


def _height(count: float) -> float:
    """Where a count stands: a section of a few customers is seen beside a fleet of thousands."""
    return math.log10(1.0 + count)


def _area(plot: Plot, times_s: Float, counts: NDArray[Any], class_: str) -> Markup:
    """Nothing is drawn where the count is 0."""
    heights = np.where(counts > 0, np.log10(1.0 + counts), np.nan)
    return plot.area(times_s, np.where(counts > 0, 0.0, np.nan), heights, class_, step=True)


def _each_minute(times_s: Float) -> list[int]:
    """The last of the times in each minute."""
    minutes = np.floor(times_s / 60)
    return [int(i) for i in np.flatnonzero(np.append(minutes[1:] != minutes[:-1], True))]
