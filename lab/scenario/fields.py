"""What keys of a scenario's file may hold, and what its tables have in common."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from grid.place import time_zone
from lab.fleet.instrument_transformers import RATIO_PATTERN, checked_ratio
from lab.scenario.times import (
    DURATION_PATTERN,
    OFFSET_PATTERN,
    parse_duration,
    parse_instant,
    parse_interval,
    parse_offset,
)

_DURATION = {"type": "string", "pattern": DURATION_PATTERN}
DurationS = Annotated[int, BeforeValidator(parse_duration), WithJsonSchema(_DURATION | {"title": "duration"})]
IntervalS = Annotated[int, BeforeValidator(parse_interval), WithJsonSchema(_DURATION | {"title": "interval"})]
OffsetS = Annotated[
    int,
    BeforeValidator(parse_offset),
    WithJsonSchema({"type": "string", "pattern": OFFSET_PATTERN, "title": "offset"}),
]
InstantS = Annotated[
    int, BeforeValidator(parse_instant), WithJsonSchema({"type": "string", "format": "date-time", "title": "instant"})
]
TimeZone = Annotated[
    str,
    AfterValidator(lambda name: time_zone(name).key),
    WithJsonSchema({"type": "string", "title": "time zone"}),
]
TransformerRatios = Annotated[
    dict[str, Annotated[str, AfterValidator(checked_ratio)]],
    WithJsonSchema(
        {"type": "object", "additionalProperties": {"type": "string", "pattern": RATIO_PATTERN}, "title": "ratios"}
    ),
]
Part = Literal["headend", "broker", "database", "fleet", "ingest"]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


class Table(BaseModel):
    """A table of a scenario's file: no unknown keys, no conversion of types. The aliases are the keys of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
