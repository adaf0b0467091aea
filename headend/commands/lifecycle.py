"""The life of a command, from the request to one definite end (docs/commands.md). Pure."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """In the order of a command that goes well; then the other ends."""

    REQUESTED = "requested"
    APPROVED = "approved"
    QUEUED = "queued"
    SENT = "sent"
    ACKNOWLEDGED = "acknowledged"
    EXECUTING = "executing"
    COMPLETED = "completed"
    REFUSED = "refused"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"

    @property
    def is_end(self) -> bool:
        """Nothing follows it."""
        return self in ENDS

    def may_become(self, following: "State") -> bool:
        """Whether this step may follow. A command that was sent and has not ended may be queued again: a retry."""
        if self.is_end:
            return False
        if following is State.QUEUED:
            return self is not State.REQUESTED
        if following is State.CANCELLED:
            # Beyond, nobody can say that it did not happen.
            return self in _RECALLABLE
        return _ORDER[following] > _ORDER[self]


ENDS = frozenset((State.COMPLETED, State.REFUSED, State.FAILED, State.EXPIRED, State.CANCELLED))
_RECALLABLE = frozenset((State.REQUESTED, State.APPROVED, State.QUEUED))
_ORDER = {state: place for place, state in enumerate(State)}


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a command's life. `at_s`: the head-end's clock. `attempt`: 0 before the first sending.

    `reason`: why it ended so, in a word or two; `actor`: who did it, where somebody did. `round_trip_s`: with the end
    that an answer makes, by the wall clock.
    """

    command_id: str
    attempt: int
    state: State
    at_s: float
    reason: str | None = None
    actor: str | None = None
    round_trip_s: float | None = None

    def row(self) -> tuple[str, int, str, float, str | None, str | None, float | None]:
        """As it is stored (headend/store/commands.py)."""
        return self.command_id, self.attempt, str(self.state), self.at_s, self.reason, self.actor, self.round_trip_s
