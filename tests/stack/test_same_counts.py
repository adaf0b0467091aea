"""The same seed gives the same counts on a machine that is idle and on one that stops its processes at random."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest

from lab.run.request import RunResult
from tests.stack.labs import live, processes_of, scenario_text
from tests.stack.test_lab import DISTURBED, figures, stored

EVENTS = (
    DISTURBED
    + """
[[event]]
at = "01:15"
kind = "kill"
part = "headend"
down = "5min"

[[event]]
at = "02:15"
kind = "kill"
part = "broker"
down = "3min"

[[event]]
at = "02:45"
kind = "kill"
part = "fleet"
down = "4min"

[[event]]
at = "03:00"
kind = "kill"
part = "database"
down = "1min"
"""
)
STOPPED_S = (0.01, 0.6)
FREE_S = (0.0, 0.2)
LONG_S, ONE_IN = 4.0, 15
"""Now and then a process is stopped for longer than a poller waits for an answer on the wall clock."""


def _burn() -> None:
    while True:
        pass


@contextlib.contextmanager
def _hogs(count: int) -> Iterator[None]:
    """So many processes that want a whole core each."""
    hogs = [multiprocessing.get_context("spawn").Process(target=_burn, daemon=True) for _ in range(count)]
    for hog in hogs:
        hog.start()
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.join()


@contextlib.contextmanager
def _stopping(out: Path, dice: random.Random) -> Iterator[Counter[str]]:
    """Stops one process of the run below `out` after another for a moment; counts how often, by name."""
    stopped: Counter[str] = Counter()
    over = threading.Event()

    def stop_some() -> None:
        while not over.is_set():
            mark = next((str(path) for path in out.glob("small-*")), None)
            for process in dice.sample(found, 1) if mark and (found := processes_of(mark)) else []:
                with contextlib.suppress(psutil.Error):
                    name = process.name()
                    os.kill(process.pid, signal.SIGSTOP)
                    try:
                        time.sleep(LONG_S if stopped.total() % ONE_IN == 5 else dice.uniform(*STOPPED_S))
                    finally:
                        os.kill(process.pid, signal.SIGCONT)
                    stopped[name] += 1
            time.sleep(dice.uniform(*FREE_S))

    thread = threading.Thread(target=stop_some)
    thread.start()
    try:
        yield stopped
    finally:
        over.set()
        thread.join()


def counts(result: RunResult) -> dict[str, Any]:
    """All of verdict.json that is no wall-clock time, and why frames were rejected."""
    letters = pq.read_table(result.directory / "dead_letters.parquet")
    return figures(result) | {"rejected": Counter(letters["reason"].to_pylist())}


@pytest.mark.long
@pytest.mark.timeout(600)
def test_load_and_stopped_processes_change_no_count(tmp_path: Path) -> None:
    text = scenario_text(meters=150, duration="4h", settle="1h", fleet='preset = "bakeoff"', events=EVENTS)
    idle = live(tmp_path / "idle", text)
    with _hogs(2 * (os.cpu_count() or 1)), _stopping(tmp_path / "busy", random.Random(3)) as stopped:
        busy = live(tmp_path / "busy", text)
    assert stopped.total() > 20
    assert idle.verdict.passed
    assert counts(idle) == counts(busy)
    assert stored(idle).equals(stored(busy))
