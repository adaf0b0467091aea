"""Whatever a run waits for is named, and what to do about it works."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.containers.conftest import SETTINGS, Project, image_of, until
from tests.stack.labs import scenario_text

pytestmark = [pytest.mark.containers, pytest.mark.timeout(600)]

LISTENS = f"{SETTINGS['AMILAB_LAB_SUBNET'].replace('0.0/18', '0.1')}:{SETTINGS['AMILAB_LINK_PORT']}"
GRID = f"{SETTINGS['AMILAB_PROJECT']}-grid-1"


class Conducted:
    """A run that is under way, and what it has said so far."""

    def __init__(self, project: Project, scenario: Path) -> None:
        self.said: list[str] = []
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "lab.commands.main", "run", str(scenario), "--compose"),
                *("--speed", "60", "--out", str(scenario.parent)),
            ],
            cwd=project.root,
            env={**os.environ, "AMILAB_COMPOSE_DIRECTORY": str(project.directory), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def until_said(self, words: str) -> str:
        """The first line that has these words."""

        def lines() -> list[str]:
            found = [line for line in self.said if words in line]
            assert found or self._process.poll() is None, "".join(self.said)
            return found

        until(lines, repr(words), evidence=lambda: "".join(self.said))
        return lines()[0]

    def ends(self) -> int:
        code = self._process.wait(300)
        self._listener.join()
        return code

    def kill(self) -> None:
        self._process.kill()
        self.ends()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        self.said.extend(iter(self._process.stdout.readline, ""))


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(scenario_text(meters=20, duration="2h", fleet='preset = "cellular"'))
    return path


def test_an_ingest_that_is_removed_is_named_and_can_be_brought_back_and_a_restarted_grid_ends_the_run(
    project: Project, scenario: Path
) -> None:
    run = Conducted(project, scenario)
    try:
        run.until_said("Thu 00:15")
        ingest = project.compose("ps", "--quiet", "headend-ingest").strip()
        subprocess.run(["docker", "rm", "--force", ingest], check=True, capture_output=True)
        said = run.until_said("waiting for ingest-0: the service headend-ingest has no container any more")
        # As it is said there.
        advice = said.partition("docker compose ")[2].split()
        project.compose(*advice)
        run.until_said("Thu 00:45")
        project.compose("restart", "--timeout", "5", "grid")
        assert run.ends() == 3
    finally:
        run.kill()
    said = " ".join("".join(run.said).split())
    assert f"grid is gone: its container {GRID} ended with exit code 0 and is restarted" in said
    assert "Traceback" not in said


def test_a_firewall_between_containers_and_this_machine_is_named(project: Project, scenario: Path) -> None:
    project.compose("up", "--detach", "--no-build", "grid")
    with closed_to_the_lab(project, "grid"):
        ran = project.amilab("run", str(scenario), "--compose", "--out", str(scenario.parent))
    said = " ".join((ran.stdout + ran.stderr).split())
    assert ran.returncode == 2, said
    assert f"waiting for grid: {GRID} runs, but does not reach this machine at {LISTENS} (timed out)" in said
    assert (
        f"ufw allow proto tcp from {SETTINGS['AMILAB_LAB_SUBNET']} to any port {SETTINGS['AMILAB_LINK_PORT']}" in said
    )
    assert "Traceback" not in said


@contextmanager
def closed_to_the_lab(project: Project, service: str) -> Iterator[None]:
    """As with ufw's default: what a container sends to the lab link's port is dropped."""
    container = project.compose("ps", "--quiet", service).strip()
    rule = f"OUTPUT -p tcp --dport {SETTINGS['AMILAB_LINK_PORT']} -j DROP"

    def apply(verb: str) -> None:
        subprocess.run(
            [
                *("docker", "run", "--rm", "--network", f"container:{container}", "--user", "0", "--cap-drop", "ALL"),
                *("--cap-add", "NET_ADMIN", "--cap-add", "NET_RAW", "--entrypoint", "sh", image_of("lab")),
                *("-c", f"iptables -w {verb} {rule}"),
            ],
            check=True,
            capture_output=True,
        )

    apply("-A")
    try:
        yield
    finally:
        apply("-D")
