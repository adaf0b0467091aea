"""What is to be done in a run, written by whoever conducts it and read by every container: `plan/plan.json`.

A container does not know which part it will be. It looks into the plan for parts of its kind and takes the first that
nobody holds, so it makes no difference how many there are, which of them died, and who was started in its place.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

PLAN = "plan.json"
LOCKS = "locks"
ROOT = Path("/state")
"""Where the shared directory is in a container."""
LINK_KEY = Path("/run/secrets/link")
"""Where a container finds its key of the lab link (lab/containers/link_keys.py)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`link`: the lab link's address as containers see it; `parts`: the names of the parts by the kind that serves."""

    run: str
    link: str
    parts: Mapping[str, Sequence[str]]


def write_plan(directory: Path, plan: Plan, give: Callable[[Path], object]) -> None:
    """Publish the plan in one step, with a lock file for each part.

    :param give: makes a file or directory belong to whom the containers run as.
    """
    locks = directory / LOCKS
    locks.mkdir(mode=0o750, exist_ok=True)
    give(locks)
    for name in (name for names in plan.parts.values() for name in names):
        (locks / name).touch(mode=0o640)
        give(locks / name)
    draft = directory / f".{PLAN}"
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o640)
    draft.write_text(json.dumps(asdict(plan)))
    give(draft)
    draft.replace(directory / PLAN)


def read_plan(directory: Path) -> Plan | None:
    """The plan, or None if there is none (yet)."""
    try:
        return Plan(**json.loads((directory / PLAN).read_text()))
    except FileNotFoundError:
        return None


def withdraw_plan(directory: Path) -> None:
    """The run is over: whoever still serves a part of it leaves it."""
    (directory / PLAN).unlink(missing_ok=True)
