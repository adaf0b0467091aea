"""The vendor profile: what a datasheet says of a meter, as data, each fact with its source."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from meters.errors import ProfileError

_Positive = Annotated[float, Field(gt=0)]
_PositiveInt = Annotated[int, Field(gt=0, strict=True)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class MeterFacts(BaseModel):
    """What the profile states of any device. Units are in the names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    interval_length_s: _PositiveInt
    report_every_s: _PositiveInt
    register_step_wh: _PositiveInt
    register_roll_over_wh: _PositiveInt
    max_current_a: _Positive
    accuracy_class_percent: _Positive
    class_error_share: _Share
    near_roll_over_share: _Share

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if faults := self.faults():
            raise ValueError("; ".join(faults))
        return self

    def faults(self) -> list[str]:
        """Which facts contradict each other."""
        faults = []
        if self.report_every_s % self.interval_length_s:
            faults.append("report_every_s is not a multiple of interval_length_s")
        if 86_400 % self.interval_length_s:
            faults.append("interval_length_s does not divide a day")
        if self.register_roll_over_wh % self.register_step_wh:
            faults.append("register_roll_over_wh is not a multiple of register_step_wh")
        return faults


class PolledFacts(MeterFacts):
    """Of a meter that has neither clock nor memory, and speaks when it is asked; and of its gateway.

    `register_step_wh` is the coarsest step that its registers show, `counting_step_wh` what it counts in.
    """

    counting_step_wh: _PositiveInt
    frequency_hz: _Positive
    start_up_s: _Positive
    gateway_boot_s: _Positive
    reboot_s: _Positive


class Facts(MeterFacts):
    """Of a meter with a clock, a load profile, a super-capacitor and a communication processor."""

    load_profile_depth_s: _PositiveInt
    clock_drift_limit_s_per_day: Annotated[float, Field(ge=0)]
    sync_every_s: _PositiveInt
    sync_error_limit_s: Annotated[float, Field(ge=0)]
    clock_event_threshold_s: _Positive
    qualifying_delay_s: _Positive
    qualifying_offset_s: Annotated[float, Field(ge=0)]
    hold_up_s: _Positive
    boot_delay_min_s: _Positive
    boot_delay_max_s: _Positive
    reboot_extra_s: Annotated[float, Field(ge=0)]
    keep_alive_s: Annotated[int, Field(gt=0, le=65535, strict=True)]
    reconnect_first_s: _Positive
    reconnect_limit_s: _Positive

    def faults(self) -> list[str]:
        faults = super().faults()
        faults += [
            f"{name} is not a multiple of interval_length_s"
            for name in ("sync_every_s", "load_profile_depth_s")
            if getattr(self, name) % self.interval_length_s
        ]
        if self.hold_up_s <= self.qualifying_delay_s + self.qualifying_offset_s:
            faults.append(
                "hold_up_s ends before the last gasp: it must exceed qualifying_delay_s + qualifying_offset_s"
            )
        if self.boot_delay_max_s < self.boot_delay_min_s:
            faults.append("boot_delay_max_s is less than boot_delay_min_s")
        if self.reconnect_limit_s < self.reconnect_first_s:
            faults.append("reconnect_limit_s is less than reconnect_first_s")
        return faults

    @property
    def silence_limit_s(self) -> float:
        """After this long without a packet the broker takes a client for gone (MQTT 3.1.1, 3.1.2.10)."""
        return 1.5 * self.keep_alive_s


class DirectFacts(Facts):
    """Of a meter with a connection of its own."""

    def faults(self) -> list[str]:
        faults = super().faults()
        if self.report_every_s != self.interval_length_s:
            faults.append("report_every_s differs from interval_length_s: this wire reports each interval when it ends")
        return faults


class CollectedFacts(Facts):
    """Of meters behind a collector, and of the collector."""

    gasp_heard_share: _Share
    unreachable_after_s: _Positive
    collector_battery_s: _Positive


class Document(BaseModel):
    """A document that facts of the profile come from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: _Text
    used_for: _Text


class VendorProfile(BaseModel):
    """One vendor's meter. `sources` has the source of each of the `facts`, by name.

    Which facts there are depends on the protocol.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$")]
    title: _Text
    protocol: Literal["mqtt", "sparkplug", "modbus"]
    documents: Annotated[tuple[Document, ...], Field(min_length=1)]
    facts: MeterFacts
    sources: dict[str, _Text]

    def at_interval(self, interval_length_s: int) -> VendorProfile:
        """The same meter set to another capture period; it reports after as many intervals as before.

        Raises ProfileError with every fact that does not go with it.
        """
        facts = self.facts
        if interval_length_s == facts.interval_length_s:
            return self
        changed = {
            "interval_length_s": interval_length_s,
            "report_every_s": facts.report_every_s // facts.interval_length_s * interval_length_s,
        }
        try:
            facts = type(facts).model_validate({**facts.model_dump(), **changed})
        except ValidationError as error:
            faults = "; ".join(fault["msg"].removeprefix("Value error, ") for fault in error.errors())
            raise ProfileError(f"profile {self.name} at an interval of {interval_length_s} s: {faults}") from error
        own = {
            name: f"set for the run; of itself {getattr(self.facts, name)} s: {self.sources[name]}" for name in changed
        }
        return self.model_copy(update={"facts": facts, "sources": {**self.sources, **own}})


class _DirectProfile(VendorProfile):
    facts: DirectFacts


class _CollectedProfile(VendorProfile):
    facts: CollectedFacts


class _PolledProfile(VendorProfile):
    facts: PolledFacts


_KINDS: dict[str, type[VendorProfile]] = {
    "mqtt": _DirectProfile, "sparkplug": _CollectedProfile, "modbus": _PolledProfile,
}  # fmt: skip


def known_profiles() -> list[str]:
    """Names of the profiles that come with the package."""
    files = resources.files("meters").joinpath("profiles").iterdir()
    return sorted(entry.name.removesuffix(".toml") for entry in files if entry.name.endswith(".toml"))


def load_profile(name: str) -> VendorProfile:
    """The profile of that name. Raises ProfileError."""
    if name not in known_profiles():
        raise ProfileError(f"no vendor profile {name!r}; known: {', '.join(known_profiles())}")
    text = resources.files("meters").joinpath("profiles", f"{name}.toml").read_text(encoding="utf-8")
    return parse_profile(text, origin=f"profile {name}")


def read_profile(path: Path) -> VendorProfile:
    """The profile in a file of one's own. Raises ProfileError."""
    try:
        return parse_profile(path.read_text(encoding="utf-8"), origin=str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ProfileError(f"{path}: cannot be read: {error}") from error


def parse_profile(text: str, *, origin: str) -> VendorProfile:
    """Raises ProfileError with every fault, each with the key that it concerns."""
    try:
        document: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(f"{origin}: not TOML: {error}") from error
    faults = []
    values: dict[str, Any] = {}
    sources: dict[str, Any] = {}
    facts = document.pop("facts", {})
    if not isinstance(facts, dict):
        faults.append("facts: must be a table of tables")
        facts = {}
    if "sources" in document:
        faults.append("sources: belongs to each fact, as facts.<name>.source")
    for name, fact in facts.items():
        if not isinstance(fact, dict) or set(fact) != {"value", "source"}:
            faults.append(f"facts.{name}: must have exactly the keys value and source")
            continue
        values[name] = fact["value"]
        sources[name] = fact["source"]
    try:
        kind = _KINDS.get(str(document.get("protocol")), _DirectProfile)
        profile = kind.model_validate({**document, "facts": values, "sources": sources})
    except ValidationError as error:
        faults += [f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in error.errors()]
        profile = None
    if faults or profile is None:
        raise ProfileError(f"{origin}: " + "; ".join(faults))
    return profile
