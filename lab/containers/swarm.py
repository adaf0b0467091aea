"""The same project as a stack on a Docker Swarm, which starts, replaces and updates its containers by itself."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from lab.containers.docker import docker, docker_json, docker_says, hint_for, require_docker
from lab.containers.logs import write_log
from lab.containers.project import ComposeProject, Container
from lab.containers.settings import ComposeSettings
from lab.containers.stack import stack_of
from lab.containers.tasks import RUNNING, Task, broken, latest_first, placed, without_a_node
from lab.errors import UserError

OVERLAY = "compose.swarm.yaml"
GATEWAY_NETWORK = "docker_gwbridge"
"""Through which tasks reach the machine that they are on."""
_UPDATED = "completed"
_LOOK_EVERY_S = 0.3
_READY_S = 180.0
_PLACED_S = 180.0
_SCHEDULED_S = 5.0
"""For so long Swarm may not have noticed that a node has become free."""
_SAID_S = 20.0
"""`docker service logs` has all after a second, and yet may never end where a task was killed (Docker 28.2)."""
_MAY_GO_ON = f"Docker did not end what it told within {_SAID_S:.0f} s; there may be more"


class SwarmProject(ComposeProject):
    """Manages the stack from one of the swarm's managers, which is also where broker and database run.

    The stack has the project's name; its file is made of the Compose files and `OVERLAY`.
    """

    label = "com.docker.stack.namespace"

    def __init__(self, directory: Path, settings: ComposeSettings) -> None:
        super().__init__(directory, settings)
        self._killed: set[str] = set()
        self._past: set[str] | None = None  # tasks of before this project was brought up

    async def stack(self, replicas: Mapping[str, int] | None = None) -> dict[str, Any]:
        """The stack file as a document, see `stack_of`. Raises UserError."""
        files = self.settings.files if OVERLAY in self.settings.files else [*self.settings.files, OVERLAY]
        config = await self.compose("config", "--format", "json", environment={"COMPOSE_FILE": ":".join(files)})
        return stack_of(json.loads(config), replicas)

    async def up(self, services: Sequence[str], scale: Mapping[str, int] | None = None) -> None:
        """Deploy the stack, with at least so many tasks of these services: whoever has more keeps them.

        :raises UserError: there is no swarm, or it cannot place or start the tasks.
        """
        await require_docker()
        await require_docker(swarm=True)
        replicas = await self._replicas()
        wanted = replicas | {name: max(count, replicas.get(name, 0)) for name, count in (scale or {}).items()}
        stack = await self.stack(wanted)
        if self._past is None:
            self._past = {task.id for name in replicas for task in await self._tasks(name) if not task.wanted}
        # Images come from this machine's build or from a registry that the nodes reach; the tag is what counts.
        await docker(
            "stack",
            "deploy",
            "--resolve-image",
            "never",
            "--compose-file",
            "-",
            self.settings.project,
            given=json.dumps(stack),
        )
        deployed = await self._replicas()
        answers = await asyncio.gather(
            *(self._until_placed(name, deployed[name], stack["services"][name]["deploy"]) for name in services),
            return_exceptions=True,
        )
        refusals = [answer for answer in answers if isinstance(answer, UserError)]
        for answer in answers:
            if answer is not None and answer not in refusals:
                raise answer
        if refusals:
            raise UserError([fault for refusal in refusals for fault in refusal.faults], refusals[0].hint)

    async def end_demonstration(self) -> bool:
        """A stack has none."""
        return False

    async def until_healthy(self, service: str) -> None:
        """:raises UserError: it fails again and again, or is not healthy within three minutes."""
        try:
            async with asyncio.timeout(_READY_S):
                while not any(found.state == RUNNING for found in await self.containers(service)):
                    self._refuse_broken(service, await self._tasks(service))
                    await asyncio.sleep(_LOOK_EVERY_S)
        except TimeoutError:
            said, _ = await docker_says(
                "service", "logs", "--raw", "--tail", "8", self._name(service), within_s=_SAID_S
            )
            raise UserError(
                [f"the service {service} has not become healthy within {_READY_S:.0f} s; it said:", *said.splitlines()],
                "compose/README.md says what to do about an unhealthy container.",
            ) from None

    async def containers_of(self, services: Sequence[str]) -> dict[str, list[Container]]:
        return {service: await self.containers(service) for service in services}

    async def containers(self, service: str) -> list[Container]:
        """The tasks of a service that are to run, by their slots; "running" is what Swarm calls so: healthy.

        A slot whose tasks end by themselves again and again is told as "restarting", as Compose has it.
        """
        tasks = await self._tasks(service)
        failures = broken(tasks, ignored=self._ignored)
        found = []
        for task in tasks:
            if task.wanted and task.container not in self._killed:
                shown = failures.get(task.slot, task)
                state = task.state if shown is task else "restarting"
                found.append(
                    Container(
                        shown.container,
                        f"{self._name(service)}.{shown.slot}.{shown.id}",
                        service,
                        shown.slot,
                        state,
                        "healthy" if state == RUNNING else "",
                        shown.exit_code,
                    )
                )
        return sorted(found, key=lambda container: container.number)

    def how_to_look(self, service: str) -> str:
        return f"What it says: docker service logs {self._name(service)}"

    def how_to_bring_back(self, service: str, count: int) -> str:
        name = self._name(service)
        return f"Why Swarm has none: docker service ps {name}. For {count} of them: docker service scale {name}={count}"

    async def last_words(self, container: Container) -> list[str]:
        task = container.name.rpartition(".")[2]
        said, _ = await docker_says("service", "logs", "--raw", "--tail", "20", task, within_s=_SAID_S)
        return said.splitlines()

    async def lab_address(self) -> str:
        """This machine's address among the swarm's nodes; where it is the only one, in its containers' network."""
        node: str = (await docker_json("info", "--format", "{{json .Swarm.NodeAddr}}")) or ""
        if node and not ip_address(node).is_loopback:
            return node
        networks = await docker_json("network", "inspect", GATEWAY_NETWORK)
        address: str = networks[0]["IPAM"]["Config"][0]["Gateway"]
        return address

    async def signal(self, container: str, number: str = "SIGKILL") -> None:
        """:raises UserError: it is on another machine, whose engine nobody here may command."""
        if number == "SIGKILL":
            self._killed.add(container)
        try:
            await super().signal(container, number)
        except UserError as error:
            if any("no such container" in fault.lower() for fault in error.faults):
                raise UserError(
                    f"the container {container} cannot be killed: it is on another node of the swarm",
                    "Label only this node for the parts that a scenario kills; see compose/SWARM.md.",
                ) from error
            raise

    async def start(self, *containers: str) -> None:
        """Swarm has started others in their place."""

    async def replaced(self, service: str) -> AsyncIterator[str]:
        """Have Swarm update a service as its `update_config` says; answers with each old container that it ends.

        :raises UserError: the new ones do not come up, and Swarm went back to the old.
        """
        name = self._name(service)
        old = {found.id for found in await self.containers(service)}
        await docker("service", "update", "--force", "--detach", "--quiet", name)
        while True:
            state = await self._update_state(service)
            if state.startswith(("paused", "rollback")):
                raise UserError(f"Swarm could not update the service {service}: {await self._update_message(service)}")
            there = {found.id for found in await self.containers(service)}
            for gone in sorted(old - there):
                old.discard(gone)
                yield gone
            if not old and state == _UPDATED:
                return
            await asyncio.sleep(_LOOK_EVERY_S)

    async def execute(self, service: str, *command: str) -> str:
        """:raises UserError: none of its tasks runs here."""
        label = f"label=com.docker.swarm.service.name={self._name(service)}"
        here = (await docker("ps", "--quiet", "--filter", label)).split()
        if not here:
            raise UserError(
                f"no task of the service {service} runs on this machine",
                "Give `amilab run --swarm` on the node with the label amilab.core.",
            )
        return await docker("exec", here[0], *command)

    async def logs(self, directory: Path) -> None:
        for service in await self._replicas():
            if await self._tasks(service):
                since = ("--since", self._since)
                name = self._name(service)
                said, whole = await docker_says("service", "logs", "--timestamps", *since, name, within_s=_SAID_S)
                write_log(directory, service, said if whole else f"{said}({_MAY_GO_ON})\n")

    async def _replicas(self) -> dict[str, int]:
        """With how many tasks each service of the stack is deployed; nothing, if it is not."""
        listed = await docker(
            "service", "ls", "--filter", f"label={self.label}={self.settings.project}",
            "--format", "{{.Name}} {{.Replicas}}",
        )  # fmt: skip
        prefix = self._name("")
        found = (line.split()[:2] for line in listed.splitlines())
        return {name.removeprefix(prefix): int(counts.partition("/")[2]) for name, counts in found}

    async def _tasks(self, service: str) -> list[Task]:
        """All that Swarm still knows of, the latest first. It forgets all but the last five of a slot."""
        while True:
            ids = (await docker("service", "ps", "--quiet", "--no-trunc", self._name(service))).split()
            try:
                found = await docker_json("inspect", "--type", "task", *ids) if ids else []
            except UserError as error:
                if any("no such task" in fault.lower() for fault in error.faults):
                    continue
                raise
            return latest_first(found)

    async def _until_placed(self, service: str, replicas: int, deploy: Mapping[str, Any]) -> None:
        """Return when every task has a node, and Swarm is through with updates."""
        until_s = time.monotonic() + _PLACED_S
        nowhere_s = math.inf
        tried_again = False
        while time.monotonic() < until_s:
            tasks = await self._tasks(service)
            self._refuse_broken(service, tasks)
            updating = await self._update_state(service) == "updating"
            if placed(tasks, replicas) and not updating:
                return
            reasons = without_a_node(tasks, updating=updating)
            nowhere_s = min(nowhere_s, time.monotonic()) if reasons else math.inf
            if time.monotonic() > nowhere_s + _SCHEDULED_S and not tried_again:
                # Swarm does not come back to tasks that were waiting for a node when their service was changed.
                await docker("service", "update", "--force", "--detach", "--quiet", self._name(service))
                nowhere_s, tried_again = math.inf, True
            elif time.monotonic() > nowhere_s + _SCHEDULED_S:
                wants = " and ".join(deploy.get("placement", {}).get("constraints", ())) or "any node"
                raise UserError(
                    [f"Swarm has no node for the service {service}, which wants {wants}: {why}" for why in reasons],
                    "Label one, for instance: docker node update --label-add amilab.meters=true NODE. "
                    "See compose/SWARM.md.",
                )
            await asyncio.sleep(_LOOK_EVERY_S)
        raise UserError(f"Swarm has not placed the service {service} within {_PLACED_S:.0f} s")

    def _refuse_broken(self, service: str, tasks: Sequence[Task]) -> None:
        failures = broken(tasks, ignored=self._ignored).values()
        faults = sorted({task.error or "it ended by itself" for task in failures})
        if faults:
            raise UserError(
                [f"the service {service} does not start: {fault}" for fault in faults], hint_for("\n".join(faults))
            )

    @property
    def _ignored(self) -> set[str]:
        return self._killed | (self._past or set())

    async def _update_state(self, service: str) -> str:
        status = await self._update(service)
        return str(status.get("State", _UPDATED))

    async def _update_message(self, service: str) -> str:
        return str((await self._update(service)).get("Message", ""))

    async def _update(self, service: str) -> Mapping[str, Any]:
        answer = await docker_json("service", "inspect", "--format", "{{json .UpdateStatus}}", self._name(service))
        return answer or {}

    def _service(self, labels: Mapping[str, str]) -> str:
        return labels.get("com.docker.swarm.service.name", "").removeprefix(self._name(""))

    def _name(self, service: str) -> str:
        return f"{self.settings.project}_{service}"
