"""Which service of the Compose project serves which part."""

from __future__ import annotations

from lab.run.stage import BROKER, DATABASE, FLEET, GRID, INGEST

POLLER, OUTAGES = "poller", "outages"
GATEWAYS = "gateways"
SERVICES = {
    GRID: "grid",
    FLEET: "meters",
    GATEWAYS: "gateways",
    INGEST: "headend-ingest",
    POLLER: "headend-poller",
    OUTAGES: "headend-outages",
    BROKER: "broker",
    DATABASE: "database",
}
"""The service of each kind of part. `headend` is all of its services."""


def service_of(name: str) -> str:
    """The service that serves a part: `fleet-3`, `grid`."""
    return SERVICES[name.rpartition("-")[0] or name]
