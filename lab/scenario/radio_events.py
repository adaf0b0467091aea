"""What may happen to the modelled communications network of a scenario (lab/scenario/network.py)."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from lab.scenario.event import CollectorCount, ScenarioEvent
from lab.scenario.fields import DurationS, Table
from meters.radio.faults import RadioFault


class Radius(Table):
    """A circle around a meter of a mesh, drawn by seed."""

    radius_m: Annotated[int, Field(ge=1, le=100_000)] = Field(description="How many metres it reaches.")


class CellCount(Table):
    """So many cells of those that serve meters, drawn by seed."""

    cells: Annotated[int, Field(ge=1)] = Field(description="How many cells.")


AREA_TAGS = frozenset({"by radius", "by cells", "by its collectors"})


def _area_tag(value: object) -> str:
    keys = value if isinstance(value, dict) else {}
    if "radius_m" in keys:
        return "by radius"
    return "by cells" if "cells" in keys else "by its collectors"


AreaSelector = Annotated[
    Annotated[Radius, Tag("by radius")]
    | Annotated[CellCount, Tag("by cells")]
    | Annotated[CollectorCount, Tag("by its collectors")],
    Discriminator(_area_tag),
]
_TAKES: dict[RadioFault, tuple[str, ...]] = {
    "jam": ("collectors", "radius_m"),
    "cell-down": ("cells",),
    "congestion": ("cells",),
    "operator-outage": (),
    "firmware-wave": ("collectors",),
}
"""What each fault may be selected by."""


class RadioEvent(ScenarioEvent):
    """Something disturbs the modelled communications network for a while.

    It works in processes as in containers, and is refused where `model = "none"` or `--network none` leaves nothing to
    disturb. What meters record is as without.
    """

    kind: Literal["network"]
    fault: RadioFault = Field(
        description="`jam`: somebody disturbs the radio of a mesh. `cell-down`: cells serve nobody. `operator-outage`: "
        "all cells of an operator, drawn by seed, serve nobody. `congestion`: others load cells. `firmware-wave`: the "
        "head-end sends an image of firmware to all meters of collectors, who restart with it."
    )
    duration_s: DurationS = Field(
        alias="duration", description="How long. Who has not got all of an image by then does without it."
    )
    selector: AreaSelector | None = Field(
        default=None,
        alias="select",
        description="Whom: `collectors` (their whole meshes) or `radius_m` for a jam, `collectors` for a firmware "
        "wave, `cells` for `cell-down` and `congestion`. One collector or cell if not given. An operator takes none.",
    )
    strength: Annotated[float, Field(gt=0.0, le=1.0)] | None = Field(
        default=None, description="Of a jam alone: the share of transmissions that it spoils; 1 if not given."
    )
    messages_per_s: Annotated[float, Field(gt=0.0, le=1e6)] | None = Field(
        default=None,
        description="Of a congestion alone, which needs it: messages a second that others send in each cell. "
        "`messages_per_s` of [the parameters](communications-network.md) is what a cell can carry.",
    )
    image_bytes: Annotated[int, Field(ge=1, le=100_000_000)] | None = Field(
        default=None,
        description="Of a firmware wave alone: the size of its image; `image_bytes` of "
        "[the parameters](communications-network.md) if not given.",
    )

    @model_validator(mode="after")
    def _keys_fit(self) -> Self:
        takes = _TAKES[self.fault]
        if odd := [key for key in self.select if key not in takes]:
            allowed = " or ".join(f"`{key}`" for key in takes) or "nothing: leave out 'select'"
            raise ValueError(f"fault is {self.fault!r}, which is not selected by {odd[0]!r}, but by {allowed}")
        if self.strength is not None and self.fault != "jam":
            raise ValueError(f"fault is {self.fault!r}, which takes no 'strength'")
        if self.image_bytes is not None and self.fault != "firmware-wave":
            raise ValueError(f"fault is {self.fault!r}, which takes no 'image_bytes'")
        if (self.messages_per_s is not None) != (self.fault == "congestion"):
            needs = "needs" if self.fault == "congestion" else f"is {self.fault!r}, which takes no"
            raise ValueError(f"fault {needs} 'messages_per_s'")
        return self

    @property
    def select(self) -> dict[str, Any]:
        """{"collectors": count}, {"radius_m": metres}, {"cells": count} or {}."""
        return {} if self.selector is None else self.selector.model_dump()

    @property
    def ends_s(self) -> int:
        return self.at_s + self.duration_s
