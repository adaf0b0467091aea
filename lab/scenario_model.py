"""What a scenario consists of, as validated, frozen values.

Times are whole seconds: an instant is an offset from the start (`at_s`) or epoch seconds (`start_s`), a length is
`duration_s`, `down_s`, `settle_s`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from lab.fleet_presets import DEFAULT_PRESET, parse_preset
from lab.network_fault import LONGEST_S, FaultKind, NetworkFault
from lab.scenario_times import parse_duration, parse_instant, parse_interval, parse_offset

DurationS = Annotated[int, BeforeValidator(parse_duration)]
IntervalS = Annotated[int, BeforeValidator(parse_interval)]
OffsetS = Annotated[int, BeforeValidator(parse_offset)]
InstantS = Annotated[int, BeforeValidator(parse_instant)]
Part = Literal["headend", "broker", "database", "fleet", "ingest"]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


class Table(BaseModel):
    """A table of a scenario's file: no unknown keys, no conversion of types. The aliases are the keys of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class CustomerRange(Table):
    """A device with this many customers behind it, both ends included."""

    customers: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=2, max_length=2)]


class DeviceId(Table):
    """The device of this id in the feeder."""

    id: Annotated[str, Field(min_length=1)]


class CollectorCount(Table):
    """So many collectors, drawn by seed, each with all its meters."""

    collectors: Annotated[int, Field(ge=1)]


class MeterCount(Table):
    """So many meters, drawn by seed."""

    meters: Annotated[int, Field(ge=1)]


SELECTOR_TAGS = frozenset({"by customers", "by id", "by meters", "by collectors"})


def _selector_tag(value: object) -> str:
    return "by id" if isinstance(value, dict) and "id" in value else "by customers"


DeviceSelector = Annotated[
    Annotated[CustomerRange, Tag("by customers")] | Annotated[DeviceId, Tag("by id")], Discriminator(_selector_tag)
]


def _station_tag(value: object) -> str:
    return "by collectors" if isinstance(value, dict) and "collectors" in value else "by meters"


StationSelector = Annotated[
    Annotated[MeterCount, Tag("by meters")] | Annotated[CollectorCount, Tag("by collectors")],
    Discriminator(_station_tag),
]


class _Event(Table):
    at_s: OffsetS = Field(alias="at")
    line: int = Field(default=0, exclude=True)
    """Where in the file it stands."""

    @property
    def ends_s(self) -> int:
        """Offset from the start at which its effect is undone."""
        return self.at_s


class OutageEvent(_Event):
    """A device of the feeder is open for a while: everybody behind it is dark."""

    kind: Literal["outage"]
    device: Literal["transformer", "section", "service"]
    duration_s: DurationS = Field(alias="duration")
    selector: DeviceSelector = Field(alias="select")

    @property
    def select(self) -> dict[str, Any]:
        """The criteria for `grid.selectors.select`: {"customers": [least, most]} or {"id": …}."""
        return self.selector.model_dump()

    @property
    def ends_s(self) -> int:
        return self.at_s + self.duration_s


class UplinkLossEvent(_Event):
    """Meters or collectors lose their connection for a while, with their supply intact."""

    kind: Literal["uplink_loss"]
    duration_s: DurationS = Field(alias="duration")
    selector: StationSelector = Field(alias="select")

    @property
    def select(self) -> dict[str, Any]:
        """{"meters": count} or {"collectors": count}"""
        return self.selector.model_dump()

    @property
    def ends_s(self) -> int:
        return self.at_s + self.duration_s


class RebootEvent(_Event):
    """The communication processors of meters restart."""

    kind: Literal["reboot"]
    selector: MeterCount = Field(alias="select")

    @property
    def select(self) -> dict[str, Any]:
        """{"meters": count}"""
        return self.selector.model_dump()


class KillEvent(_Event):
    """A part gets SIGKILL and is started again `down_s` later.

    But for the database, at any speed but 1: without it no reading can be committed, so simulated time stands still
    until it is back. Of fleets or ingest workers in several processes, the first
    is killed; where ingest is no process of its own, the whole head-end is.

    `moment`: "under way" is when the broker has acknowledged all that the meters say at this instant and the head-end
    has taken in nothing of it; so every run counts the same. "any" is a moment that the wall clock decides.
    """

    kind: Literal["kill"]
    part: Part
    moment: Literal["under way", "any"] = "under way"
    down_s: DurationS = Field(alias="down")

    @property
    def ends_s(self) -> int:
        return self.at_s + self.down_s


class NetworkEvent(_Event):
    """The containers of a part get a `NetworkFault`. `wall_s`: how long, on the wall clock.

    Of fleets or ingest workers in several containers, the first is hit.
    """

    kind: Literal["network"]
    part: Part
    fault: FaultKind
    wall_s: Annotated[DurationS, Field(le=LONGEST_S)] = Field(alias="wall")
    loss: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    delay_ms: Annotated[int, Field(ge=1, le=10_000)] | None = None

    @model_validator(mode="after")
    def _amount_fits(self) -> Self:
        for fault, name, value in (("loss", "loss", self.loss), ("delay", "delay_ms", self.delay_ms)):
            if (self.fault == fault) != (value is not None):
                needs = "needs" if self.fault == fault else f"is {self.fault!r}, which takes no"
                raise ValueError(f"fault {needs} {name!r}")
        return self

    @property
    def network_fault(self) -> NetworkFault:
        return NetworkFault(self.fault, self.wall_s, self.loss or 0.0, self.delay_ms or 0)


class RotateEvent(_Event):
    """Everybody gets a new certificate and connects with it: of the same authority, or of a new one.

    The old ones are accepted for `overlap_s` more, and then refused.
    """

    kind: Literal["rotate"]
    what: Literal["identities", "authority"]
    overlap_s: DurationS = Field(alias="overlap")

    @property
    def ends_s(self) -> int:
        return self.at_s + self.overlap_s


class UpdateEvent(_Event):
    """A rolling update: new processes (containers) take the place of a part's old ones, one after another.

    In lockstep one goes at each grant from `at_s` on. Where ingest is no process of its own, the whole head-end is
    replaced.
    """

    kind: Literal["update"]
    part: Literal["fleet", "ingest"]


Event = OutageEvent | UplinkLossEvent | RebootEvent | KillEvent | NetworkEvent | RotateEvent | UpdateEvent
EVENT_KINDS: dict[str, type[Event]] = {
    "outage": OutageEvent,
    "uplink_loss": UplinkLossEvent,
    "reboot": RebootEvent,
    "kill": KillEvent,
    "network": NetworkEvent,
    "rotate": RotateEvent,
    "update": UpdateEvent,
}


class FeederChoice(Table):
    """Which feeder; whether it exists, the grid says."""

    name: Annotated[str, Field(min_length=1)]


class FleetChoice(Table):
    """Which meters: those of a preset, or all of one vendor profile; `DEFAULT_PRESET` if neither is given.

    `meters` limits their number, all usage points have one if it is not given. `interval_s` is the capture period that
    they are set to; the vendor profile's own if it is not given.
    """

    preset: Annotated[str, BeforeValidator(parse_preset)] | None = None
    profile: Annotated[str, Field(min_length=1)] | None = None
    meters: Annotated[int, Field(ge=1)] | None = None
    interval_s: IntervalS | None = Field(default=None, alias="interval")

    @property
    def preset_name(self) -> str:
        """Of the preset that holds where there is no `profile`."""
        return self.preset or DEFAULT_PRESET


class Head(Table):
    """The table [scenario]."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    description: str = ""
    start_s: InstantS = Field(alias="start")
    duration_s: DurationS = Field(alias="duration")
    settle_s: DurationS = Field(default=3_600, alias="settle")
    seed: Seed


class Scenario(BaseModel):
    """A scenario that has passed every check. `events` are in the order of the file."""

    model_config = ConfigDict(frozen=True)

    name: str
    description: str
    start_s: int
    duration_s: int
    settle_s: int
    seed: int
    feeder: FeederChoice
    fleet: FleetChoice
    events: tuple[Event, ...]
    criteria: Mapping[str, float]
