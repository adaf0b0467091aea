"""Locust in containers: a master and workers of compose/compose.loadtest.yaml."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from dotenv import dotenv_values

from lab.containers.project import Container
from lab.containers.settings import ENV
from lab.containers.state import LOADTEST
from lab.errors import PartFailed
from lab.loadtest.generator import LOCUST_REPORT, STATISTICS, Generator
from lab.loadtest.stand import ContainerLoadStage
from loadtests.plan import Plan

MASTER, WORKER = "locust-master", "locust-worker"
OVERLAY = "compose.loadtest.yaml"
_LOOK_EVERY_S = 0.5


class ContainerGenerator(Generator):
    """One load by containers of the project."""

    def __init__(self, stage: ContainerLoadStage, results: Path, *, workers: int) -> None:
        root = stage.project.directory / "state" / LOADTEST
        super().__init__(root / "load", workers=workers)
        self._project = stage.project
        self._stage = stage
        self._results = results
        files = dotenv_values(self._project.directory / ENV).get("COMPOSE_FILE") or "compose.yaml"
        self._environment = {"COMPOSE_FILE": f"{files}:{OVERLAY}", "AMILAB_LOCUST_WORKERS": str(workers)}

    async def run(self, plan: Plan, *, web_port: int | None = None) -> None:
        """The master shows its page at the port that .env has for it, whether asked to or not."""
        del web_port
        if self._directory.exists():
            shutil.rmtree(self._directory)
        self._directory.mkdir()
        plan.write(self._directory)
        for path in (self._directory, *self._directory.rglob("*")):
            self._stage.take(path)
        scale = f"{WORKER}={self._workers}"
        up = ("up", "--detach", "--no-build", "--no-deps", "--force-recreate", "--scale", scale, MASTER, WORKER)
        await self._project.compose(*up, environment=self._environment)
        try:
            for container in await self._ended():
                if container.exit_code != 0:
                    words = await self._project.last_words(container)
                    raise PartFailed(container.name, container.exit_code, words)
        finally:
            for service in (MASTER, WORKER):
                said = await self._project.compose("logs", "--no-color", service, environment=self._environment)
                (self._results / "logs" / f"{service}.log").write_text(said)
            await self._project.compose("rm", "--force", "--stop", MASTER, WORKER, environment=self._environment)
        for name in (LOCUST_REPORT, f"{STATISTICS}.json"):
            if (self._directory / name).exists():
                shutil.copyfile(self._directory / name, self._results / name)

    async def _ended(self) -> list[Container]:
        """All of them, once none runs any more."""
        while True:
            found = [one for service in (MASTER, WORKER) for one in await self._project.containers(service)]
            if found and all(container.state in ("exited", "dead") for container in found):
                return found
            await asyncio.sleep(_LOOK_EVERY_S)

    def _statistics(self) -> Path:
        return self._results / f"{STATISTICS}.json"
