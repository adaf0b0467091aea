"""Lines over a plane of two numbers, as SVG, with the report's elements and classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from lab.report.svg import nice_ticks, number, tag

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Line:
    """`class_`: a class of the style sheet that colours it."""

    label: str
    class_: str
    points: Points
    dots: bool = False


@dataclass(frozen=True, slots=True)
class XY:
    """A plot of `lines`; `level`: a labelled horizontal limit."""

    id: str
    title: str
    x_unit: str
    y_unit: str
    lines: tuple[Line, ...]
    level: tuple[float, str] | None = None
    width: float = 1080
    height: float = 260
    left: float = 70
    right: float = 22
    top: float = 26
    bottom: float = 40

    def svg(self) -> Markup:
        """Empty lines are left out; without any, axes alone."""
        points = [point for line in self.lines for point in line.points]
        xs, ys = [x for x, _ in points] or [0.0], [y for _, y in points] or [0.0]
        highest = max([*ys, *([] if self.level is None else [self.level[0] * 1.05])])
        x_ticks, y_ticks = nice_ticks(min(0.0, *xs, 0.0), max(xs), 8), nice_ticks(0.0, highest)
        x_of = self._scale(x_ticks, self.left, self.width - self.right)
        y_of = self._scale(y_ticks, self.height - self.bottom, self.top)
        parts = self._axes(x_ticks, y_ticks)
        for line in self.lines:
            at = [f"{number(x_of(x))},{number(y_of(y))}" for x, y in line.points]
            if at:
                parts.append(tag("path", class_=f"line {line.class_}", d="M" + " L".join(at)))
            if line.dots:
                parts += [
                    tag(
                        "circle",
                        tag("title", f"{x:,.6g} {self.x_unit}: {y:,.6g} {self.y_unit}"),
                        class_=f"dot {line.class_}",
                        cx=number(x_of(x)),
                        cy=number(y_of(y)),
                        r=4,
                    )
                    for x, y in line.points
                ]
        if self.level is not None:
            y, right = number(y_of(self.level[0])), number(self.width - self.right)
            parts.append(tag("line", class_="level limit", x1=number(self.left), x2=right, y1=y, y2=y))
            parts.append(tag("text", self.level[1], class_="level-label limit", x=right, y=y, dx="-4", dy="-5"))
        names = ", ".join(line.label for line in self.lines)
        return tag(
            "svg",
            tag("title", self.title, id=f"{self.id}-title"),
            tag("desc", f"{names}: {self.y_unit} over {self.x_unit}", id=f"{self.id}-desc"),
            *parts,
            viewBox=f"0 0 {number(self.width)} {number(self.height)}",
            role="img",
            aria_labelledby=f"{self.id}-title {self.id}-desc",
        )

    def _axes(self, x_ticks: Sequence[float], y_ticks: Sequence[float]) -> list[Markup]:
        x_of = self._scale(x_ticks, self.left, self.width - self.right)
        y_of = self._scale(y_ticks, self.height - self.bottom, self.top)
        left, right, base = number(self.left), number(self.width - self.right), self.height - self.bottom
        parts = []
        for value in y_ticks:
            y = number(y_of(value))
            parts.append(tag("line", class_="grid", x1=left, x2=right, y1=y, y2=y))
            parts.append(tag("text", f"{value:,.6g}", class_="tick end", x=number(self.left - 8), y=y, dy="0.32em"))
        for value in x_ticks:
            x = number(x_of(value))
            parts.append(tag("line", class_="axis", x1=x, x2=x, y1=number(base), y2=number(base + 4)))
            parts.append(tag("text", f"{value:,.6g}", class_="tick mid", x=x, y=number(base + 17)))
        parts.append(tag("line", class_="axis", x1=left, x2=right, y1=number(base), y2=number(base)))
        parts.append(tag("text", self.y_unit, class_="tick", x=4, y=number(self.top - 12)))
        parts.append(tag("text", self.x_unit, class_="tick end", x=right, y=number(self.height - 6)))
        return parts

    @staticmethod
    def _scale(ticks: Sequence[float], begin: float, end: float) -> _Scale:
        return _Scale(ticks[0], ticks[-1], begin, end)


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float
    high: float
    begin: float
    end: float

    def __call__(self, value: float) -> float:
        return self.begin + (value - self.low) / (self.high - self.low) * (self.end - self.begin)
