"""The assertions of the Sparkplug specification 3.0, each with its tests or with the reason why it does not apply.

`sparkplug_assertions.csv` has the identifiers in the chapters of eclipse-sparkplug/sparkplug, without their `tck-id-`.
Four of them are a second spelling of another. `python -m tests.interop.sparkplug_assertions` prints the share tested.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

LIST = Path(__file__).with_suffix(".csv")


@dataclass(frozen=True, slots=True)
class Assertion:
    """`tests` are `path::function`; without any there is the reason."""

    name: str
    tests: tuple[str, ...]
    not_applicable: str


def read_assertions(path: Path = LIST) -> list[Assertion]:
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Assertion(row["assertion"], tuple(row["tests"].split()), row["not_applicable"])
            for row in csv.DictReader(file)
        ]


def summary(assertions: Sequence[Assertion]) -> list[str]:
    """The share that is tested, and how many do not apply for which reason, as rows of a table."""
    tested = sum(bool(assertion.tests) for assertion in assertions)
    reasons = Counter(assertion.not_applicable for assertion in assertions if not assertion.tests)
    return [
        f"| {tested} of {len(assertions)} ({tested / len(assertions):.0%}) | tested |",
        *(f"| {count} | {reason} |" for reason, count in reasons.most_common()),
    ]


if __name__ == "__main__":
    print("\n".join(summary(read_assertions())))
