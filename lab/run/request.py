"""What a run was asked for, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab.headends.external import ExternalHeadEnd
from lab.run.companion import Companion
from lab.run.site import Site
from lab.scenario.load import Scenario
from lab.verdict.verdict import Verdict

REAL_TIME = 1.0


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What `amilab run` was asked for. `speed`: None as fast as possible, 1 the wall clock without a barrier.

    With a `companion` time is always granted in lockstep, at the companion's pace, and until the companion ends it.

    :raises ValueError: an external head-end at another speed than 1, or with a companion.
    """

    scenario: Scenario
    out: Path
    speed: float | None = None
    database_url: str | None = None
    broker_url: str | None = None
    keep: bool = False
    external: ExternalHeadEnd | None = None
    """Somebody else's head-end, which is judged instead of ours."""
    site: Site | None = None
    """Where everything runs, if not as processes of this machine."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """Modules to run instead of lab/parts/*.py, by kind: how a test puts a saboteur in a part's place."""
    companion: Companion | None = None
    feeder_option: bool = False
    """The feeder is that of --feeder, not of the scenario's file: a hint says which to change."""

    def __post_init__(self) -> None:
        if self.external is not None and not self.in_real_time:
            raise ValueError("an external head-end lives on the wall clock: speed must be 1")

    @property
    def in_real_time(self) -> bool:
        """On the wall clock, without a barrier."""
        return self.speed == REAL_TIME and self.companion is None


@dataclass(frozen=True, slots=True)
class RunResult:
    verdict: Verdict
    directory: Path
    report: Path
