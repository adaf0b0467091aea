"""What one may ask of a living lab: the bodies of the page's requests, which the command line sends too."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

LONGEST_S = 7 * 86_400
LengthS = Annotated[int, Field(ge=1, le=LONGEST_S)]
Count = Annotated[int, Field(ge=1, le=10_000_000)]
ONE_LINE = r"^[^\x00-\x1f\x7f]*$"
Name = Annotated[str, Field(min_length=1, max_length=80, pattern=ONE_LINE)]
MOST_STATIONS = 1_000
DEFAULT_CUSTOMERS = (10, 200)
ONE_CUSTOMER = (1, 1)
"""Whom a service has."""
DEFAULT_DOWN_S = 60
MOST_COMMANDED = 500
"""In one request; the command line makes as many requests as it takes."""
LEAST_WITHIN_S = 5
DEFAULT_WITHIN_S = 60


class _Asked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Fault(_Asked):
    """Open a device: the one of this `id`, or one drawn by its number of `customers`. For ever, or for `for_s`.

    With a `conductor`, open that one alone.
    """

    kind: Literal["fault"] = "fault"
    device: Literal["transformer", "section", "line", "service"] = "transformer"
    conductor: Literal["L1", "L2", "L3", "N"] | None = None
    id: Name | None = None
    customers: tuple[Count, Count] | None = None
    for_s: LengthS | None = None

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        if self.id is not None and self.customers is not None:
            raise ValueError("name a device or say how many customers it has, not both")
        if self.customers is not None and self.customers[0] > self.customers[1]:
            raise ValueError("customers are given from the least to the most")
        return self

    @property
    def select(self) -> dict[str, object]:
        """As `grid.selectors.select` has it."""
        if self.id is not None:
            return {"id": self.id}
        return {"customers": list(self.customers or (ONE_CUSTOMER if self.device == "service" else DEFAULT_CUSTOMERS))}


class _OfStations(_Asked):
    """`stations` by name, or so many `meters` or `collectors`, drawn; a collector if nothing is given."""

    stations: Annotated[tuple[Name, ...], Field(max_length=MOST_STATIONS)] = ()
    meters: Count | None = None
    collectors: Count | None = None

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        if sum((bool(self.stations), self.meters is not None, self.collectors is not None)) > 1:
            raise ValueError("give stations, or a number of meters, or of collectors")
        return self


class CommsLoss(_OfStations):
    """Cut the uplink of meters or collectors. For ever, or for `for_s`."""

    kind: Literal["comms-loss"] = "comms-loss"
    for_s: LengthS | None = None


class Reboot(_OfStations):
    """Restart communication processors."""

    kind: Literal["reboot"] = "reboot"


class Relay(_Asked):
    """A technician moves relays of meters on site: of those `stations`, or of so many `meters`, drawn; else of one.

    For ever, or for `for_s`.
    """

    kind: Literal["relay"] = "relay"
    position: Literal["open", "closed"] = "open"
    stations: Annotated[tuple[Name, ...], Field(max_length=MOST_STATIONS)] = ()
    meters: Count | None = None
    for_s: LengthS | None = None

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        if self.stations and self.meters is not None:
            raise ValueError("give meters by serial, or a number of them")
        return self


class Kill(_Asked):
    """SIGKILL a part, and start it again after `down_s`."""

    kind: Literal["kill"] = "kill"
    part: Literal["headend", "broker", "database", "fleet"]
    down_s: LengthS = DEFAULT_DOWN_S


class Jam(_Asked):
    """Disturb a radio mesh: the whole ones of `stations`, which are collectors, or of so many `collectors`, drawn.

    Or all that is within `radius_m` of the meter `around`, or of one that is drawn. A mesh if nothing is given. For
    ever, or for `for_s`.
    """

    kind: Literal["jam"] = "jam"
    stations: Annotated[tuple[Name, ...], Field(max_length=MOST_STATIONS)] = ()
    collectors: Count | None = None
    radius_m: Annotated[int, Field(ge=1, le=100_000)] | None = None
    around: Name | None = None
    strength: Annotated[float, Field(gt=0, le=1)] | None = None
    """The share of transmissions that it spoils; all if not given."""
    for_s: LengthS | None = None

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        if sum((bool(self.stations), self.collectors is not None, self.radius_m is not None)) > 1:
            raise ValueError("give collectors by name, or a number of them, or a radius")
        if self.around is not None and self.radius_m is None:
            raise ValueError("around a meter a jam has a radius")
        return self


class _OfCells(_Asked):
    """`cells` by name, or so many, drawn; one if nothing is given. For ever, or for `for_s`."""

    cells: Annotated[tuple[Name, ...], Field(max_length=MOST_STATIONS)] = ()
    count: Count | None = None
    for_s: LengthS | None = None

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        if self.cells and self.count is not None:
            raise ValueError("give cells by name, or a number of them")
        return self


class CellDown(_OfCells):
    """Cells serve nobody."""

    kind: Literal["cell-down"] = "cell-down"


class Congestion(_OfCells):
    """Others load cells, each with so many messages a second."""

    kind: Literal["congestion"] = "congestion"
    messages_per_s: Annotated[float, Field(gt=0, le=1e6)]


class OperatorOutage(_Asked):
    """All cells of an operator serve nobody; of one that is drawn if none is named. For ever, or for `for_s`."""

    kind: Literal["operator-outage"] = "operator-outage"
    operator: Name | None = None
    for_s: LengthS | None = None


AirWanted = Jam | CellDown | Congestion | OperatorOutage


class Restore(_Asked):
    """End one disturbance, by its number, or all that are active."""

    kind: Literal["restore"] = "restore"
    number: Count | None = None


Wanted = Fault | CommsLoss | Reboot | Relay | AirWanted | Kill | Restore
Injection = Annotated[Wanted, Field(discriminator="kind")]


class CommandWanted(_Asked):
    """Have the head-end command meters. Each command ends within `within_s` of the lab's time."""

    purpose: Literal["ping", "register.read"]
    serials: Annotated[tuple[Name, ...], Field(min_length=1, max_length=MOST_COMMANDED)]
    within_s: Annotated[int, Field(ge=LEAST_WITHIN_S, le=86_400)] = DEFAULT_WITHIN_S


class SpeedWanted(_Asked):
    """Simulated seconds per second of wall clock; 0 to stand still, None for as fast as the work takes."""

    speed: Annotated[float, Field(ge=0, le=1e6)] | None


class Answers(_Asked):
    """What a trainee says, by the question's key."""

    answers: Annotated[dict[Name, str], Field(max_length=20)]
