"""What a scenario consists of, as validated, frozen values.

Times are whole seconds: an instant is an offset from the start (`at_s`) or epoch seconds (`start_s`), a length is
`duration_s`, `down_s`, `settle_s`.

docs/scenarios.md and the schema for editors are made of these models (`lab/scenario/reference.py`): the docstrings and
the descriptions of fields are written for authors of scenarios, and name keys as the file has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)

from grid.flow_kind import FlowKind
from lab.fleet.presets import (
    DEFAULT_PRESET,
    NO_METER,
    PRESETS,
    TRANSFORMER_METER,
    Shares,
    checked_shares,
    parse_preset,
)
from lab.scenario.events import AnyEvent, Event
from lab.scenario.fields import DurationS, InstantS, IntervalS, Seed, Table, TimeZone, TransformerRatios
from lab.scenario.network import NetworkChoice

PresetName = Annotated[
    str, BeforeValidator(parse_preset), WithJsonSchema({"type": "string", "enum": sorted(PRESETS), "title": "preset"})
]
FleetShares = Annotated[
    dict[str, Annotated[float, Field(gt=0.0, le=1.0)]],
    AfterValidator(checked_shares),
    WithJsonSchema(
        {
            "type": "object",
            "additionalProperties": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
            "minProperties": 1,
            "title": "shares",
        }
    ),
]


class FeederChoice(Table):
    """Which feeder the meters are on ([feeders.md](feeders.md))."""

    name: Annotated[str, Field(min_length=1)] = Field(
        description="`schutterwald`, `simbench:<code>`, or `file:<path>` of a pandapower net, seen from the scenario's "
        "file."
    )
    time_zone: TimeZone | None = Field(
        default=None,
        description='What its clocks show, by the name in the IANA database, for instance `"Europe/Lisbon"`; by the '
        "feeder's coordinates if not given ([feeders.md](feeders.md#calendar-and-sun)).",
    )
    flow: FlowKind = Field(
        default="three-phase",
        description="`three-phase` solves each phase by itself, with single-phase customers on their own; `balanced` "
        "spreads all power evenly over the phases, so that voltages are alike in all.",
    )


class FleetChoice(Table):
    """Which meters: those of a preset, of vendor profiles in shares of your own, or all of one profile.

    `file:<path>` is a profile of your own, seen from the scenario's file ([running.md](running.md#fleets)).
    """

    model_config = ConfigDict(
        json_schema_extra={
            "not": {
                "anyOf": [
                    {"required": ["preset", "profile"]},
                    {"required": ["preset", "shares"]},
                    {"required": ["profile", "shares"]},
                ]
            }
        }
    )

    preset: PresetName | None = Field(
        default=None,
        description=f"A fleet that comes with amilab; `{DEFAULT_PRESET}` where no other key says which meters.",
    )
    profile: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description='One vendor profile for all meters, for instance `"rl-dsp"` or `"file:acme.toml"`.'
    )
    shares: FleetShares | None = Field(default=None, description="Of all meters, the share of each vendor profile.")
    meters: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="How many usage points have a meter, drawn by seed; all of them if not given."
    )
    interval_s: IntervalS | None = Field(
        default=None,
        alias="interval",
        description="The capture period that all meters are set to; the vendor profile's own if not given.",
    )

    current_transformers: TransformerRatios = Field(
        default={},
        description="Usage points whose meters count the secondary of current transformers, with the ratio: "
        '`{ "UP-17" = "200/5" }` ([feeders.md](feeders.md#instrument-transformers)).',
    )
    voltage_transformers: TransformerRatios = Field(
        default={}, description='The same for voltage transformers, where there are any: `{ "UP-17" = "400/100" }`.'
    )

    transformer_meters: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="The vendor profile of a meter at the low-voltage side of each transformer, which no customer has, "
        f'or `"{NO_METER}"`. If not given, `"{TRANSFORMER_METER}"` where all usage points have a meter, since only so '
        "a balance closes. With a head-end of your own, only if given.",
    )

    @property
    def at_transformers(self) -> str | None:
        """The vendor profile of the transformers' meters; None where there are none."""
        if self.transformer_meters is None:
            return TRANSFORMER_METER if self.meters is None else None
        return None if self.transformer_meters == NO_METER else self.transformer_meters

    @property
    def by_profile(self) -> Shares:
        """The share of each vendor profile, however the fleet was chosen."""
        if self.shares is not None:
            return self.shares
        if self.profile is not None:
            return {self.profile: 1.0}
        return PRESETS[self.preset or DEFAULT_PRESET].shares

    def of(self, shares: Shares) -> FleetChoice:
        """The same choice with these shares instead of what it names."""
        return self.model_copy(update={"preset": None, "profile": None, "shares": dict(shares)})


class Head(Table):
    """What the scenario is called, and when it takes place. The run ends before 2100-01-01."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] = Field(
        description="Letters, digits, `.`, `_` and `-`, at most 64; it begins the name of the run's directory."
    )
    description: str = Field(default="", description="One sentence for people.")
    start_s: InstantS = Field(alias="start", description="When simulated time begins.")
    duration_s: DurationS = Field(alias="duration", description="How long the judged window is.")
    settle_s: DurationS = Field(
        default=3_600,
        alias="settle",
        json_schema_extra={"default": "1h"},
        description="How long meters and head-end may catch up after it, before the run is judged.",
    )
    seed: Seed = Field(description="Decides demand, who is selected, and each fault; the same seed gives the same day.")


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
    network: NetworkChoice = NetworkChoice()


class ScenarioFile(Table):
    """A file as a whole. `lab/scenario/load.py` reads its tables one by one, to find the faults of all of them."""

    scenario: Head
    feeder: FeederChoice
    fleet: FleetChoice
    network: NetworkChoice = NetworkChoice()
    event: list[AnyEvent] = Field(default=[], description="What happens: one `[[event]]` each, in any order.")
    criteria: dict[str, Any] = Field(default={}, description="Targets that replace the built-in ones, by criterion.")
