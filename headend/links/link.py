"""What every way to devices has in common, whatever its wire: what the service asks of it, and what it tells.

A link lives on the loop that made it. Its timers run on the head-end's clock: instants are epoch s of that.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from headend.commands.outgoing import Outgoing
from headend.registry import EndDevice


@dataclass(frozen=True, slots=True)
class Notices:
    """Whom a part tells: that a connection which stood is gone, that a fault of ours came up, whom it commanded.

    `due`: that something is due earlier than it had said.

    A station is a meter with a connection of its own, by serial, or a collector.
    """

    lost: Callable[[], None]
    failed: Callable[[Exception], None]
    commanded: Callable[[str], None]
    due: Callable[[], None]


class Link(Protocol):
    """One way to devices."""

    @property
    def connected(self) -> bool:
        """Whether it stands. One that connects when it needs to always does."""
        ...

    async def connect(self) -> None:
        """Connect, if it does not stand. Raises BrokerUnavailable, BrokerRefused."""
        ...

    async def disconnect(self) -> None:
        """Leave in order, if it stands."""
        ...

    async def fence(self) -> bool:
        """Return when all that came before is committed, and what we sent is out. False: the connection was lost."""
        ...

    async def fence_stations(self, names: Collection[str], token: str) -> None:
        """Send a fence to those of these stations that are this link's; returns when it is out, or lost."""
        ...

    def reaches(self, device: EndDevice) -> bool:
        """Whether this is the way to the device."""
        ...

    def send(self, command: Outgoing) -> None:
        """Send a command to a device that it reaches. What cannot go out now is lost: nobody keeps it."""
        ...

    def next_due_s(self) -> float | None:
        """The next instant at which `advance` has something to do; what is past is due now."""
        ...

    async def advance(self, now_s: float) -> None:
        """Do what is due."""
        ...

    def hold(self) -> None:
        """Take in nothing more, until `drop`: what arrives is left unread, and unacknowledged."""
        ...

    def drop(self) -> None:
        """Lose a connection that is held, and what is unread in it."""
        ...


def fence_topic(command_topic: str) -> str:
    """Where a fence goes that is to arrive behind what was sent to `command_topic`: the same below the lab's own root.

    Devices know nothing of it; the lab's own hear both by one filter, since brokers keep the order within one only
    (docs/broker.md).
    """
    return f"lab/{command_topic.partition('/')[2]}"
