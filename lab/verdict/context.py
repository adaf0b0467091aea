"""What surrounds a run and goes into its verdict unjudged: the host, the feeder, the clock, the intake."""

import math
import os
import platform
from dataclasses import dataclass, field
from pathlib import Path

import psutil

OWN, EXTERNAL = "amilab", "external"
"""Whose head-end is judged."""
_CPUINFO = Path("/proc/cpuinfo")


def _cpu_model() -> str:
    if _CPUINFO.exists():
        for line in _CPUINFO.read_text(errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


@dataclass(frozen=True, slots=True)
class Host:
    cpu_count: int
    cpu_model: str
    memory_gib: float
    python: str
    database: str
    timescaledb: str | None
    broker: str

    @classmethod
    def here(cls, *, database: str, timescaledb: str | None, broker: str) -> "Host":
        """This machine, with the names and versions of the database and the broker."""
        return cls(
            cpu_count=os.cpu_count() or 1,
            cpu_model=_cpu_model(),
            memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
            python=platform.python_version(),
            database=database,
            timescaledb=timescaledb,
            broker=broker,
        )


@dataclass(frozen=True, slots=True)
class FeederFacts:
    name: str
    buses: int
    usage_points: int
    transformers: int
    flow: str = "balanced"
    """Which power flow the truth is of: `three-phase` or `balanced`, as that of all runs that do not say it."""
    time_zone: str | None = None
    """What the feeder's own clocks show, by the IANA database; None of runs that do not say it."""


@dataclass(frozen=True, slots=True)
class ClockFacts:
    """The judged window, its simulated length without settling, and what it took on the wall.

    `in_lockstep`: head-end and meters had one clock; at speed 1 each has its own.
    """

    start_s: int
    simulated_s: int
    wall_s: float
    in_lockstep: bool = True

    @property
    def end_s(self) -> int:
        return self.start_s + self.simulated_s

    @property
    def speed(self) -> float:
        return self.simulated_s / self.wall_s if self.wall_s > 0 else 0.0

    @property
    def pace(self) -> str:
        """The speed in words."""
        return f"{self.speed:,.{0 if self.speed >= 10 else 1}f} × real time"


@dataclass(frozen=True, slots=True)
class LatencyMs:
    p50: float = math.nan
    p95: float = math.nan
    p99: float = math.nan
    max: float = math.nan


@dataclass(frozen=True, slots=True)
class IngestFacts:
    """The head-end's own figures. Rates are per second of wall clock."""

    messages: int = 0
    rows: int = 0
    messages_per_s: float = 0.0
    rows_per_s: float = 0.0
    receive_to_commit_ms: LatencyMs = field(default_factory=LatencyMs)


@dataclass(frozen=True, slots=True)
class RunContext:
    """`rejected_frames`: what the head-end could not use and kept; None if it does not say, as `ingest`.
    `collectors`: data concentrators in the fleet. `headend`: whose it is, "amilab" or "external"."""

    scenario: str
    seed: int
    host: Host
    feeder: FeederFacts
    clock: ClockFacts
    ingest: IngestFacts | None = field(default_factory=IngestFacts)
    rejected_frames: int | None = 0
    collectors: int = 0
    headend: str = OWN
