"""Just enough SVG: elements that escape what they are given, scales, axes over time, lines, bands and bars.

Colours are classes, so that the page's style sheet can give them for light, for dark and for paper.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from lab.report.clock import Clock
from lab.report.events import RunEvent

Float = NDArray[np.float64]
_TIME_STEPS_S = (
    *(1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200),
    *(86_400, 172_800, 604_800, 2_419_200),
)


def tag(element: str, *children: str, **attributes: object) -> Markup:
    """An element. Attribute names lose a closing underscore and have hyphens for the others; all text is escaped."""
    shown = Markup("").join(
        Markup(' {}="{}"').format(name.rstrip("_").replace("_", "-"), value)
        for name, value in attributes.items()
        if value is not None
    )
    inner = Markup("").join(escape(child) for child in children)
    return Markup("<{0}{1}>{2}</{0}>").format(element, shown, inner)


def number(value: float) -> str:
    """A coordinate, to a tenth of a unit."""
    return f"{value:.1f}".removesuffix(".0")


def instant(time_s: float | None) -> str:
    """Date and time in UTC, to the second."""
    return "–" if time_s is None else f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d %H:%M:%S}"


def nice_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round values that span [low, high], the first at or below `low`, the last at or above `high`."""
    if not high > low:
        high = low + 1.0
    raw = (high - low) / about
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)]


def time_ticks(start_s: float, end_s: float, about: int = 9) -> list[float]:
    step = next((s for s in _TIME_STEPS_S if (end_s - start_s) / s <= about), _TIME_STEPS_S[-1])
    first = math.ceil(start_s / step) * step
    return [float(t) for t in range(int(first), int(end_s) + 1, step)]


@dataclass(frozen=True, slots=True)
class Plot:
    """A plane of simulated time [epoch s] against a value, `width` × `height` user units with the margins inside."""

    start_s: float
    end_s: float
    low: float
    high: float
    width: float = 1080
    height: float = 260
    left: float = 58
    right: float = 22
    top: float = 24
    bottom: float = 24

    def x(self, time_s: float) -> float:
        inside = min(max(time_s, self.start_s), self.end_s)
        return self.left + (inside - self.start_s) / (self.end_s - self.start_s) * (self.width - self.left - self.right)

    def y(self, value: float) -> float:
        inside = min(max(value, self.low), self.high)
        return self.base - (inside - self.low) / (self.high - self.low) * (self.base - self.top)

    @property
    def base(self) -> float:
        return self.height - self.bottom

    def axes(self, ticks: Sequence[float], unit: str, labels: Sequence[str] | None = None) -> Markup:
        """Grid lines with figures (or `labels`) on the left, and times of day below; the unit above the axis."""
        parts = []
        left, right = number(self.left), number(self.width - self.right)
        for value, label in zip(ticks, labels or [f"{value:,.6g}" for value in ticks], strict=True):
            y = number(self.y(value))
            parts.append(tag("line", class_="grid", x1=left, x2=right, y1=y, y2=y))
            parts.append(tag("text", label, class_="tick end", x=number(self.left - 8), y=y, dy="0.32em"))
        parts.append(tag("text", unit, class_="tick end", x=number(self.left - 8), y=number(self.top - 11)))
        times = time_ticks(self.start_s, self.end_s)
        clock = Clock.of(times)
        for time_s in times:
            x = number(self.x(time_s))
            parts.append(tag("line", class_="axis", x1=x, x2=x, y1=number(self.base), y2=number(self.base + 4)))
            parts.append(tag("text", clock.time(time_s), class_="tick mid", x=x, y=number(self.base + 17)))
        y = number(self.base)
        parts.append(tag("line", class_="axis", x1=left, x2=right, y1=y, y2=y))
        return Markup("").join(parts)

    def events(self, events: Iterable[tuple[int, RunEvent]]) -> Markup:
        """Numbered marks at the top of the plot, with a band for as long as an event lasts."""
        parts = []
        occupied: list[float] = []
        events = list(events)
        clock = Clock.of(event.time_s for _, event in events)
        for index, event in events:
            if not self.start_s <= event.time_s <= self.end_s:
                continue
            begin, end = self.x(event.time_s), self.x(event.until_s if event.until_s is not None else event.time_s)
            tip = tag("title", f"{index}. {clock.time(event.time_s)} {event.label}")
            kind, top, base = kind_class(event.kind), number(self.top), number(self.base)
            x, mark_y = number(begin), number(self.top - 9)
            if end - begin > 1:
                width, height = number(end - begin), number(self.base - self.top)
                parts.append(tag("rect", tip, class_=f"event-band {kind}", x=x, y=top, width=width, height=height))
            parts.append(tag("line", tip, class_=f"event-line {kind}", x1=x, x2=x, y1=top, y2=base))
            # a mark that would cover its neighbour moves right
            place = begin
            while any(abs(place - other) < 15 for other in occupied):
                place += 3
            occupied.append(place)
            badge = tag("circle", class_=f"event-badge {kind}", cx=number(place), cy=mark_y, r=7.5)
            text = tag("text", str(index), class_="event-number", x=number(place), y=mark_y, dy="0.35em")
            parts.append(tag("g", tip, badge, text))
        return Markup("").join(parts)

    def line(self, times_s: Float, values: Float, class_: str, *, step: bool = False) -> Markup:
        """A line through the finite points; `step`: each value holds until the next time, the last to the end."""
        path: list[str] = []
        pen_down = False
        for i, (time_s, value) in enumerate(zip(times_s, values, strict=True)):
            if not math.isfinite(value):
                pen_down = False
                continue
            x, y = number(self.x(time_s)), number(self.y(value))
            path.append(f"{'L' if pen_down else 'M'}{x},{y}")
            if step:
                until = times_s[i + 1] if i + 1 < len(times_s) else self.end_s
                path.append(f"H{number(self.x(until))}")
            pen_down = True
        return tag("path", class_=f"line {class_}", d=" ".join(path))

    def area(self, times_s: Float, low: Float, high: Float, class_: str, *, step: bool = False) -> Markup:
        """The area between two curves; pieces where either is not finite are left out."""
        finite = np.isfinite(low) & np.isfinite(high)
        if step:
            ends = np.append(times_s[1:], self.end_s)[: len(times_s)]
            times_s, finite = np.column_stack([times_s, ends]).ravel(), np.repeat(finite, 2)
            low, high = np.repeat(low, 2), np.repeat(high, 2)
        breaks = np.flatnonzero(np.diff(finite)) + 1
        path = []
        for piece in np.split(np.arange(len(times_s)), breaks):
            if len(piece) and finite[piece[0]]:
                there = [f"{number(self.x(times_s[i]))},{number(self.y(high[i]))}" for i in piece]
                back = [f"{number(self.x(times_s[i]))},{number(self.y(low[i]))}" for i in piece[::-1]]
                path.append(f"M{' L'.join([*there, *back])} Z")
        return tag("path", class_=f"area {class_}", d=" ".join(path))

    def level(self, value: float, label: str, class_: str) -> Markup:
        """A labelled horizontal line."""
        y = number(self.y(value))
        right = number(self.width - self.right)
        return tag("line", class_=f"level {class_}", x1=number(self.left), x2=right, y1=y, y2=y) + tag(
            "text", label, class_=f"level-label {class_}", x=right, y=y, dx="-4", dy="-5"
        )

    def bars(self, starts_s: Float, ends_s: Float, low: Float, high: Float, class_: str) -> Markup:
        """One path of bars from `low` to `high`; those without height are left out."""
        path = []
        for start, end, bottom, top in zip(starts_s, ends_s, low, high, strict=True):
            if top > bottom:
                x0, x1 = self.x(start), self.x(end)
                gap = min(1.0, (x1 - x0) * 0.12)
                y0, y1 = self.y(bottom), self.y(top)
                # a single lost read among thousands must still be seen
                y1 = min(y1, y0 - 1.5)
                path.append(f"M{number(x0 + gap)},{number(y0)} V{number(y1)} H{number(x1 - gap)} V{number(y0)} Z")
        return tag("path", class_=f"bar {class_}", d=" ".join(path))

    def hover(self, starts_s: Float, ends_s: Float, tips: Sequence[str]) -> Markup:
        """Invisible columns that show a text when pointed at."""
        return Markup("").join(
            tag(
                "rect",
                tag("title", tip),
                class_="hover",
                x=number(self.x(start)),
                y=number(self.top),
                width=number(max(self.x(end) - self.x(start), 0.5)),
                height=number(self.base - self.top),
            )
            for start, end, tip in zip(starts_s, ends_s, tips, strict=True)
        )

    def svg(self, *parts: str, title: str, description: str, id_: str) -> Markup:
        return tag(
            "svg",
            tag("title", title, id=f"{id_}-title"),
            tag("desc", description, id=f"{id_}-desc"),
            *parts,
            viewBox=f"0 0 {number(self.width)} {number(self.height)}",
            role="img",
            aria_labelledby=f"{id_}-title {id_}-desc",
        )


def kind_class(kind: str) -> str:
    """The class that colours an event of this kind."""
    return "kind-" + "".join(c if c.isascii() and c.isalnum() else "-" for c in kind)
