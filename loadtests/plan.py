"""What a load test is to do, as one file: written by the lab, read by each process of Locust. Holds passwords."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from loadtests.duties import Rhythm
from loadtests.shapes import Shape

VARIABLE = "AMILAB_LOADTEST_PLAN"
"""The environment's variable with the plan's path."""
LEDGERS, PROGRESS, START, LEASES = "ledgers", "progress", "start", "leases"
"""Beside the plan: what was sent, how far each process is, when the load began, which users are taken."""


@dataclass(frozen=True, slots=True)
class Broker:
    """With `ca`, TLS; clients show `identities`/<name>.pem."""

    host: str
    port: int
    ca: str | None = None
    identities: str | None = None


@dataclass(frozen=True, slots=True)
class Station:
    """Whoever has a connection to the broker: a meter by its serial, or a collector. `meters`: their numbers.

    `vendor`: whose wire it speaks.
    """

    name: str
    username: str
    password: str
    meters: tuple[int, ...]
    vendor: str


@dataclass(frozen=True, slots=True)
class Gateway:
    """A Modbus gateway with the units 1 to `units`. A poll of one reads `blocks`: (function, first register, count)."""

    host: str
    port: int
    units: int
    blocks: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """Where dashboards are read: `url` holds the password of a role that may only read. One query in each `pause_s`."""

    url: str
    schema: str
    pause_s: float


@dataclass(frozen=True, slots=True)
class Plan:
    """`serials`: of all meters, whose place here is their number. `users`: of each class at the peak."""

    group: str
    shape: Shape
    period_s: float
    interval_s: int
    block: int
    first_interval_s: int
    serials: tuple[str, ...]
    broker: Broker
    meters: tuple[Station, ...] = ()
    collectors: tuple[Station, ...] = ()
    gateways: tuple[Gateway, ...] = ()
    reading: Reading | None = None
    readers: int = 0

    @property
    def rhythm(self) -> Rhythm:
        return Rhythm(self.period_s, self.block, self.shape.duration_s, self.shape.storm, self.shape.wave)

    @property
    def users(self) -> int:
        """At the peak."""
        return len(self.meters) + len(self.collectors) + len(self.gateways) + self.readers

    def interval_start_s(self, number: int) -> int:
        """Epoch s."""
        return self.first_interval_s + number * self.interval_s

    def write(self, directory: Path) -> Path:
        """Write it, mode 0600, with the directories beside it; returns its path."""
        for name in (LEDGERS, PROGRESS, LEASES):
            (directory / name).mkdir(parents=True)
        path = directory / "plan.json"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(_ADAPTER.dump_json(self))
        return path


_ADAPTER = TypeAdapter(Plan)


def read_plan(path: Path) -> Plan:
    """Raises OSError, ValueError."""
    return _ADAPTER.validate_json(path.read_bytes())
