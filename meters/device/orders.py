"""Commands as a meter takes them: verified, acted on once, remembered (docs/command-envelope.md).

Nothing is answered here, and nothing written: the caller commits the state together with the outcome, and answers then.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from meters.device.clock import Clocks
from meters.device.command import Command, Refusal, Refused, key_id, verify
from meters.device.memory import Memory
from meters.device.outcomes import Outcome
from meters.device.purposes import PURPOSES, Answer, Meter, Purpose, purpose_of
from meters.device.state import ShardState, field


@dataclass(frozen=True, slots=True)
class Taken:
    """A command was taken. `is_new`: the meter has acted, just now, and the outcome is to be kept."""

    outcome: Outcome
    counter: int
    is_new: bool


class Orders:
    """Commands of a shard's meters, behind the field `command_counter` of its state."""

    def __init__(
        self,
        serials: Sequence[str],
        public_keys: Sequence[bytes],
        state: ShardState,
        clocks: Clocks,
        memory: Memory,
        *,
        meter: Callable[[int, int], Meter],
        capabilities: Collection[str],
        purposes: Mapping[str, Purpose] = PURPOSES,
    ) -> None:
        """:param public_keys: raw, by row, of whom each meter trusts. `meter(row, now_s)`: what effects act on.
        :param capabilities: what the meters of this vendor have, by name.
        """
        made = {raw: Ed25519PublicKey.from_public_bytes(raw) for raw in set(public_keys)}
        named = {raw: {key_id(key): key} for raw, key in made.items()}
        self._keys = [named[raw] for raw in public_keys]
        self._serials = serials
        self._counter = field(state, "command_counter")
        self._clocks = clocks
        self._memory = memory
        self._meter = meter
        self._capabilities = capabilities
        self._purposes = purposes

    def take(self, row: int, envelope: bytes, now_s: int) -> Taken | Refused:
        """Verify, and act unless the id is known. What that changes is in the state, to be committed."""
        device_s = self._clocks.shown(row, now_s)
        command = verify(
            envelope,
            serial=self._serials[row],
            keys=self._keys[row],
            clock_s=device_s,
            last_counter=int(self._counter[row]),
        )
        if isinstance(command, Refused):
            return command
        known = self._memory.outcome(row, command.command_id)
        if known is not None and not known.is_of(command.purpose, command.params):
            return Refused(Refusal.ID_REUSED, command.command_id)
        if known is None:
            meter = self._meter(row, now_s)
            found = self._act(meter, command, math.floor(device_s))
            if isinstance(found, Refusal):
                return Refused(found, command.command_id)
        else:
            found = known
        self._counter[row] = command.counter
        return Taken(found, command.counter, is_new=known is None)

    def answer_of(self, outcome: Outcome) -> Answer:
        """What an outcome is answered with."""
        return self._purposes[outcome.purpose].answer

    def _act(self, meter: Meter, command: Command, device_s: int) -> Outcome | Refusal:
        purpose = purpose_of(command, self._capabilities, meter.interval_length_s, self._purposes)
        if isinstance(purpose, Refusal):
            return purpose
        result = purpose.effect(meter, command.params)
        return Outcome(command.command_id, command.purpose, dict(command.params), device_s, result)
