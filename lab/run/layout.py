"""Where the files lie that the lab and its parts share, and how a part calls them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from lab.verdict.tables import DELIVERIES_DIRECTORY

SHIPMENT = "shipment.csv"
COMMAND_KEY = "command.key"
NETWORK = "network.json"
JOURNAL = "journal"
"""In a run's directory: a file of each part of the fleet."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Directories of one run. Parts on this machine call them as the lab does.

    `supplies`: what meters and head-end are given (shipment file, network model); `secrets`: what the head-end alone is
    given; `memory`: the meters' durable memories; `results`: where the grid writes what the verdict is made of.
    """

    supplies: Path
    secrets: Path
    memory: Path
    results: Path

    @property
    def shipment(self) -> Path:
        return self.supplies / SHIPMENT

    @property
    def command_key(self) -> Path:
        return self.secrets / COMMAND_KEY

    @property
    def network(self) -> Path:
        """The network model, where the grid writes it."""
        return self.results / NETWORK

    @property
    def network_model(self) -> Path:
        """The network model, as it was handed out: no part can have put something else in its place."""
        return self.network

    def beside(self, name: str) -> Self:
        """The same with results of their own, which are brought home by themselves."""
        return replace(self, results=self.results / name)

    def journal(self, results: Path) -> Path:
        """Where the fleet writes its journals, which go with these results: what the grid writes is none of its."""
        return results / JOURNAL

    def deliveries(self, results: Path) -> Path:
        """Where the fleet writes what became of frames in a communications network, beside its journals."""
        return results / DELIVERIES_DIRECTORY

    def seen(self, path: Path) -> str:
        """How the parts call a file or directory of this run."""
        return str(path)

    def hand_out(self, path: Path) -> Path:
        """Let the parts read a file that the lab or the grid has written; returns where they find it."""
        return path

    def hand_out_directory(self, path: Path) -> Path:
        """Make a directory in which the parts may write."""
        path.mkdir(exist_ok=True)
        return path

    def collect(self, directory: Path) -> None:
        """Bring the results to the run's directory: parts on this machine write there."""
