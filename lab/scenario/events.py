"""What may happen in a scenario, and whom it hits, as validated, frozen values: lab/scenario/model.py says how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from lab.lockstep.network_fault import LONGEST_S, FaultKind, NetworkFault
from lab.scenario.event import CollectorCount, ScenarioEvent
from lab.scenario.fields import DurationS, Part, Table
from lab.scenario.radio_events import AREA_TAGS, RadioEvent


def _ascending(customers: list[int]) -> list[int]:
    least, most = customers
    if least > most:
        raise ValueError(f"[{least}, {most}] is empty: the least comes first")
    return customers


class CustomerRange(Table):
    """A device with this many customers behind it, drawn by seed."""

    customers: Annotated[
        list[Annotated[int, Field(ge=1)]], Field(min_length=2, max_length=2), AfterValidator(_ascending)
    ] = Field(description="The least and the most customers behind the device, both included.")


class DeviceId(Table):
    """The device of this id."""

    id: Annotated[str, Field(min_length=1)] = Field(
        description="The device's id in the feeder, without its kind: `T_idx_35` of `transformer:T_idx_35` in a run's "
        "`network.json`."
    )


class MeterCount(Table):
    """So many meters, drawn by seed."""

    meters: Annotated[int, Field(ge=1)] = Field(description="How many meters.")


class MeterSerials(Table):
    """The meters of these serials."""

    serials: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)] = Field(
        description="Serials as a run's report and journal name them; the same feeder and fleet have the same."
    )


SELECTOR_TAGS = frozenset({"by customers", "by id", "by meters", "by collectors", "by serials", *AREA_TAGS})


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


def _meter_tag(value: object) -> str:
    return "by serials" if isinstance(value, dict) and "serials" in value else "by meters"


MeterSelector = Annotated[
    Annotated[MeterCount, Tag("by meters")] | Annotated[MeterSerials, Tag("by serials")], Discriminator(_meter_tag)
]


class OutageEvent(ScenarioEvent):
    """A device of the feeder is open for a while: everybody behind it is dark.

    Where no device has so many customers, the one nearest to that is taken, and the run says so. None is drawn that
    darkens the whole feeder: an `id` names such a one. A polled meter and one that keeps no clock tell of no outage
    (`amilab vendors`). One that only such meters could tell of is not found, or found too small.
    """

    kind: Literal["outage"]
    device: Literal["transformer", "section", "service"] = Field(
        description="What opens: a transformer, a section between switches or fuses, or one customer's connection."
    )
    duration_s: DurationS = Field(
        alias="duration", description="How long it is open. Up to 5 min count as a momentary interruption."
    )
    selector: DeviceSelector = Field(alias="select", description="Which device.")

    @property
    def select(self) -> dict[str, Any]:
        """The criteria for `grid.selectors.select`: {"customers": [least, most]} or {"id": …}."""
        return self.selector.model_dump()

    @property
    def ends_s(self) -> int:
        return self.at_s + self.duration_s


class ConductorEvent(ScenarioEvent):
    """One conductor of a device at low voltage is open for a while: an open phase, a blown fuse, an open neutral.

    A three-phase customer that loses a phase keeps its supply, and its meter tells `phase_loss` instead of a last gasp.
    Who has only that phase is dark. Without the neutral voltages float: a customer of one phase whose own neutral is
    open is dark, others have too much or too little.
    """

    kind: Literal["conductor"]
    open: Literal["L1", "L2", "L3", "N"] = Field(description="Which conductor: a phase, or `N`, the neutral.")
    device: Literal["transformer", "section", "line", "service"] = Field(
        description="Of what: `transformer`, its low-voltage terminals or fuse; `section`, the fuses around "
        "it; `line`, one cable; `service`, one customer's connection. One transformer must feed that part of the net."
    )
    duration_s: DurationS = Field(alias="duration", description="How long it is open.")
    selector: DeviceSelector = Field(alias="select", description="Which device, by the customers behind it.")

    @property
    def select(self) -> dict[str, Any]:
        """As `OutageEvent.select`."""
        return self.selector.model_dump()

    @property
    def ends_s(self) -> int:
        return self.at_s + self.duration_s


class UplinkLossEvent(ScenarioEvent):
    """Meters or collectors lose their connection for a while, with their supply intact.

    Where the fleet has no collectors, as many meters as one would have are taken.
    """

    kind: Literal["uplink_loss"]
    duration_s: DurationS = Field(alias="duration", description="How long they have no network.")
    selector: StationSelector = Field(alias="select", description="Which meters or collectors.")

    @property
    def select(self) -> dict[str, Any]:
        """{"meters": count} or {"collectors": count}"""
        return self.selector.model_dump()

    @property
    def ends_s(self) -> int:
        return self.at_s + self.duration_s


class RebootEvent(ScenarioEvent):
    """The communication processors of meters restart."""

    kind: Literal["reboot"]
    selector: MeterCount = Field(alias="select", description="Which meters.")

    @property
    def select(self) -> dict[str, Any]:
        """{"meters": count}"""
        return self.selector.model_dump()


class CollectorFailureEvent(ScenarioEvent):
    """The hardware of collectors dies, and others take their place a while later.

    A dead collector neither hears its meters nor passes anything on, and what it had to say is gone. The new one knows
    what the old one had kept. Meters go on recording.
    """

    kind: Literal["collector_failure"]
    duration_s: DurationS = Field(alias="duration", description="How long until another is in its place, and starts.")
    selector: CollectorCount = Field(alias="select", description="Which collectors.")

    @property
    def select(self) -> dict[str, Any]:
        """{"collectors": count}"""
        return self.selector.model_dump()

    @property
    def ends_s(self) -> int:
        return self.at_s + self.duration_s


class RelayEvent(ScenarioEvent):
    """A technician moves meters' relays on site: their customers are disconnected, or connected again.

    A disconnected customer takes no power and is in no outage. Its meter keeps its supply, records zero energy and
    reports. A meter drawn by seed has a relay, which is not in this position yet; one named by its serial must have a
    relay.
    """

    kind: Literal["relay"]
    position: Literal["open", "closed"] = Field(
        description="Where the relay goes: `open` disconnects the customer, `closed` connects it again."
    )
    duration_s: DurationS | None = Field(
        default=None, alias="duration", description="How long until the relays go back; they stay there if not given."
    )
    selector: MeterSelector = Field(alias="select", description="Which meters.")

    @property
    def select(self) -> dict[str, Any]:
        """{"meters": count} or {"serials": list}"""
        return self.selector.model_dump()

    @property
    def ends_s(self) -> int:
        return self.at_s + (self.duration_s or 0)


class KillEvent(ScenarioEvent):
    """A part gets SIGKILL and is started again a while later.

    Without the database no reading can be committed, so simulated time stands still until it is back, at any speed
    but 1. Of fleets or ingest workers in several processes, the first is killed. Where ingest is no process of its own,
    the whole head-end is. A part that is down cannot be killed again. A broker or a database of your own
    (`--broker-url`, `--database-url`) and a head-end of your own (`--headend external`) cannot be killed.
    """

    kind: Literal["kill"]
    part: Part = Field(description="What is killed.")
    moment: Literal["under way", "any"] = Field(
        default="under way",
        description="`under way`: the broker has acknowledged all that the meters say at this instant, and the "
        "head-end has taken in nothing of it, so every run counts the same. `any`: the wall clock decides.",
    )
    down_s: DurationS = Field(alias="down", description="How long it stays away, in simulated time.")

    @property
    def ends_s(self) -> int:
        return self.at_s + self.down_s


class NetworkEvent(ScenarioEvent):
    """The network of a part's containers is disturbed, or its processes are frozen.

    It needs containers (`--compose`, `--swarm`). Of fleets or ingest workers in several containers, the first is hit.
    """

    kind: Literal["network"]
    part: Part = Field(description="Whose containers.")
    fault: FaultKind = Field(
        description="`disconnect`: off the network, connections stay open. `pause`: frozen. `loss`: packets are "
        "dropped each way. `delay`: packets leave later, where the kernel has netem."
    )
    wall_s: Annotated[DurationS, Field(le=LONGEST_S)] = Field(
        alias="wall", description=f"How long, on the wall clock; at most {LONGEST_S} s."
    )
    loss: Annotated[float, Field(gt=0.0, lt=1.0)] | None = Field(
        default=None, description='The share of packets that are dropped; with `fault = "loss"` only, which needs it.'
    )
    delay_ms: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        default=None,
        description='By how many milliseconds packets are late; with `fault = "delay"` only, which needs it.',
    )

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


class RotateEvent(ScenarioEvent):
    """Everybody gets a new certificate and connects with it.

    One rotation is over before the next begins. It needs amilab's own head-end, and mosquitto as the run's own broker.
    """

    kind: Literal["rotate"]
    what: Literal["identities", "authority"] = Field(
        description="`identities`: new certificates of the same authority. `authority`: of a new one."
    )
    overlap_s: DurationS = Field(
        alias="overlap", description="How long the old certificates are accepted; then they are refused."
    )

    @property
    def ends_s(self) -> int:
        return self.at_s + self.overlap_s


class UpdateEvent(ScenarioEvent):
    """A rolling update: new processes (containers) take the place of a part's old ones, one after another.

    In lockstep one goes at each grant from `at` on. Where ingest is no process of its own, the whole head-end is
    replaced.
    """

    kind: Literal["update"]
    part: Literal["fleet", "ingest"] = Field(description="What is updated.")


_OfOneForm = (
    OutageEvent
    | ConductorEvent
    | UplinkLossEvent
    | RebootEvent
    | CollectorFailureEvent
    | RelayEvent
    | KillEvent
    | RotateEvent
    | UpdateEvent
)
Event = _OfOneForm | NetworkEvent | RadioEvent
AnyEvent = Annotated[
    _OfOneForm | Annotated[NetworkEvent | RadioEvent, Field(discriminator="fault")], Field(discriminator="kind")
]
EVENT_KINDS: dict[str, tuple[type[Event], ...]] = {
    "outage": (OutageEvent,),
    "conductor": (ConductorEvent,),
    "uplink_loss": (UplinkLossEvent,),
    "reboot": (RebootEvent,),
    "collector_failure": (CollectorFailureEvent,),
    "relay": (RelayEvent,),
    "kill": (KillEvent,),
    "network": (NetworkEvent, RadioEvent),
    "rotate": (RotateEvent,),
    "update": (UpdateEvent,),
}
"""Where there are several, the fault tells which."""


def form_of(kind: str, event: Mapping[str, object]) -> type[Event]:
    """The model of an event of this kind, which is one of `EVENT_KINDS`."""
    first, *others = EVENT_KINDS[kind]
    named = (form for form in others if event.get("fault") in get_args(form.model_fields["fault"].annotation))
    return next(named, first)
