"""What meters can be told to do, as a table: docs/command-envelope.md, "Purposes". Pure but for what an effect asks.

Another purpose is another row, with its effect. An effect looks at the meter or changes its state; the caller then
writes the state and the outcome into the durable memory in one go, and answers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from meters.device.command import Command, Refusal

LOAD_PROFILE_READ = "load_profile.read"
PING = "ping"
REGISTER_READ = "register.read"

Params = Mapping[str, Any]
Result = Mapping[str, int | float]


class Meter(Protocol):
    """One meter, as far as an effect needs it."""

    @property
    def interval_length_s(self) -> int: ...

    def registers(self) -> Result:
        """What it shows now, by names of meters/device/quantities.py."""
        ...

    def remembered(self, from_s: int, to_s: int) -> tuple[int, int]:
        """The part of these interval starts that its load profile covers, `[from, to)`."""
        ...


class Answer(StrEnum):
    """What a wire says of an outcome."""

    DONE = "done"
    REGISTERS = "registers"
    LOAD_PROFILE = "load_profile"


@dataclass(frozen=True, slots=True)
class Purpose:
    """A row of the table.

    `parameters`: whether they fit a meter of this interval length [s]. `needs`: capabilities without which a meter
    cannot do it, however well the command is signed. `effect`: acts, and says what it found.
    """

    name: str
    parameters: Callable[[Params, int], bool]
    needs: frozenset[str]
    effect: Callable[[Meter, Params], Result]
    answer: Answer


def _none(params: Params, _interval_length_s: int) -> bool:
    return not params


def _interval_range(params: Params, interval_length_s: int) -> bool:
    if set(params) != {"from", "to"} or any(type(value) is not int for value in params.values()):
        return False
    from_s, to_s = params["from"], params["to"]
    return not (from_s % interval_length_s or to_s % interval_length_s) and 0 <= from_s < to_s


def _covered(meter: Meter, params: Params) -> Result:
    from_s, to_s = meter.remembered(params["from"], params["to"])
    return {"from": from_s, "to": to_s}


PURPOSES = {
    purpose.name: purpose
    for purpose in (
        # What it covers is kept; the intervals are in the memory, where they stay as they are.
        Purpose(LOAD_PROFILE_READ, _interval_range, frozenset({"keeps_load_profile"}), _covered, Answer.LOAD_PROFILE),
        Purpose(PING, _none, frozenset(), lambda _meter, _params: {}, Answer.DONE),
        Purpose(REGISTER_READ, _none, frozenset(), lambda meter, _params: meter.registers(), Answer.REGISTERS),
    )
}


def purpose_of(
    command: Command,
    capabilities: Collection[str],
    interval_length_s: int,
    purposes: Mapping[str, Purpose] = PURPOSES,
) -> Purpose | Refusal:
    """What a verified command is to do, or why a meter with these capabilities does not."""
    purpose = purposes.get(command.purpose)
    if purpose is None:
        return Refusal.UNKNOWN_PURPOSE
    if not purpose.needs <= frozenset(capabilities):
        return Refusal.NOT_SUPPORTED
    if not purpose.parameters(command.params, interval_length_s):
        return Refusal.BAD_PARAMETERS
    return purpose
