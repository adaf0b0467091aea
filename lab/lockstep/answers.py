"""What parts answer to the lab's calls. Nothing of it is believed to have the right form.

Whatever the lab works with is looked at here first; a part that answers otherwise ends the run with its name and exit
code 3.

Containers take lists for tuples, as JSON has them; what they hold must be of its own type.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr, ValidationError

from lab.errors import PartFailed
from lab.lockstep.link import Body, Reply

_MOST_TEXT = 2_000
_MOST_S = 1 << 33  # the year 2242

Name = Annotated[StrictStr, Field(max_length=_MOST_TEXT)]
Instant = Annotated[StrictInt | StrictFloat, Field(ge=0, le=_MOST_S)]
Second = Annotated[StrictInt, Field(ge=0, le=_MOST_S)]
Count = Annotated[StrictInt, Field(ge=0, lt=1 << 53)]
Number = StrictInt | StrictFloat
Position = tuple[Number, Number]
Course = list[Position]


class Answer(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


def checked(reply: Reply, form: type[Answer]) -> Body:
    """The body of the reply, which has this form. Raises PartFailed."""
    try:
        form.model_validate(reply.body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))[:100]
        where = f" at {place}" if place else ""
        raise PartFailed(
            reply.part, None, what=f"answered {reply.op} with what is no such answer{where}: {first['msg']}"
        ) from error
    return reply.body


class GridBegun(Answer):
    """`init` of the grid. Of each usage point: the most that it takes [W], its phases, and its place.

    A place is longitude, latitude, transformer. The points at transformers come behind the usage points in frames: id,
    rated power [VA], longitude, latitude, transformer.
    """

    name: Name
    flow: Literal["three-phase", "balanced"]
    time_zone: Name
    notices: list[Name]
    buses: Count
    transformers: Count
    usage_points: list[Name]
    largest_w: list[Number]
    phases: list[list[Literal["L1", "L2", "L3"]]]
    places: list[tuple[Number | None, Number | None, Name]]
    transformer_points: list[tuple[Name, Number, Number | None, Number | None, Name]]

    def model_post_init(self, _context: object) -> None:
        if not len(self.usage_points) == len(self.largest_w) == len(self.phases) == len(self.places):
            raise ValueError("it does not say everything of each usage point")


class GridAdvanced(Answer):
    next_due_s: Second


class Selected(Answer):
    device: Name
    usage_points: list[Name]
    remark: Name | None


class _Place(Answer):
    position: Position


class _UsagePoint(_Place):
    transformer: Name


class _Transformer(_Place):
    rated_kva: Number


class _Geography(Answer):
    usage_points: dict[Name, _UsagePoint]
    transformers: dict[Name, _Transformer]
    lines: dict[Literal["low_voltage", "medium_voltage"], list[Course]]


class Described(Answer):
    geography: _Geography | None
    nominal_voltage_v: list[Number]


class FleetBegun(Answer):
    stations: list[Name]


class FleetSwitched(Answer):
    """Relays that meters have moved: row of the usage point in the physical frame, and whether it is closed now."""

    switched: list[tuple[Count, StrictBool]]


class FleetSettled(FleetSwitched):
    sent: Count
    fresh: list[Name]
    connected: Count
    next_due_s: Instant | None


class HeadSettled(Answer):
    connected: StrictBool
    commanded: list[Name]
    next_due_s: Instant | None


class Commanded(Answer):
    """Of each command that was made: id, serial, state, and why it has ended already."""

    made: list[tuple[Name, Name, Name, Name | None]]


class _Latencies(Answer):
    bins: dict[Annotated[str, Field(pattern=r"^(800|[0-7]?[0-9]{1,2})$")], Count]
    max_s: Annotated[Number, Field(ge=0)]


class IngestStats(Answer):
    messages: Count
    rows: Count
    busy_s: Annotated[Number, Field(ge=0)]
    latency_histogram: _Latencies


class HeadStats(Answer):
    stats: IngestStats
