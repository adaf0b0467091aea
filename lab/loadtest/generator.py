"""Locust as processes of the lab: one, or a master with workers; and what they leave behind."""

from __future__ import annotations

import asyncio
import json
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lab.errors import PartFailed, UserError
from lab.loadtest.judgement import Operation
from lab.processes.interpreter import python
from lab.processes.supervisor import ProcessSpec, Supervisor
from lab.services.ports import ReservedPort
from loadtests.ledger import SCHEMA
from loadtests.plan import LEDGERS, PROGRESS, VARIABLE, Plan

GENERATOR = "generator"
MODULE = "loadtests"
STATISTICS, LOCUST_REPORT = "locust", "locust.html"
"""Locust adds .json to the first."""
_STOP_S = 30
_LOOPBACK = "127.0.0.1"


def require_locust() -> None:
    """:raises UserError: it is not installed."""
    if find_spec("locust") is None:
        raise UserError(
            "Locust is not installed; load tests need it, nothing else does",
            "Do once: make setup-loadtest (or pip install 'amilab[loadtest]').",
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """All processes together, at about one instant [epoch s]."""

    at_s: float
    users: int
    sent: int
    acknowledged: int
    failed: int
    lag_p95_s: float


class Generator(ABC):
    """One load by Locust. `names`: its processes, where the supervisor has them."""

    def __init__(self, directory: Path, *, workers: int) -> None:
        """:param directory: for the plan, and for what Locust's processes leave."""
        self._directory = directory
        self._workers = workers
        self.names: list[str] = []

    @abstractmethod
    async def run(self, plan: Plan, *, web_port: int | None = None) -> None:
        """Until the shape is over and all users are gone. Raises PartFailed."""

    def progress(self) -> Progress | None:
        """As the processes have said it last; None before the first has."""
        lines = [line for path in (self._directory / PROGRESS).glob("*.jsonl") if (line := _last_line(path))]
        if not lines:
            return None
        return Progress(
            at_s=max(line["at_s"] for line in lines),
            users=max(line["users"] for line in lines) if self._workers > 1 else lines[0]["users"],
            sent=sum(line["sent"] for line in lines),
            acknowledged=sum(line["acknowledged"] for line in lines),
            failed=sum(line["failed"] for line in lines),
            lag_p95_s=max(line["lag_p95_s"] for line in lines),
        )

    def ledger(self) -> tuple[pa.Table, int, int]:
        """Everything that was sent, failures, and duties that were due and not begun."""
        return read_ledgers(self._directory / LEDGERS)

    def operations(self) -> tuple[Operation, ...]:
        """The client's view."""
        statistics = self._statistics()
        return read_statistics(json.loads(statistics.read_text())) if statistics.exists() else ()

    @abstractmethod
    def _statistics(self) -> Path:
        """Where Locust has written its own."""


class ProcessGenerator(Generator):
    """Processes of this machine. `module`: what is run, by default the package `loadtests`."""

    def __init__(
        self, supervisor: Supervisor, directory: Path, results: Path, *, workers: int = 1, module: str = MODULE
    ) -> None:
        """:param directory: a new one.
        :param results: where Locust's own report and statistics are put.
        """
        super().__init__(directory, workers=workers)
        self._supervisor = supervisor
        self._results = results
        self._module = module

    async def run(self, plan: Plan, *, web_port: int | None = None) -> None:
        self._directory.mkdir()
        path = plan.write(self._directory)
        shown = (
            ["--headless", "--only-summary"]
            if web_port is None
            else ["--web-host", _LOOPBACK, "--web-port", str(web_port), "--autostart", "--autoquit", "0"]
        )
        common = ["--stop-timeout", str(_STOP_S), "--loglevel", "WARNING", "--exit-code-on-error", "0"]
        head = [
            *common, *shown,
            "--html", str(self._results / LOCUST_REPORT), "--json-file", str(self._results / STATISTICS),
        ]  # fmt: skip
        if self._workers == 1:
            await self._start(GENERATOR, path, head)
        else:
            with ReservedPort() as port:
                bind = ["--master-bind-host", _LOOPBACK, "--master-bind-port", str(port.port)]
                await self._start(GENERATOR, path, ["--master", *bind, "--expect-workers", str(self._workers), *head])
                where = ["--master-host", _LOOPBACK, "--master-port", str(port.port)]
                for number in range(1, self._workers + 1):
                    await self._start(f"{GENERATOR}-{number}", path, ["--worker", *where, *common])
        codes = await asyncio.gather(*(self._supervisor.wait(name) for name in self.names))
        for name, code in zip(self.names, codes, strict=True):
            if code != 0:
                raise PartFailed(name, code, self._supervisor.log_tail(name))

    def _statistics(self) -> Path:
        return self._results / f"{STATISTICS}.json"

    async def _start(self, name: str, plan: Path, arguments: Sequence[str]) -> None:
        self.names.append(name)
        environment = {VARIABLE: str(plan), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        await self._supervisor.start(
            ProcessSpec(
                name,
                python("-m", self._module, *arguments),
                environment=environment,
                # Locust imports from the current directory, and looks there for settings.
                directory=self._directory,
            )
        )


def read_ledgers(directory: Path) -> tuple[pa.Table, int, int]:
    """The ledgers of all processes as one table, with the sums of what they failed to do and did not begin."""
    tables = [pq.read_table(path) for path in sorted(directory.glob("*.parquet"))]
    counts = [table.schema.metadata or {} for table in tables]
    failed, unsent = (sum(int(count[name]) for count in counts) for name in (b"failed", b"unsent"))
    plain = [table.replace_schema_metadata(None) for table in tables]
    return (pa.concat_tables(plain) if plain else SCHEMA.empty_table()), failed, unsent


def read_statistics(entries: Sequence[dict[str, Any]]) -> tuple[Operation, ...]:
    """Locust's statistics as it writes them (`--json-file`): response times are counted in a table by millisecond."""
    found = []
    for entry in sorted(entries, key=lambda entry: (str(entry["method"]), str(entry["name"]))):
        times = sorted((float(ms), int(count)) for ms, count in entry["response_times"].items())
        found.append(
            Operation(
                str(entry["method"]),
                str(entry["name"]),
                int(entry["num_requests"]),
                int(entry["num_failures"]),
                _percentile(times, 0.5),
                _percentile(times, 0.95),
                float(entry["max_response_time"] or 0.0),
            )
        )
    return tuple(found)


def _percentile(times: Sequence[tuple[float, int]], share: float) -> float:
    total, seen = sum(count for _, count in times), 0
    for ms, count in times:
        seen += count
        if seen >= share * total:
            return ms
    return math.nan


def _last_line(path: Path) -> dict[str, Any] | None:
    """The last whole line; one may be half written."""
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - 4096))
        whole, _, _ = file.read().rpartition(b"\n")
    if not whole:
        return None
    line: dict[str, Any] = json.loads(whole.rpartition(b"\n")[2])
    return line
