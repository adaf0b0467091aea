"""What else was the matter where a read is missing or late: the most likely cause of each discrepancy.

A read has from the beginning of its interval to its deadline to come. What was known to be wrong in that time, first
of: its meter dark, a value of it that cannot be true, its uplink lost, its polls refused, a part of the head-end or the
broker down, a dead letter of its own. What is wrong with a value has no such cause: it is told by its kind. Where the
verdict's diagnosis explains a row, that is its cause. Where the communications network is modelled, its truth says
which part of it a read was held, lost or delayed by, and that is better than what was the matter at the same time.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lab.report.dead_letters import DeadLetters
from lab.report.events import RunEvent
from lab.report.meters import Meters
from lab.report.states import DARK, UNHEARD, History, seconds
from lab.report.unusable import Implausible, Polls
from lab.verdict.diagnosis import Explanation
from lab.verdict.expected import GRACE_S
from lab.verdict.keys import micros
from lab.verdict.read_reasons import DARK as OUT_OF_SUPPLY
from lab.verdict.read_reasons import HEAD_END, ReadReasons
from lab.verdict.read_reasons import UNKNOWN as NOT_KNOWN

Float = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
DARK_METER, NO_UPLINK, REFUSED, UNKNOWN = "meter dark", "uplink lost", "meter refuses polls", "nothing known"
BY_KIND = {
    "altered": "changed on the way or in the database",
    "fabricated": "made up by the head-end",
    "estimate_off": "the head-end's estimation",
    "duplicate": "stored twice by the head-end",
    "class_violation": "the meter's measurement",
    "extra": "stored for a dark interval",
    "recorded_twice": "the meter's memory",
}
_MISPLACED = ("altered", "fabricated", "extra")
"""Kinds of a reading that is stored, but not as the meter's, or not where it belongs."""
_EVENTS = {"kill": "down", "network": "network disturbed", "update": "updated"}
"""Kinds of a run's events that keep reads of any meter from coming, and what their causes are called."""


def causes(
    discrepancies: pa.Table,
    meters: Meters,
    history: History,
    events: Sequence[RunEvent],
    dead_letters: DeadLetters | None,
    polls: Polls,
    implausible: Iterable[Implausible],
    explanations: Sequence[Explanation],
) -> NDArray[np.object_]:
    """A cause for each row of discrepancies.SCHEMA."""
    count = len(discrepancies)
    found = np.full(count, UNKNOWN, dtype=object)
    kinds = np.array(discrepancies["kind"].cast(pa.string()).to_pylist(), dtype=object)
    for kind, cause in BY_KIND.items():
        found[kinds == kind] = cause
    open_ = np.isin(kinds, list(BY_KIND), invert=True)
    place = _places(discrepancies["usage_point"], meters.usage_points)
    start_s = seconds(discrepancies["interval_start"])
    end_s = start_s + discrepancies["interval_length_s"].to_numpy()
    report_s = np.append(meters.report_every_s, 0)[place]
    deadline_s = end_s + report_s + GRACE_S

    # From the least likely to the most: each overwrites what is there.
    for cause, mask in (
        *_letters(dead_letters, meters, place, start_s, deadline_s),
        *_downs(events, end_s, deadline_s),
        (REFUSED, _of_meters(place, [m for m, serial in enumerate(meters.serials) if polls.refuses(serial)])),
        (NO_UPLINK, _during(history, UNHEARD, place, end_s, deadline_s, len(meters))),
        *_unbelieved(implausible, meters, place, start_s),
        (DARK_METER, _during(history, DARK, place, start_s, deadline_s, len(meters))),
    ):
        found[mask & open_] = cause
    start_us = micros(discrepancies["interval_start"])
    for explanation in reversed(explanations):
        found[np.isin(kinds, _MISPLACED) & explanation.covers(place, start_us)] = explanation.cause
        found[(kinds == "lost") & explanation.supplies(place, start_us)] = explanation.cause
    return found


def known_better(found: NDArray[np.object_], reasons: ReadReasons) -> NDArray[np.object_]:
    """The causes, those of the communications network as its truth has them.

    What became of a read that had arrived, the network does not know: there the other evidence counts, if any.
    """
    vague = np.isin(found, (UNKNOWN, NO_UPLINK))
    arrived = reasons.texts == HEAD_END
    told = (reasons.texts != "") & (reasons.texts != NOT_KNOWN) & (~arrived | vague)
    names = np.array([DARK_METER if text == OUT_OF_SUPPLY else text for text in reasons.texts.tolist()], dtype=object)
    return np.where(told, names, found)


def _places(column: pa.ChunkedArray, usage_points: Sequence[str]) -> Ints:
    """The index of each row's meter; −1 for none."""
    found = pc.index_in(column.cast(pa.string()), pa.array(usage_points, pa.string()))
    return np.asarray(pc.fill_null(found, -1).to_numpy(), dtype=np.int64)


def _of_meters(place: Ints, chosen: Iterable[int]) -> Bools:
    return np.isin(place, list(chosen))


def _rows_of(place: Ints, meters: int) -> Callable[[int], Ints]:
    """The rows of each meter, without looking through all of them."""
    order = np.argsort(place, kind="stable")
    first = np.searchsorted(place[order], np.arange(meters + 1))
    return lambda meter: order[first[meter] : first[meter + 1]]


def _during(history: History, aspect: int, place: Ints, from_s: Float, until_s: Float, meters: int) -> Bools:
    """Where `aspect` was true of the row's meter at some instant of [from_s, until_s)."""
    mask = np.zeros(len(place), dtype=bool)
    rows_of = _rows_of(place, meters)
    concerned = {int(meter) for meter in np.unique(place) if meter >= 0}
    begun: dict[int, float] = {}

    def span(meter: int, begin_s: float, finish_s: float) -> None:
        rows = rows_of(meter)
        mask[rows[(from_s[rows] < finish_s) & (until_s[rows] > begin_s)]] = True

    for change in history.changes:
        if change.aspect != aspect:
            continue
        for meter in concerned.intersection(change.meters.tolist()):
            if change.on:
                begun.setdefault(meter, change.time_s)
            elif meter in begun:
                span(meter, begun.pop(meter), change.time_s)
    for meter, begin_s in begun.items():
        span(meter, begin_s, np.inf)
    return mask


def _downs(events: Sequence[RunEvent], end_s: Float, deadline_s: Float) -> Iterable[tuple[str, Bools]]:
    for event in events:
        if event.kind in _EVENTS:
            until_s = event.time_s if event.until_s is None else event.until_s
            yield f"{_part(event.label)} {_EVENTS[event.kind]}", (end_s <= until_s) & (deadline_s > event.time_s)


def _part(label: str) -> str:
    """`head-end`, of `SIGKILL: headend, back after 300 s`."""
    before, _, after = label.partition(":")
    return (after or before).partition(",")[0].strip().removesuffix(" killed").replace("headend", "head-end")


def _unbelieved(
    implausible: Iterable[Implausible], meters: Meters, place: Ints, start_s: Float
) -> Iterable[tuple[str, Bools]]:
    """Where the head-end has a value of the very interval that cannot be true."""
    meter_of = {serial: meter for meter, serial in enumerate(meters.serials)}
    rows_of = _rows_of(place, len(meters))
    masks: dict[str, Bools] = {}
    for value in implausible:
        if (meter := meter_of.get(value.serial)) is not None:
            rows = rows_of(meter)
            mask = masks.setdefault(value.reason, np.zeros(len(place), dtype=bool))
            mask[rows[start_s[rows] == value.start_s]] = True
    return [(f"implausible: {reason.replace('_', ' ')}", mask) for reason, mask in sorted(masks.items())]


def _letters(
    dead_letters: DeadLetters | None, meters: Meters, place: Ints, start_s: Float, deadline_s: Float
) -> Iterable[tuple[str, Bools]]:
    """By the reason of a dead letter of the row's own meter."""
    masks: dict[str, Bools] = {}
    rows_of = _rows_of(place, len(meters))
    for meter in np.unique(place[place >= 0]).tolist() if dead_letters is not None else ():
        assert dead_letters is not None
        rows = rows_of(meter)
        for letter in dead_letters.of(meters.serials[meter]):
            mask = masks.setdefault(letter.reason, np.zeros(len(place), dtype=bool))
            mask[rows[(start_s[rows] <= letter.received_s) & (deadline_s[rows] >= letter.received_s)]] = True
    return [(f"dead letter: {reason.replace('_', ' ')}", mask) for reason, mask in sorted(masks.items())]
