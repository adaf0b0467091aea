"""Why do readings differ? One sentence where one cause explains many of them: another clock, unit, column, name. Pure.

Only what is counted is said. Of the readings that are not the meters', each change that people make by mistake is
tried: a shift in time, a unit, swapped columns. One is named if it makes a good share of them match, and far more than
would match by chance: quiet meters repeat the same few values, so most shifts make some of them match.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lab.verdict.keys import Int, IntervalKeys, codes_of, find, integers, micros, numbers
from lab.verdict.owners import owners
from lab.verdict.sides import is_actual
from lab.verdict.tables import RunTables, capability

LEAST_SHARE = 0.2
"""Of the readings that differ and that a meter has an interval for; a cause of fewer is not named."""
LEAST_READINGS = 5
_CHANCE = 1e-6
_LOOKED_AT = 4_000
_CAUSES_AT_MOST = 3
_HOUR_S = 3_600
_ZONES_H = (*range(1, 15), 3.5, 4.5, 5.5, 5.75, 6.5, 8.75, 9.5, 10.5, 12.75, 24)
_INTERVALS = 8
_LENGTHS = {60: "minutes", 3_600: "hours", 0.001: "milliseconds"}

_POLLED_SLACK = 0.03
"""Of an interval's energy: a polled meter is read some seconds off the boundary, which registers.py judges."""

Mask = NDArray[np.bool_]
Energies = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """What many readings that differ have in common, and which these are.

    `cause`: the sentence without its subject. `points` (n,): their usage points, by the place in the fleet; `starts_us`
    (n,): as they are stored, `shift_s` later than they would match.
    """

    sentence: str
    cause: str
    points: Int
    starts_us: Int
    shift_s: int = 0

    def covers(self, points: Int, starts_us: Int) -> Mask:
        """Which of these intervals have such a reading."""
        return self._hits(points, starts_us, self.starts_us)

    def supplies(self, points: Int, starts_us: Int) -> Mask:
        """Of which of these intervals such a reading seems to be."""
        return self._hits(points, starts_us, self.starts_us - self.shift_s * 1_000_000)

    def _hits(self, points: Int, starts_us: Int, own_us: Int) -> Mask:
        none, own_none = np.zeros_like(starts_us), np.zeros_like(own_us)
        keys = IntervalKeys((starts_us, own_us), (none, own_none))
        return np.isin(keys.of(points, starts_us, none), keys.of(self.points, own_us, own_none))


@dataclass(frozen=True, slots=True)
class _Reading:
    """What is done to stored values, and what they are compared with."""

    words: str = ""
    factor: float = 1.0
    swapped: bool = False
    registers: bool = False


_READINGS = (
    _Reading(),
    _Reading("if multiplied by 1,000: they seem to be in kWh instead of Wh", factor=1_000.0),
    _Reading("if divided by 1,000: they seem to have been multiplied once too often", factor=0.001),
    _Reading("with import and export swapped", swapped=True),
    _Reading("the meters' registers: they seem to be register readings, not the energy of an interval", registers=True),
)


@dataclass(frozen=True, slots=True)
class _Cause:
    shift_s: int
    reading: _Reading


class _Evidence:
    """The actual stored rows of the fleet's meters, and the journal in the order of usage point and start."""

    def __init__(self, tables: RunTables) -> None:
        known: dict[str, int] = {}
        codes_of(tables.fleet["usage_point"], known)
        metered = len(known)
        stored, journal = tables.stored, tables.journal
        points = owners(stored, tables.fleet, known).points
        import_wh = numbers(stored["import_wh"])
        rows = np.flatnonzero((points >= 0) & (points < metered) & is_actual(stored) & ~np.isnan(import_wh))
        self.points, self.starts_us = points[rows], micros(stored["interval_start"])[rows]
        self.lengths_s = integers(stored["interval_length_s"])[rows]
        self._import_wh = import_wh[rows]
        self._export_wh = numbers(stored["export_wh"])[rows] if "export_wh" in stored.column_names else None
        self._step_wh = numbers(tables.fleet["register_step_wh"])[self.points]
        keeps = capability(tables.fleet, "keeps_load_profile")
        self._slack = np.where(keeps, 0.0, _POLLED_SLACK)[self.points]

        own = owners(journal, tables.fleet, known).points
        starts_us = micros(journal["interval_start"])
        self._first_us = int(starts_us.min(initial=0 if not len(starts_us) else starts_us[0]))
        self._width_us = int(starts_us.max(initial=self._first_us)) - self._first_us + 1
        keys = own * self._width_us + (starts_us - self._first_us)
        order = np.lexsort((numbers(journal["recorded_at_s"]), keys))
        newest = np.append(keys[order][1:] != keys[order][:-1], True)[: len(order)]
        order = order[newest]
        self._keys = keys[order]
        self.journal_lengths_s = integers(journal["interval_length_s"])[order]
        self._journal = {
            name: numbers(journal[name])[order]
            for name in ("import_wh", "export_wh", "import_register_wh", "export_register_wh")
        }

    def places(self, rows: Int, shift_s: int) -> Int:
        """Where in the journal the rows would be, had they begun `shift_s` earlier; −1 where it has none."""
        since_us = self.starts_us[rows] - shift_s * 1_000_000 - self._first_us
        inside = (since_us >= 0) & (since_us < self._width_us)
        return np.where(inside, find(self._keys, self.points[rows] * self._width_us + since_us), -1)

    def match(self, rows: Int, places: Int, reading: _Reading) -> Mask:
        there = places >= 0
        if not len(self._keys):
            return there
        ours, theirs = self._import_wh[rows] * reading.factor, None
        if self._export_wh is not None:
            theirs = self._export_wh[rows] * reading.factor
        ending = "register_wh" if reading.registers else "wh"
        imported, exported = self._journal[f"import_{ending}"], self._journal[f"export_{ending}"]
        if reading.swapped:
            imported, exported = exported, imported
        same: Mask = there & self._near(rows, ours, imported[places], self._journal["import_wh"][places])
        if theirs is not None and not reading.registers:
            same &= np.isnan(theirs) | self._near(rows, theirs, exported[places], exported[places])
        return same

    def _near(self, rows: Int, stored: Energies, journal: Energies, interval_wh: Energies) -> Mask:
        """At the register's resolution; of polled meters, as near as a poll is to the boundary."""
        limit_wh = np.maximum(self._step_wh[rows] / 2, self._slack[rows] * np.abs(interval_wh))
        near: Mask = np.abs(stored - journal) < limit_wh
        return near


def explanations(tables: RunTables) -> Iterator[Explanation]:
    """Of actual readings of the fleet's meters that are not what these recorded; an earlier one outweighs a later."""
    evidence = _Evidence(tables)
    everything = np.arange(len(evidence.points))
    places = evidence.places(everything, 0)
    matches = evidence.match(everything, places, _READINGS[0])
    yield from _lengths(evidence, places, matches)
    left = np.flatnonzero(~matches)
    differing = len(left)
    lengths_s = np.unique(integers(tables.fleet["interval_length_s"]))
    shifts_s = _shifts_s(lengths_s)
    for _ in range(_CAUSES_AT_MOST):
        cause = _best(evidence, left, shifts_s)
        if cause is None:
            return
        at = evidence.places(everything, cause.shift_s)
        changed = evidence.match(everything, at, cause.reading)
        explained, words = changed & ~matches, _words(cause, lengths_s)
        subject = _subject(tables, evidence, changed, explained, at >= 0, differing)
        rows = _between(evidence, changed, explained) if cause.shift_s else explained
        yield Explanation(f"{subject} {words}.", words, evidence.points[rows], evidence.starts_us[rows], cause.shift_s)
        left = left[~changed[left]]


def off_window_note(stored: pa.Table) -> str:
    """On a table that has no reading of the judged window, but `stored` of the days around it."""
    starts_us = micros(stored["interval_start"])
    first, last = _instant(int(starts_us.min())), _instant(int(starts_us.max()))
    return f"No reading is of the judged window, but {len(starts_us):,} of the time around it, from {first} to {last}."


def _shifts_s(lengths_s: Int) -> list[int]:
    """None first, then by size: of two that explain as much the smaller one is named."""
    by_interval = {int(length_s) * count for length_s in lengths_s for count in range(1, _INTERVALS + 1)}
    sizes = sorted(by_interval | {round(hours * _HOUR_S) for hours in _ZONES_H})
    return [0, *(sign * size for size in sizes for sign in (1, -1))]


def _best(evidence: _Evidence, left: Int, shifts_s: list[int]) -> _Cause | None:
    """The change that makes most of what is `left` match, if it is no chance."""
    if len(left) < LEAST_READINGS:
        return None
    rows = left
    if len(rows) > _LOOKED_AT:
        rows = np.sort(np.random.default_rng(0).choice(left, _LOOKED_AT, replace=False))
    places = [evidence.places(rows, shift_s) for shift_s in shifts_s]
    there = np.array([(at >= 0).sum() for at in places])
    best: tuple[float, int, int] = (0.0, 0, 0)
    matched = np.array(
        [[evidence.match(rows, at, reading).sum() for at in places] for reading in _READINGS], dtype=np.int64
    )
    for number, shift in sorted(np.ndindex(matched.shape), key=lambda place: (place[0] > 0) + (place[1] > 0)):
        if matched[number, shift] > best[0]:
            best = (float(matched[number, shift]), number, shift)
    count, number, shift = best
    if count < LEAST_READINGS or count < LEAST_SHARE * there[shift]:
        return None
    others = np.delete(matched[number], shift).sum() / max(1, np.delete(there, shift).sum())
    chance = at_least(int(count), int(there[shift]), max(float(others), 0.01))
    return _Cause(shifts_s[shift], _READINGS[number]) if chance * matched.size < _CHANCE else None


def at_least(count: int, tries: int, probability: float) -> float:
    """How probable so many hits or more are, each as probable as any other.

    The binomial distribution's upper tail. The lab's image has no scipy, and needs nothing else of it.
    """
    if probability >= 1.0:
        return float(count <= tries)
    hits = range(count, tries + 1)
    ways = [math.lgamma(tries + 1) - math.lgamma(hit + 1) - math.lgamma(tries - hit + 1) for hit in hits]
    hit_log, miss_log = math.log(probability), math.log1p(-probability)
    return math.fsum(
        math.exp(way + hit * hit_log + (tries - hit) * miss_log) for way, hit in zip(ways, hits, strict=True)
    )


def _lengths(evidence: _Evidence, places: Int, matches: Mask) -> Iterator[Explanation]:
    if not len(evidence.journal_lengths_s):
        return
    theirs, ours = evidence.journal_lengths_s[places], evidence.lengths_s
    differ = matches & (theirs != ours)
    for factor, unit in _LENGTHS.items():
        explained = differ & (ours * factor == theirs)
        count = int(explained.sum())
        if count >= LEAST_READINGS and count >= LEAST_SHARE * matches.sum():
            words = f"would match if interval_length_s were in {unit}"
            subject = _of(count, len(ours))
            yield Explanation(f"{subject} {words}.", words, evidence.points[explained], evidence.starts_us[explained])


def _of(count: int, total: int) -> str:
    return f"All {count:,} readings" if count == total else f"{count:,} of {total:,} readings"


def _subject(
    tables: RunTables, evidence: _Evidence, changed: Mask, explained: Mask, comparable: Mask, differing: int
) -> str:
    """:param changed: what matches with the cause undone; `explained`: of these, what does not as it is."""
    count = int(explained.sum())
    if changed.all():
        subject = f"All {len(changed):,} readings"
    elif (changed == comparable).all():
        subject = f"All {int(changed.sum()):,} readings that a meter has an interval for"
    elif count == differing:
        subject = f"All {count:,} readings that differ"
    else:
        subject = f"{count:,} of the {differing:,} readings that differ"
    return subject + "".join(_limits(tables, evidence, explained, ~changed))


def _between(evidence: _Evidence, changed: Mask, explained: Mask) -> Mask:
    """Also what these meters have between these readings: quiet ones match either way, but moved with the others."""
    theirs = np.isin(evidence.points, np.unique(evidence.points[explained]))
    these_us = evidence.starts_us[explained]
    inside: Mask = (evidence.starts_us >= these_us.min()) & (evidence.starts_us <= these_us.max())
    return changed & theirs & inside


def _words(cause: _Cause, lengths_s: Int) -> str:
    how, why = _shift_words(cause.shift_s, lengths_s) if cause.shift_s else ("", "")
    words = " and ".join(filter(None, (how, cause.reading.words)))
    return f"would match {words}{'; ' if why and cause.reading.words else ': ' if why else ''}{why}"


def _shift_words(shift_s: int, lengths_s: Int) -> tuple[str, str]:
    """How much, and what the reason may be."""
    size_s = abs(shift_s)
    whole = [int(length_s) for length_s in lengths_s if size_s % length_s == 0]
    how = _duration(size_s)
    if len(lengths_s) == 1 and whole and (size_s % _HOUR_S or size_s == whole[0] != _HOUR_S):
        count = size_s // whole[0]
        how = f"{'one interval' if count == 1 else f'{count} intervals'} ({how})" if count <= _INTERVALS else how
    reasons = []
    if shift_s in lengths_s:
        reasons.append("the end of an interval seems to be taken for its start")
    elif -shift_s in lengths_s:
        reasons.append("the start of an interval seems to be moved once too often")
    if size_s / _HOUR_S in _ZONES_H[:-1]:
        sign = "+" if shift_s > 0 else "−"
        minutes = size_s // 60
        reasons.append(f"local time (UTC{sign}{minutes // 60:02}:{minutes % 60:02}) seems to be stored as UTC")
    return f"{how} {'earlier' if shift_s > 0 else 'later'}", ", or ".join(reasons)


def _duration(size_s: int) -> str:
    if size_s == _HOUR_S:
        return "one hour"
    if size_s % _HOUR_S == 0:
        return f"{size_s // _HOUR_S} hours"
    return f"{size_s // 60} min" if size_s % 60 == 0 else f"{size_s} s"


def _limits(tables: RunTables, evidence: _Evidence, explained: Mask, rest: Mask) -> Iterable[str]:
    """Where the cause begins or ends, and whose it is, if that can be said."""
    others_us, these_us = evidence.starts_us[rest], evidence.starts_us[explained]
    if len(others_us) and others_us.max() < these_us.min():
        yield f" from {_instant(int(these_us.min()))} on"
    elif len(others_us) and these_us.max() < others_us.min():
        yield f" until {_instant(int(these_us.max()))}"
    vendors = np.array(tables.fleet["vendor_profile"].cast(pa.string()).to_pylist(), dtype=object)
    theirs = set(vendors[np.unique(evidence.points[explained])])
    if len(theirs) == 1 and len(set(vendors)) > 1:
        yield f" of {theirs.pop()} meters"


def _instant(time_us: int) -> str:
    return f"{datetime.fromtimestamp(time_us / 1e6, UTC):%Y-%m-%d %H:%M:%S} UTC"
