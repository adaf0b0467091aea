"""Neutral records: what a driver makes of a vendor's bytes, and all that the rest of the head-end sees of them.

Energies are whole Wh, powers whole W (of both directions, each from 0), voltages V; instants are epoch seconds.
"""

from collections.abc import Callable
from enum import IntFlag, StrEnum
from typing import NamedTuple


class DecodeError(Exception):
    """A payload is not what the profile's document says. `reason` is one word for counting, `detail` for reading."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


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
    COMMAND_REFUSED = "command_refused"


#: Integer channels of an interval reading, in the order of every counters tuple, array row and COPY row.
READING_COUNTERS = (
    "import_register_wh",
    "export_register_wh",
    "import_wh",
    "export_wh",
    "import_l1_wh",
    "import_l2_wh",
    "import_l3_wh",
    "export_l1_wh",
    "export_l2_wh",
    "export_l3_wh",
    "import_power_w",
    "export_power_w",
    "status",
)
READING_VOLTAGES = ("voltage_l1_v", "voltage_l2_v", "voltage_l3_v")

#: Stands for "not reported" in a counters tuple; in a voltages tuple NaN does.
ABSENT = -(2**63)


class Reading(NamedTuple):
    """One interval, closed at `end_s` of the meter's clock (epoch s).

    `others`: (reading type, value) that are not canonical. `complete`: no canonical channel is absent.
    """

    end_s: int
    counters: tuple[int, ...]
    voltages: tuple[float, ...]
    others: tuple[tuple[str, float], ...]
    complete: bool


class Registers(NamedTuple):
    """What a meter shows at one instant. `active_power_w`: import positive; `voltages_v`: NaN where there is none."""

    import_register_wh: int
    export_register_wh: int
    active_power_w: int
    voltages_v: tuple[float, float, float]


class RegisterReport(NamedTuple):
    """A meter that keeps no load profile says what its energy registers show; `at_s`: when, by its own clock."""

    at_s: float
    import_register_wh: int
    export_register_wh: int


class MomentaryReport(NamedTuple):
    """Such a meter says what it measures at this instant of its clock; it may come with a RegisterReport, or apart."""

    at_s: float
    active_power_w: int
    voltages_v: tuple[float, float, float]


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

    With an `answer`, the readings are those of its part.
    """

    interval_length_s: int
    readings: list[Reading]
    event: EndDeviceEvent | None
    answer: ProfilePart | None
    others: list[tuple[str, float, float]]
    boot: tuple[int, int] | None


#: What a message of a meter with a connection of its own can be.
Message = Reading | EndDeviceEvent | DeviceState | ProfilePart | RegisterReport | MomentaryReport
#: From a payload to what it says: one record, or a list of any number. Raises only DecodeError.
Decode = Callable[[bytes], Message | list[Message]]
