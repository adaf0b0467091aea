"""Which medium lies between the collectors of a shard and their meters, and what it is told of their supply."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from meters.device.facts import CollectedFacts
from meters.fleet.collectors import Collectors
from meters.fleet.core import Core
from meters.radio.faults import NetworkFaults
from meters.radio.firmware import Pace
from meters.radio.frames import Frames
from meters.radio.medium import make_medium
from meters.radio.mesh import Mesh
from meters.radio.passage import Passage
from meters.radio.plc import PowerLine
from meters.radio.setup import NetworkSetup, station_place_m


class Medium(Protocol):
    """Between one collector and its meters, by their place among them."""

    @property
    def hops(self) -> NDArray[np.uint8]:
        """(n,) 0: there is no way."""
        ...

    def supply(self, lit: NDArray[np.bool_], running: bool, now_s: float, dark_since_s: NDArray[np.float64], /) -> None:
        """Who has supply (n,), since when who has none has none, and whether the collector runs."""

    def up(self, frames: Frames, until_s: NDArray[np.float64], /) -> Passage:
        """To the collector. `until_s` (m,): how long those without supply can send."""
        ...

    def down(self, frames: Frames) -> Passage:
        """To the meters."""
        ...

    def disturb(self, faults: NetworkFaults, now_s: float, /) -> None:
        """What of these is in force now disturbs it, and nothing else."""

    def image_pace(self, lacking: NDArray[np.bool_], share: float) -> Pace:
        """How fast those who lack something of an image (n,) get it in this share of the time."""
        ...

    def share_with_bulk(self, share: float) -> None:
        """Blocks of an image take this share of the time from now on."""


class _Radio:
    """A mesh."""

    def __init__(self, mesh: Mesh, collector: str, at_m: NDArray[np.float64]) -> None:
        self._mesh = mesh
        self._collector = collector
        self._at_m = at_m
        self.down = mesh.down
        self.image_pace, self.share_with_bulk = mesh.image_pace, mesh.share_with_bulk

    @property
    def hops(self) -> NDArray[np.uint8]:
        return self._mesh.hops

    def supply(self, lit: NDArray[np.bool_], running: bool, now_s: float, dark_since_s: NDArray[np.float64]) -> None:
        self._mesh.supply(lit, running, now_s=now_s, dark_since_s=dark_since_s)

    def up(self, frames: Frames, until_s: NDArray[np.float64]) -> Passage:
        return self._mesh.up(frames, until_s=until_s)

    def disturb(self, faults: NetworkFaults, now_s: float) -> None:
        self._mesh.jam(faults.jams(self._collector, self._at_m, now_s), now_s=now_s)


class _Line:
    """A power line: without supply nobody speaks over it, however long he could."""

    def __init__(self, line: PowerLine) -> None:
        self._line = line
        self.down = line.down
        self.image_pace, self.share_with_bulk = line.image_pace, line.share_with_bulk

    @property
    def hops(self) -> NDArray[np.uint8]:
        return self._line.hops

    def supply(self, lit: NDArray[np.bool_], running: bool, now_s: float, _dark_since_s: NDArray[np.float64]) -> None:
        self._line.supply(lit, running, now_s=now_s)

    def up(self, frames: Frames, _until_s: NDArray[np.float64]) -> Passage:
        return self._line.up(frames)

    def disturb(self, _faults: NetworkFaults, _now_s: float) -> None:
        """Nobody jams a line by radio."""


def make_media(core: Core, collectors: Collectors, facts: CollectedFacts, setup: NetworkSetup) -> list[Medium]:
    """That of each collector. `setup`: of the shard's meters."""
    positions_m = setup.positions()
    media: list[Medium] = []
    for number, name in enumerate(collectors.names):
        rows = collectors.rows(number)
        own_m = positions_m[rows]
        at_m = station_place_m(own_m)
        medium = make_medium(
            setup, own_m, at_m, core.keys[rows], by_power_line=facts.by_power_line, start_s=core.setup.start_s
        )
        media.append(_Line(medium) if isinstance(medium, PowerLine) else _Radio(medium, name, at_m))
    return media
