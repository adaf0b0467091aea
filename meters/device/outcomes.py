"""What became of a command, as the meter keeps it, for whoever asks again by its id (docs/command-envelope.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

OUTCOMES_KEPT = 64
"""Of each meter: the last ones."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A command that the meter took, and what it came to.

    `result`: what the purpose found, by names of its own; never more than a few values. `fault`: why it failed, in a
    word; None where it did not.
    """

    command_id: str
    purpose: str
    params: Mapping[str, Any]
    device_time_s: int
    result: Mapping[str, int | float]
    fault: str | None = None

    def is_of(self, purpose: str, params: Mapping[str, Any]) -> bool:
        """Whether a command that asks for this is the same one again."""
        return self.purpose == purpose and self.params == params

    def kept(self) -> bytes:
        """For the durable memory; the id stands beside it."""
        return orjson.dumps([self.purpose, self.params, self.device_time_s, self.result, self.fault])

    @classmethod
    def of_kept(cls, command_id: str, kept: bytes) -> Outcome:
        """The opposite of `kept`."""
        return cls(command_id, *orjson.loads(kept))
