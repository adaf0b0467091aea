"""The device registry: from the manufacturer's shipment file to the table end_device."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from headend.drivers import Driver, driver_for, known_profiles
from headend.drivers.address import EXPECTED, GatewayAddress, parse_address
from headend.errors import ShipmentError
from headend.log import logger
from headend.store import devices as rows
from headend.store.database import Connection

_COLUMNS = (
    "serial", "vendor_profile", "usage_point", "group", "username", "password", "command_public_key", "address",
)  # fmt: skip
# Where a meter measures through current transformers, what they are for.
_CURRENT = "max_current_a"
_MOST_CURRENT_A = 100_000
# Their absence would leave a device without a name, a place or a driver; the credentials are for the broker's list.
_REQUIRED = ("serial", "vendor_profile", "usage_point", "group")
# What has a meaning in a topic cannot be part of a serial.
_FORBIDDEN = frozenset("+#/\x00")


@dataclass(frozen=True, slots=True)
class ShippedDevice:
    """A line of the shipment file, as far as the head-end cares."""

    serial: str
    vendor_profile: str
    usage_point: str
    group: str
    address: str = ""
    """Its collector, or `host:port/unit` behind a Modbus gateway; empty for a meter with a connection of its own, and
    for a polled one that was replaced."""
    max_current_a: float | None = None
    """The primary current that its current transformers are for; None for a meter that is connected directly."""


def rated_power_w(max_current_a: float, *, phases: int = 3, voltage_v: float = 230.0) -> float:
    """What a meter is built for: its maximum current in each phase at the nominal voltage to neutral."""
    return max_current_a * phases * voltage_v


@dataclass(frozen=True, slots=True)
class EndDevice:
    """A registered device. `index` is its place in all per-meter arrays, `id` its key in the database."""

    index: int
    id: int
    serial: str
    usage_point: str
    group: str
    driver: Driver
    registered_at_s: float
    address: str = ""
    max_power_w: float = rated_power_w(100.0)
    """What it is built for, or its current transformers are."""


def read_shipment(path: Path, *, command_public_key: str | None = None) -> list[ShippedDevice]:
    """Read a shipment file. Raises ShipmentError naming every faulty line.

    `command_public_key`: our own; a device shipped with another one would refuse all commands.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ShipmentError(f"cannot read the shipment file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ShipmentError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    reader = csv.DictReader(text.splitlines())
    absent = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
    if absent:
        raise ShipmentError(f"{path}, line 1: the header lacks {', '.join(absent)}")
    devices: list[ShippedDevice] = []
    seen: dict[str, int] = {}
    units: dict[GatewayAddress, int] = {}
    faults: list[str] = []
    for row in reader:
        found = _faults_of(row, seen, command_public_key)
        address = row["address"]
        unit = parse_address(address) if address and _needs_gateway(row["vendor_profile"]) else None
        if unit is not None:
            address = str(unit)
            if (first := units.setdefault(unit, reader.line_num)) != reader.line_num:
                found.append(f"unit {unit.unit} of {unit.place} was already on line {first}")
        faults += [f"line {reader.line_num}: {fault}" for fault in found]
        if not found:
            seen[row["serial"]] = reader.line_num
            names = (row["serial"], row["vendor_profile"], row["usage_point"], row["group"])
            devices.append(ShippedDevice(*names, address, _current_of(row)))
    if faults:
        raise ShipmentError(f"{path} has {len(faults)} faults; correct them and start again:\n  " + "\n  ".join(faults))
    if not devices:
        raise ShipmentError(f"{path} lists no device")
    return devices


def _faults_of(row: dict[str, str], seen: dict[str, int], command_public_key: str | None) -> list[str]:
    if None in row or None in row.values():
        return [f"it does not have {len([name for name in row if name is not None])} fields"]
    faults = [f"{name} is empty" for name in _REQUIRED if not row[name].strip()]
    serial, profile = row["serial"], row["vendor_profile"]
    if _FORBIDDEN & set(serial) or serial.startswith("_"):
        faults.append(f"serial {serial!r} cannot be part of a topic")
    if serial in seen:
        faults.append(f"serial {serial} was already on line {seen[serial]}")
    if profile and profile not in known_profiles():
        faults.append(f"vendor profile {profile!r} is unknown; known are {', '.join(known_profiles())}")
    if profile in known_profiles():
        faults += _address_faults(driver_for(profile), row["address"])
    if row.get(_CURRENT) and _current_of(row) is None:
        faults.append(f"{_CURRENT} {row[_CURRENT]!r} is not a current in A; leave it empty for a direct connection")
    if row["group"] and not row["group"].isalnum():
        faults.append(f"group {row['group']!r} is not alphanumeric")
    if _verifies(profile) and command_public_key is not None and row["command_public_key"] != command_public_key:
        faults.append("command_public_key does not belong to this head-end's command key")
    return faults


def _current_of(row: dict[str, str]) -> float | None:
    """None where there is none, or none that a meter may have."""
    try:
        current_a = float(row.get(_CURRENT) or "nan")
    except ValueError:
        return None
    return current_a if 0 < current_a <= _MOST_CURRENT_A else None


def _verifies(profile: str) -> bool:
    """Whether devices of the profile have our public key; of an unknown one all is to be right."""
    return profile not in known_profiles() or driver_for(profile).capabilities.last_verifier != "gateway_link"


def _needs_gateway(profile: str) -> bool:
    return profile in known_profiles() and driver_for(profile).capabilities.needs_gateway


def _address_faults(driver: Driver, address: str) -> list[str]:
    meter = driver.capabilities
    if meter.needs_collector:
        named = address and not address.startswith("_") and not _FORBIDDEN & set(address)
        return [] if named else [f"address {address!r} is not the name of a collector"]
    if meter.needs_gateway:
        return [] if parse_address(address) is not None else [f"address {address!r} is not {EXPECTED}"]
    if address:
        return [f"address {address!r}: a meter of profile {driver.vendor_profile} has a connection of its own"]
    return []


async def register(
    connection: Connection,
    shipment: Sequence[ShippedDevice],
    *,
    now_s: float,
    interval_length_s: int | None = None,
) -> list[EndDevice]:
    """Upsert the shipment and return all registered devices, also those of earlier shipments.

    A polled meter of an earlier shipment whose unit is another meter's now was replaced by that one: its address is
    taken from it, and it is polled no more. Raises ShipmentError for what the database holds and this release cannot
    use.

    `now_s` (head-end's clock) becomes registered_at of devices not seen before. `interval_length_s` is the capture
    period that the devices are set to, by default their vendor's.
    """
    async with connection.transaction():
        await rows.lock(connection)
        await _store(connection, shipment, now_s=now_s, interval_length_s=interval_length_s)
        known = await rows.registered(connection)
    _check_known(known)
    drivers = {row.vendor_profile: _at_interval(driver_for(row.vendor_profile), interval_length_s) for row in known}
    return [
        EndDevice(
            index=index,
            id=row.id,
            serial=row.serial,
            usage_point=row.usage_point,
            group=row.device_group,
            driver=drivers[row.vendor_profile],
            registered_at_s=row.registered_at_s,
            address=row.address,
            max_power_w=rated_power_w(row.max_current_a or drivers[row.vendor_profile].max_current_a),
        )
        for index, row in enumerate(known)
    ]


def _check_known(known: Sequence[rows.KnownDevice]) -> None:
    """Raises ShipmentError for what this release cannot use."""
    unknown = sorted({row.vendor_profile for row in known} - set(known_profiles()))
    if unknown:
        raise ShipmentError(
            f"the database holds devices of vendor profiles without a driver here: {', '.join(unknown)}; "
            "install the release that has them"
        )
    nowhere = [
        f"{row.serial} ({row.address!r})"
        for row in known
        if row.address and _needs_gateway(row.vendor_profile) and parse_address(row.address) is None
    ]
    if nowhere:
        raise ShipmentError(
            f"the database holds polled meters whose address is not {EXPECTED}: {', '.join(nowhere)}; "
            "put them into the shipment file with the right one"
        )


async def _store(
    connection: Connection,
    shipment: Sequence[ShippedDevice],
    *,
    now_s: float,
    interval_length_s: int | None,
) -> None:
    """Upsert the shipment, and take their address from polled meters that others have replaced."""
    shipped = [(device, _at_interval(driver_for(device.vendor_profile), interval_length_s)) for device in shipment]
    await rows.upsert(
        connection,
        [
            rows.DeviceRow(
                device.serial,
                device.vendor_profile,
                device.usage_point,
                device.group,
                device.address,
                driver.interval_length_s,
                driver.report_every_s,
                device.max_current_a,
            )
            for device, driver in shipped
        ],
        now_s=now_s,
    )
    polled = [device for device in shipment if _needs_gateway(device.vendor_profile)]
    addresses, owners = [device.address for device in polled], [device.serial for device in polled]
    for serial in await rows.take_addresses(connection, addresses, owners):
        logger().warning("a meter was replaced by another one at its address: it is polled no more", serial=serial)


def _at_interval(driver: Driver, interval_length_s: int | None) -> Driver:
    """The driver for meters with another capture period, which report after as many intervals as before."""
    if interval_length_s is None:
        return driver
    every = driver.report_every_s // driver.interval_length_s
    return replace(driver, interval_length_s=interval_length_s, report_every_s=every * interval_length_s)
