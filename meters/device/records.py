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
from typing import Any, NamedTuple, get_type_hints

import numpy as np


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
    VOLTAGE_SAG = "voltage_sag"
    VOLTAGE_SWELL = "voltage_swell"
    CLOCK_ADJUSTED = "clock_adjusted"
    COMMAND_REFUSED = "command_refused"
    RELAY_OPENED = "relay_opened"
    RELAY_CLOSED = "relay_closed"


ALLOWED_DECIMALS = 3
"""Of what a class allows, so that it does not depend on how often a sum was taken."""


class IntervalRecord(NamedTuple):
    """One interval of a load profile. `meter` is the row in the shard.

    Registers are those at its end, as displayed; voltages are in tenths of a volt, currents in mA; power factors in
    thousandths, signed as the active power. `active_power_w` is net over the phases; powers are + for import.

    `*_allowed_*` and `recorded_at_s`, `window_*_s` (true epoch seconds) are what the twin knows and the meter does not:
    by how much the energy may be wrong by the meter's class, at the loads that there were (meters/device/classes.py).
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
    reactive_q1_register_varh: int
    reactive_q2_register_varh: int
    reactive_q3_register_varh: int
    reactive_q4_register_varh: int
    reactive_q1_varh: int
    reactive_q2_varh: int
    reactive_q3_varh: int
    reactive_q4_varh: int
    active_power_w: int
    active_power_l1_w: int
    active_power_l2_w: int
    active_power_l3_w: int
    reactive_power_l1_var: int
    reactive_power_l2_var: int
    reactive_power_l3_var: int
    power_factor_l1_permille: int
    power_factor_l2_permille: int
    power_factor_l3_permille: int
    voltage_l1_dv: int
    voltage_l2_dv: int
    voltage_l3_dv: int
    current_l1_ma: int
    current_l2_ma: int
    current_l3_ma: int
    max_demand_import_w: int
    max_demand_at_s: int
    status: int
    import_allowed_wh: float
    export_allowed_wh: float
    reactive_q1_allowed_varh: float
    reactive_q2_allowed_varh: float
    reactive_q3_allowed_varh: float
    reactive_q4_allowed_varh: float
    window_start_s: float
    window_end_s: float
    recorded_at_s: int


RECORD = np.dtype([(name, "<i8" if kind is int else "<f8") for name, kind in get_type_hints(IntervalRecord).items()])
"""Interval records as an array, and each as the durable memory has it."""


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
