"""Why a read came late or never, where a communications network carried it. Pure.

A read has from the beginning of its interval to its deadline to come. It was held before it was sent, lost or delayed
in the air, or it had arrived and was not stored. The reason is what happened first that was more than a read can bear:

arrived in time    the broker, if that was away in between; the uplink, if that was; else the head-end
due in time        what the last frame of it before the deadline was lost, delayed or not even sent by
held               the meter had no supply; or its uplink or the broker was away; else nothing is known
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lab.verdict.expected import GRACE_S
from lab.verdict.keys import Int, codes_of, integers, micros
from lab.verdict.messages import Frames
from lab.verdict.outages import InjectedOutage
from lab.verdict.tables import CAUSES, UP

DARK, RADIO, CELL, BACKHAUL, BROKER, HEAD_END = "dark", "radio", "cell", "backhaul", "broker", "head-end"
UNKNOWN = "not known"
_OF_CAUSE = {"collision": RADIO, "jammed": RADIO, "energy": RADIO, "bulk": RADIO}
"""Causes of a frame that are told as part of another reason; the others, such as `collector`, are reasons."""
_CARRIER = {"cellular": CELL}
"""What a lost uplink is told as, by technology; otherwise the way from the collector on."""
_READ = 4
_LATE, _LOST = "late", "lost"
Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Interruption:
    """In [from_s, until_s] this part was away, or the uplinks of these stations: serials, or collectors."""

    from_s: float
    until_s: float
    part: str = ""
    stations: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class ReadReasons:
    """`texts` (n,): for each row of the discrepancies, such as `radio (jammed)`; empty where nothing is to be said."""

    texts: NDArray[np.object_]
    late: Mapping[str, int]
    missing: Mapping[str, int]

    def to_json(self) -> dict[str, object]:
        """Late and missing reads by reason, as in verdict.json."""
        return {
            reason: {"late": self.late.get(reason, 0), "missing": self.missing.get(reason, 0)}
            for reason in sorted({*self.late, *self.missing})
        }


def reason_of(text: str) -> str:
    """`radio`, of `radio (jammed)`."""
    return text.partition(" (")[0]


def read_reasons(
    discrepancies: pa.Table,
    fleet: pa.Table,
    frames: Frames,
    outages: Iterable[InjectedOutage],
    interruptions: Iterable[Interruption],
) -> ReadReasons:
    """Of the late and lost rows of `discrepancies` (discrepancies.SCHEMA) whose meters the network carries."""
    count = len(discrepancies)
    texts = np.full(count, "", dtype=object)
    kinds = np.array(discrepancies["kind"].cast(pa.string()).to_pylist(), dtype=object)
    reads = _Reads.of(discrepancies, fleet)
    code_of = {name: code for code, name in enumerate(frames.serials)}
    frame_rows = _rows_by_meter(frames)
    inquest = _Inquest(frames, fleet, outages, interruptions)
    for row in np.flatnonzero(np.isin(kinds, (_LATE, _LOST))).tolist():
        serial = reads.serials[row]
        if serial is not None and (code := code_of.get(serial)) is not None:
            texts[row] = inquest.of(reads, row, frame_rows(code))
    counted = {
        kind: Counter(reason_of(text) for text in texts[kinds == kind].tolist() if text) for kind in (_LATE, _LOST)
    }
    return ReadReasons(texts, counted[_LATE], counted[_LOST])


@dataclass(frozen=True, slots=True)
class _Reads:
    """(n,) of the discrepancies: whose, and until when [epoch s]. `committed_s` is inf where never."""

    serials: Sequence[str | None]
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    deadline_s: NDArray[np.float64]
    committed_s: NDArray[np.float64]

    @classmethod
    def of(cls, discrepancies: pa.Table, fleet: pa.Table) -> _Reads:
        known: dict[str, int] = {}
        codes_of(fleet["serial"], known)
        report_s = np.append(integers(fleet["report_every_s"]), 0)
        serials = discrepancies["serial"].cast(pa.string()).to_pylist()
        meter = np.array([known.get(serial, -1) for serial in serials], dtype=np.int64)
        start_s = micros(discrepancies["interval_start"]) / 1e6
        end_s = start_s + integers(discrepancies["interval_length_s"])
        deadline_s = end_s + report_s[meter] + GRACE_S
        overdue_s = discrepancies["by"].to_numpy()
        late = np.array(discrepancies["kind"].cast(pa.string()).to_pylist(), dtype=object) == _LATE
        committed_s = np.where(late & np.isfinite(overdue_s), deadline_s + overdue_s, np.inf)
        return cls(serials, start_s, end_s, deadline_s, committed_s)


class _Inquest:
    """Looks at what is known of one read after another."""

    def __init__(
        self,
        frames: Frames,
        fleet: pa.Table,
        outages: Iterable[InjectedOutage],
        interruptions: Iterable[Interruption],
    ) -> None:
        self._frames = frames
        self._broker: list[Span] = []
        self._uplinks: dict[str, list[Span]] = defaultdict(list)
        self._dark: dict[str, list[Span]] = defaultdict(list)
        for each in interruptions:
            if each.part == BROKER:
                self._broker.append((each.from_s, each.until_s))
            for station in each.stations:
                self._uplinks[station].append((each.from_s, each.until_s))
        serial_of = dict(
            zip(*(fleet[name].cast(pa.string()).to_pylist() for name in ("usage_point", "serial")), strict=True)
        )
        for outage in outages:
            for point in outage.usage_points:
                if point in serial_of:
                    self._dark[serial_of[point]].append((outage.start_s, outage.over_s))

    def of(self, reads: _Reads, row: int, own: Int) -> str:
        """:param own: the rows of all frames of its meter."""
        frames, serial = self._frames, str(reads.serials[row])
        deadline_s, until_s = float(reads.deadline_s[row]), float(reads.committed_s[row])
        ours = (frames.delivery_class[own] == _READ) & (frames.about[own] == int(reads.start_s[row]))
        of_read = own[ours & (frames.direction[own] == UP)]
        of_read = of_read[np.argsort(frames.sent_s[of_read], kind="stable")]
        arrived_s = float(np.min(frames.arrived_s[of_read], initial=np.inf))
        via = frames.carriers[frames.via[own[-1]]]
        carrier = _CARRIER.get(frames.technologies[frames.technology[own[-1]]], BACKHAUL)
        uplinks = [*self._uplinks[serial], *self._uplinks[via]]
        if arrived_s <= deadline_s:
            wait = arrived_s, min(until_s, deadline_s)
            if _meets(self._broker, wait):
                return BROKER
            return carrier if _meets(uplinks, wait) else HEAD_END
        sent = of_read[frames.sent_s[of_read] <= deadline_s]
        causes = [CAUSES[cause] for cause in frames.cause[sent].tolist() if cause]
        if causes:
            reason = _OF_CAUSE.get(causes[-1], causes[-1])
            return reason if reason == causes[-1] else f"{reason} ({causes[-1]})"
        if _meets(self._dark[serial], (float(reads.start_s[row]), deadline_s)):
            return DARK
        held = float(reads.end_s[row]), deadline_s
        if _meets(uplinks, held):
            return carrier
        return BROKER if _meets(self._broker, held) else UNKNOWN


def _meets(spans: Iterable[Span], wait: Span) -> bool:
    return any(begin_s <= wait[1] and end_s >= wait[0] for begin_s, end_s in spans)


def _rows_by_meter(frames: Frames) -> Callable[[int], Int]:
    """The frames of each meter, in the order of their sending; it has some."""
    order = np.lexsort((frames.sent_s, frames.serial))
    first = np.searchsorted(frames.serial[order], np.arange(len(frames.serials) + 1))
    return lambda meter: order[first[meter] : first[meter + 1]]
