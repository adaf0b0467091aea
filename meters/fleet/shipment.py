"""The shipment file: what a utility gets from the manufacturer with each pallet of meters.

CSV, UTF-8, with the header `serial,vendor_profile,usage_point,group,username,password,command_public_key,address`.
Columns of `OPTIONAL` may follow. The lab fills both periods; the others are empty where a meter is as its vendor's are.
The capture period that it is set to, the currents and ratios of its instrument transformers, and the phases that it is
connected to (`L2`, `L1/L3`) are the meter's concern, and the others are the utility's. The address is that of a meter
without a connection of its own: its collector, or `host:port/unit` of its Modbus gateway.
"""

from __future__ import annotations

import base64
import binascii
import csv
import re
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

from meters.carriers.modbus.address import EXPECTED, split_address
from meters.device.facts import MOST_CURRENT_A
from meters.device.quantities import PHASE_NAMES, PHASES
from meters.errors import ShipmentError
from meters.vendors.registry import known_profiles, load_profile

COLUMNS = (
    "serial", "vendor_profile", "usage_point", "group", "username", "password", "command_public_key", "address",
)  # fmt: skip
RATIOS = ("current_ratio", "voltage_ratio")
OPTIONAL = (
    "max_current_a",
    "wire",
    "interval_length_s",
    "report_every_s",
    "register_range_wh",
    *RATIOS,
    "phases",
    "cell",
)
_IDENTIFIER = re.compile(r"[A-Za-z0-9]+")
_RESERVED = frozenset("+/#")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]{43}")
_RATIO = re.compile(r"[0-9]{1,5}(\.[0-9]{1,12})?")
_MOST_RATIO = 10_000.0
_CURRENT = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")
_PHASES = {"/".join(phases): phases for count in PHASES for phases in combinations(PHASE_NAMES, count)}
_FAULTS_SHOWN = 50


@dataclass(frozen=True, slots=True)
class ShipmentEntry:
    """One meter as it was shipped."""

    serial: str
    vendor_profile: str
    usage_point: str
    group: str
    username: str
    password: str
    command_public_key: bytes
    """Raw Ed25519 public key of the head-end, 32 bytes."""
    address: str = ""
    """The collector, or `host:port/unit` of a Modbus gateway; empty for a meter with a connection of its own."""
    wire: str = ""
    """The vendor whose wire it speaks; empty: that of its profile."""
    interval_length_s: int | None = None
    """The capture period that it is set to; None: its profile's."""
    current_ratio: float = 1.0
    """Of its current transformers: what is in the primary by what is at its terminals; as the next, 1 without any."""
    voltage_ratio: float = 1.0
    max_current_a: float | None = None
    """The most that passes it, of the primary where it is behind transformers; None: its profile's."""
    phases: tuple[str, ...] = PHASE_NAMES
    """That it is connected to, in their order."""


def read_shipment(path: Path) -> list[ShipmentEntry]:
    """The entries in the file's order. Raises ShipmentError, listing every faulty line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ShipmentError(f"{path}: cannot be read: {error}") from error
    reader = csv.reader(text.splitlines())
    try:
        rows = list(reader)
    except csv.Error as error:
        raise ShipmentError(f"{path}: line {reader.line_num}: {error}") from error
    header = tuple(rows[0]) if rows else ()
    own = header[len(COLUMNS) :]
    if header[: len(COLUMNS)] != COLUMNS or not set(own) <= set(OPTIONAL) or len(set(own)) < len(own):
        raise ShipmentError(
            f"{path}: line 1: the header must be {','.join(COLUMNS)}, and then may have {', '.join(OPTIONAL)}"
        )
    faults: list[str] = []
    entries: list[ShipmentEntry] = []
    line_of: dict[str, int] = {}
    line_of_unit: dict[tuple[str, int, int], int] = {}
    for line, row in enumerate(rows[1:], start=2):
        entry, wrong = _parse_row(row, header)
        if entry is not None and entry.serial in line_of:
            wrong.append(f"serial {entry.serial} is already on line {line_of[entry.serial]}")
        unit = split_address(entry.address) if entry is not None and _is_polled(entry) else None
        if unit is not None and (first := line_of_unit.setdefault(unit, line)) != line:
            wrong.append(f"unit {unit[2]} of {unit[0]}:{unit[1]} is already on line {first}")
        if wrong or entry is None:
            faults.append(f"line {line}: {', '.join(wrong)}")
            continue
        line_of[entry.serial] = line
        entries.append(entry)
    if faults:
        more = f"; and {len(faults) - _FAULTS_SHOWN} more lines" if len(faults) > _FAULTS_SHOWN else ""
        raise ShipmentError(f"{path}: " + "; ".join(faults[:_FAULTS_SHOWN]) + more)
    if not entries:
        raise ShipmentError(f"{path}: lists no meter")
    return entries


def _parse_row(row: list[str], header: tuple[str, ...]) -> tuple[ShipmentEntry | None, list[str]]:
    if len(row) != len(header):
        return None, [f"has {len(row)} fields, not {len(header)}"]
    fields = dict(zip(header, row, strict=True))
    own = {name: fields.pop(name, "") for name in OPTIONAL}
    # A Modbus meter has no broker to log in to; a meter with a connection of its own has no address.
    free = {"address", "username", "password"} if fields["address"] else {"address"}
    wrong = [f"{name} is empty" for name, value in fields.items() if not value and name not in free]
    wrong += [
        f"{name} {fields[name]!r} is not alphanumeric"
        for name in ("serial", "group")
        if fields[name] and not _IDENTIFIER.fullmatch(fields[name])
    ]
    if _has_registers(own["wire"] or fields["vendor_profile"]):
        if split_address(fields["address"]) is None:
            wrong.append(f"address {fields['address']!r} is not {EXPECTED}")
    elif not fields["address"].isprintable() or _RESERVED & set(fields["address"]):
        wrong.append(f"address {fields['address']!r} cannot stand in a topic")
    key = b""
    if fields["command_public_key"]:
        try:
            if not _BASE64URL.fullmatch(fields["command_public_key"]):
                raise ValueError("length or alphabet")
            key = base64.urlsafe_b64decode(fields["command_public_key"] + "=")
        except (ValueError, binascii.Error):
            wrong.append("command_public_key is not 32 bytes in base64url without padding")
    length = own["interval_length_s"]
    # int() raises an error of its own at thousands of digits.
    if length and not (len(length) <= 16 and length.isascii() and length.isdigit() and int(length)):
        wrong.append(f"interval_length_s {length!r} is not a whole number of seconds")
    wrong += [
        f"{name} {own[name]!r:.60} is not a number from 1 to {_MOST_RATIO:,.0f} with up to 12 decimals"
        for name in RATIOS
        if own[name] and not _is_ratio(own[name])
    ]
    if own["max_current_a"] and not _is_current(own["max_current_a"]):
        wrong.append(f"max_current_a {own['max_current_a']!r:.60} is not a current from 0.1 to {MOST_CURRENT_A:,} A")
    if own["phases"] and own["phases"] not in _PHASES:
        wrong.append(f"phases {own['phases']!r:.60} are none of {', '.join(_PHASES)}")
    if wrong:
        return None, wrong
    numbers = {name: float(own[name]) for name in (*RATIOS, "max_current_a") if own[name]}
    length_s = int(length) if length else None
    phases = _PHASES[own["phases"]] if own["phases"] else PHASE_NAMES
    of_its_own = {"wire": own["wire"], "command_public_key": key, "interval_length_s": length_s, "phases": phases}
    values: dict[str, Any] = {**fields, **numbers, **of_its_own}
    return ShipmentEntry(**values), []


def _is_ratio(text: str) -> bool:
    return _RATIO.fullmatch(text) is not None and 1.0 <= float(text) <= _MOST_RATIO


def _is_current(text: str) -> bool:
    return _CURRENT.fullmatch(text) is not None and 0.1 <= float(text) <= MOST_CURRENT_A


def _is_polled(entry: ShipmentEntry) -> bool:
    return _has_registers(entry.wire or entry.vendor_profile)


@cache
def _has_registers(profile: str) -> bool:
    # One that is not known is refused where meters are made of it.
    return profile in known_profiles() and load_profile(profile).capabilities.needs_gateway
