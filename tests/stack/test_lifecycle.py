"""However a run ends, it leaves no process, no listening socket and no private directory behind."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.stack.command import Command, running, temporary_directory, wait_for
from tests.stack.labs import scenario_text

LONG = "20h"
"""Of simulated time: still running when the test does something to it."""
STARTED = ("grid", "headend", "fleet-0", "postgres")
"""Started at once; the broker follows when the feeder is loaded."""


@pytest.fixture
def temporary() -> Iterator[Path]:
    with temporary_directory() as directory:
        yield directory


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(scenario_text(meters=30, duration=LONG))
    return path


def until_started(run: Command) -> None:
    for name in STARTED:
        wait_for(partial(run.part, name), name)


def test_ctrl_c_while_it_runs(tmp_path: Path, temporary: Path, scenario: Path) -> None:
    with running(scenario, out=tmp_path / "runs", temporary=temporary) as run:
        run.until_it_lives()
        ports = run.ports()
        assert len(ports) >= 2, "the database and the broker"
        run.process.send_signal(signal.SIGINT)
        assert run.end() == 130
        assert run.left_behind(ports) == []
    assert "interrupted" in run.stderr
    assert "Traceback" not in run.stderr + run.stdout


def test_ctrl_c_twice_while_it_starts(tmp_path: Path, temporary: Path, scenario: Path) -> None:
    with running(scenario, out=tmp_path / "runs", temporary=temporary) as run:
        until_started(run)
        ports = run.ports()
        for _ in range(2):
            run.process.send_signal(signal.SIGINT)
        assert run.end() == 130
        assert run.left_behind(ports) == []
    assert "Traceback" not in run.stderr + run.stdout


def test_sigterm_keeps_what_is_to_be_kept_and_says_where(tmp_path: Path, temporary: Path, scenario: Path) -> None:
    with running(scenario, "--keep", out=tmp_path / "runs", temporary=temporary) as run:
        until_started(run)
        ports = run.ports()
        run.process.send_signal(signal.SIGTERM)
        assert run.end() == 130
        (kept,) = run.left_behind(ports)
    assert f"kept: {kept}" in run.stdout
    assert (Path(kept) / "pgdata" / "PG_VERSION").exists()
    assert "interrupted" in run.stderr


def test_killed_itself(tmp_path: Path, temporary: Path, scenario: Path) -> None:
    with running(scenario, out=tmp_path / "runs", temporary=temporary) as run:
        run.until_it_lives()
        ports = run.ports()
        run.process.kill()
        run.end()
        wait_for(lambda: run.left_behind(ports) == [], "the reaper", deadline_s=10)


# Whichever it is, the same code takes the rest down: one of each kind, a part and a service, runs always.
@pytest.mark.parametrize(
    "part", [p if p in ("headend", "postgres") else pytest.param(p, marks=pytest.mark.long) for p in STARTED]
)
def test_a_part_that_is_killed_as_soon_as_it_is_up(tmp_path: Path, temporary: Path, scenario: Path, part: str) -> None:
    with running(scenario, out=tmp_path / "runs", temporary=temporary) as run:
        wait_for(lambda: run.part(part), part)
        assert_its_end_fails_the_run(run, part)


def test_a_part_that_is_killed_while_it_works(tmp_path: Path, temporary: Path, scenario: Path) -> None:
    with running(scenario, out=tmp_path / "runs", temporary=temporary) as run:
        run.until_it_lives()
        assert_its_end_fails_the_run(run, "broker")


def assert_its_end_fails_the_run(run: Command, part: str) -> None:
    with (run.directory / "logs" / f"{part}.log").open("a") as log:
        log.write("its last words\n")
    ports = run.ports()
    process = run.part(part)
    assert process is not None
    process.kill()
    assert run.end() == 3
    assert run.left_behind(ports) == []
    assert f"{part} was killed by signal 9" in run.stderr
    assert "| its last words" in run.stderr
    assert "Traceback" not in run.stderr + run.stdout
