"""The communications network, for reading: delivery by class, last gasps, why reads are late, who carries worst."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from lab.report.svg import nice_ticks, number, tag
from lab.report.written import length
from lab.verdict.carriage import Carried, Technology
from lab.verdict.communications import Communications
from lab.verdict.deliveries import MESH, GaspDelivery
from lab.verdict.read_reasons import ReadReasons
from lab.verdict.verdict import Verdict

CARRIERS_SHOWN = 10
_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 1080.0, 210.0, 58.0, 26.0, 30.0


@dataclass(frozen=True, slots=True)
class ClassRow:
    """`mark`: ✓ or ✗ where a criterion says so, else nothing."""

    mark: str
    technology: str
    name: str
    within: str
    wanted: int
    in_time: str
    half: str
    most: str
    arrived: int
    open: int
    unsent: dict[str, int]


@dataclass(frozen=True, slots=True)
class ReasonRow:
    """`share` of all late and missing reads, 0 to 1."""

    reason: str
    late: int
    missing: int
    share: float


@dataclass(frozen=True, slots=True)
class CommunicationsReport:
    classes: tuple[ClassRow, ...]
    gasps: tuple[GaspDelivery, ...]
    reasons: tuple[ReasonRow, ...]
    transformer_reasons: tuple[ReasonRow, ...]
    technologies: tuple[Technology, ...]
    carriers: tuple[Carried, ...]
    cut: int
    """Carriers that failed at something and are not listed."""
    hops: tuple[tuple[str, Markup], ...]


def describe_communications(verdict: Verdict) -> CommunicationsReport | None:
    """None of a run without a model of the network."""
    told = verdict.communications
    if told is None:
        return None
    deliveries = told.deliveries
    failing = [each for each in deliveries.carried if each.failed_share]
    return CommunicationsReport(
        classes=_classes(verdict, told),
        gasps=deliveries.gasps,
        reasons=_reasons(told.reasons),
        transformer_reasons=() if told.transformer_reasons is None else _reasons(told.transformer_reasons),
        technologies=deliveries.technologies,
        carriers=tuple(failing[:CARRIERS_SHOWN]),
        cut=max(len(failing) - CARRIERS_SHOWN, 0),
        hops=tuple((each.name, hops_chart(each)) for each in deliveries.technologies if len(each.hops) > 1),
    )


def share_text(share: float) -> str:
    """Cut, not rounded: what is short of all must not look like it."""
    return "–" if math.isnan(share) else f"{math.floor(share * 10_000) / 100:.2f} %"


def causes_text(causes: dict[str, int]) -> str:
    """The causes of frames with their counts, the most frequent first."""
    ordered = sorted(causes.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {count:,}" for name, count in ordered)


def _classes(verdict: Verdict, told: Communications) -> tuple[ClassRow, ...]:
    passed = {result.id: result.passed for result in verdict.criteria}
    rows = []
    for each in told.deliveries.classes:
        if not each.wanted and not each.unsent:
            continue
        met = passed.get(f"network.{each.limit.name}") if each.technology == MESH else None
        rows.append(
            ClassRow(
                mark="" if met is None else "✓" if met else "✗",
                technology=each.technology,
                name=each.limit.meaning,
                within=each.limit.told,
                wanted=each.wanted,
                in_time=share_text(each.share),
                half=_delay(each.p50_s),
                most=_delay(each.p95_s),
                arrived=each.arrived,
                open=each.open,
                unsent=each.unsent,
            )
        )
    return tuple(rows)


def _delay(delay_s: float) -> str:
    if math.isnan(delay_s):
        return "–"
    return f"{delay_s:.3g} s" if delay_s < 60 else length(delay_s)


def _reasons(told: ReadReasons) -> tuple[ReasonRow, ...]:
    late, missing = told.late, told.missing
    count = sum(late.values()) + sum(missing.values())
    rows = [
        ReasonRow(name, late.get(name, 0), missing.get(name, 0), (late.get(name, 0) + missing.get(name, 0)) / count)
        for name in {*late, *missing}
    ]
    return tuple(sorted(rows, key=lambda row: (-row.share, row.reason)))


def hops_chart(technology: Technology) -> Markup:
    """Meters by the number of hops that most of their frames took."""
    hops = technology.hops
    most = max(hops)
    ticks = nice_ticks(0.0, float(max(hops.values())), about=4)
    base, width = _HEIGHT - _BOTTOM, (_WIDTH - _LEFT - 22.0) / max(most, 8)

    def y(count: float) -> float:
        return base - count / ticks[-1] * (base - _TOP)

    parts = []
    for value in ticks:
        at = number(y(value))
        parts.append(tag("line", class_="grid", x1=number(_LEFT), x2=number(_WIDTH - 22.0), y1=at, y2=at))
        parts.append(tag("text", f"{value:,.6g}", class_="tick end", x=number(_LEFT - 8), y=at, dy="0.32em"))
    for number_of, count in _every(hops, most):
        left = _LEFT + (number_of - 1) * width
        label = {"x": number(left + width / 2), "y": number(base + 17)}
        parts.append(tag("text", str(number_of), class_="tick mid", **label))
        box = {"x": number(left + width * 0.12), "y": number(y(count)), "width": number(width * 0.76)}
        tip = tag("title", f"{number_of} {'hop' if number_of == 1 else 'hops'}: {count:,} meters")
        parts.append(tag("rect", tip, class_="bar c-intake", **box, height=number(base - y(count))))
    parts.append(tag("text", "meters", class_="tick", x=0, y=number(_TOP - 14)))
    parts.append(tag("line", class_="axis", x1=number(_LEFT), x2=number(_WIDTH - 22), y1=number(base), y2=number(base)))
    id_ = f"hops-{technology.name}"
    told = ", ".join(f"{count:,} meters at {number_of}" for number_of, count in sorted(hops.items()))
    return tag(
        "svg",
        tag("title", f"Hops: {technology.name}", id=f"{id_}-title"),
        tag("desc", told, id=f"{id_}-desc"),
        *parts,
        viewBox=f"0 0 {number(_WIDTH)} {number(_HEIGHT)}",
        role="img",
        aria_labelledby=f"{id_}-title {id_}-desc",
    )


def _every(hops: dict[int, int], most: int) -> Sequence[tuple[int, int]]:
    return [(number_of, hops.get(number_of, 0)) for number_of in range(1, most + 1)]
