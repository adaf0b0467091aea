"""The parts that a shard is composed of, as it sees them: supply, record and carrier.

Any record goes with any carrier that can tell what it has (meters/fleet/compose.py).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from grid.world import WorldFrame
from meters.device.memory import Kept
from meters.device.physics import Physics
from meters.device.records import CommandAnswer, Event, IntervalRecord, ProfileAnswer
from meters.device.relay import Cause
from meters.device.state import Rows
from meters.device.supply import Changed
from meters.fleet.network import FleetSettled
from meters.radio.faults import NetworkFault

Timers = tuple[NDArray[np.float64], ...]
"""Arrays of instants at which there is something to do; NEVER_S where there is not."""


class Supply(Protocol):
    """From the loss of supply to its return (meters/device/supply.py)."""

    def begin(self, energised: NDArray[np.bool_], now_s: int) -> None: ...

    def lose(self, rows: Rows, now_s: int) -> list[Changed]: ...

    def restore(self, rows: Rows, now_s: int) -> list[Changed]: ...

    def reboot(self, rows: Rows, now_s: int) -> Rows: ...

    def fire(self, now_s: int) -> list[Changed]: ...


class Record(Protocol):
    """What the meters keep of what they measure: intervals and events, or the curves of their registers."""

    def timers(self) -> Timers: ...

    def first_frame(self, energised: NDArray[np.bool_], now_s: int) -> None:
        """Supply (n,) at the start."""

    def supply_changed(self, lost: Rows, back: Rows, now_s: int) -> None:
        """Supply of these meters is lost, or back, as of now."""

    def phases_changed(self, lit: NDArray[np.bool_], now_s: int) -> Rows:
        """Voltage by phase (n, 3) as of now, of a first frame, too: returns the meters touched."""
        ...

    def adopt(self, physics: Physics) -> Rows:
        """From its frame's time on this holds; returns the meters whose state that changes."""
        ...

    def run(self, now_s: int, carrier: Carrier) -> tuple[Rows, list[IntervalRecord]]:
        """What ends by `now_s`: the meters touched, and the intervals to be kept."""
        ...

    def note(self, changes: Sequence[Changed]) -> None:
        """Changes of supply that a log of events is for."""

    def note_relays(self, rows: Rows, *, closed: bool, cause: Cause) -> None:
        """These meters' relays have moved: something that a log of events is for."""

    def take(self) -> list[Event]:
        """The events that came up since the last call, for the commit."""
        ...

    def export(self, directory: Path, shard: str) -> None:
        """Write the journal. Raises MemoryFailedError."""


class Carrier(Protocol):
    """How the meters are reached, and what is said over it."""

    @property
    def stations(self) -> frozenset[str]:
        """Names that fences and faults may address."""
        ...

    @property
    def sockets(self) -> int:
        """How many it may have open at once."""
        ...

    @property
    def refusals(self) -> int:
        """Connections and subscriptions that the broker refused."""
        ...

    @property
    def losses(self) -> int:
        """Connection attempts that failed, and connections that ended without the shard's doing."""
        ...

    async def open(self, kept: Kept | None) -> None:
        """The state is there, new or as it was `kept`: open what sockets there are before the first grant."""

    async def close(self) -> None:
        """Leave the network in order."""

    async def settle(self) -> FleetSettled:
        """Returns when all that was sent has reached its receiver or is known to be lost, and what is under way (a
        connect, a drop) has concluded. Timers may be earlier than before.

        Raises what went wrong while a message was handled, for instance MemoryFullError.
        """
        ...

    async def await_fence(self, token: str, stations: Collection[str]) -> None:
        """Returns when each of these that is connected has received the fence."""

    async def wait_disconnected(self) -> None:
        """After the broker was killed: returns when everybody has noticed."""

    def raise_failure(self) -> None:
        """Raise what went wrong where nobody awaited it."""

    def lose_uplink(self, stations: Collection[str]) -> None:
        """From now on nothing passes to or from these."""

    def restore_uplink(self, stations: Collection[str]) -> None:
        """The opposite of `lose_uplink`."""

    def reboot(self, stations: Collection[str]) -> None:
        """Restart communication processors that run on supply."""

    def fail_collectors(self, names: Collection[str]) -> None:
        """The hardware of these collectors dies: they neither hear nor pass on anything."""

    def mend_collectors(self, names: Collection[str]) -> None:
        """The opposite of `fail_collectors`: somebody has put another in its place, which knows what it knew."""

    def renew(self, stations: Collection[str]) -> None:
        """Let those that are connected leave in order, and connect anew."""

    def timers(self) -> Timers: ...

    def first_frame(self, energised: NDArray[np.bool_], now_s: int) -> None:
        """Supply (n,) at the start."""

    def see(self, frame: WorldFrame) -> None:
        """This frame is adopted next. It is of all usage points, those of other processes included."""

    def supply_changed(self, lost: Rows, back: Rows, now_s: int) -> None:
        """Supply of these meters is lost, or back, as of now; committed later."""

    def has_time_source(self, rows: Rows) -> NDArray[np.bool_]:
        """Which of `rows` are in touch with a source of time."""
        ...

    def note_timers(self, now_s: int) -> Rows:
        """Which timers are due: note it in the state, for the commit. Returns the meters touched."""
        ...

    async def act_on_timers(self, now_s: int) -> None:
        """Do what `note_timers` noted."""

    def act_on(self, changed: Changed) -> None:
        """What a change of supply, committed and told, means for the connection."""

    def tell(self, events: Sequence[Event]) -> None:
        """Push committed events of those meters that can be reached."""

    async def report(self, records: Sequence[IntervalRecord]) -> None:
        """These intervals have ended, and are committed."""

    @property
    def registers_due_s(self) -> float:
        """When it next says by itself what registers show; NEVER_S: it does not."""
        ...

    async def report_registers(self, now_s: int) -> None:
        """Say what registers show at `now_s`, after all else that happens then."""

    def reachable(self, row: int) -> bool:
        """Whether a message leaves the meter now."""
        ...

    def answer(self, row: int, answer: ProfileAnswer | CommandAnswer) -> None:
        """Publish the answer to a command. The meter is reachable."""

    def disturb_network(self, fault: NetworkFault) -> None:
        """A fault of the communications network is known from now on, or its end is."""

    def export_deliveries(self, directory: Path) -> None:
        """Write `<shard>.parquet` of what became of frames, if a communications network carries them.

        The shard's name is that of its memory file.

        Raises MemoryFailedError.
        """
