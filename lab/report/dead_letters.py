"""What the head-end could not use, as far as a meter can be recognised in its topic."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lab.headends.files import DEAD_LETTERS_FILE
from lab.report.meters import Meters

_HEAD_SHOWN = 32


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """`head_hex`: the first bytes; `payload_bytes`: how many there were. `received_s` is epoch seconds."""

    received_s: float
    topic: str
    reason: str
    detail: str
    payload_bytes: int
    head_hex: str


class DeadLetters:
    """By the names in their topics: a meter's serial, or the collector that carried it."""

    def __init__(self, rows: Iterable[dict[str, Any]]) -> None:
        self._by_name: dict[str, list[DeadLetter]] = {}
        self.all: list[DeadLetter] = []
        for row in rows:
            head: bytes = row["payload_head"] or b""
            letter = DeadLetter(
                row["received_at"].timestamp(),
                row["topic"],
                row["reason"],
                row["detail"],
                row["payload_bytes"],
                head[:_HEAD_SHOWN].hex(" ") + (" …" if row["payload_bytes"] > _HEAD_SHOWN else ""),
            )
            self.all.append(letter)
            for name in set(letter.topic.split("/")):
                self._by_name.setdefault(name, []).append(letter)

    def of(self, serial: str, collector: str = "") -> list[DeadLetter]:
        """Those of the meter itself, then those of its collector that name no meter."""
        own = self._by_name.get(serial, [])
        shared = [letter for letter in self._by_name.get(collector, []) if letter.topic.endswith("/" + collector)]
        return [*own, *shared] if collector else list(own)

    def count_by_vendor(self, meters: Meters) -> dict[str, int]:
        """Each letter at most once; those that name neither a meter nor a collector of the fleet are nobody's."""
        vendor_of = dict(zip(meters.collectors, meters.vendors, strict=True))
        vendor_of |= dict(zip(meters.serials, meters.vendors, strict=True))
        vendor_of.pop("", None)
        counts: dict[str, int] = {}
        for letter in self.all:
            # a serial stands behind its collector
            names = [name for name in reversed(letter.topic.split("/")) if name in vendor_of]
            if names:
                counts[vendor_of[names[0]]] = counts.get(vendor_of[names[0]], 0) + 1
        return counts


def read_dead_letters(run_dir: Path) -> DeadLetters | None:
    """None where the head-end says nothing of them."""
    path = run_dir / DEAD_LETTERS_FILE
    if not path.exists():
        return None
    rows: pa.Table = pq.read_table(path)
    return DeadLetters(rows.to_pylist())
