"""The shipment file: what a manufacturer sends with each pallet of meters, and all that meters and head-end share.

One line per meter: serial, vendor profile, usage point, group, MQTT user name and password of the connection that
carries it, the head-end's public key that the meter trusts for commands, its address where it has no connection of
its own, and the primary current of its current transformers where it has any. Each side parses the file for itself.
"""

from __future__ import annotations

import base64
import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from meters.vendors.profile import VendorProfile

ANYBODY = "amilab"
"""User name and password towards a broker that lets anybody in."""

COLUMNS = (
    "serial", "vendor_profile", "usage_point", "group", "username", "password", "command_public_key", "address",
)  # fmt: skip

CURRENT = "max_current_a"
"""A column that a manufacturer may leave out."""


@dataclass(frozen=True, slots=True)
class ShippedMeter:
    serial: str
    usage_point: str
    profile: VendorProfile
    username: str
    password: str
    address: str = ""
    """The collector, or `host:port/unit` of a Modbus gateway; empty for a meter with a connection of its own."""
    max_current_a: float | None = None
    """What its current transformers are for, of the primary side; None where it is connected directly."""


def write_command_key(path: Path) -> str:
    """Make the head-end's command key, keep the private half in `path` (mode 0600), and return the public half.

    Both are raw Ed25519 keys of 32 bytes in base64url without padding.
    """
    key = Ed25519PrivateKey.generate()
    path.touch(mode=0o600)
    path.write_text(_base64url(key.private_bytes_raw()))
    return _base64url(key.public_key().public_bytes_raw())


def write_shipment(path: Path, meters: Sequence[ShippedMeter], *, group: str, command_public_key: str) -> None:
    """Write the file as CSV, UTF-8, with a header; mode 0600, since it holds the meters' passwords."""
    path.touch(mode=0o600)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow((*COLUMNS, CURRENT))
        for meter in meters:
            row = (meter.serial, meter.profile.name, meter.usage_point, group, meter.username, meter.password)
            current = "" if meter.max_current_a is None else f"{meter.max_current_a:g}"
            writer.writerow((*row, command_public_key, meter.address, current))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
