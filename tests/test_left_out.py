"""What a machine lacks is fetched where that can be done, and else named in one line, at the end where it is seen."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import left_out

REPOSITORY = Path(__file__).parents[1]
TOOLS = ("sh", "cat", "cut", "find", "grep", "mkdir", "printf", "rm", "sleep", "tail", "timeout")


class Checkout:
    """The scripts in a directory of their own, and a PATH with nothing but basic tools and what a test puts there."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.programs = directory / "programs"
        shutil.copytree(REPOSITORY / "scripts", directory / "scripts")
        (directory / "tests/timescale").mkdir(parents=True)
        self.programs.mkdir()
        for tool in TOOLS:
            if found := shutil.which(tool):
                (self.programs / tool).symlink_to(found)

    def program(self, name: str, text: str) -> None:
        path = self.programs / name
        path.write_text(f"#!/bin/sh\necho {name} >>called\n{text}\n")
        path.chmod(0o755)

    def fetch(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "scripts/editions.sh", *arguments],
            cwd=self.directory,
            env={"PATH": str(self.programs)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def calls(self) -> list[str]:
        log = self.directory / "called"
        return log.read_text().split() if log.exists() else []


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_without_npm_and_apt_a_line_for_each_says_what_to_do(checkout: Checkout) -> None:
    done = checkout.fetch()
    lines = [line for line in done.stderr.splitlines() if line.startswith("left out: ")]
    assert done.returncode == 0, "the other tests run"
    assert len(lines) == 2
    assert lines[0].startswith("left out: tests on TimescaleDB's Apache edition (This needs a Debian system: apt-get")
    assert lines[1].startswith("left out: tests on TimescaleDB's community edition (npm is missing: apt install npm")
    assert checkout.fetch("--now").returncode == 1


def test_what_failed_is_not_tried_again_on_the_same_day(checkout: Checkout) -> None:
    checkout.program("npm", "exit 1")
    first = checkout.fetch()
    assert "npm cannot fetch PGlite: is there a network" in first.stderr
    again = checkout.fetch()
    assert checkout.calls() == ["npm"]
    assert [line for line in again.stderr.splitlines() if "left out" in line] == [
        line for line in first.stderr.splitlines() if "left out" in line
    ]
    checkout.fetch("--now")
    assert checkout.calls() == ["npm", "npm"]


def test_what_is_there_is_not_fetched(checkout: Checkout) -> None:
    checkout.program("npm", "mkdir -p tests/timescale/node_modules/@electric-sql")
    checkout.program("node", "")
    (checkout.directory / "build/timescale-apache").mkdir(parents=True)
    (checkout.directory / "build/timescale-apache/complete").touch()
    assert (checkout.fetch().returncode, checkout.calls()) == (0, ["npm"])
    done = checkout.fetch("--now")
    assert (done.returncode, done.stderr, checkout.calls()) == (0, "", ["npm"])


def test_each_group_is_one_line_with_its_count() -> None:
    reasons = [left_out.reason("tests on a", "apt install a")] * 3 + ["Skipped: left out: tests on b (c)", "something"]
    assert left_out.lines(reasons) == ["left out: 3 tests on a (apt install a)", "left out: 1 test on b (c)"]


def run_tests(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Without node and chromium: PATH has what PostgreSQL and Python need."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("CI", "PYTEST"))}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=REPOSITORY,
        env={**clean, "PATH": "/nowhere", **environment},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


@pytest.mark.parametrize("workers", ["no:xdist", "2"])
def test_the_end_of_a_run_says_what_was_left_out(workers: str) -> None:
    how = ("-p", workers) if workers.startswith("no") else ("-n", workers)
    done = run_tests("tests/timescale/test_settled.py", "-k", "community", *how)
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = re.findall(r"^left out: .*$", done.stdout, flags=re.M)
    assert re.match(r"left out: \d+ tests? on TimescaleDB's community edition \(", line)


def test_in_ci_it_has_to_be_there() -> None:
    done = run_tests("tests/timescale/test_settled.py", "-k", "community", "-p", "no:xdist", CI="true")
    assert done.returncode == 1
    assert "left out: tests on TimescaleDB's community edition" in done.stdout


def test_slow_sweeps_are_left_to_test_long() -> None:
    usual = run_tests("tests/dashboards", "--collect-only", "-p", "no:xdist")
    long = run_tests("tests/dashboards", "--collect-only", "-m", "long", "-p", "no:xdist")
    assert "sweep" not in usual.stdout
    assert "sweep" in long.stdout
