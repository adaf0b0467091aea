"""Our meters behind a collector, in a world with constant powers, for peers that are not ours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from meters.fleet.fleet import BrokerAddress, Fleet
from meters.fleet.shipment import ShipmentEntry
from tests.meters.interval_records import coded_row
from tests.meters.meter_yard import HEAD_END_KEY, START_S, World, grant, uneven_power_w

__all__ = ["COLLECTOR", "GROUP", "LENGTH_S", "REPORT_EVERY_S", "START_S", "UNREACHABLE_AFTER_S", "Collected", "serial"]

GROUP = "interop"
COLLECTOR = "COL0001"
LENGTH_S = 900
REPORT_EVERY_S = 3600
UNREACHABLE_AFTER_S = 300
"""A meter that the collector has not reached for so long is dead. Both of the profile sparkplug-plc."""
_PROFILE = "sparkplug-plc"


def serial(row: int) -> str:
    return f"AMI{row + 1:08d}"


class Collected:
    """A fleet of `count` meters behind one collector. Time moves by `go`."""

    def __init__(
        self,
        directory: Path,
        port: int,
        *,
        count: int,
        primary_host: str | None = None,
        in_lockstep: bool = True,
    ) -> None:
        self._directory = directory
        self._world = World(uneven_power_w(count))
        self._now_s = START_S
        self.fleet = Fleet(
            meters=[_entry(row) for row in range(count)],
            world_rows=range(count),
            memory_path=directory / "shard-0.db",
            broker=BrokerAddress("127.0.0.1", port),
            seed=7,
            start_s=START_S,
            in_lockstep=in_lockstep,
            primary_host=primary_host,
        )

    async def go(self, until_s: int, *, extra: Sequence[int] = ()) -> None:
        """Grant all instants up to `until_s`, with a physical frame at the start and at each quarter of an hour."""
        frames_s = [time_s for time_s in range(START_S, until_s + 1, LENGTH_S) if time_s > self._now_s]
        if self._world.sequence == 0:
            frames_s.insert(0, START_S)
        await grant(self.fleet, until_s, {time_s: self._world.frame(time_s) for time_s in frames_s}, extra=extra)
        self._now_s = until_s

    async def switch(self, row: int, *, energised: bool) -> None:
        """At the present instant a meter loses its supply or gets it back; the collector hangs on that of row 0."""
        await grant(
            self.fleet,
            self._now_s,
            {self._now_s: self._world.frame(self._now_s, power_w=None, **{f"m{row}": energised})},
        )

    def journal(self) -> list[dict[str, Any]]:
        """One row per interval that a meter recorded."""
        self.fleet.export_journal(self._directory / "journal")
        rows: list[dict[str, Any]] = pq.read_table(
            self._directory / "journal" / f"shard-0-{_PROFILE}.parquet"
        ).to_pylist()
        return rows


def as_metrics(row: dict[str, Any]) -> dict[str, object]:
    """What docs/wire-sparkplug.md makes of a journal row."""
    values = coded_row(row)
    # Instants are in milliseconds.
    metrics: dict[str, object] = {f"Interval/{code}": value for code, value in values.items()}
    return metrics | {"Interval/1.6.0.5": values["1.6.0.5"] * 1000}


def _entry(row: int) -> ShipmentEntry:
    return ShipmentEntry(
        serial=serial(row),
        vendor_profile=_PROFILE,
        usage_point=f"UP{row:05d}",
        group=GROUP,
        username=COLLECTOR,
        password="secret",
        command_public_key=HEAD_END_KEY.public_key().public_bytes_raw(),
        address=COLLECTOR,
    )
