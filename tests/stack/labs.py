"""Small labs for the tests: the real thing, with few meters and a short day."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from lab.processes.reaper import MARK_VARIABLE
from lab.run.progress import RunProgress
from lab.run.request import RunRequest, RunResult
from lab.run.run import run
from lab.scenario.load import parse_scenario

REPOSITORY = Path(__file__).resolve().parents[2]


def scenario_text(
    *,
    name: str = "small",
    meters: int | None = 40,
    duration: str = "2h",
    settle: str = "15min",
    seed: int = 7,
    events: str = "",
    more: str = "",
    fleet: str = 'profile = "rl-dsp"',
    network: str = "none",
) -> str:
    """TOML of a small lab on the one feeder.

    :param network: the model of its communications network. Without one, nothing but what a test is about delays a
        frame.
    """
    count = "" if meters is None else f"meters = {meters}"
    return f"""
[scenario]
name = "{name}"
start = 2026-01-15T00:00:00Z
duration = "{duration}"
settle = "{settle}"
seed = {seed}
[feeder]
name = "schutterwald"
[fleet]
{fleet}
{count}
[network]
model = "{network}"
{events}
{more}
"""


def conductor_event(at: str, conductor: str, device: str, duration: str, customers: tuple[int, int]) -> str:
    """TOML of a conductor ("L1", "L2", "L3", "N") that is open in a device with about so many customers behind it."""
    least, most = customers
    return f"""
[[event]]
at = "{at}"
kind = "conductor"
open = "{conductor}"
device = "{device}"
duration = "{duration}"
select = {{ customers = [{least}, {most}] }}
"""


def live(out: Path, text: str, *, parts: Mapping[str, str] | None = None, **request: Any) -> RunResult:
    """Run a lab to its verdict in this process (its parts are processes of their own)."""
    scenario = parse_scenario(text, "test.toml")
    progress = RunProgress(Console(file=io.StringIO()))
    return asyncio.run(run(RunRequest(scenario, out, parts=parts or {}, **request), progress))


def deliveries_in(directory: Path) -> list[dict[str, Any]]:
    """What became of the frames of a whole run, whatever its processes, in an order of their own."""
    parts = sorted((directory / "network").glob("*.parquet"))
    columns = [(name, "ascending") for name in ("sent_at", "serial", "direction", "delivery_class", "about")]
    rows: list[dict[str, Any]] = pa.concat_tables(pq.read_table(part) for part in parts).sort_by(columns).to_pylist()
    return rows


def failed_criteria(result: RunResult) -> set[str]:
    return {criterion.id for criterion in result.verdict.criteria if not criterion.passed}


def amilab(*arguments: str | Path, **environment: str) -> subprocess.Popen[str]:
    """The command itself, as a user starts it."""
    return subprocess.Popen(
        [sys.executable, "-m", "lab.commands.main", *map(str, arguments)],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def processes_of(mark: str) -> list[psutil.Process]:
    """Living processes of the run that carries this mark (the path of its directory)."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK_VARIABLE) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found
