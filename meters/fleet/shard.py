"""What a shard of meters has in common whatever its wire: usage points, supply, durable memory, simulated time.

A grant (`advance`) runs everything that is due, second by second of simulated time, so that the same instants are
handled in the same order whatever grants the lab gives. What a meter *records* depends on the seed, the frames and the
faults injected only. Connections decide what arrives.

A subclass says what there is to do in a second (`_run_second`), which timers it has, and what a change of supply means.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grid.world import WorldFrame
from meters.device.draws import meter_keys
from meters.device.flow import Flow
from meters.device.journal import write_journal
from meters.device.memory import Kept, Memory
from meters.device.metrology import Metrology
from meters.device.physics import Physics, cut
from meters.device.state import METER_STATE, NEVER_S, Rows, field
from meters.errors import FleetError
from meters.fleet.network import BrokerAddress, FleetSettled
from meters.fleet.shipment import ShipmentEntry
from meters.vendors.profile import VendorProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSetup:
    """What a shard is made of: meters of one vendor profile, row i at row `world_rows[i]` of the physical frames."""

    profile: VendorProfile
    entries: tuple[ShipmentEntry, ...]
    world_rows: tuple[int, ...]
    memory_path: Path
    broker: BrokerAddress
    seed: int
    start_s: int
    primary_host: str | None = None
    """Host id of the Sparkplug host application whose STATE collectors obey; None: they wait for nobody."""
    gateway_host: str | None = None
    """Where Modbus gateways listen; None: at the host that their address names."""


class Shard(ABC):
    """A shard of meters of one vendor. Row i is `entries[i]` of its setup."""

    def __init__(self, setup: ShardSetup) -> None:
        self._setup = setup
        self._entries = setup.entries
        self._row_of = {entry.serial: row for row, entry in enumerate(self._entries)}
        self._world_rows = np.asarray(setup.world_rows, dtype=np.intp)
        self._all = np.arange(len(self._entries))
        self._now_s = setup.start_s
        self._keys = meter_keys(setup.seed, list(self._row_of))
        self._metrology = Metrology(self._keys, setup.profile.facts)
        self._physics: Physics | None = None
        self._flow: Flow | None = None
        self._resumed = False

    @property
    def profile(self) -> VendorProfile:
        return self._setup.profile

    @property
    def stations(self) -> frozenset[str]:
        """Names that fences and faults may address."""
        return frozenset(self._row_of)

    @property
    def now_s(self) -> int:
        """The instant up to which the meters have lived; after a restart, where their memory ends."""
        return self._now_s

    def flow(self, flow: Flow) -> None:
        """Until the next grant time goes on like this; without it, it stands still."""
        self._flow = flow

    @property
    def instant_s(self) -> float:
        """The present instant, also between two grants."""
        return float(self._now_s) if self._flow is None else self._flow.now_s(self._now_s)

    @property
    def sockets(self) -> int:
        """How many it may have open at once."""
        return len(self._entries)

    @property
    def refusals(self) -> int:
        """Connections and subscriptions that the broker refused."""
        return 0

    @property
    def losses(self) -> int:
        """Connection attempts that failed, and connections that ended without the shard's doing."""
        return 0

    async def start(self) -> None:
        """Open the durable memory, or go on from it. Raises FleetError, MemoryFailedError, MemoryFullError."""
        self._memory = Memory(self._setup.memory_path, identity=self._identity())
        kept = self._memory.restore()
        self._state = np.zeros(len(self._entries), dtype=METER_STATE) if kept is None else kept.state
        if kept is None:
            field(self._state, "uplink_lost_at_s")[:] = np.nan
            for timer in ("boundary_due_s", "supply_due_s", "uplink_close_due_s"):
                field(self._state, timer)[:] = NEVER_S
        else:
            self._now_s = kept.now_s
            self._resumed = kept.frame is not None
            if kept.frame is not None:
                self._physics = Physics.of(WorldFrame.from_bytes(kept.frame))
        self._prepare(kept)
        await self._open()

    def next_due(self) -> float | None:
        """The earliest instant, in whole epoch seconds, at which any meter has something to do."""
        due_s = min(float(timers.min(initial=NEVER_S)) for timers in self._timers())
        return None if math.isinf(due_s) else float(max(math.ceil(due_s), self._now_s))

    async def advance(self, now_s: int, frame: WorldFrame | None) -> None:
        """Run everything due up to `now_s` under the frame so far, then adopt `frame` and react to supply changes.

        A frame older than `now_s` (only after a restart) holds from its own time on. Raises FleetError, MemoryFullError
        or MemoryFailedError.
        """
        # Without a barrier nobody settles, and this is the next to be called.
        self._raise_failure()
        self._flow = None
        if now_s < self._now_s:
            raise FleetError(f"granted {now_s} s after {self._now_s} s: time does not run backwards")
        if self._resumed and frame is None:
            raise FleetError("after a restart of a fleet process its first grant must carry the current frame")
        self._resumed = False
        if frame is not None and (self._physics is None or frame.sequence > self._physics.frame.sequence):
            if frame.time_s > now_s:
                raise FleetError(f"frame {frame.sequence} of {frame.time_s} s came with the grant of {now_s} s")
            own = cut(frame, self._world_rows)
            if self._physics is not None:
                bridge = self._physics.bridge(own, self._now_s)
                if bridge is not None:
                    self._adopt(bridge)
            await self._run_until(own.time_s)
            self._adopt(Physics.of(own))
        await self._run_until(now_s)

    def export_journal(self, directory: Path) -> None:
        """Write `<shard>.parquet` and `<shard>_events.parquet`; the shard's name is that of its memory file."""
        interval_s = self.profile.facts.interval_length_s
        write_journal(self._memory, self._entries, directory, self._setup.memory_path.stem, interval_s)

    async def stop(self) -> None:
        """Leave the network in order and close the memory."""
        await self._close()
        self._memory.close()

    @abstractmethod
    async def settle(self) -> FleetSettled:
        """Returns when all that was sent has reached its receiver or is known to be lost, and what is under way (a
        connect, a drop) has concluded. `next_due` may be earlier than before.

        Raises what went wrong while a message was handled, for instance MemoryFullError.
        """

    @abstractmethod
    async def await_fence(self, token: str, stations: Collection[str]) -> None:
        """Returns when each of these that is connected has received the fence."""

    @abstractmethod
    async def wait_disconnected(self) -> None:
        """After the broker was killed: returns when everybody has noticed."""

    @abstractmethod
    def lose_uplink(self, stations: Collection[str]) -> None:
        """From now on nothing passes to or from these."""

    @abstractmethod
    def restore_uplink(self, stations: Collection[str]) -> None:
        """The opposite of `lose_uplink`."""

    @abstractmethod
    def reboot(self, stations: Collection[str]) -> None:
        """Restart communication processors that run on supply."""

    @abstractmethod
    def renew(self, stations: Collection[str]) -> None:
        """Let those that are connected leave in order, and connect anew."""

    # What a subclass adds.

    @abstractmethod
    def _prepare(self, kept: Kept | None) -> None:
        """The state is there, new or as it was `kept`: build what works on it. A new one begins at `start_s`."""

    @abstractmethod
    async def _open(self) -> None:
        """Open what sockets there are before the first grant."""

    @abstractmethod
    async def _close(self) -> None:
        """Leave the network in order."""

    @abstractmethod
    def _timers(self) -> tuple[NDArray[np.float64], ...]:
        """Arrays of instants at which there is something to do; NEVER_S where there is not."""

    @abstractmethod
    async def _run_second(self, now_s: int) -> None:
        """Do what is due by `now_s`, so that no timer is due any more."""

    @abstractmethod
    def _first_frame(self, energised: NDArray[np.bool_], now_s: int) -> None:
        """Supply (n,) at the start."""

    @abstractmethod
    def _supply_changed(self, lost: Rows, back: Rows, now_s: int) -> None:
        """Supply of these meters is lost, or back, as of now. `energised` of the state is the subclass's to keep."""

    def _commit_frame(self, frame: WorldFrame, touched: Rows) -> None:
        """Keep the new frame and the state of the `touched` meters. Overridden where there is more to commit."""
        self._memory.commit(frame.time_s, self._state, touched, frame=frame.to_bytes())

    @abstractmethod
    def _raise_failure(self) -> None:
        """Raise what went wrong where nobody awaited it."""

    # What they share.

    async def _run_until(self, until_s: int) -> None:
        while (due_s := self.next_due()) is not None and due_s <= until_s:
            self._now_s = int(due_s)
            await self._run_second(self._now_s)
        self._now_s = max(self._now_s, until_s)

    def _adopt(self, physics: Physics) -> None:
        frame, now_s = physics.frame, physics.frame.time_s
        if self._physics is None:
            self._first_frame(frame.energised, now_s)
            touched = self._all
        else:
            was = self._state["energised"].copy()
            lost, back = np.flatnonzero(was & ~frame.energised), np.flatnonzero(~was & frame.energised)
            self._supply_changed(lost, back, now_s)
            touched = np.concatenate([lost, back])
        self._physics = physics
        self._commit_frame(frame, touched)

    def _rows(self, serials: Collection[str]) -> Rows:
        unknown = [serial for serial in serials if serial not in self._row_of]
        if unknown:
            raise FleetError(f"not in this fleet: {', '.join(unknown)}")
        return np.array([self._row_of[serial] for serial in serials], dtype=np.intp)

    def _identity(self) -> dict[str, object]:
        meters = blake2b(digest_size=16)
        for entry, world_row in zip(self._entries, self._world_rows.tolist(), strict=True):
            meters.update(f"{entry.serial} {entry.usage_point} {entry.address} {world_row}\n".encode())
        return {
            "seed": self._setup.seed,
            "start_s": self._setup.start_s,
            "profile": self.profile.name,
            "interval_length_s": self.profile.facts.interval_length_s,
            "meters": meters.hexdigest(),
        }
