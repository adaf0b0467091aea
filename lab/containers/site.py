"""A Compose project, or a stack on a Docker Swarm, as the place where a run has its parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab.containers.network_faults import require_netem
from lab.containers.project import ComposeProject
from lab.containers.stage import ContainerStage
from lab.scenario.events import NetworkEvent


@dataclass(frozen=True, slots=True)
class ContainerSite:
    project: ComposeProject

    async def check_network_faults(self, events: Sequence[NetworkEvent]) -> None:
        """:raises UserError: the kernel cannot delay packets."""
        if any(event.fault == "delay" for event in events):
            await require_netem(self.project)

    async def new_stage(self, run: str) -> ContainerStage:
        return await ContainerStage.create(self.project, run)
