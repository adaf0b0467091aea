"""The vendor profiles of a fleet, by name or from a file, each with its share."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lab.errors import UserError
from lab.fleet.presets import PRESETS, PROFILE_FILE, Shares
from meters.errors import ProfileError
from meters.vendors.profile import VendorProfile
from meters.vendors.registry import load_profile, read_profile
from meters.vendors.wires import check_wire

Mix = list[tuple[VendorProfile, float]]
FLEET_HINT = f"A fleet is named by [fleet] or by --fleet: {', '.join(sorted(PRESETS))}, or vendor profiles in shares."


def vendor_mix(shares: Shares, interval_s: int | None = None) -> Mix:
    """The profiles with their shares, at their own capture period or at the one that all are set to.

    Raises UserError with every profile that is unknown, is faulty, has no wire, contradicts the one it has, or cannot
    be set to that period.
    """
    mix: Mix = []
    faults: list[str] = []
    for name, share in shares.items():
        try:
            profile = _profile(name)
            profile = profile if interval_s is None else profile.at_interval(interval_s)
            check_wire(profile)
            mix.append((profile, share))
        except ProfileError as error:
            faults.append(str(error))
    names = [profile.name for profile, _ in mix]
    faults += [f"two profiles of this fleet are called {name!r}" for name in set(names) if names.count(name) > 1]
    if faults:
        raise UserError(faults, FLEET_HINT)
    return mix


def transformer_profile(name: str, interval_s: int | None = None) -> VendorProfile:
    """The profile of the transformers' meters.

    Raises UserError as `vendor_mix`, and where it has a relay: behind a transformer there is no customer to disconnect.
    """
    try:
        ((profile, _),) = vendor_mix({name: 1.0}, interval_s)
    except UserError as error:
        faults = [f"transformer_meters: {fault}" for fault in error.faults]
        raise UserError(faults, "Change `transformer_meters` in [fleet]: see `amilab vendors`.") from error
    if profile.capabilities.has_relay:
        raise UserError(
            f"{name!r} is no meter for a transformer: its relay would disconnect everybody behind it",
            "Choose one without a relay for `transformer_meters` in [fleet].",
        )
    return profile


def profile_texts(names: Iterable[str]) -> list[str]:
    """The files of the profiles that come from files, as the meters' processes get them."""
    return [_path(name).read_text(encoding="utf-8") for name in names if name.startswith(PROFILE_FILE)]


def _profile(name: str) -> VendorProfile:
    if name.startswith(PROFILE_FILE):
        return read_profile(_path(name))
    return load_profile(name)


def _path(name: str) -> Path:
    return Path(name.removeprefix(PROFILE_FILE))
