"""What cannot be used: kept raw with its reason, so much of each station, and beyond that counted."""

import hashlib
import uuid
from collections.abc import Sequence

from headend.drivers import DecodeError
from headend.reads.budgets import DEAD_LETTERS, NOBODY, NOBODYS_LETTERS, Budgets, Kind
from headend.registry import EndDevice
from headend.settings import HeadEndSettings
from headend.store.batch import MOST_EXAMPLE_BYTES, Batch

MOST_TOPIC = 256
MOST_DETAIL = 1024


class DeadLetters:
    """Writes them into batches."""

    def __init__(self, settings: HeadEndSettings, devices: Sequence[EndDevice], budgets: Budgets) -> None:
        self._most_bytes = settings.payload_max_bytes
        self._group = settings.group
        self._budgets = budgets
        self._direct = {device.serial for device in devices if device.driver.mqtt is not None}
        self._collector_of = {
            device.serial: device.address for device in devices if device.driver.capabilities.needs_collector
        }
        self._collectors = set(self._collector_of.values())

    def bury(self, batch: Batch, topic: str, payload: bytes, error: DecodeError, now_s: float) -> bool:
        """Add a letter to the batch. False: the station has too many, and it was only counted."""
        detail = error.detail[:MOST_DETAIL]
        if len(payload) > self._most_bytes:
            sha256 = hashlib.sha256(payload).hexdigest()
            detail = f"{detail}; kept are the first {self._most_bytes}, SHA-256 of all {sha256}"
        station = self._station_of(topic)
        kind = NOBODYS_LETTERS if station == NOBODY else DEAD_LETTERS
        if self._budgets.spend(station, kind, now_s):
            kept = bytes(payload[: self._most_bytes])
            batch.dead_letters.append(
                (uuid.uuid4(), now_s, clean(topic[:MOST_TOPIC]), kept, error.reason, clean(detail))
            )
            return True
        drop(batch, self._group, station, kind, now_s, payload, detail, reason=error.reason)
        return False

    def _station_of(self, topic: str) -> str:
        """Who could publish to it: of a collector's topics the meter that it names, if it is one of its own."""
        levels = topic.split("/")
        if len(levels) < 4:
            return NOBODY
        if levels[0] == "dt":
            return levels[2] if levels[2] in self._direct else NOBODY
        edge = levels[3]
        if edge not in self._collectors:
            return NOBODY
        return levels[4] if len(levels) == 5 and self._collector_of.get(levels[4]) == edge else edge


def drop(
    batch: Batch,
    group: str,
    station: str,
    kind: Kind,
    now_s: float,
    payload: bytes,
    detail: str,
    *,
    reason: str | None = None,
    copies: int = 1,
) -> None:
    """Count what is beyond a budget. The letter is found by the station's name, whatever topics it makes up."""
    text = (
        f"more {kind.name} than {kind.at_once} at once and {kind.per_hour} an hour: as many as `copies` were only "
        f"counted, of which this is the first; {detail}"
    )
    batch.drop(
        f"over_budget/{group}/{station}",
        reason or kind.reason or "over_budget",
        now_s,
        bytes(payload[:MOST_EXAMPLE_BYTES]),
        clean(text),
        copies=copies,
    )


def clean(text: str) -> str:
    """As a text column takes it: details and topics quote what was sent."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
