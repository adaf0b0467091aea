"""Ids from the names that a net's author gave, or did not give: names in a net are no keys."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

LONGEST = 100


def unique_names(index: Iterable[object], names: Iterable[object], prefix: str, fallback: str) -> list[str]:
    """Readable and unique: the net's name where it is unique, else with the index; safe in topics, CSV and files.

    What that makes twice, by a name that looks like another one with its index, gets the next free number as well.
    """
    clean = [_clean(name) for name in names]
    counts = Counter(clean)
    taken = {name for name, count in counts.items() if name and count == 1}
    result = []
    for number, name in zip(index, clean, strict=True):
        if name and counts[name] == 1:
            result.append(prefix + name)
            continue
        wanted = f"{name or fallback}-{number}"
        found = next_free(wanted, taken)
        taken.add(found)
        result.append(prefix + found)
    return result


def next_free(wanted: str, taken: Iterable[str]) -> str:
    """`wanted`, or the first of `wanted-2`, `wanted-3`, … that is not taken."""
    found, attempt = wanted, 1
    while found in taken:
        attempt += 1
        found = f"{wanted}-{attempt}"
    return found


def _clean(name: object) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:LONGEST] if isinstance(name, str) else ""
