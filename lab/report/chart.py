"""What every chart of the report is made of."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from lab.report.events import RunEvent

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Chart:
    """`legend`: pairs of CSS class and label. `rows` are the figures drawn, below `columns`.

    Where there is nothing to draw there is no `svg`, and the note says why."""

    id: str
    title: str
    note: str
    svg: Markup | None = None
    legend: tuple[tuple[str, str], ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Axis:
    """The time axis that all plots share, and what happened along it."""

    start_s: float
    end_s: float
    events: Sequence[tuple[int, RunEvent]]


def ends(time_s: Float, end_s: float) -> Float:
    return np.append(time_s[1:], end_s)[: len(time_s)]


def written(value: float, digits: int = 0) -> str:
    return f"{value:,.{digits}f}" if np.isfinite(value) else "–"


def highest(values: Float, floor: float) -> float:
    finite = values[np.isfinite(values)]
    return max(float(finite.max()), floor) if len(finite) else floor
