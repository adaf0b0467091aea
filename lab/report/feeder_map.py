"""The feeder map: a drawing of one instant for paper and without scripts, and the data to show any other."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from lab.report.events import RunEvent
from lab.report.meters import Meters
from lab.report.plane import Plane, deltas
from lab.report.states import (
    DARK_KNOWN,
    DARK_UNKNOWN,
    DISCONNECTED,
    HEARD,
    PHANTOM,
    STATES,
    SUPPLIED_UNHEARD,
    Change,
    History,
)
from lab.report.svg import number, tag

LABELS = {
    "heard": "supplied and heard",
    "dark-known": "dark, and the head-end knows",
    "dark": "dark, and the head-end does not know",
    "unheard": "supplied, but not heard",
    "phantom": "reported dark, but supplied",
    "disconnected": "disconnected by its meter, no outage",
}


@dataclass(frozen=True, slots=True)
class LegendEntry:
    state: str
    label: str
    symbol: Markup
    count: int


@dataclass(frozen=True, slots=True)
class FeederMap:
    """`data` is for the page's script. `shown_s`: the instant that `svg` and the legend's counts are of."""

    svg: Markup
    data: dict[str, object]
    legend: tuple[LegendEntry, ...]
    shown_s: float
    without_position: int
    unmetered: int


def draw_map(
    plane: Plane, meters: Meters, history: History, events: Sequence[tuple[int, RunEvent]], *, start_s: float
) -> FeederMap:
    shown_s = history.worst_s()
    states = history.states_at(shown_s, len(meters))
    counts = np.bincount(states, minlength=len(STATES)).tolist()
    radius = symbol_radius(len(meters) + len(plane.unmetered), plane)
    return FeederMap(
        svg=_drawing(plane, states, radius),
        data=_data(plane, meters, history, events, radius, start_s),
        legend=legend(history, counts),
        shown_s=shown_s,
        without_position=int((~plane.placed).sum()),
        unmetered=len(plane.unmetered),
    )


def legend(history: History, counts: Sequence[int]) -> tuple[LegendEntry, ...]:
    """Only states that this head-end lets us tell apart, and disconnected ones where there were any."""
    hidden = set() if history.says_communication else {SUPPLIED_UNHEARD}
    if not history.says_outages:
        hidden |= {DARK_KNOWN, PHANTOM}
    if not history.has_disconnected:
        hidden |= {DISCONNECTED}
    entries = []
    for place, state in enumerate(STATES):
        if place in hidden:
            continue
        symbol = tag("svg", _symbols(state, np.array([[100, 100]]), 5.0), viewBox="0 0 20 20", aria_hidden="true")
        label = LABELS[state]
        if place == HEARD and not history.says_communication:
            label = "supplied"
        if place == DARK_UNKNOWN and not history.says_outages:
            label = "dark"
        entries.append(LegendEntry(state, label, symbol, counts[place]))
    return tuple(entries)


def symbol_radius(count: int, plane: Plane) -> float:
    """Units; smaller where there are many."""
    return float(np.clip(np.sqrt(plane.width * plane.height / max(count, 1)) * 0.14, 1.3, 4.0))


def _drawing(plane: Plane, states: NDArray[np.int8], radius: float) -> Markup:
    parts = [
        tag("path", class_="map-line medium", d=_courses(plane.medium_voltage)),
        tag("path", class_="map-line", d=_courses(plane.low_voltage)),
        _symbols("unmetered", plane.unmetered, radius),
    ]
    # trouble last, so that nothing covers it
    for state in (HEARD, DISCONNECTED, SUPPLIED_UNHEARD, PHANTOM, DARK_KNOWN, DARK_UNKNOWN):
        here = plane.xy[(states == state) & plane.placed]
        parts.append(_symbols(STATES[state], here, radius if state == HEARD else radius * 1.5))
    for station in plane.stations:
        x, y = station.x / 10, station.y / 10
        rated = f", {station.rated_kva:g} kVA" if station.rated_kva else ""
        tip = tag("title", f"transformer {station.name}{rated}")
        outline = f"M{number(x)},{number(y - 8)}l7,13h-14z"
        parts.append(tag("path", tip, class_="map-station", d=outline))
    parts.append(_scale(plane))
    shown = ", ".join(f"{int((states == place).sum()):,} {LABELS[state]}" for place, state in enumerate(STATES))
    return tag(
        "svg",
        tag("title", "Feeder map", id="map-title"),
        tag("desc", f"Meters by state: {shown}.", id="map-desc"),
        *parts,
        viewBox=f"0 0 {number(plane.width)} {number(plane.height)}",
        role="img",
        aria_labelledby="map-title map-desc",
    )


def _scale(plane: Plane) -> Markup:
    y, x = plane.height - 12, 16.0
    text = f"{plane.scale_m / 1000:g} km" if plane.scale_m >= 1000 else f"{plane.scale_m:g} m"
    d = f"M{number(x)},{number(y - 5)}v5h{number(plane.scale_units)}v-5"
    label = tag("text", text, class_="tick", x=number(x + 6), y=number(y - 6))
    return tag("path", class_="map-scale", d=d) + label


def _courses(courses: Iterable[NDArray[np.int64]]) -> str:
    return "".join(
        "M" + "L".join(f"{number(x / 10)},{number(y / 10)}" for x, y in course.tolist())
        for course in courses
        if len(course) > 1
    )


def _symbols(state: str, xy: NDArray[np.int64], radius: float) -> Markup:
    """One path of all symbols of a state: dots, squares, hollow diamonds, triangles, crosses, hollow squares."""
    r = number(radius)
    wide, half = number(2 * radius), radius
    # each relative to its centre; a dot is a stroke without length and a round end
    forms = {
        "dark-known": f"m-{r},-{r}h{wide}v{wide}h-{wide}z",
        "disconnected": f"m-{r},-{r}h{wide}v{wide}h-{wide}z",
        "dark": f"m0,-{number(half * 1.3)}l{number(half * 1.3)},{number(half * 1.3)}l-{number(half * 1.3)},"
        f"{number(half * 1.3)}l-{number(half * 1.3)},-{number(half * 1.3)}z",
        "unheard": f"m0,-{number(half * 1.2)}l{number(half * 1.15)},{number(half * 2)}h-{number(half * 2.3)}z",
        "phantom": f"m-{r},-{r}l{wide},{wide}m0,-{wide}l-{wide},{wide}",
    }
    form = forms.get(state, "h0")
    d = "".join(f"M{number(x / 10)},{number(y / 10)}{form}" for x, y in xy.tolist())
    width = number(2 * radius) if form == "h0" else number(max(radius * 0.5, 1.0))
    return tag("path", class_=f"s-{state}", d=d, stroke_width=width)


def _data(
    plane: Plane,
    meters: Meters,
    history: History,
    events: Sequence[tuple[int, RunEvent]],
    radius: float,
    start_s: float,
) -> dict[str, object]:
    """Plain values; positions in tenths and as differences, changes as gaps and runs of meters."""
    vendors, vendor = _coded(meters.vendors)
    transformers, transformer = _coded(plane.transformers)
    collectors, collector = _coded(meters.collectors)
    return {
        "start": start_s,
        "end": history.end_s,
        "width": plane.width,
        "height": plane.height,
        "radius": round(radius, 2),
        "points": meters.usage_points,
        "serials": meters.serials,
        "vendors": vendors,
        "vendor": vendor,
        "transformers": transformers,
        "transformer": transformer,
        "collectors": collectors,
        "collector": collector,
        "x": deltas(plane.xy[:, 0]),
        "y": deltas(plane.xy[:, 1]),
        "unmetered": [deltas(plane.unmetered[:, 0]), deltas(plane.unmetered[:, 1])],
        "low": [deltas(course[:, axis]) for course in plane.low_voltage for axis in (0, 1)],
        "medium": [deltas(course[:, axis]) for course in plane.medium_voltage for axis in (0, 1)],
        "stations": [[station.x, station.y, station.name, station.rated_kva] for station in plane.stations],
        "scale": [round(plane.scale_units, 1), plane.scale_m],
        "changes": [encode(change, start_s) for change in history.changes],
        "events": [[round(event.time_s - start_s, 3), n, event.label] for n, event in events],
        "says": [history.says_outages, history.says_communication],
        "labels": [LABELS[state] for state in STATES],
    }


def encode(change: Change, start_s: float) -> tuple[float, int, list[int]]:
    """(seconds since the start, 2 × aspect + on, [gap, run, …]): `gap` meters as they were, then `run` changed."""
    breaks = np.flatnonzero(np.diff(change.meters) != 1) + 1
    runs: list[int] = []
    at = 0
    for run in np.split(change.meters, breaks):
        runs += [int(run[0]) - at, len(run)]
        at = int(run[-1]) + 1
    return round(change.time_s - start_s, 3), 2 * change.aspect + change.on, runs


def _coded(names: Sequence[str]) -> tuple[list[str], list[int]]:
    places: dict[str, int] = {}
    codes = [places.setdefault(name, len(places)) for name in names]
    return list(places), codes
