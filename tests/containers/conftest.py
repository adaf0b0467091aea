"""The Compose project of this checkout, for real: built, started, and taken down with all that it leaves.

These tests need a Docker engine and take minutes, so a plain `pytest` leaves them out (`-m containers`); `.ci/run` runs
them.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
COMPOSE = REPOSITORY / "compose"


def amilab(*arguments: str, timeout_s: float = 900) -> subprocess.CompletedProcess[str]:
    """The command, as a user would give it in the checkout."""
    return subprocess.run(
        [sys.executable, "-m", "lab.cli", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def compose(*arguments: str, timeout_s: float = 900) -> str:
    """`docker compose …` of the project; its output. Fails the test if it fails."""
    answer = subprocess.run(
        ["docker", "compose", *arguments], cwd=COMPOSE, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    assert answer.returncode == 0, answer.stderr[-4000:]
    return answer.stdout


@pytest.fixture(scope="session")
def project() -> Iterator[Path]:
    """The directory compose/ with a project of the air-gapped variant that is built and may be started."""
    made = amilab("compose", "init", "--debian", "--force")
    assert made.returncode == 0, made.stderr
    made = amilab("compose", "wheelhouse")
    assert made.returncode == 0, made.stderr
    compose("build", "--quiet")
    try:
        yield COMPOSE
    finally:
        compose("down", "--volumes", "--timeout", "2", "--remove-orphans")
