"""Neutral records: what a driver makes of a vendor's bytes, and all that the rest of the head-end sees of them.

Energies are whole Wh and varh, powers whole W and var, voltages V, currents A; instants are epoch seconds. Quadrants
are those of IEC 62056-61 (5.8.0 to 8.8.0), by the signs of active and reactive power: Q1 +P +Q, Q2 -P +Q, Q3 -P -Q,
Q4 +P -Q; + is from the grid.
"""

from collections.abc import Callable, Mapping
from enum import IntFlag, StrEnum
from operator import itemgetter
from types import MappingProxyType
from typing import NamedTuple


class DecodeError(Exception):
    """A payload is not what the profile's document says. `reason` is one word for counting, `detail` for reading."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def driver_failed(what: object) -> DecodeError:
    """Of a driver that does what none may: raises another error, or returns what is no record."""
    said = f"{type(what).__name__}: {what}" if isinstance(what, Exception) else f"it returned a {type(what).__name__}"
    return DecodeError("driver_failed", said)


class StatusFlag(IntFlag):
    """Bits of an interval's status as the database has it, whatever wire it came by."""

    CLOCK_INVALID = 1
    CLOCK_ADJUSTED = 2
    POWER_DOWN = 4
    POWER_UP = 8


class EventCode(StrEnum):
    """The events that the head-end acts on. A meter may send any other code: it is kept as it is."""

    LAST_GASP = "last_gasp"
    POWER_RESTORE = "power_restore"
    MOMENTARY = "momentary"
    PHASE_LOSS = "phase_loss"
    PHASE_RESTORED = "phase_restored"
    COMMAND_REFUSED = "command_refused"
    VOLTAGE_SAG = "voltage_sag"
    VOLTAGE_SWELL = "voltage_swell"


PHASES = (1, 2, 3)
#: Stands for "not reported" in an integer channel; in a measured one NaN does.
ABSENT = -(2**63)


class Reading(NamedTuple):
    """One interval of a meter, closed at `end_s` of its clock (epoch s). Registers are those of its end.

    `import_power_w` and `export_power_w` each count from 0; powers of a phase are net, + from the grid.
    `max_demand_import_w`: the highest mean of a demand period since that register was last reset; `max_demand_at_s`:
    when that period ended, by the meter's clock.
    `status`: StatusFlag. `others`: (reading type, value) of what has no channel here. `complete`: no channel is absent.
    A batch has the channels of its readings in the order of the fields here.
    """

    end_s: int
    import_register_wh: int
    export_register_wh: int
    reactive_q1_register_varh: int
    reactive_q2_register_varh: int
    reactive_q3_register_varh: int
    reactive_q4_register_varh: int
    import_wh: int
    export_wh: int
    import_l1_wh: int
    import_l2_wh: int
    import_l3_wh: int
    export_l1_wh: int
    export_l2_wh: int
    export_l3_wh: int
    reactive_q1_varh: int
    reactive_q2_varh: int
    reactive_q3_varh: int
    reactive_q4_varh: int
    import_power_w: int
    export_power_w: int
    max_demand_import_w: int
    active_power_l1_w: int
    active_power_l2_w: int
    active_power_l3_w: int
    reactive_power_l1_var: int
    reactive_power_l2_var: int
    reactive_power_l3_var: int
    max_demand_at_s: int
    status: int
    voltage_l1_v: float
    voltage_l2_v: float
    voltage_l3_v: float
    current_l1_a: float
    current_l2_a: float
    current_l3_a: float
    power_factor_l1: float
    power_factor_l2: float
    power_factor_l3: float
    others: tuple[tuple[str, float], ...]
    complete: bool


def integers(first: str, last: str) -> Callable[[Reading], tuple[int, ...]]:
    """What takes the integer fields from `first` to `last`, both included, out of a Reading."""
    return itemgetter(_span(first, last))


def measures(first: str, last: str) -> Callable[[Reading], tuple[float, ...]]:
    """The same for measured fields."""
    return itemgetter(_span(first, last))


def _span(first: str, last: str) -> slice:
    return slice(Reading._fields.index(first), Reading._fields.index(last) + 1)


_COUNTERS = ("import_register_wh", "status")
_MEASURES = ("voltage_l1_v", "power_factor_l3")
#: Integer channels, in the order of every array row and COPY row; and what is measured beside them.
READING_COUNTERS = Reading._fields[_span(*_COUNTERS)]
READING_MEASURES = Reading._fields[_span(*_MEASURES)]
counters_of = integers(*_COUNTERS)
measures_of = measures(*_MEASURES)


class Registers(NamedTuple):
    """What a meter shows at one instant. `active_power_w`: import positive; `voltages_v`: NaN where there is none.

    `channels`: what else it shows, by REGISTER_CHANNELS or ON_DEMAND_CHANNELS. `reactive_import_register_varh` counts
    what QI and QII have together (OBIS 3.8.0), `reactive_export_register_varh` QIII and QIV (4.8.0).
    """

    import_register_wh: int
    export_register_wh: int
    active_power_w: int
    voltages_v: tuple[float, float, float]
    channels: Mapping[str, int | float] = MappingProxyType({})


#: Registers of reactive energy of meters that have two of them, not one for each quadrant.
REACTIVE_REGISTERS = ("reactive_import_register_varh", "reactive_export_register_varh")
#: What a meter may measure beside power and voltages, by the name of the channel.
MOMENTARY_CHANNELS = (
    *Reading._fields[_span("active_power_l1_w", "reactive_power_l3_var")],
    *Reading._fields[_span("current_l1_a", "power_factor_l3")],
)
#: What Registers may have beside energies, power and voltages, by the name of the channel.
REGISTER_CHANNELS = (*REACTIVE_REGISTERS, *MOMENTARY_CHANNELS)
#: The same where somebody asked a meter for all that it shows.
ON_DEMAND_CHANNELS = (
    *Reading._fields[_span("reactive_q1_register_varh", "reactive_q4_register_varh")],
    *REGISTER_CHANNELS,
    "max_demand_import_w",
    "max_demand_at_s",
)


class CommandAnswer(NamedTuple):
    """An answer to a command that asks for no load profile. `state`: one of ANSWER_STATES.

    `registers`: where it reads them, those of `device_time_s` by the meter's clock. `reason`: why it failed, in a word.
    """

    command_id: str
    device_time_s: float
    state: str
    registers: Registers | None = None
    reason: str | None = None


#: What a meter may say of a command; the first is not its last word.
ANSWER_STATES = ("executing", "completed", "failed")


class RegisterReport(NamedTuple):
    """A meter that keeps no load profile says what its energy registers show; `at_s`: when, by its own clock."""

    at_s: float
    import_register_wh: int
    export_register_wh: int


class MomentaryReport(NamedTuple):
    """Such a meter says what it measures at this instant of its clock; it may come with a RegisterReport, or apart.

    `active_power_w` is ABSENT and voltages are NaN where it does not say them. `channels`: what else it says, by
    MOMENTARY_CHANNELS.
    """

    at_s: float
    active_power_w: int
    voltages_v: tuple[float, float, float]
    channels: Mapping[str, int | float] = MappingProxyType({})


class EndDeviceEvent(NamedTuple):
    """An entry of the meter's event log. `detail_json`: a JSON object.

    The next three are for recovery. `down_s`, `up_s`: the meter lost supply, and has it again, at these instants of its
    clock; `down_s` is None for events of any other kind.
    """

    device_time_s: int
    sequence: int
    code: str
    detail_json: str
    refused_command: str | None
    refused_reason: str | None
    restored: bool
    down_s: int | None = None
    up_s: int | None = None


class DeviceState(NamedTuple):
    """Whether the meter is connected; a will has neither time nor boot count."""

    online: bool
    device_time_s: int | None
    boot: int | None


class ProfilePart(NamedTuple):
    """One part of a load-profile answer, covering starts in [from_s, to_s)."""

    command_id: str
    device_time_s: int
    from_s: int
    to_s: int
    part: int
    parts: int
    interval_length_s: int
    readings: list[Reading]


class NamedValue(NamedTuple):
    """A metric of a Sparkplug device under the name that its birth gave it; the value is None where it is null."""

    name: str
    time_ms: int | None
    value: int | float | bool | str | bytes | None


class DeviceReport(NamedTuple):
    """What one DBIRTH or DDATA says. `others`: (name, epoch s, value). `boot`: (starts, epoch s of the meter's clock).

    With an `answer` that is part of a load profile, the readings are those of the part.
    """

    interval_length_s: int
    readings: list[Reading]
    event: EndDeviceEvent | None
    answer: ProfilePart | CommandAnswer | None
    others: list[tuple[str, float, float]]
    boot: tuple[int, int] | None


#: What a message of a meter with a connection of its own can be.
Message = Reading | EndDeviceEvent | DeviceState | ProfilePart | CommandAnswer | RegisterReport | MomentaryReport
#: From a payload to what it says: one record, or a list of any number. Raises only DecodeError.
Decode = Callable[[bytes], Message | list[Message]]
