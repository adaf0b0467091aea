"""What the parts of a shard have in common: its meters, their state and durable memory, and the present instant."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grid.world import WorldFrame
from meters.device.draws import meter_keys
from meters.device.facts import MeterFacts
from meters.device.flow import Flow
from meters.device.memory import Kept, Memory, Written
from meters.device.outcomes import Outcome
from meters.device.physics import Physics
from meters.device.quantities import PHASE_NAMES
from meters.device.records import Event, IntervalRecord
from meters.device.relay import Relays
from meters.device.state import METER_STATE, NEVER_S, Rows, field
from meters.errors import FleetError
from meters.fleet.fences import Filter, heard_by
from meters.fleet.network import BrokerAddress
from meters.fleet.shipment import ShipmentEntry
from meters.radio.setup import NetworkSetup
from meters.vendors.profile import VendorProfile

SECONDARY_A = 5.0
"""Of current transformers whose primary current nobody states: the usual one (IEC 61869-2 has 1 A and 5 A)."""


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
    in_lockstep: bool = False
    """Whether the lab sends fences behind commands, which devices are to hear."""
    network: NetworkSetup | None = None
    """The communications network, by which meters are reached; None: all that is said is heard at once."""

    def filters(self, commands: Iterable[Filter]) -> tuple[Filter, ...]:
        """What a device subscribes to for its commands."""
        return heard_by(commands) if self.in_lockstep else tuple(commands)


class Core:
    """Row i is `entries[i]`. Before `open` there is neither `memory` nor `state`, and there are no `relays`."""

    def __init__(self, setup: ShardSetup) -> None:
        self.setup = setup
        self.profile = setup.profile
        self.entries = setup.entries
        self.row_of = {entry.serial: row for row, entry in enumerate(self.entries)}
        self.world_rows = np.asarray(setup.world_rows, dtype=np.intp)
        self.everybody: Rows = np.arange(len(self.entries))
        self.current_ratio = np.array([entry.current_ratio for entry in self.entries], dtype=np.float64)
        self.voltage_ratio = np.array([entry.voltage_ratio for entry in self.entries], dtype=np.float64)
        self.rated_a = _rated_a(self.entries, setup.profile.facts)
        """At their terminals, of the current transformers that meters are behind, (n,); NaN without any."""
        self.connected = np.array([[name in entry.phases for name in PHASE_NAMES] for entry in self.entries])
        """(n, 3) the phases of their usage points."""
        self.keys = meter_keys(setup.seed, list(self.row_of))
        self.now_s = setup.start_s
        """The instant up to which the meters have lived."""
        self.physics: Physics | None = None
        self.flow: Flow | None = None
        self.kept_s = self.now_s
        """Where the memory ends."""
        self.commits = 0
        self.wire_state: Callable[[], bytes] | None = None
        """What the carrier has to remember besides the meters' state, asked for at each commit."""
        self.knots: Callable[[Rows, WorldFrame | None], bytes | None] | None = None
        """Where the curves of these meters' registers change by a commit, if they have any."""

    @property
    def instant_s(self) -> float:
        """The present instant, also between two grants."""
        return float(self.now_s) if self.flow is None else self.flow.now_s(self.now_s)

    def open(self) -> Kept | None:
        """Open the durable memory: what it has kept, or None. Raises MemoryFailedError, MemoryFullError."""
        self.memory = Memory(self.setup.memory_path, identity=self._identity())
        kept = self.memory.restore()
        self.state = np.zeros(len(self.entries), dtype=METER_STATE) if kept is None else kept.state
        if kept is None:
            field(self.state, "uplink_lost_at_s")[:] = np.nan
            for timer in ("boundary_due_s", "supply_due_s", "phase_due_s", "uplink_close_due_s", "image_restart_due_s"):
                field(self.state, timer)[:] = NEVER_S
        else:
            self.now_s = self.kept_s = kept.now_s
            if kept.frame is not None:
                self.physics = Physics.of(WorldFrame.from_bytes(kept.frame))
        self.relays = Relays(self.state, resumed=kept is not None and self.profile.capabilities.has_relay)
        return kept

    def commit(
        self,
        touched: Rows,
        *,
        intervals: Sequence[IntervalRecord] = (),
        events: Sequence[Event] = (),
        frame: WorldFrame | None = None,
        at_s: int | None = None,
        outcome: tuple[int, int, Outcome] | None = None,
    ) -> None:
        """Keep the state of the `touched` meters, and what is new, before anybody is told of it.

        `at_s`: up to when they have lived, by default the last grant. `outcome`: meter, counter, and what became of the
        command that came with it.
        """
        self.kept_s = self.now_s if at_s is None else at_s
        self.commits += 1
        # The carrier may remember what follows from the curves.
        knots = None if self.knots is None else self.knots(touched, frame)
        self.memory.commit(
            self.kept_s,
            self.state,
            touched,
            intervals=intervals,
            events=events,
            frame=None if frame is None else frame.to_bytes(),
            wire=None if self.wire_state is None else self.wire_state(),
            knots=knots,
            outcome=outcome,
        )

    def keep(self, at_s: int, written: Written | None = None) -> None:
        """Keep that the meters have lived up to `at_s`, and what was written into one of them, before it is told.

        It costs the same however many meters there are: whoever asks a meter may ask as often as it likes.
        """
        self.kept_s = at_s
        self.commits += 1
        self.memory.keep(at_s, written)

    def rows(self, serials: Collection[str]) -> Rows:
        """Raises FleetError: a serial is none of these meters'."""
        unknown = [serial for serial in serials if serial not in self.row_of]
        if unknown:
            raise FleetError(f"not in this fleet: {', '.join(unknown)}")
        return np.array([self.row_of[serial] for serial in serials], dtype=np.intp)

    @property
    def serials(self) -> list[str]:
        return [entry.serial for entry in self.entries]

    @property
    def usage_points(self) -> list[str]:
        return [entry.usage_point for entry in self.entries]

    def _identity(self) -> dict[str, object]:
        meters = blake2b(digest_size=16)
        for entry, world_row in zip(self.entries, self.world_rows.tolist(), strict=True):
            meters.update(f"{entry.serial} {entry.usage_point} {entry.address} {world_row}\n".encode())
        return {
            "seed": self.setup.seed,
            "start_s": self.setup.start_s,
            "profile": self.profile.name,
            "interval_length_s": self.profile.facts.interval_length_s,
            "meters": meters.hexdigest(),
        }


def _rated_a(entries: Sequence[ShipmentEntry], facts: MeterFacts) -> NDArray[np.float64]:
    def rated(entry: ShipmentEntry) -> float:
        most_a = facts.max_current_a if entry.max_current_a is None else entry.max_current_a
        if entry.current_ratio == 1.0 and most_a <= facts.max_current_a and not facts.transformer_operated:
            return np.nan
        if entry.max_current_a is None and entry.current_ratio != 1.0:
            return SECONDARY_A
        return most_a / entry.current_ratio

    return np.array([rated(entry) for entry in entries], dtype=np.float64)
