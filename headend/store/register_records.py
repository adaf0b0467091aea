"""Records of meters that keep no load profile: their registers at boundaries, and the intervals derived from them.

Instants are epoch seconds, energies whole Wh.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from headend.drivers import Registers
from headend.ratios import NO_TRANSFORMERS, Ratios

#: Why a reading is not believed whose registers may be right: for what the meter measured at that instant.
MOMENT_FAULTS = ("power_beyond_rating", "beyond_voltage", "current_beyond_rating")


@dataclass(frozen=True, slots=True)
class BoundaryReading:
    """What a meter's registers showed at a boundary of its interval grid, or near; `at_s`: when, exactly.

    `interpolated`: it was not read there, but lies on the straight line between two readings around the boundary.
    """

    boundary_s: int
    at_s: float
    registers: Registers
    interpolated: bool = False


@dataclass(frozen=True, slots=True)
class DerivedInterval:
    """The energy of the interval that starts at `start_s`, by the difference of registers."""

    start_s: int
    import_wh: int
    export_wh: int
    estimated: bool


class RegisterRow(NamedTuple):
    """A boundary reading of a meter. `doubt`: why it is not believed."""

    meter_id: int
    reading: BoundaryReading
    doubt: str | None


class AcceptedRow(NamedTuple):
    """A boundary reading that is believed after all."""

    meter_id: int
    boundary_s: int


class DerivedRow(NamedTuple):
    """An interval of a meter, as it counted it, and the meter's `ratios`.

    `received_s`: when the reading came that ends it. `end`: that, if it was read there.
    """

    meter_id: int
    length_s: int
    received_s: float
    interval: DerivedInterval
    end: Registers | None
    ratios: Ratios = NO_TRANSFORMERS


class OnDemandRow(NamedTuple):
    """What a meter showed when somebody asked. `at_s`: by its clock; `doubt`: why it is not believed."""

    command_id: str
    meter_id: int
    at_s: float
    registers: Registers
    doubt: str | None
    received_s: float


class PollFailureRow(NamedTuple):
    """A meter whose registers could not be read at a boundary. `exception_code`: of the Modbus exception, if any."""

    meter_id: int
    boundary_s: int
    outcome: str
    exception_code: int | None
    noted_s: float


class RegisterRows(Protocol):
    """Where such rows go until they are written."""

    registers: list[RegisterRow]
    accepted: list[AcceptedRow]
    derived: list[DerivedRow]
