"""What the head-end was answered and could not use: polls that meters refused, and values that cannot be true."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from lab.headends.files import IMPLAUSIBLE_FILE, POLLS_FILE

_SHOWN = frozenset({"answered", "register_backwards", "register_jump"})
_NOBODY = frozenset({"no_answer", "no_connection", "not_asked"})
_OF_THE_GATEWAY = frozenset({10, 11})
"""Modbus exceptions with which a gateway says that it does not reach the meter."""


@dataclass(frozen=True, slots=True)
class Polls:
    """`refused`: by serial, outcome → how many polls the meter itself answered with something else than its registers.

    As the database's view poll_result counts them."""

    refused: dict[str, dict[str, int]]

    def refuses(self, serial: str) -> bool:
        return serial in self.refused

    def told(self, serials: list[str]) -> str:
        """`2 meters refuse polls (illegal data address, 96 polls)`; empty if none does."""
        outcomes: dict[str, int] = {}
        meters = [serial for serial in serials if serial in self.refused]
        for serial in meters:
            for outcome, count in self.refused[serial].items():
                outcomes[outcome] = outcomes.get(outcome, 0) + count
        if not meters:
            return ""
        words = ", ".join(name.replace("_", " ") for name in sorted(outcomes))
        polls = sum(outcomes.values())
        return (
            f"{len(meters):,} meter{' refuses' if len(meters) == 1 else 's refuse'} polls"
            f" ({words}, {polls:,} poll{'' if polls == 1 else 's'})"
        )


@dataclass(frozen=True, slots=True)
class Implausible:
    """A value of the interval that begins at `start_s` [epoch s], and why the head-end does not believe it."""

    serial: str
    start_s: float
    reason: str


def read_implausible(run_dir: Path) -> list[Implausible]:
    """Empty where the head-end says nothing of them."""
    path = run_dir / IMPLAUSIBLE_FILE
    rows = pq.read_table(path).to_pylist() if path.exists() else []
    return [Implausible(row["serial"], row["interval_start"].timestamp(), row["reason"]) for row in rows]


def read_polls(run_dir: Path) -> Polls:
    """Nobody refuses where the head-end says nothing of polls."""
    path = run_dir / POLLS_FILE
    refused: dict[str, dict[str, int]] = {}
    for row in pq.read_table(path).to_pylist() if path.exists() else ():
        if row["outcome"] in _SHOWN | _NOBODY or row["exception_code"] in _OF_THE_GATEWAY:
            continue
        of_meter = refused.setdefault(row["serial"], {})
        of_meter[row["outcome"]] = of_meter.get(row["outcome"], 0) + row["polls"]
    return Polls(refused)
