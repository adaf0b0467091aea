"""The Compose project for real, in a copy of this checkout: built, started, and taken down with all that it leaves.

These tests need a Docker engine with Compose v2 and the image debian:trixie-slim (scripts/container-engine.sh), and
take minutes, so a plain `pytest` leaves them out (`-m containers`); `.ci/run` runs them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab import __version__
from tests.stack.labs import scenario_text

if TYPE_CHECKING:
    from tests.containers.engine import Engine

REPOSITORY = Path(__file__).parents[2]
WHEELS = REPOSITORY / "build" / "wheelhouse"
"""Kept between test sessions."""
DEADLINE_S = 120.0
SETTINGS = {
    "AMILAB_PROJECT": "amilab-test",
    "AMILAB_IMAGES": "amilab-test",
    "AMILAB_LINK_PORT": "17400",
    "AMILAB_BROKER_PORT": "18883",
    "AMILAB_DATABASE_PORT": "15433",
    "AMILAB_LAB_SUBNET": "198.19.0.0/18",
    "AMILAB_METERING_SUBNET": "198.19.64.0/18",
    "AMILAB_METERING_RANGE": "198.19.96.0/19",
    "AMILAB_BROKER_ADDRESS": "198.19.64.2",
}


@dataclass(frozen=True, slots=True)
class Project:
    """A project of the air-gapped variant beside whatever else runs on this machine.

    `engine`: where it runs, if not in the machine's.
    """

    root: Path
    engine: Engine | None = None

    @property
    def directory(self) -> Path:
        return self.root / "compose"

    def amilab(
        self, *arguments: str, environment: Mapping[str, str] | None = None, timeout_s: float = 900
    ) -> subprocess.CompletedProcess[str]:
        """The command, as a user would give it in the checkout."""
        return subprocess.run(
            self._there(sys.executable, "-m", "lab.commands.main", *arguments),
            cwd=self.root,
            env={**self._environment, "AMILAB_COMPOSE_DIRECTORY": str(self.directory), **(environment or {})},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def start(self, *arguments: str | Path, log: Path) -> subprocess.Popen[bytes]:
        """The same, while it goes on; `log` gets what it says."""
        with log.open("wb") as file:
            return subprocess.Popen(
                self._there(sys.executable, "-m", "lab.commands.main", *map(str, arguments)),
                cwd=self.root,
                env={**self._environment, "AMILAB_COMPOSE_DIRECTORY": str(self.directory)},
                stdout=file,
                stderr=file,
            )

    def compose(self, *arguments: str, timeout_s: float = 900) -> str:
        """`docker compose …`; its output. Fails the test if it fails."""
        answer = subprocess.run(
            ["docker", "compose", *arguments],
            cwd=self.directory,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert answer.returncode == 0, answer.stderr[-4000:]
        return answer.stdout

    def run_there(self, *command: str) -> str:
        """What a command prints that is given where the project's ports are."""
        answer = subprocess.run(self._there(*command), cwd=REPOSITORY, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stderr[-4000:]
        return answer.stdout

    def _there(self, *command: str) -> Sequence[str]:
        return command if self.engine is None else self.engine.inside(*command)

    @property
    def _environment(self) -> Mapping[str, str]:
        return {**os.environ, **({} if self.engine is None else self.engine.environment)}


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Built, and not started."""
    made = Project(tmp_path_factory.mktemp("checkout"))
    _copy_checkout(made.root)
    _succeed(made.amilab("compose", "init", "--debian"))
    env = made.directory / ".env"
    kept = [line for line in env.read_text().splitlines() if line.partition("=")[0] not in SETTINGS]
    env.write_text("\n".join([*kept, *(f"{name}={value}" for name, value in SETTINGS.items())]) + "\n")
    wheelhouse = made.directory / "wheelhouse"
    for wheel in WHEELS.glob("*.whl"):
        shutil.copy2(wheel, wheelhouse)
    _succeed(made.amilab("compose", "wheelhouse"))
    WHEELS.mkdir(parents=True, exist_ok=True)
    for wheel in wheelhouse.glob("*.whl"):
        shutil.copy2(wheel, WHEELS)
    made.compose("build", "--quiet")
    try:
        yield made
    finally:
        made.compose("down", "--volumes", "--timeout", "2", "--remove-orphans")


def image_of(service: str, version: str = __version__) -> str:
    """The name of the project's image."""
    return f"{SETTINGS['AMILAB_IMAGES']}/{service}:{version}"


def half_an_hour(directory: Path, *, meters: int, name: str = "few") -> Path:
    """The file of a scenario in which each meter has two intervals."""
    path = directory / f"{name}.toml"
    text = scenario_text(
        name=name, meters=meters, duration="30min", settle="10min", seed=1, fleet='preset = "cellular"'
    )
    path.write_text(text)
    return path


def _copy_checkout(root: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0")[:-1]:
        if (REPOSITORY / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, root / name)


def _succeed(answer: subprocess.CompletedProcess[str]) -> None:
    assert answer.returncode == 0, answer.stdout[-2000:] + answer.stderr[-2000:]


def until(
    condition: Callable[[], object],
    what: str,
    *,
    within_s: float = DEADLINE_S,
    every_s: float = 0.3,
    evidence: Callable[[], str] = str,
) -> None:
    """Poll: Docker tells only who asks. `evidence` is shown with what did not come."""
    until_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until_s, f"waited {within_s:g} s for {what}\n{evidence()}"
        time.sleep(every_s)
