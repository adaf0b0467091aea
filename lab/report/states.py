"""What was true of each meter and what the head-end knew, change by change.

Four things change for a meter: it is dark (truth, from the frames); the head-end counts it to an outage (from when the
outage was detected until its recorded end); it cannot be reached (the head-end's view of its connection); its customer
is disconnected (truth). From these follows one state at every instant, in which the last says least: whoever is in an
outage besides is dark.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lab.headends.files import COMMUNICATION_FILE
from lab.verdict.detection import CLOCK_S
from lab.verdict.disconnections import read_disconnections
from lab.verdict.tables import DETECTED_FILE

Ints = NDArray[np.int64]
DARK, KNOWN, UNHEARD, APART = range(4)
STATES = ("heard", "dark-known", "dark", "unheard", "phantom", "disconnected")
HEARD, DARK_KNOWN, DARK_UNKNOWN, SUPPLIED_UNHEARD, PHANTOM, DISCONNECTED = range(len(STATES))
TROUBLE = slice(DARK_KNOWN, PHANTOM + 1)
"""States that somebody has to see to. To be disconnected is none: somebody wanted it."""
_OTHERWISE = (DARK_UNKNOWN, PHANTOM, DARK_KNOWN, SUPPLIED_UNHEARD, DARK_UNKNOWN, PHANTOM, DARK_KNOWN)
# by dark + 2 × known + 4 × unheard + 8 × disconnected
_STATE_OF = np.array([HEARD, *_OTHERWISE, DISCONNECTED, *_OTHERWISE], dtype=np.int8)
_WORTH_SHOWING_S = 300.0


@dataclass(frozen=True, slots=True)
class Change:
    """At `time_s` [epoch s] `aspect` (DARK, KNOWN, UNHEARD, APART) begins (`on`) or ends for `meters` (sorted)."""

    time_s: float
    aspect: int
    on: bool
    meters: Ints


@dataclass(frozen=True, slots=True)
class History:
    """`counts` (k, len(STATES)): meters in each state from `times_s` (k,) on. `says_…`: whether it is known at all."""

    changes: tuple[Change, ...]
    times_s: NDArray[np.float64]
    counts: Ints
    end_s: float
    says_outages: bool
    says_communication: bool

    @property
    def has_disconnected(self) -> bool:
        """Whether any customer was disconnected at some time."""
        return bool(self.counts[:, DISCONNECTED].any())

    def worst_s(self) -> float:
        """The instant with most meters not supplied and heard, of those that last more than five minutes if any do."""
        troubled = self.counts[:, TROUBLE].sum(axis=1)
        lasts_s = np.diff(np.append(self.times_s, self.end_s))
        lasting = np.where(lasts_s > _WORTH_SHOWING_S, troubled, 0)
        chosen = lasting if lasting.any() else troubled
        return float(self.times_s[int(np.argmax(chosen))])

    def spans(self, meter: int, aspect: int) -> list[tuple[float, float | None]]:
        """When `aspect` was true of a meter; the end is None where it lasts."""
        spans: list[tuple[float, float | None]] = []
        for change in self.changes:
            if change.aspect == aspect and meter in change.meters:
                if change.on:
                    spans.append((change.time_s, None))
                elif spans:
                    spans[-1] = (spans[-1][0], change.time_s)
        return spans

    def states_at(self, time_s: float, meters: int) -> NDArray[np.int8]:
        """(meters,) of indices of STATES."""
        aspects = np.zeros(meters, dtype=np.int8)
        for change in self.changes:
            if change.time_s > time_s:
                break
            _apply(aspects, change)
        return np.asarray(_STATE_OF[aspects])


def read_history(run_dir: Path, usage_points: Sequence[str], *, start_s: float, end_s: float) -> History:
    """The states of the meters at `usage_points` within [start_s, end_s), epoch seconds."""
    darks = _darkness(run_dir, usage_points)
    detected, communication = run_dir / DETECTED_FILE, run_dir / COMMUNICATION_FILE
    apart = read_disconnections(run_dir)
    spans: list[tuple[int, dict[int, list[tuple[float, float]]]]] = [
        (DARK, darks),
        (APART, {meter: apart[point] for meter, point in enumerate(usage_points) if point in apart}),
    ]
    if detected.exists():
        spans.append((KNOWN, _claims(detected, usage_points, darks)))
    if communication.exists():
        spans.append((UNHEARD, _silences(communication, usage_points)))
    changes = tuple(_changes(spans, start_s, end_s))
    times, counts = _count(changes, len(usage_points), start_s)
    return History(changes, times, counts, end_s, detected.exists(), communication.exists())


def seconds(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Timestamps as epoch seconds, NaN for null."""
    micros = column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).cast(pa.float64())
    return np.asarray(micros.to_numpy(), dtype=np.float64) / 1e6


def _apply(aspects: NDArray[np.int8], change: Change) -> None:
    bit = 1 << change.aspect
    if change.on:
        aspects[change.meters] |= bit
    else:
        aspects[change.meters] &= ~bit


def _places(column: pa.ChunkedArray, usage_points: Sequence[str]) -> Ints:
    """The index of each row's usage point; −1 for one without a meter."""
    found = pc.index_in(column.cast(pa.string()), pa.array(usage_points, pa.string()))
    return np.asarray(pc.fill_null(found, -1).to_numpy(), dtype=np.int64)


def _darkness(run_dir: Path, usage_points: Sequence[str]) -> dict[int, list[tuple[float, float]]]:
    table = pq.read_table(run_dir / "truth_frames.parquet", columns=["time", "usage_point", "energised"])
    place = _places(table["usage_point"], usage_points)
    times, frame = np.unique(seconds(table["time"]), return_inverse=True)
    dark = np.zeros((len(times), len(usage_points)), dtype=bool)
    metered = place >= 0
    dark[frame[metered], place[metered]] = ~np.asarray(table["energised"].to_numpy(), dtype=bool)[metered]
    spans: dict[int, list[tuple[float, float]]] = defaultdict(list)
    edges = np.diff(dark.astype(np.int8), axis=0, prepend=0)
    for meter in np.flatnonzero(dark.any(axis=0)).tolist():
        begins, ends = np.flatnonzero(edges[:, meter] > 0), np.flatnonzero(edges[:, meter] < 0)
        until = [*times[ends].tolist(), *[np.inf] * (len(begins) - len(ends))]
        spans[meter] = list(zip(times[begins].tolist(), until, strict=True))
    return spans


def _claims(
    path: Path, usage_points: Sequence[str], darks: dict[int, list[tuple[float, float]]]
) -> dict[int, list[tuple[float, float]]]:
    """From when the head-end knew to the end that it recorded. Meters' clocks are a little off: ends are the truth's
    where they are near it."""
    table = pq.read_table(path)
    place = _places(table["usage_point"], usage_points)
    columns = (seconds(table[name]) for name in ("detected_at", "dark_from", "dark_to"))
    spans: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for meter, known_s, from_s, to_s in zip(place.tolist(), *(column.tolist() for column in columns), strict=True):
        if meter < 0:
            continue
        edges = [edge for span in darks.get(meter, ()) for edge in span]
        begin_s = max(known_s, _near(from_s, edges))
        end_s = np.inf if np.isnan(to_s) else _near(to_s, edges)
        if end_s > begin_s:
            spans[meter].append((begin_s, end_s))
    return spans


def _near(time_s: float, edges: Iterable[float]) -> float:
    return next((edge for edge in edges if abs(edge - time_s) <= CLOCK_S), time_s)


def _silences(path: Path, usage_points: Sequence[str]) -> dict[int, list[tuple[float, float]]]:
    table = pq.read_table(path, columns=["usage_point", "at", "online"]).sort_by("at")
    place = _places(table["usage_point"], usage_points)
    spans: dict[int, list[tuple[float, float]]] = defaultdict(list)
    since: dict[int, float] = {}
    for meter, at_s, online in zip(
        place.tolist(), seconds(table["at"]).tolist(), table["online"].to_pylist(), strict=True
    ):
        if meter < 0:
            continue
        if not online:
            since.setdefault(meter, at_s)
        elif meter in since:
            spans[meter].append((since.pop(meter), at_s))
    for meter, at_s in since.items():
        spans[meter].append((at_s, np.inf))
    return spans


def _joined(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    joined: list[tuple[float, float]] = []
    for begin_s, end_s in sorted(spans):
        if joined and begin_s <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end_s))
        else:
            joined.append((begin_s, end_s))
    return joined


def _changes(
    spans: Iterable[tuple[int, dict[int, list[tuple[float, float]]]]], start_s: float, end_s: float
) -> Iterator[Change]:
    """All changes by time; what ends comes before what begins."""
    grouped: dict[tuple[float, bool, int], list[int]] = defaultdict(list)
    for aspect, by_meter in spans:
        for meter, of_meter in by_meter.items():
            for begin_s, until_s in _joined(of_meter):
                if begin_s >= end_s or until_s <= start_s:
                    continue
                grouped[max(begin_s, start_s), True, aspect].append(meter)
                if until_s < end_s:
                    grouped[until_s, False, aspect].append(meter)
    for time_s, on, aspect in sorted(grouped):
        yield Change(time_s, aspect, on, np.array(sorted(grouped[time_s, on, aspect]), dtype=np.int64))


def _count(changes: Iterable[Change], meters: int, start_s: float) -> tuple[NDArray[np.float64], Ints]:
    aspects = np.zeros(meters, dtype=np.int8)
    current = np.zeros(len(STATES), dtype=np.int64)
    current[HEARD] = meters
    times, counts = [start_s], [current.copy()]
    for change in changes:
        before = _STATE_OF[aspects[change.meters]]
        _apply(aspects, change)
        after = _STATE_OF[aspects[change.meters]]
        current += np.bincount(after, minlength=len(STATES)) - np.bincount(before, minlength=len(STATES))
        if change.time_s > times[-1]:
            times.append(change.time_s)
            counts.append(current.copy())
        else:
            counts[-1] = current.copy()
    return np.array(times), np.array(counts)
