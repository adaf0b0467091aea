"""A batch that is open, and what is owed for it once it is committed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from headend.store.batch import Batch


class Source(Protocol):
    """A connection whose messages are acknowledged when they are committed, and which can be left unread."""

    #: Counts connections: a packet identifier means nothing on another one.
    generation: int

    def pause(self) -> None:
        """Read no more until `resume`."""
        ...

    def resume(self) -> None:
        """Read again."""
        ...

    def acknowledge(self, packet_ids: Sequence[int]) -> None:
        """Say that these messages of the present connection are committed."""
        ...


@dataclass(slots=True)
class Pending:
    """`arrivals`: (wall s, messages) of each read; `uncounted`: our own fences, and what was not sent to us."""

    batch: Batch = field(default_factory=Batch)
    messages: int = 0
    size_bytes: int = 0
    owed: dict[Source, list[int]] = field(default_factory=dict)
    arrivals: list[tuple[float, int]] = field(default_factory=list)
    fences: list[str] = field(default_factory=list)
    uncounted: int = 0
    dead: dict[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.messages or self.batch)

    @property
    def size(self) -> int:
        """Messages, or rows if these are more: one message may come to many."""
        return max(self.messages, self.batch.size)
