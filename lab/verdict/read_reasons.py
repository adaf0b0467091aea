"""Why a read came late or never, in a run whose communications network is modelled. Pure.

A read has from the beginning of its interval to its deadline to come. It was held before it was sent, lost or delayed
in the air, or it had arrived and was not stored. The reason is what happened first that was more than a read can bear:

arrived in time    the broker, if that was away in between; the uplink, if that was; else the head-end
due in time        what the last frame of it before the deadline was lost, delayed or not even sent by
held               the meter had no supply; or its uplink or the broker was away; else nothing is known

A meter that is polled hangs on a wire, and no broker knows of it. It had no supply; or its gateway had none, or its
line was broken; else it would have answered, and it is the head-end that has not asked, or not stored what it got.
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
from lab.verdict.tables import CAUSES, READ, UP

DARK, RADIO, CELL, BACKHAUL, BROKER, HEAD_END = "dark", "radio", "cell", "backhaul", "broker", "head-end"
GATEWAY = "gateway"
REGISTRATION = "registration"
"""Of a power line: its concentrator did not know the meter yet."""
UNKNOWN = "not known"
_OF_CAUSE = {"collision": RADIO, "jammed": RADIO, "energy": RADIO, "bulk": RADIO}
"""Causes of a frame that are told as part of another reason; the others, such as `collector`, are reasons."""
_CARRIER = {"cellular": CELL}
"""What a lost uplink is told as, by technology; otherwise the way from the collector on."""
_POLLED = "modbus"
_LATE, _LOST = "late", "lost"
_NO_FRAMES = np.zeros(0, dtype=np.int64)
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
    truth: pa.Table,
    interruptions: Iterable[Interruption],
) -> ReadReasons:
    """Of the late and lost rows of `discrepancies` (discrepancies.SCHEMA) of the fleet's meters.

    `truth`: as its schema says, which intervals had supply.
    """
    count = len(discrepancies)
    texts = np.full(count, "", dtype=object)
    kinds = np.array(discrepancies["kind"].cast(pa.string()).to_pylist(), dtype=object)
    reads = _Reads.of(discrepancies, fleet)
    code_of = {name: code for code, name in enumerate(frames.serials)}
    frame_rows = _rows_by_meter(frames)
    inquest = _Inquest(frames, fleet, truth, interruptions)
    for row in np.flatnonzero(np.isin(kinds, (_LATE, _LOST))).tolist():
        serial = reads.serials[row]
        if serial is None:
            continue
        if inquest.is_polled(serial):
            texts[row] = inquest.of_polled(reads, row)
        else:
            code = code_of.get(serial)
            texts[row] = inquest.of(reads, row, _NO_FRAMES if code is None else frame_rows(code))
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
        truth: pa.Table,
        interruptions: Iterable[Interruption],
    ) -> None:
        self._frames = frames
        self._meters = _Meters.of(fleet)
        self._dark = _dark_spans(truth)
        self._broker: list[Span] = []
        self._uplinks: dict[str, list[Span]] = defaultdict(list)
        for each in interruptions:
            if each.part == BROKER:
                self._broker.append((each.from_s, each.until_s))
            for station in each.stations:
                self._uplinks[station].append((each.from_s, each.until_s))

    def is_polled(self, serial: str) -> bool:
        return serial in self._meters.gateway_point

    def of_polled(self, reads: _Reads, row: int) -> str:
        serial = str(reads.serials[row])
        wait = float(reads.start_s[row]), float(reads.deadline_s[row])
        if _meets(self._dark[self._meters.point[serial]], wait):
            return DARK
        on_its_way = [*self._dark[self._meters.gateway_point[serial]], *self._uplinks[serial]]
        return GATEWAY if _meets(on_its_way, wait) else HEAD_END

    def of(self, reads: _Reads, row: int, own: Int) -> str:
        """:param own: the rows of all frames of its meter."""
        frames, serial = self._frames, str(reads.serials[row])
        deadline_s, until_s = float(reads.deadline_s[row]), float(reads.committed_s[row])
        of_read = self._frames_of(reads, row, own)
        arrived_s = float(np.min(frames.arrived_s[of_read], initial=np.inf))
        via = frames.carriers[frames.via[own[-1]]] if len(own) else self._meters.collector[serial]
        technology = frames.technologies[frames.technology[own[-1]]] if len(own) else ""
        carrier = _CARRIER.get(technology, BACKHAUL)
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
        if _meets(self._dark[self._meters.point[serial]], (float(reads.start_s[row]), deadline_s)):
            return DARK
        held = float(reads.end_s[row]), deadline_s
        if _meets(uplinks, held):
            return carrier
        return BROKER if _meets(self._broker, held) else UNKNOWN

    def _frames_of(self, reads: _Reads, row: int, own: Int) -> Int:
        """Those that carried the read, by time. What reports its registers more often has it with the last of them."""
        frames, start_s, end_s = self._frames, float(reads.start_s[row]), float(reads.end_s[row])
        about = frames.about[own]
        ours = (frames.delivery_class[own] == READ) & (frames.direction[own] == UP)
        inside = own[ours & (about >= start_s) & (about < end_s)]
        last = inside[frames.about[inside] == np.max(frames.about[inside], initial=-1)]
        if len(last) and frames.about[last[0]] > start_s:
            last = last[frames.sent_s[last] >= end_s]
        by_time: Int = last[np.argsort(frames.sent_s[last], kind="stable")]
        return by_time


@dataclass(frozen=True, slots=True)
class _Meters:
    """By serial. `gateway_point`: of those that are polled, the usage point whose supply their gateway has."""

    point: Mapping[str, str]
    collector: Mapping[str, str]
    gateway_point: Mapping[str, str]

    @classmethod
    def of(cls, fleet: pa.Table) -> _Meters:
        serials, points, protocols = (
            fleet[name].cast(pa.string()).to_pylist() for name in ("serial", "usage_point", "protocol")
        )
        says = "collector" in fleet.column_names
        carriers = fleet["collector"].cast(pa.string()).to_pylist() if says else [""] * len(serials)
        collectors = [carrier or "" for carrier in carriers]
        first: dict[str, str] = {}
        for collector, point in zip(collectors, points, strict=True):
            first.setdefault(collector, point)
        polled = {
            serial: first[collector] if collector else point
            for serial, point, collector, protocol in zip(serials, points, collectors, protocols, strict=True)
            if protocol == _POLLED
        }
        return cls(dict(zip(serials, points, strict=True)), dict(zip(serials, collectors, strict=True)), polled)


def _dark_spans(truth: pa.Table) -> defaultdict[str, list[Span]]:
    """By usage point, the intervals in which it had no supply all the time."""
    length_s = integers(truth["interval_length_s"])
    dark = np.flatnonzero(truth["energised_s"].to_numpy() < length_s)
    starts_s = (micros(truth["interval_start"])[dark] / 1e6).tolist()
    points = truth["usage_point"].take(pa.array(dark)).cast(pa.string()).to_pylist()
    spans: defaultdict[str, list[Span]] = defaultdict(list)
    for point, start_s, length in zip(points, starts_s, length_s[dark].tolist(), strict=True):
        spans[point].append((start_s, start_s + length))
    return spans


def _meets(spans: Iterable[Span], wait: Span) -> bool:
    return any(begin_s <= wait[1] and end_s >= wait[0] for begin_s, end_s in spans)


def _rows_by_meter(frames: Frames) -> Callable[[int], Int]:
    """The frames of each meter, in the order of their sending; it has some."""
    order = np.lexsort((frames.sent_s, frames.serial))
    first = np.searchsorted(frames.serial[order], np.arange(len(frames.serials) + 1))
    return lambda meter: order[first[meter] : first[meter + 1]]
