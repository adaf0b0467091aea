"""Where a polled meter is reached: `host:port/unit`, as the shipment file has it. Pure."""

import ipaddress
import re
from typing import NamedTuple

EXPECTED = "host:port/unit with a port from 1 to 65535 and a unit from 1 to 247"
# An IPv6 address stands in brackets, or nobody could say where its port begins.
_FORM = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})/([0-9]{1,3})")


class GatewayAddress(NamedTuple):
    """`host` without brackets and in lower case."""

    host: str
    port: int
    unit: int

    @property
    def place(self) -> str:
        """The gateway, `host:port`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.place}/{self.unit}"


def parse_address(text: str) -> GatewayAddress | None:
    """None for what is not `EXPECTED`. Units 0 (a broadcast) and above 247 are no meter's (Modbus over serial line)."""
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    host, port, unit = found[1].lower(), int(found[2]), int(found[3])
    if not 1 <= port <= 65535 or not 1 <= unit <= 247:
        return None
    if host.startswith("["):
        try:
            host = str(ipaddress.IPv6Address(host[1:-1]))
        except ValueError:
            return None
    return GatewayAddress(host, port, unit)
