"""What a sweep runs: a scenario with each seed and each fleet."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

_OWN_OPTIONS = ("--seed", "--fleet", "--out")
_ONE_AT_A_TIME = ("--compose", "--swarm")
_RANGE = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?")
_MOST_SEEDS = 10_000
_LONGEST_WORDS = 80


@dataclass(frozen=True, slots=True)
class Case:
    """One run. `scenario` and `fleet` as they were given; `arguments`: further ones of `amilab run`."""

    scenario: str
    fleet: str
    seed: int
    arguments: tuple[str, ...] = ()

    @property
    def directory_name(self) -> str:
        """A name for a directory, whatever scenario and fleet are called. No two cases share it."""
        words = re.sub(r"[^A-Za-z0-9_=-]+", "-", f"{self.scenario}-{self.fleet}")[:_LONGEST_WORDS].strip("-")
        given = json.dumps([self.scenario, self.fleet, self.arguments])
        return f"{words}-{hashlib.sha256(given.encode()).hexdigest()[:8]}-{self.seed}"


def seed_by_seed(
    scenario: str, fleets: Sequence[str], seeds: Sequence[int], arguments: Sequence[str] = ()
) -> list[Case]:
    """All fleets with the first seed, then with the next: a sweep that is stopped has seen them all."""
    return [Case(scenario, fleet, seed, tuple(arguments)) for seed in seeds for fleet in dict.fromkeys(fleets)]


def parse_seeds(text: str) -> tuple[int, ...]:
    """`1-20` or `7,8,101-120`, each once, in the order given. Raises ValueError."""
    seeds: dict[int, None] = {}
    for part in text.split(","):
        found = _RANGE.fullmatch(part.strip())
        if found is None:
            raise ValueError(f"{part.strip()!r} is no seed; write for instance 7 or 1-20 or 7,8,101-120")
        first = int(found[1])
        last = first if found[2] is None else int(found[2])
        if last < first:
            raise ValueError(f"{part.strip()} ends before it begins")
        if last - first >= _MOST_SEEDS:
            raise ValueError(f"{part.strip()} has more than {_MOST_SEEDS:,} seeds")
        seeds |= dict.fromkeys(range(first, last + 1))
        if len(seeds) > _MOST_SEEDS:
            raise ValueError(f"these are more than {_MOST_SEEDS:,} seeds")
    return tuple(seeds)


def argument_faults(arguments: Sequence[str], jobs: int) -> list[str]:
    """What cannot be passed on to the runs, in words."""
    given = [argument.partition("=")[0] for argument in arguments]
    faults = [f"{option} is the sweep's own: say it before the --" for option in _OWN_OPTIONS if option in given]
    if jobs > 1:
        faults += [f"{option} runs one at a time: --jobs 1" for option in _ONE_AT_A_TIME if option in given]
    return faults
