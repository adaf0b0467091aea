"""The device registry: from the manufacturer's shipment file to the table end_device."""

import csv
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from headend.drivers import Driver, driver_for, known_profiles
from headend.drivers.address import EXPECTED, GatewayAddress, parse_address
from headend.errors import ShipmentError
from headend.log import logger
from headend.ratios import NO_TRANSFORMERS, Ratios
from headend.store import devices as rows
from headend.store.database import Connection

_COLUMNS = (
    "serial", "vendor_profile", "usage_point", "group", "username", "password", "command_public_key", "address",
)  # fmt: skip
# Where a meter measures through current transformers, what they are for.
_CURRENT = "max_current_a"
_MOST_CURRENT_A = 100_000
# Where the meter counts the secondary of instrument transformers, what the primary is of it.
_RATIOS = ("current_ratio", "voltage_ratio")
_RATIO = re.compile(r"[0-9]{1,5}(\.[0-9]{1,12})?")
_MOST_RATIO = 10_000
# Where a meter is other than its vendor's are of themselves: whose wire it speaks, and how it is set.
_WIRE = "wire"
# Of the mobile network, as its operator names it: who is in one shares what it carries.
_CELL = "cell"
_MOST_CELL_LETTERS = 64
# Each is below so much: what the columns of the database take, and what a float has exactly.
_NUMBERS = {"interval_length_s": 2**31, "report_every_s": 2**31, "register_range_wh": 2**53}
_MOST_DIGITS = len(str(2**53))
_DAY_S = 86_400
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
    wire: str = ""
    """The vendor profile whose driver reads it; empty: its own."""
    interval_length_s: int | None = None
    """The capture period that it is set to; None, as in the next: its vendor's."""
    report_every_s: int | None = None
    register_range_wh: int | None = None
    """A register shows 0 after the last value below."""
    current_ratio: float = 1.0
    """Of current transformers whose secondary the meter counts; as the next, 1 for a meter that counts the primary."""
    voltage_ratio: float = 1.0
    cell: str = ""
    """Of the mobile network, which it is planned for; empty: nobody says, or it has none."""

    @property
    def driver(self) -> Driver:
        """Raises DriverError: no vendor here has this wire."""
        return _driver(
            self.vendor_profile, self.wire, self.interval_length_s, self.report_every_s, self.register_range_wh
        )


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
    """What it is built for, or its current transformers are: as it counts it, before any ratio."""
    ratios: Ratios = NO_TRANSFORMERS
    cell: str = ""
    """Of the mobile network that it is planned for; empty: nobody says."""


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
    try:
        lines = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise ShipmentError(f"{path}, line {reader.reader.line_num}: {error}") from error
    absent = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
    if absent:
        raise ShipmentError(f"{path}, line 1: the header lacks {', '.join(absent)}")
    devices: list[ShippedDevice] = []
    seen: dict[str, int] = {}
    units: dict[GatewayAddress, int] = {}
    faults: list[str] = []
    for number, row in lines:
        found = _faults_of(row, seen, command_public_key)
        address = row["address"]
        unit = parse_address(address) if address and _needs_gateway(_wire_of(row)) else None
        if unit is not None:
            address = str(unit)
            if (first := units.setdefault(unit, number)) != number:
                found.append(f"unit {unit.unit} of {unit.place} was already on line {first}")
        faults += [f"line {number}: {fault}" for fault in found]
        if not found:
            seen[row["serial"]] = number
            names = (row["serial"], row["vendor_profile"], row["usage_point"], row["group"])
            length_s, report_s, range_wh = (_number_of(row, name) for name in _NUMBERS)
            device = ShippedDevice(
                *names, address, _current_of(row), row.get(_WIRE) or "", length_s, report_s, range_wh
            )
            current, voltage = (_ratio_of(row, name) or 1.0 for name in _RATIOS)
            devices.append(replace(device, current_ratio=current, voltage_ratio=voltage, cell=row.get(_CELL) or ""))
    if faults:
        raise ShipmentError(f"{path} has {len(faults)} faults; correct them and start again:\n  " + "\n  ".join(faults))
    if not devices:
        raise ShipmentError(f"{path} lists no device")
    return devices


def refuse_doubled_transformers(devices: Sequence[ShippedDevice], transformers: Collection[str]) -> None:
    """Raises ShipmentError: a transformer has two meters, by both of which its energy would count."""
    meters: dict[str, list[str]] = {}
    for device in devices:
        if device.usage_point in transformers:
            meters.setdefault(device.usage_point, []).append(device.serial)
    doubled = [f"{name} has the meters {', '.join(serials)}" for name, serials in meters.items() if len(serials) > 1]
    if doubled:
        raise ShipmentError("a transformer has one meter in a shipment file:\n  " + "\n  ".join(doubled))


def _faults_of(row: dict[str, str], seen: dict[str, int], command_public_key: str | None) -> list[str]:
    if None in row or None in row.values():
        return [f"it does not have {len([name for name in row if name is not None])} fields"]
    faults = [f"{name} is empty" for name in _REQUIRED if not row[name].strip()]
    serial, wire = row["serial"], _wire_of(row)
    if _FORBIDDEN & set(serial) or serial.startswith("_"):
        faults.append(f"serial {serial!r} cannot be part of a topic")
    if serial in seen:
        faults.append(f"serial {serial} was already on line {seen[serial]}")
    if wire and wire not in known_profiles():
        what = "wire" if row.get(_WIRE) else "vendor profile"
        faults.append(f"{what} {wire!r} is unknown; known are {', '.join(known_profiles())}")
    if wire in known_profiles():
        faults += _address_faults(driver_for(wire), row["address"])
    faults += _number_faults(row)
    if row.get(_CURRENT) and _current_of(row) is None:
        faults.append(f"{_CURRENT} {row[_CURRENT]!r} is not a current in A; leave it empty for a direct connection")
    faults += [
        f"{name} {row[name]!r:.60} is not a number from 1 to {_MOST_RATIO:,} with up to 12 decimals;"
        " leave it empty without such transformers"
        for name in _RATIOS
        if row.get(name) and _ratio_of(row, name) is None
    ]
    if len(row.get(_CELL) or "") > _MOST_CELL_LETTERS or "\x00" in (row.get(_CELL) or ""):
        faults.append(f"{_CELL} {row[_CELL]!r:.60} is longer than {_MOST_CELL_LETTERS} letters, or holds a zero byte")
    if row["group"] and not row["group"].isalnum():
        faults.append(f"group {row['group']!r} is not alphanumeric")
    if _verifies(wire) and command_public_key is not None and row["command_public_key"] != command_public_key:
        faults.append("command_public_key does not belong to this head-end's command key")
    return faults


def _wire_of(row: dict[str, str]) -> str:
    """The vendor profile whose driver reads it."""
    return row.get(_WIRE) or row["vendor_profile"]


def _number_of(row: dict[str, str], name: str) -> int | None:
    """None where there is none, or none that can be."""
    text = row.get(name) or ""
    # int() takes no text that is too long.
    is_number = text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
    return int(text) if is_number and 0 < int(text) < _NUMBERS[name] else None


def _number_faults(row: dict[str, str]) -> list[str]:
    faults = [
        f"{name} {row[name]!r:.60} is not a whole number above 0 and below {most}; leave it empty for the vendor's own"
        for name, most in _NUMBERS.items()
        if row.get(name) and _number_of(row, name) is None
    ]
    length_s, report_s = (_number_of(row, name) for name in ("interval_length_s", "report_every_s"))
    if length_s is not None and _DAY_S % length_s:
        faults.append(f"interval_length_s {length_s} does not divide a day")
    if length_s is None and report_s is not None:
        faults.append("report_every_s is given without interval_length_s")
    if length_s is not None and report_s is not None and report_s % length_s:
        faults.append(f"report_every_s {report_s} is not a multiple of interval_length_s {length_s}")
    return faults


def _current_of(row: dict[str, str]) -> float | None:
    """None where there is none, or none that a meter may have."""
    try:
        current_a = float(row.get(_CURRENT) or "nan")
    except ValueError:
        return None
    return current_a if 0 < current_a <= _MOST_CURRENT_A else None


def _ratio_of(row: dict[str, str], name: str) -> float | None:
    """None where there is none, or none that instrument transformers have."""
    text = row.get(name) or ""
    return float(text) if _RATIO.fullmatch(text) and 1.0 <= float(text) <= _MOST_RATIO else None


def _verifies(profile: str) -> bool:
    """Whether devices of the profile have our public key; of an unknown one all is to be right."""
    if profile not in known_profiles():
        return True
    meter = driver_for(profile).capabilities
    return bool(meter.purposes) and meter.last_verifier != "gateway_link"


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
) -> list[EndDevice]:
    """Upsert the shipment and return all registered devices, also those of earlier shipments.

    A polled meter of an earlier shipment whose unit is another meter's now was replaced by that one: its address is
    taken from it, and it is polled no more. Raises ShipmentError for what the database holds and this release cannot
    use.

    `now_s` (head-end's clock) becomes registered_at of devices not seen before.
    """
    async with connection.transaction():
        await rows.lock(connection)
        await _store(connection, shipment, now_s=now_s)
        known = await rows.registered(connection)
    _check_known(known)
    return [_device(index, row) for index, row in enumerate(known)]


def _device(index: int, row: rows.KnownDevice) -> EndDevice:
    driver = _driver(row.vendor_profile, row.wire, row.interval_length_s, row.report_every_s, row.register_range_wh)
    return EndDevice(
        index=index,
        id=row.id,
        serial=row.serial,
        usage_point=row.usage_point,
        group=row.device_group,
        driver=driver,
        registered_at_s=row.registered_at_s,
        address=row.address,
        max_power_w=rated_power_w((row.max_current_a or driver.max_current_a * row.current_ratio) / row.current_ratio),
        ratios=Ratios(row.current_ratio, row.voltage_ratio),
        cell=row.cell,
    )


def _check_known(known: Sequence[rows.KnownDevice]) -> None:
    """Raises ShipmentError for what this release cannot use."""
    unknown = sorted({row.wire or row.vendor_profile for row in known} - set(known_profiles()))
    if unknown:
        raise ShipmentError(
            f"the database holds devices of vendors without a driver here: {', '.join(unknown)}; "
            "install the release that has them"
        )
    nowhere = [
        f"{row.serial} ({row.address!r})"
        for row in known
        if row.address and _needs_gateway(row.wire or row.vendor_profile) and parse_address(row.address) is None
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
) -> None:
    """Upsert the shipment, and take their address from polled meters that others have replaced."""
    shipped = [(device, device.driver) for device in shipment]
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
                device.wire or None,
                device.register_range_wh,
                device.current_ratio,
                device.voltage_ratio,
                device.cell,
            )
            for device, driver in shipped
        ],
        now_s=now_s,
    )
    polled = [device for device, driver in shipped if driver.capabilities.needs_gateway]
    addresses, owners = [device.address for device in polled], [device.serial for device in polled]
    for serial in await rows.take_addresses(connection, addresses, owners):
        logger().warning("a meter was replaced by another one at its address: it is polled no more", serial=serial)


@cache
def _driver(profile: str, wire: str, length_s: int | None, report_s: int | None, range_wh: int | None) -> Driver:
    """The driver of the wire, for meters that are set like this. Raises DriverError.

    With another capture period alone they report after as many intervals as before.
    """
    driver = driver_for(wire or profile)
    length_s = length_s or driver.interval_length_s
    range_wh = range_wh or driver.register_range_wh
    return replace(
        driver,
        vendor_profile=profile,
        interval_length_s=length_s,
        report_every_s=report_s or driver.report_every_s // driver.interval_length_s * length_s,
        register_range_wh=range_wh,
        modbus=driver.modbus and driver.modbus.model_copy(update={"roll_over_wh": range_wh}),
    )
