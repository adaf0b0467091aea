"""Where the parts of a lab run, if not as processes of this machine: lab/containers has one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from lab.run.stage import Stage
from lab.scenario.events import NetworkEvent


class Site(Protocol):
    async def check_network_faults(self, events: Sequence[NetworkEvent]) -> None:
        """:raises UserError: one of them cannot be brought about here."""

    async def new_stage(self, run: str) -> Stage:
        """For the run of this name. Broker and database are starting."""
        ...
