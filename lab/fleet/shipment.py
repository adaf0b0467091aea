"""The shipment file: what a manufacturer sends with each pallet of meters, and all that meters and head-end share.

One line per meter: serial, vendor profile, usage point, group, MQTT user name and password of the connection that
carries it, the head-end's public key that the meter trusts for commands, and its address where it has no connection
of its own. Then the capture period and the cadence that it is set to, both always; and empty where a meter is as its
vendor's are, the primary current of its current transformers, the vendor whose wire it speaks, where its registers
begin at 0 again, the ratios of instrument transformers whose secondary it counts, and the phases of its usage point
where these are not all three. Each side parses the file for itself.
"""

from __future__ import annotations

import base64
import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from meters.device.quantities import PHASE_NAMES
from meters.vendors.profile import VendorProfile

ANYBODY = "amilab"
"""User name and password towards a broker that lets anybody in."""

COLUMNS = (
    "serial", "vendor_profile", "usage_point", "group", "username", "password", "command_public_key", "address",
)  # fmt: skip

RATIOS = ("current_ratio", "voltage_ratio")
OPTIONAL = ("max_current_a", "wire", "interval_length_s", "report_every_s", "register_range_wh", *RATIOS, "phases")
"""Columns that a manufacturer may leave out."""


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
    current_ratio: float = 1.0
    """Of current transformers that it counts the secondary of, as the next; 1 where it counts the primary."""
    voltage_ratio: float = 1.0
    phases: tuple[str, ...] = PHASE_NAMES
    """That its usage point is connected to."""


def write_command_key(path: Path) -> str:
    """Make the head-end's command key, keep the private half in `path` (mode 0600), and return the public half.

    Both are raw Ed25519 keys of 32 bytes in base64url without padding.
    """
    key = Ed25519PrivateKey.generate()
    path.touch(mode=0o600)
    path.write_text(_base64url(key.private_bytes_raw()))
    return _base64url(key.public_key().public_bytes_raw())


def write_shipment(
    path: Path, meters: Sequence[ShippedMeter], *, group: str, command_public_key: str, cells: Sequence[str] = ()
) -> None:
    """Write the file as CSV, UTF-8, with a header; mode 0600, since it holds the meters' passwords.

    :param cells: by meter, of the mobile network that it is planned for; without any there is no such column.
    """
    planned = [(cell,) for cell in cells] if any(cells) else [()] * len(meters)
    path.touch(mode=0o600)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow((*COLUMNS, *OPTIONAL, *(("cell",) if any(cells) else ())))
        for meter, cell in zip(meters, planned, strict=True):
            row = (meter.serial, meter.profile.name, meter.usage_point, group, meter.username, meter.password)
            writer.writerow((*row, command_public_key, meter.address, *_own(meter), *cell))


def _own(meter: ShippedMeter) -> tuple[object, ...]:
    """The optional columns."""
    facts, current_a, wire, range_wh = meter.profile.facts, meter.max_current_a, "", ""
    if meter.profile.wire != meter.profile.name:
        # The head-end knows the facts of the wire's vendor only.
        wire, range_wh = meter.profile.wire, str(facts.register_roll_over_wh)
        current_a = current_a or facts.max_current_a
    current = "" if current_a is None else f"{current_a:g}"
    ratios = (_decimal(ratio) if ratio != 1.0 else "" for ratio in (meter.current_ratio, meter.voltage_ratio))
    phases = "" if meter.phases == PHASE_NAMES else "/".join(meter.phases)
    return current, wire, facts.interval_length_s, facts.report_every_s, range_wh, *ratios, phases


def _decimal(ratio: float) -> str:
    """As fine as either side takes it."""
    return f"{ratio:.12f}".rstrip("0").rstrip(".")


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
