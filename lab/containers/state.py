"""The directory that the lab shares with its containers, each part of it mounted only where it is needed.

plan/      who is to do what (read by all of ours)
supplies/  shipment file, network model, the CA's certificates (read by meters and head-end)
secrets/   the head-end's command key and certificate (read by the head-end)
devices/   each device's key and certificate (read by meters and gateways)
memory/    the meters' durable memories (written by meters and gateways)
results/   truth and journals (written by grid, meters and gateways)
loadtest/  the plan of a load test, and what its generator leaves (written by Locust's processes)
broker/    the broker's configuration, key and certificate (read by the broker)
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from lab.containers.plan import ROOT
from lab.run.layout import Layout

PLAN, SUPPLIES, SECRETS, DEVICES, MEMORY, RESULTS, BROKER, LOADTEST = PARTS = (
    "plan", "supplies", "secrets", "devices", "memory", "results", "broker", "loadtest",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Owner:
    """The numeric user and group that our containers run as."""

    uid: int
    gid: int

    def take(self, path: Path) -> None:
        """Make a file or directory theirs; only root can, and only root's files are not theirs anyway."""
        if os.geteuid() == 0:
            os.chown(path, self.uid, self.gid)


def make_state(root: Path, owner: Owner) -> None:
    """Create what is missing. Nobody but the owner gets into `root`; what is mounted from it is seen by its mode."""
    root.mkdir(exist_ok=True, parents=True)
    root.chmod(0o700)
    # The conductor's container has it as a whole.
    owner.take(root)
    for name in PARTS:
        directory = root / name
        directory.mkdir(exist_ok=True)
        # The broker's container has a user of its own.
        directory.chmod(0o755 if name == BROKER else 0o750)
        owner.take(directory)


@dataclass(frozen=True, slots=True)
class SharedLayout(Layout):
    """The files of a run in the shared directory, which containers find below `/state`."""

    root: Path
    owner: Owner

    @classmethod
    def of(cls, root: Path, owner: Owner, run: str) -> SharedLayout:
        """With directories of this run for memories and results; those of earlier runs' memories are removed."""
        for old in (root / MEMORY).iterdir():
            shutil.rmtree(old)
        layout = cls(root / SUPPLIES, root / SECRETS, root / MEMORY / run, root / RESULTS / run, root, owner)
        for directory in (layout.memory, layout.results):
            layout.hand_out_directory(directory)
        return layout

    def seen(self, path: Path) -> str:
        return str(ROOT / path.relative_to(self.root))

    def hand_out(self, path: Path) -> Path:
        place = path
        if path.is_relative_to(self.results):
            # Only who writes results has them mounted.
            place = self.supplies / path.name
            shutil.copyfile(path, place)
        place.chmod(0o600)
        self.owner.take(place)
        return place

    def hand_out_directory(self, path: Path) -> Path:
        path.mkdir(exist_ok=True)
        path.chmod(0o750)
        self.owner.take(path)
        return path
