"""What became of the frames of a communications network: by urgency, by technology, by who carried them. Pure.

Words (docs/verdict.md, The communications network).

frame        one transmission from end to end, with all its hops and retries: a row of `DELIVERIES`
unsent       a frame that was wanted, without a transmission: there was no way
held         unsent for want of supply: of the meter, of all that could relay for it, or of its collector
message      all frames of one meter, direction, class and `about`: a read that was lost and sent again is one message
wanted       a message of a meter with supply, from when it was first sent, or could not be and was not held
in time      one that first arrived within its class's limit, reckoned from when it was wanted
open         one that had not arrived, and whose limit ends after what the run has seen: nothing can be said of it
share        in time / (wanted − open)
last gasp    in none of these shares: who says it has no supply. Counted by the size of its outage
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from lab.verdict.carriage import Carried, Technology, by_cause, by_meter_of, carried_by, technology_of
from lab.verdict.keys import Int
from lab.verdict.messages import Float, Frames, Mask, Messages
from lab.verdict.outages import InjectedOutage
from lab.verdict.tables import CLASSES, GASP, REPORTED, DeliveryLimit

MESH = "mesh"
"""The technology that the classes of RFC 8036 are a requirement of."""
SIZES = (("1", 1), ("2-10", 10), ("11-100", 100), (">100", np.inf))
"""Of an outage, by the metered customers that it darkened: names and upper ends."""
NO_OUTAGE = "of no outage"
_DAY_S = 86_400.0
_SLACK_S = 60.0
"""A gasp may be sent so long after its outage is over: its meter waits for a while before it says it."""


@dataclass(frozen=True, slots=True)
class ClassDelivery:
    """Of the messages of one technology and class whose meter had supply. Delays [s] are of those that arrived.

    `unsent`: by cause, those that never were sent. Those for want of supply are none of `wanted`.
    """

    technology: str
    limit: DeliveryLimit
    wanted: int
    sent: int
    in_time: int
    arrived: int
    open: int
    unsent: dict[str, int]
    p50_s: float
    p95_s: float

    @property
    def share(self) -> float:
        """NaN where nothing can be said of any."""
        return self.in_time / (self.wanted - self.open) if self.wanted > self.open else float("nan")

    def to_json(self) -> dict[str, object]:
        return {
            "within_s": self.limit.within_s, "wanted": self.wanted, "sent": self.sent, "in_time": self.in_time,
            "arrived": self.arrived, "open": self.open, "unsent": self.unsent, "share": self.share,
            "delay_s": {"p50": self.p50_s, "p95": self.p95_s},
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class GaspDelivery:
    """Of one technology, in outages of one size. `unsent`: over a dead line, or a link that was lost before."""

    technology: str
    size: str
    outages: int
    sent: int
    arrived: int
    unsent: int

    @property
    def share(self) -> float:
        return self.arrived / self.sent if self.sent else float("nan")


@dataclass(frozen=True, slots=True)
class Missed:
    """Messages (m,) that were not in time, as the row of their first frame, by time; `arrived_s` is inf where never."""

    first: Int
    arrived_s: Float

    @classmethod
    def of(cls, messages: Messages, rows: Int) -> Missed:
        rows = rows[np.argsort(messages.wanted_s[rows], kind="stable")]
        return cls(messages.first[rows], messages.arrived_s[rows])


@dataclass(frozen=True, slots=True)
class Deliveries:
    """`missed`: by technology and class.

    `carried`: by the share that failed, the worst first. `by_meter`: serial, technology, via, frames, lost, unsent,
    attempts, bytes, hops (the median of what arrived; null where nothing did).
    """

    frames: Frames
    classes: tuple[ClassDelivery, ...]
    gasps: tuple[GaspDelivery, ...]
    technologies: tuple[Technology, ...]
    carried: tuple[Carried, ...]
    missed: Mapping[tuple[str, str], Missed]
    by_meter: pa.Table

    def of_class(self, technology: str, name: str) -> ClassDelivery | None:
        found = (each for each in self.classes if (each.technology, each.limit.name) == (technology, name))
        return next(found, None)

    def criteria(self) -> dict[str, float]:
        """The figures of the criteria: of a mesh alone, and of the classes that there were messages of.

        A mesh that carried no read is not in order, whatever else there was.
        """
        figures = {}
        for limit in CLASSES.values():
            found = self.of_class(MESH, limit.name)
            if found is not None and (found.wanted > found.open or limit.name == "c4_reads"):
                figures[f"network.{limit.name}"] = found.share
        return figures

    def to_json(self) -> dict[str, object]:
        """As in verdict.json, but for why reads are late or missing."""
        delivery: dict[str, dict[str, object]] = defaultdict(dict)
        for each in self.classes:
            delivery[each.technology][each.limit.name] = each.to_json()
        gasps: dict[str, dict[str, object]] = defaultdict(dict)
        for gasp in self.gasps:
            gasps[gasp.technology][gasp.size] = {
                "outages": gasp.outages, "sent": gasp.sent, "arrived": gasp.arrived, "unsent": gasp.unsent,
                "share": gasp.share,
            }  # fmt: skip
        return {
            "delivery": dict(delivery),
            "gasp_delivery": dict(gasps),
            "technologies": {each.name: each.to_json() for each in self.technologies},
            "worst": [
                {
                    "via": each.via, "technology": each.technology, "meters": each.meters, "frames": each.frames,
                    "lost": each.lost, "unsent": each.unsent, "attempts": each.attempts,
                    "failed_share": each.failed_share,
                }
                for each in self.carried[:10]
                if each.failed_share
            ],
        }  # fmt: skip


def judge_deliveries(
    frames: Frames, points_of: Mapping[str, str], outages: Collection[InjectedOutage], *, start_s: float, end_s: float
) -> Deliveries:
    """On what was wanted from `start_s` on. What the judged window leaves to be sent after `end_s` belongs to it.

    :param points_of: serial → usage point, of the customers' meters.
    """
    messages = Messages.of(frames)
    seen_until_s = max(frames.seen_until_s, end_s)
    judged = messages.wanted_s >= start_s
    lit = judged & messages.lit
    classes, missed = [], {}
    for code, technology in enumerate(frames.technologies):
        for value, limit in REPORTED.items():
            due = np.flatnonzero(lit & (messages.technology == code) & (messages.delivery_class == value))
            told, late = _of_class(frames, messages, due, technology, limit, seen_until_s)
            classes.append(told)
            missed[technology, limit.name] = Missed.of(messages, late)
    inside = frames.sent_s >= start_s
    by_meter = by_meter_of(frames, inside)
    return Deliveries(
        frames=frames,
        classes=tuple(classes),
        gasps=_gasps(frames, messages, judged, points_of, outages),
        technologies=tuple(
            technology_of(frames, code, inside, by_meter, (seen_until_s - start_s) / _DAY_S)
            for code in range(len(frames.technologies))
        ),
        carried=carried_by(frames, inside),
        missed=missed,
        by_meter=by_meter,
    )


def _of_class(
    frames: Frames, messages: Messages, due: Int, technology: str, limit: DeliveryLimit, seen_until_s: float
) -> tuple[ClassDelivery, Int]:
    """Of the messages `due`, and those of them that were not in time."""
    rows = due[~messages.held[due]]
    delay_s = messages.arrived_s[rows] - messages.wanted_s[rows]
    arrived, in_time = np.isfinite(delay_s), delay_s <= limit.within_s
    unsaid = ~arrived & (messages.wanted_s[rows] + limit.within_s > seen_until_s)
    p50_s, p95_s = np.percentile(delay_s[arrived], (50, 95)) if arrived.any() else (np.nan, np.nan)
    told = ClassDelivery(
        technology=technology,
        limit=limit,
        wanted=len(rows),
        sent=int(messages.sent[rows].sum()),
        in_time=int(in_time.sum()),
        arrived=int(arrived.sum()),
        open=int(unsaid.sum()),
        unsent=by_cause(frames.cause[messages.first[due[~messages.sent[due]]]]),
        p50_s=float(p50_s),
        p95_s=float(p95_s),
    )
    return told, rows[~in_time & ~unsaid]


def _gasps(
    frames: Frames,
    messages: Messages,
    judged: Mask,
    points_of: Mapping[str, str],
    outages: Collection[InjectedOutage],
) -> tuple[GaspDelivery, ...]:
    """Each last gasp in the latest outage of its usage point that had begun."""
    of_point: dict[str, list[InjectedOutage]] = defaultdict(list)
    for outage in sorted(outages, key=lambda outage: outage.start_s):
        for point in outage.usage_points:
            of_point[point].append(outage)
    found: dict[tuple[str, str], list[tuple[int, bool, bool]]] = defaultdict(list)
    for row in np.flatnonzero(judged & (messages.delivery_class == GASP)).tolist():
        first, sent_s = int(messages.first[row]), float(messages.wanted_s[row])
        own = of_point.get(points_of.get(frames.serials[frames.serial[first]], ""), [])
        of_outage = next((one for one in reversed(own) if one.start_s <= sent_s <= one.over_s + _SLACK_S), None)
        size = NO_OUTAGE if of_outage is None else size_of(of_outage.customers)
        key = frames.technologies[frames.technology[first]], size
        found[key].append((id(of_outage), bool(messages.sent[row]), bool(np.isfinite(messages.arrived_s[row]))))
    order = [name for name, _ in SIZES] + [NO_OUTAGE]
    return tuple(
        GaspDelivery(
            technology,
            size,
            0 if size == NO_OUTAGE else len({outage for outage, _, _ in told}),
            sent=sum(sent for _, sent, _ in told),
            arrived=sum(arrived for _, _, arrived in told),
            unsent=sum(not sent for _, sent, _ in told),
        )
        for (technology, size), told in sorted(found.items(), key=lambda item: (item[0][0], order.index(item[0][1])))
    )


def size_of(customers: int) -> str:
    """The name of an outage's size."""
    return next(name for name, most in SIZES if customers <= most)
