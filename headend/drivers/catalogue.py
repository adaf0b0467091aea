"""Which drivers there are: the folders beside this file, and what other distributions offer by entry point.

A vendor is a folder: with a `driver.toml` (a polled meter, no code) or as a package whose `DRIVER` is its driver. An
entry point of the group `amilab.drivers` names such a package, or a driver itself. Nothing here knows a vendor's name.
"""

from collections.abc import Iterator
from functools import cache
from importlib import import_module, resources
from importlib.metadata import entry_points
from types import ModuleType

from headend.drivers.driver import Driver
from headend.drivers.faults import faults_of
from headend.drivers.modbus import parse_driver
from headend.errors import DriverError

GROUP = "amilab.drivers"
_HOME = "headend.drivers"
_FILE = "driver.toml"


def driver_for(vendor_profile: str) -> Driver:
    """The driver of a vendor profile. Raises DriverError for an unknown one, and where any driver is unusable."""
    drivers = _drivers()
    if vendor_profile not in drivers:
        raise DriverError(f"no driver for vendor profile {vendor_profile!r}; known: {', '.join(drivers)}")
    return drivers[vendor_profile]


def known_profiles() -> tuple[str, ...]:
    """The vendor profiles that have a driver, by name. Raises DriverError where one is unusable."""
    return tuple(_drivers())


@cache
def _drivers() -> dict[str, Driver]:
    drivers: dict[str, Driver] = {}
    origins: dict[str, str] = {}
    faults = []
    for origin, found in (*_folders(), *_offered()):
        try:
            driver = _driver_of(found, origin)
        except DriverError as error:
            faults.append(str(error))
            continue
        first = origins.setdefault(driver.vendor_profile, origin)
        if first != origin:
            faults.append(f"{origin}: the vendor profile {driver.vendor_profile} is that of {first} already")
            continue
        drivers[driver.vendor_profile] = driver
    if faults:
        raise DriverError("some drivers cannot be used; correct or uninstall them:\n  " + "\n  ".join(faults))
    return dict(sorted(drivers.items()))


def _folders() -> Iterator[tuple[str, object]]:
    """(where it is from, package) of each folder; one with nothing but caches was a vendor's once."""
    for entry in resources.files(_HOME).iterdir():
        if entry.is_dir() and any(entry.joinpath(name).is_file() for name in (_FILE, "__init__.py")):
            yield f"{_HOME}.{entry.name}", import_module(f"{_HOME}.{entry.name}")


def _offered() -> Iterator[tuple[str, object]]:
    """(where it is from, what it names) of each entry point; the error in place of what cannot be imported."""
    for point in entry_points(group=GROUP):
        origin = f"entry point {point.name} of {point.dist.name if point.dist else GROUP}"
        try:
            yield origin, point.load()
        except Exception as error:  # What others wrote may raise anything; whose it is must be said.
            yield origin, error


def _driver_of(found: object, origin: str) -> Driver:
    """Raises DriverError for what states no driver."""
    if isinstance(found, ModuleType):
        if not hasattr(found, "DRIVER") and hasattr(found, "__path__"):
            file = resources.files(found).joinpath(_FILE)
            if file.is_file():
                origin = f"{origin}, {_FILE}"
                try:
                    text = file.read_text(encoding="utf-8")
                except UnicodeDecodeError as error:
                    raise DriverError(f"{origin}: not UTF-8: {error}") from error
                return _driver_of(parse_driver(text, origin=origin), origin)
        found = getattr(found, "DRIVER", None)
    if isinstance(found, Driver):
        if faults := faults_of(found):
            raise DriverError(f"{origin}: " + "; ".join(faults))
        return found
    if isinstance(found, Exception):
        raise DriverError(f"{origin}: cannot be imported: {type(found).__name__}: {found}")
    raise DriverError(f"{origin}: has neither a DRIVER nor a {_FILE}")
