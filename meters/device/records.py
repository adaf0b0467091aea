"""What a meter keeps, in words that belong to no vendor: intervals, events, and what it answers with.

A vendor's wire (meters/vendors) says the same in its own codes, names and formats.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntFlag, StrEnum
from functools import lru_cache
from typing import Any, NamedTuple


class Status(IntFlag):
    """What happened in an interval (the load profile's status, DLMS UA blue book)."""

    CLOCK_INVALID = 1
    CLOCK_ADJUSTED = 2
    POWER_DOWN = 4
    POWER_UP = 8


class EventCode(StrEnum):
    """End device events."""

    LAST_GASP = "last_gasp"
    POWER_RESTORE = "power_restore"
    MOMENTARY = "momentary"
    PHASE_LOSS = "phase_loss"
    PHASE_RESTORED = "phase_restored"
    REBOOT = "reboot"
    CLOCK_ADJUSTED = "clock_adjusted"
    COMMAND_REFUSED = "command_refused"
    RELAY_OPENED = "relay_opened"
    RELAY_CLOSED = "relay_closed"


class IntervalRecord(NamedTuple):
    """One interval of a load profile. `meter` is the row in the shard.

    Registers are those at its end, as displayed; voltages are in tenths of a volt. `active_power_w` is net, + import.
    `window_*_s` and `recorded_at_s` are true epoch seconds: what the twin knows and the meter does not.
    """

    interval_start_s: int
    meter: int
    import_register_wh: int
    export_register_wh: int
    import_wh: int
    export_wh: int
    import_l1_wh: int
    import_l2_wh: int
    import_l3_wh: int
    export_l1_wh: int
    export_l2_wh: int
    export_l3_wh: int
    active_power_w: int
    voltage_l1_dv: int
    voltage_l2_dv: int
    voltage_l3_dv: int
    status: int
    window_start_s: float
    window_end_s: float
    recorded_at_s: int


@dataclass(frozen=True, slots=True)
class Event:
    """An entry of a meter's event log. `detail` is JSON; instants in it are `timestamp`s."""

    meter: int
    sequence: int
    code: str
    device_time_s: int
    true_time_s: float
    detail: str

    def parsed_detail(self) -> dict[str, Any]:
        """The detail as the mapping that it was entered as."""
        parsed: dict[str, Any] = json.loads(self.detail)
        return parsed


@dataclass(frozen=True, slots=True)
class ProfileAnswer:
    """What the memory has of the intervals that start in [from_s, to_s), in answer to a command."""

    command_id: str
    device_time_s: int
    from_s: int
    to_s: int
    interval_length_s: int
    records: Sequence[IntervalRecord]


@dataclass(frozen=True, slots=True)
class CommandAnswer:
    """What became of any other command. `device_time_s`: when the meter acted, by its clock.

    `quantities`: what it showed then, where it was to read that (meters/device/quantities.py). `fault`: why it failed,
    in a word; None where it did not.
    """

    command_id: str
    device_time_s: int
    quantities: Mapping[str, int | float] | None = None
    fault: str | None = None


@lru_cache(maxsize=4096)
def timestamp(time_s: int) -> str:
    """ISO 8601, UTC, whole seconds: 2026-01-15T00:15:00+00:00."""
    return datetime.fromtimestamp(time_s, UTC).isoformat()
