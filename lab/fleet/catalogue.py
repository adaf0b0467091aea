"""Which vendors there are, on the meters' side, on the head-end's, and on both."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import entry_points

from headend.drivers import Driver, catalogue, driver_for, known_profiles
from headend.errors import DriverError
from lab.errors import UserError
from meters.errors import ProfileError
from meters.vendors import registry
from meters.vendors.profile import VendorProfile
from meters.vendors.wires import check_wire

BUILT_IN = "amilab"
_HINT = "Correct the package that brings it, or uninstall that."
ABILITIES = ("reports_itself", "keeps_load_profile", "reports_outages", "has_relay", "has_clock")


@dataclass(frozen=True, slots=True)
class Vendor:
    """`profile`: what the meters' side knows of it; `driver`: what the head-end's does. One of them may be missing."""

    name: str
    profile: VendorProfile | None
    driver: Driver | None
    origins: tuple[str, ...]
    """Who brings it: `amilab`, another package, or a file; of both sides, where they differ."""

    @property
    def title(self) -> str:
        return "" if self.profile is None else self.profile.title

    @property
    def carrier(self) -> str:
        known = self.profile or self.driver
        assert known is not None
        return known.capabilities.carrier

    @property
    def cadence_s(self) -> tuple[int, int]:
        """Its capture period, and how often it reports."""
        if self.profile is not None:
            return self.profile.facts.interval_length_s, self.profile.facts.report_every_s
        assert self.driver is not None
        return self.driver.interval_length_s, self.driver.report_every_s

    @property
    def sides(self) -> str:
        if self.driver is None:
            return "meters only"
        return "head-end only" if self.profile is None else "both"

    @property
    def abilities(self) -> dict[str, bool]:
        """By name; each side may know some that the other does not."""
        sides = [side.capabilities for side in (self.driver, self.profile) if side is not None]
        return {name: getattr(side, name) for side in sides for name in ABILITIES if hasattr(side, name)}


def _profiles() -> dict[str, VendorProfile]:
    """Of the meters, by name, each with its wire. Raises UserError, listing every one that cannot be used."""
    found: dict[str, VendorProfile] = {}
    faults: list[str] = []
    try:
        names = registry.known_profiles()
    except ProfileError as error:
        raise UserError(str(error), _HINT) from error
    for name in names:
        try:
            found[name] = registry.load_profile(name)
            check_wire(found[name])
        except ProfileError as error:
            faults.append(str(error))
    if faults:
        raise UserError(faults, _HINT)
    return found


def _drivers() -> dict[str, Driver]:
    """Of the head-end, by name. Raises UserError: one cannot be used."""
    try:
        return {name: driver_for(name) for name in known_profiles()}
    except DriverError as error:
        raise UserError(str(error), _HINT) from error


def vendors() -> list[Vendor]:
    """All that either side knows, by name. Raises UserError, listing what cannot be used."""
    profiles, drivers_of = _profiles(), _drivers()
    found = []
    for name in sorted(profiles.keys() | drivers_of.keys()):
        profile = profiles.get(name)
        wire = name if profile is None else profile.wire
        origins = _origins(name, profile is not None, name in drivers_of)
        found.append(Vendor(name, profile, drivers_of.get(wire), origins))
    return found


def _origins(name: str, of_meters: bool, of_driver: bool) -> tuple[str, ...]:
    groups = [registry.GROUP] * of_meters + [catalogue.GROUP] * of_driver
    return tuple(dict.fromkeys(_package(name, group) for group in groups))


def _package(name: str, group: str) -> str:
    """Which package brings the vendor of this name, by an entry point of the group."""
    for point in entry_points(group=group, name=name):
        return point.value if point.dist is None else point.dist.name
    return BUILT_IN


def of_file(profile: VendorProfile, path: str) -> Vendor:
    """A profile of one's own, with the driver that reads its wire.

    Raises ProfileError: it contradicts its wire; UserError: a driver cannot be used.
    """
    check_wire(profile)
    return Vendor(profile.name, profile, _drivers().get(profile.wire), (path,))


def refuse_unread(mix: list[tuple[VendorProfile, float]]) -> None:
    """Raises UserError: amilab's own head-end cannot read all of a fleet's wires."""
    known = sorted(_drivers())
    faults = [
        f"the head-end has no driver for {profile.name!r}: its wire is {profile.wire!r}; there are {', '.join(known)}"
        for profile, _ in mix
        if profile.wire not in known
    ]
    if faults:
        raise UserError(faults, "Install the package with its driver, or judge your own head-end: --headend external.")
