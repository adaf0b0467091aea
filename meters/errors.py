"""What may go wrong on the device side for reasons outside this program. Programming errors are not wrapped."""

from __future__ import annotations

from pydantic import ValidationError


class MetersError(Exception):
    """Base of all errors whose message is meant for the person who runs the fleet."""


class ProfileError(MetersError):
    """A vendor profile is missing or malformed; the message lists every fault."""


class ShipmentError(MetersError):
    """A shipment file is unreadable or malformed; the message lists every faulty line."""


class MemoryFailedError(MetersError):
    """The durable memory of a shard cannot be opened, read or written; the message names the file."""


class MemoryFullError(MemoryFailedError):
    """The file system that holds the durable memory of a shard, or takes its export, is full; it is named."""


class FleetError(MetersError):
    """The fleet was given meters, frames or limits with which it cannot work."""


def faults_of(error: ValidationError) -> list[str]:
    """What is wrong with a file of one's own, each fault behind the key that it concerns."""
    return [
        ": ".join(filter(None, (".".join(map(str, fault["loc"])), fault["msg"].removeprefix("Value error, "))))
        for fault in error.errors()
    ]
