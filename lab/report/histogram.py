"""Histograms of durations on a logarithmic axis."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from lab.report.svg import nice_ticks, number, tag

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Mark:
    """A labelled vertical line at `value`; `row`: 0 uppermost."""

    value: float
    label: str
    class_: str
    row: int = 0


@dataclass(frozen=True, slots=True)
class Histogram:
    """`edges` (n + 1,) ascending and positive, `counts` (n,), `classes`: each bar's CSS class.

    `log_counts`: the counts' axis is logarithmic too, from just below 1, so that one is seen among millions.
    """

    edges: Float
    counts: Float
    classes: tuple[str, ...]
    log_counts: bool = False
    width: float = 1080
    height: float = 260
    left: float = 58
    right: float = 22
    top: float = 40
    bottom: float = 30

    def x(self, value: float) -> float:
        low, high = math.log(self.edges[0]), math.log(self.edges[-1])
        share = (math.log(max(value, 1e-12)) - low) / (high - low)
        return self.left + min(max(share, 0.0), 1.0) * (self.width - self.left - self.right)

    @property
    def base(self) -> float:
        return self.height - self.bottom

    def _ticks(self) -> list[float]:
        most = float(self.counts.max()) if len(self.counts) else 1.0
        if not self.log_counts:
            return nice_ticks(0.0, max(most, 1.0), about=4)
        decades = range(max(math.ceil(math.log10(max(most, 1.0))), 1) + 1)
        return [10.0**decade for decade in decades]

    def _y(self, count: float, top: float) -> float:
        if self.log_counts:
            share = math.log10(max(count, 0.5) / 0.5) / math.log10(top / 0.5)
        else:
            share = count / top
        return self.base - share * (self.base - self.top)

    def svg(
        self,
        ticks: Sequence[tuple[float, str]],
        marks: Sequence[Mark],
        tips: Sequence[str],
        *,
        unit: str,
        title: str,
        description: str,
        id_: str,
    ) -> Markup:
        """`ticks`: values and labels of the durations' axis; `tips`: a text for each bar."""
        parts = []
        left, right = number(self.left), number(self.width - self.right)
        levels = self._ticks()
        shown = levels if len(levels) < 6 else levels[::2]
        for value in shown:
            y = number(self._y(value, levels[-1]))
            parts.append(tag("line", class_="grid", x1=left, x2=right, y1=y, y2=y))
            parts.append(tag("text", _count(value), class_="tick end", x=number(self.left - 8), y=y, dy="0.32em"))
        parts.append(tag("text", unit, class_="tick", x=0, y=number(self.top - 14)))
        base = number(self.base)
        for value, label in ticks:
            if self.edges[0] <= value <= self.edges[-1]:
                x = number(self.x(value))
                parts.append(tag("line", class_="axis", x1=x, x2=x, y1=base, y2=number(self.base + 4)))
                parts.append(tag("text", label, class_="tick mid", x=x, y=number(self.base + 17)))
        parts.append(tag("line", class_="axis", x1=left, x2=right, y1=base, y2=base))
        for count, first, last, class_, tip in zip(
            self.counts, self.edges[:-1], self.edges[1:], self.classes, tips, strict=True
        ):
            if count <= 0:
                continue
            x0, x1 = self.x(first), self.x(last)
            gap = min(0.8, (x1 - x0) * 0.1)
            above = min(self._y(float(count), levels[-1]), self.base - 1.5)
            box = {"x": number(x0 + gap), "y": number(above)}
            size = {"width": f"{x1 - x0 - 2 * gap:.2f}", "height": number(self.base - above)}
            parts.append(tag("rect", tag("title", tip), class_=f"bar {class_}", **box, **size))
        parts += [self._mark(mark) for mark in marks]
        return tag(
            "svg",
            tag("title", title, id=f"{id_}-title"),
            tag("desc", description, id=f"{id_}-desc"),
            *parts,
            viewBox=f"0 0 {number(self.width)} {number(self.height)}",
            role="img",
            aria_labelledby=f"{id_}-title {id_}-desc",
        )

    def _mark(self, mark: Mark) -> Markup:
        x = self.x(mark.value)
        y = self.top - 26 + mark.row * 13
        ends = x > self.width - self.right - 100
        at = number(x)
        line = tag("line", class_=f"level {mark.class_}", x1=at, x2=at, y1=number(y), y2=number(self.base))
        place = {"x": number(x - 5 if ends else x + 5), "y": number(y + 4)}
        anchor = "end" if ends else "start"
        return line + tag("text", mark.label, class_=f"mark-label {mark.class_} {anchor}", **place, dy="0.32em")


def _count(value: float) -> str:
    """Short enough for the margin: 5,000, 10 k, 2 M."""
    if value >= 1e6:
        return f"{value / 1e6:g} M"
    return f"{value / 1e3:g} k" if value >= 1e4 else f"{value:,.6g}"
