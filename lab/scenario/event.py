"""What all events of a scenario have, and what several select by."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from lab.scenario.fields import OffsetS, Table


class CollectorCount(Table):
    """So many collectors, drawn by seed, each with all its meters."""

    collectors: Annotated[int, Field(ge=1)] = Field(description="How many collectors.")


class ScenarioEvent(Table):
    at_s: OffsetS = Field(alias="at", description="When it begins, from the scenario's start and before its end.")
    line: SkipJsonSchema[int] = Field(default=0, exclude=True)
    """Where in the file it stands."""

    @property
    def ends_s(self) -> int:
        """Offset from the start at which its effect is undone."""
        return self.at_s
