"""The vendor profile: what a datasheet says of a meter, as data, each fact with its source."""

from __future__ import annotations

import tomllib
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from meters.device.facts import CollectedFacts, DirectFacts, MeterFacts, PolledFacts, ReportingFacts
from meters.errors import ProfileError, faults_of

_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
_Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$", max_length=40)]


def _of_one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("is not one line of printable characters")
    return text


Carrier = Literal["mqtt", "sparkplug", "modbus"]


class Capabilities(BaseModel):
    """What a meter can do: what generic code asks about, instead of who made it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    carrier: Carrier
    keeps_load_profile: bool
    """It keeps intervals and answers for them; else it counts registers."""
    reports_outages: bool
    """Last gasps, restores and momentary interruptions."""
    has_clock: bool
    has_relay: bool
    """It can disconnect its customer."""

    @property
    def reports_itself(self) -> bool:
        """It, or its collector, speaks without being asked."""
        return self.carrier != "modbus"

    @property
    def needs_collector(self) -> bool:
        return self.carrier == "sparkplug"

    @property
    def needs_gateway(self) -> bool:
        return self.carrier == "modbus"


class Document(BaseModel):
    """A document that facts of the profile come from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: _Text
    used_for: _Text


class VendorProfile(BaseModel):
    """One vendor's meter. `sources` has the source of each of the `facts`, by name.

    Which facts there are depends on the capabilities.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: _Name
    title: Annotated[_Text, AfterValidator(_of_one_line)]
    capabilities: Capabilities
    wire: _Name
    """The vendor whose wire it speaks; by default itself."""
    documents: Annotated[tuple[Document, ...], Field(min_length=1)]
    facts: MeterFacts
    sources: dict[str, _Text]

    @property
    def protocol(self) -> Carrier:
        """The carrier, by the word that tables and the verdict have for it."""
        return self.capabilities.carrier

    def at_interval(self, interval_length_s: int) -> VendorProfile:
        """The same meter set to another capture period; its reports keep their relation to it.

        Raises ProfileError with every fact that does not go with it.
        """
        facts = self.facts
        if interval_length_s == facts.interval_length_s:
            return self
        changed = facts.set_to(interval_length_s)
        try:
            facts = type(facts).model_validate({**facts.model_dump(), **changed})
        except ValidationError as error:
            faults = "; ".join(faults_of(error))
            raise ProfileError(f"profile {self.name} at an interval of {interval_length_s} s: {faults}") from error
        own = {
            name: f"set for the run; of itself {getattr(self.facts, name)} s: {self.sources[name]}" for name in changed
        }
        return self.model_copy(update={"facts": facts, "sources": {**self.sources, **own}})


class _DirectProfile(VendorProfile):
    facts: DirectFacts


class _ReportingProfile(VendorProfile):
    facts: ReportingFacts


class _CollectedProfile(VendorProfile):
    facts: CollectedFacts


class _PolledProfile(VendorProfile):
    facts: PolledFacts


_KINDS: dict[tuple[Carrier, bool], type[VendorProfile]] = {
    ("mqtt", True): _DirectProfile,
    ("mqtt", False): _ReportingProfile,
    ("sparkplug", True): _CollectedProfile,
    ("modbus", False): _PolledProfile,
}
"""By carrier, and by whether the meter keeps a load profile."""


def parse_profile(text: str, *, origin: str) -> VendorProfile:
    """Raises ProfileError with every fault, each with the key that it concerns."""
    return parse_document(parsed(text, origin=origin), origin=origin)


def parsed(text: str, *, origin: str) -> dict[str, Any]:
    """The tables of a profile, unchecked. Raises ProfileError: it is not TOML."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # Not only a TOMLDecodeError: a number of more than 4,300 digits is a plain ValueError.
        raise ProfileError(f"{origin}: not TOML: {error}") from error


def parse_document(document: dict[str, Any], *, origin: str) -> VendorProfile:
    """From the tables of a profile. Raises as `parse_profile`."""
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
    kind, wrong = _kind(document.get("capabilities"))
    faults += wrong
    try:
        if "name" in document:
            document.setdefault("wire", document["name"])
        profile = kind.model_validate({**document, "facts": values, "sources": sources})
    except ValidationError as error:
        faults += faults_of(error)
        profile = None
    if faults or profile is None:
        raise ProfileError(f"{origin}: " + "; ".join(faults))
    return profile


def _kind(stated: object) -> tuple[type[VendorProfile], list[str]]:
    """Which facts go with these capabilities, as far as they are any, and what contradicts itself in them."""
    try:
        capabilities = Capabilities.model_validate(stated)
    except ValidationError:
        # It is said where the profile as a whole is looked at.
        return _DirectProfile, []
    faults = []
    if capabilities.reports_outages and not capabilities.keeps_load_profile:
        faults.append("capabilities.reports_outages: a meter without a load profile has no log of events either")
    kind = _KINDS.get((capabilities.carrier, capabilities.keeps_load_profile))
    if kind is None:
        which = "keeps one" if capabilities.carrier == "sparkplug" else "keeps none"
        faults.append(f"capabilities.keeps_load_profile: a meter over {capabilities.carrier} {which} here")
    return kind or _DirectProfile, faults
