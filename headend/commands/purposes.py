"""What devices can be told to do, as a table: docs/command-envelope.md, "Purposes". Pure.

Another purpose is another row, and what its answer comes to.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

LOAD_PROFILE_READ = "load_profile.read"
PING = "ping"
REGISTER_READ = "register.read"

Params = Mapping[str, object]


class Verification(StrEnum):
    """What it takes beside the signature until a command may go out."""

    #: Whoever may request it may have it.
    REQUEST = "request"
    #: Somebody else than who requests it must approve it.
    SECOND_PERSON = "second_person"


class Answer(StrEnum):
    """What comes back, and what becomes of it."""

    #: That it is done.
    DONE = "done"
    #: Registers of one instant: table on_demand_reading.
    REGISTERS = "registers"
    #: Intervals, in parts: readings that were recovered.
    LOAD_PROFILE = "load_profile"


@dataclass(frozen=True, slots=True)
class Purpose:
    """A row of the table.

    `parameters`: which of them do not fit a device of this interval length [s], in words.
    """

    name: str
    parameters: Callable[[Params, int], list[str]]
    verification: Verification
    answer: Answer


def _none(params: Params, _interval_length_s: int) -> list[str]:
    return [f"it takes no parameter {name!r}" for name in params]


def _interval_range(params: Params, interval_length_s: int) -> list[str]:
    faults = [f"it takes no parameter {name!r}" for name in params.keys() - {"from", "to"}]
    found: dict[str, int] = {}
    for name in ("from", "to"):
        value = params.get(name)
        if type(value) is not int or value < 0 or value % interval_length_s:
            faults.append(f"{name} is not a multiple of {interval_length_s} s, from 0")
        else:
            found[name] = value
    if len(found) == 2 and found["from"] >= found["to"]:
        faults.append("from is not before to")
    return faults


PURPOSES: Mapping[str, Purpose] = {
    purpose.name: purpose
    for purpose in (
        Purpose(LOAD_PROFILE_READ, _interval_range, Verification.REQUEST, Answer.LOAD_PROFILE),
        Purpose(PING, _none, Verification.REQUEST, Answer.DONE),
        Purpose(REGISTER_READ, _none, Verification.REQUEST, Answer.REGISTERS),
    )
}
