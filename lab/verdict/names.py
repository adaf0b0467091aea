"""Do serials and usage points name the fleet's meters? And if not, what may they have been? Pure.

Names are matched as they are written. What they would be without blanks, in other letters, or without letters or zeros
in front, is said, never assumed: two meters may differ in just that.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lab.verdict.keys import codes_of
from lab.verdict.owners import owners
from lab.verdict.tables import RunTables, TableError

_CHANGES: dict[str, Callable[[str], str]] = {
    "blanks or hyphens": lambda name: re.sub(r"[\s\-\u00a0]", "", name),
    "small and capital letters": str.casefold,
    "letters in front": lambda name: re.sub(r"^[^\W\d_]+(?=.*\d)", "", name),
    "leading zeros": lambda name: re.sub(r"^0*(\D*)0*(?=\d)", r"\1", name),
}
SHOWN = 3


def refuse_strangers(tables: RunTables) -> None:
    """See that at least one stored row is of a meter of the fleet, if there is any row.

    Raises:
        TableError: none is; with what the names may have been.
    """
    if not len(tables.stored):
        return
    known: dict[str, int] = {}
    codes_of(tables.fleet["usage_point"], known)
    metered = len(known)
    points = owners(tables.stored, tables.fleet, known).points
    if ((points >= 0) & (points < metered)).any():
        return
    column = "serial" if _distinct(tables.stored, "serial") else "usage_point"
    names = _distinct(tables.stored, column)
    own = tables.fleet[column].cast(pa.string()).to_pylist()
    if len(names) == 1:
        which = f"the only {_called(column, 1)} is not in the shipment file"
    else:
        which = f"none of the {len(names):,} {_called(column, len(names))} is in the shipment file"
    faults = [f"stored: {which}, e.g. {_examples(names)}; there it is such as {own[0]!r}"]
    raise TableError([*faults, *(f"stored: {note}" for note in _guesses(tables, column, names))])


def name_notes(tables: RunTables) -> Iterator[str]:
    """Sentences on rows whose names are not, or not only, those of one meter of the fleet."""
    stored, fleet = tables.stored, tables.fleet
    known: dict[str, int] = {}
    codes_of(fleet["usage_point"], known)
    metered = len(known)
    found = owners(stored, fleet, known)
    strange = (found.points < 0) | (found.points >= metered)
    for column in ("serial", "usage_point"):
        if column not in stored.column_names:
            continue
        fleets = set(fleet[column].cast(pa.string()).to_pylist())
        unknown = [name for name in _distinct(stored, column) if name not in fleets]
        if not unknown:
            continue
        of_strangers = set(_distinct(stored.filter(pa.array(strange)), column)) if strange.any() else set()
        if meant := [name for name in unknown if name in of_strangers]:
            yield (
                f"{len(meant):,} {_called(column, len(meant))} {_is(len(meant))} not in the shipment file, "
                f"e.g. {_examples(meant)}."
            )
            yield from _guesses(tables, column, meant)
        else:
            others = "serials" if column == "usage_point" else "usage points"
            yield (
                f"{len(unknown):,} {_called(column, len(unknown))} {_is(len(unknown))} not in the shipment file, "
                f"e.g. {_examples(unknown)}: the {others} said whose the readings are."
            )
    if count := int(found.conflicts.sum()):
        first = stored.slice(int(np.flatnonzero(found.conflicts)[0]), 1).to_pylist()[0]
        yield (
            f"{count:,} {'reading has' if count == 1 else 'readings have'} serial and usage point of two different "
            f"meters, e.g. {first['serial']!r} and {first['usage_point']!r}: they count for the usage point."
        )


def _guesses(tables: RunTables, column: str, names: Sequence[str]) -> Iterator[str]:
    """What strange names may have been."""
    other = "usage_point" if column == "serial" else "serial"
    theirs = set(tables.fleet[other].cast(pa.string()).to_pylist())
    if (swapped := sum(name in theirs for name in names)) * 2 > len(names):
        yield f"{swapped:,} of these {_called(column, 2)} are {_called(other, 2)}: the columns seem to be swapped."
        return
    own = tables.fleet[column].cast(pa.string()).to_pylist()
    best, meant = 0, ""
    for size in range(1, len(_CHANGES) + 1):
        for changes in combinations(_CHANGES, size):
            known = Counter(_changed(name, changes) for name in own)
            count = sum(known[_changed(name, changes)] == 1 for name in names)
            if count > best:
                best, meant = count, " and ".join(changes)
    if best:
        yield f"{best:,} of these {_called(column, 2)} would be known but for {meant}, e.g. {names[0]!r}."


def _changed(name: str, changes: Sequence[str]) -> str:
    for change in changes:
        name = _CHANGES[change](name)
    return name


def _distinct(table: pa.Table, column: str) -> list[str]:
    if column not in table.column_names:
        return []
    return sorted(name for name in pc.unique(table[column].cast(pa.string())).to_pylist() if name is not None)


def _called(column: str, count: int) -> str:
    return column.replace("_", " ") + ("" if count == 1 else "s")


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _examples(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names[:SHOWN]) + (" …" if len(names) > SHOWN else "")
