"""The address of a polled meter in the shipment file: `host:port/unit`. Pure."""

from __future__ import annotations

import re

EXPECTED = "host:port/unit with a port from 1 to 65535 and a unit from 1 to 247"
_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})/(?P<unit>[0-9]{1,3})")


def split_address(address: str) -> tuple[str, int, int] | None:
    """Host (an IPv6 address without its brackets), port and unit identifier; None for what is not `EXPECTED`."""
    match = _ADDRESS.fullmatch(address)
    if match is None:
        return None
    port, unit = int(match["port"]), int(match["unit"])
    if not 0 < port < 65536 or not 0 < unit < 248:
        return None
    return match["host"].strip("[]").lower(), port, unit
