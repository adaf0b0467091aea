"""Which vendors there are: a folder each in this package, and whatever other packages bring as entry points.

A vendor's folder has `profile.toml`, and its wire: `wire.py`, or `registers.toml` for a meter on Modbus. Another
package adds one by the entry-point group `amilab.meters`: the entry's name is that of the profile, its value the
package that is the vendor's folder. A profile may speak the wire of another vendor instead (`wire = "…"`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module, resources
from importlib.metadata import entry_points
from importlib.resources.abc import Traversable
from pathlib import Path
from stat import S_ISREG
from types import ModuleType
from typing import Any

from meters.errors import ProfileError
from meters.vendors.profile import VendorProfile, parse_document, parse_profile, parsed

GROUP = "amilab.meters"
PROFILE = "profile.toml"
MOST_BYTES = 1 << 20
"""Of a profile in a file of one's own."""
_OF_A_WIRE = ("carrier", "keeps_load_profile")
"""Capabilities that a profile shares with the vendor whose wire it speaks."""


@dataclass(frozen=True, slots=True)
class _Vendor:
    """Where a vendor is: `package` is its folder as a package, `origin` who brings it."""

    package: str
    origin: str

    def folder(self) -> Traversable:
        parent, _, name = self.package.rpartition(".")
        # A folder of data alone need not be a package.
        parents = _imported(parent or name, self.origin)
        return resources.files(parents) / name if parent else resources.files(parents)


def known_profiles() -> list[str]:
    """Names of all vendor profiles. Raises ProfileError: two packages bring the same one."""
    return sorted(_vendors())


def load_profile(name: str) -> VendorProfile:
    """The profile of that name. Raises ProfileError."""
    vendor = _vendor(name)
    profile = _parsed(_text(vendor, PROFILE), origin=f"profile {name}")
    if profile.name != name:
        raise ProfileError(f"{vendor.origin}: brings a profile {name!r} that calls itself {profile.name!r}")
    return _with_a_wire(profile)


def read_profile(path: Path) -> VendorProfile:
    """The profile in a file of one's own. Raises ProfileError."""
    try:
        # Whoever opens a pipe waits for its writer, and a device may have no end.
        if not S_ISREG(path.stat().st_mode):
            raise ProfileError(f"{path}: is no file")
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise ProfileError(f"{path}: is longer than {MOST_BYTES:,} bytes")
        text = data.decode("utf-8")
    except (OSError, ValueError) as error:
        # No UTF-8, or a name with a zero byte.
        raise ProfileError(f"{path}: cannot be read: {error}") from error
    return profile_of(text, origin=str(path))


def profile_of(text: str, *, origin: str) -> VendorProfile:
    """The profile in such a file's text: what it leaves out, it has from the vendor whose wire it speaks.

    Raises ProfileError.
    """
    profile = _with_a_wire(_parsed(text, origin=origin))
    if profile.name in _vendors():
        raise ProfileError(f"{origin}: there is a vendor called {profile.name!r} already: choose another name")
    return profile


def _parsed(text: str, *, origin: str) -> VendorProfile:
    """The profile in a text: what it leaves out, it has from the vendor whose wire it speaks. Raises ProfileError."""
    own = parsed(text, origin=origin)
    if "wire" in own:
        wire = own["wire"]
        if not isinstance(wire, str) or wire not in _vendors():
            raise ProfileError(f"{origin}: no vendor has the wire {wire!r}; known: {_all()}")
        theirs = parsed(_text(_vendor(wire), PROFILE), origin=f"profile {wire}")
        # It is looked at first, since it may be another package's: then it has all tables.
        parse_document(dict(theirs), origin=f"profile {wire}")
        own = _completed(own, theirs)
    return parse_document(own, origin=origin)


def _completed(own: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """A profile's tables with those of its wire's vendor where it has none, if its meters are of the same kind."""
    tables = {name: own.get(name, {}) for name in ("capabilities", "facts")}
    if not all(isinstance(table, dict) for table in tables.values()):
        return own
    capabilities = {**theirs["capabilities"], **tables["capabilities"]}
    if any(capabilities[name] != theirs["capabilities"][name] for name in _OF_A_WIRE):
        return own
    facts = {**theirs["facts"], **tables["facts"]}
    return {**theirs, "name": None, **own, "capabilities": capabilities, "facts": facts}


def wire_module(profile: VendorProfile) -> ModuleType:
    """`wire.py` of the vendor whose wire the profile speaks. Raises ProfileError: it cannot be imported."""
    vendor = _vendor(profile.wire)
    return _imported(f"{vendor.package}.wire", vendor.origin)


def wire_text(profile: VendorProfile, name: str) -> str:
    """A file of the vendor whose wire the profile speaks. Raises ProfileError."""
    return _text(_vendor(profile.wire), name)


def _with_a_wire(profile: VendorProfile) -> VendorProfile:
    """The profile, if there is a wire that it can speak. Raises ProfileError."""
    if profile.wire == profile.name and profile.name in _vendors():
        return profile
    if profile.wire not in _vendors():
        raise ProfileError(f"profile {profile.name}: no vendor has the wire {profile.wire!r}; known: {_all()}")
    own = parse_profile(_text(_vendor(profile.wire), PROFILE), origin=f"profile {profile.wire}")
    if own.wire != own.name:
        raise ProfileError(f"profile {profile.name}: {own.name} speaks the wire {own.wire!r} itself: name that")
    for name in _OF_A_WIRE:
        if getattr(own.capabilities, name) != getattr(profile.capabilities, name):
            raise ProfileError(f"profile {profile.name}: capabilities.{name} differs from that of its wire {own.name}")
    return profile


def _imported(module: str, origin: str) -> ModuleType:
    """A module of a vendor's. Raises ProfileError: it cannot be imported."""
    try:
        return import_module(module)
    except Exception as error:
        # Its code may be another company's, and may fail in any way: that ends no command of ours with a traceback.
        raise ProfileError(f"{origin}: {module} cannot be loaded: {type(error).__name__}: {error}") from error


def _vendor(name: str) -> _Vendor:
    vendors = _vendors()
    if name not in vendors:
        raise ProfileError(f"no vendor profile {name!r}; known: {_all()}")
    return vendors[name]


def _all() -> str:
    return ", ".join(known_profiles())


def _text(vendor: _Vendor, name: str) -> str:
    try:
        return (vendor.folder() / name).read_text(encoding="utf-8")
    except (OSError, TypeError, UnicodeDecodeError) as error:
        # What it names may be a module and no package.
        raise ProfileError(f"{vendor.origin}: {name} cannot be read: {error}") from error


@cache
def _vendors() -> dict[str, _Vendor]:
    vendors = {
        folder.name.replace("_", "-"): _Vendor(f"{__package__}.{folder.name}", f"{__package__}.{folder.name}")
        for folder in resources.files(__package__).iterdir()
        if (folder / PROFILE).is_file()
    }
    for entry in entry_points(group=GROUP):
        package = entry.dist.name if entry.dist is not None else entry.value
        found = _Vendor(entry.value, f"{entry.value} (entry point of {package})")
        if entry.name in vendors:
            raise ProfileError(f"two vendors are called {entry.name!r}: {vendors[entry.name].origin}, {found.origin}")
        vendors[entry.name] = found
    return vendors
