"""The journal of polled meters: intervals made of answered polls.

A poll belongs to the boundary of the interval grid that is nearest to it, within a minute. Two polls of one meter that
follow each other enclose a row of the journal, as long as they are apart: k missed boundaries make it k + 1 intervals.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa

from meters.journal import EVENTS, INTERVALS, write_tables
from meters.memory import INTERVAL_COLUMNS, Memory
from meters.shipment import ShipmentEntry

NEAR_S = 60
_BATCH = 50_000
_AT = {name: index for index, name in enumerate(INTERVAL_COLUMNS)}


@dataclass(frozen=True, slots=True)
class Poll:
    """An answered poll, with the registers as shown, in whole Wh."""

    meter: int
    at_s: int
    import_register_wh: int
    export_register_wh: int
    active_power_w: int
    voltages_v: tuple[float, float, float]


def boundary_of(at_s: int, interval_length_s: int) -> int | None:
    """The boundary that a poll at `at_s` belongs to, if any."""
    nearest_s = (at_s + interval_length_s // 2) // interval_length_s * interval_length_s
    return nearest_s if abs(at_s - nearest_s) <= min(NEAR_S, interval_length_s // 2) else None


def enclosed(polls: Iterable[Poll], interval_length_s: int) -> Iterator[tuple[int, Poll, int, Poll]]:
    """Pairs (boundary, poll, next boundary, next poll) of one meter's polls, given in the order of time.

    Of several polls of one boundary the last counts: who asked again had not got the answer before.
    """
    last: dict[int, Poll] = {}
    for poll in polls:
        boundary_s = boundary_of(poll.at_s, interval_length_s)
        if boundary_s is not None:
            last[boundary_s] = poll
    for (from_s, first), (to_s, second) in pairwise(last.items()):
        yield from_s, first, to_s, second


def write_polled_journal(
    memory: Memory,
    entries: Sequence[ShipmentEntry],
    directory: Path,
    shard: str,
    *,
    interval_length_s: int,
    roll_over_wh: int,
) -> None:
    """Write `<shard>.parquet` and an empty `<shard>_events.parquet` into `directory`. Raises MemoryFailedError."""
    polls = [_poll(record) for batch in memory.all_intervals(_BATCH) for record in batch]
    polls.sort(key=lambda poll: (poll.meter, poll.at_s))
    rows = [
        _row(entries[meter], from_s, first, to_s, second, roll_over_wh)
        for meter, own in groupby(polls, key=lambda poll: poll.meter)
        for from_s, first, to_s, second in enclosed(own, interval_length_s)
    ]
    write_tables(
        directory,
        {shard: pa.Table.from_pylist(rows, schema=INTERVALS), f"{shard}_events": EVENTS.empty_table()},
    )


def _poll(record: Sequence[int | float]) -> Poll:
    return Poll(
        int(record[_AT["meter"]]),
        int(record[_AT["interval_start_s"]]),
        int(record[_AT["import_register_wh"]]),
        int(record[_AT["export_register_wh"]]),
        int(record[_AT["active_power_w"]]),
        (record[_AT["voltage_l1_dv"]] / 10, record[_AT["voltage_l2_dv"]] / 10, record[_AT["voltage_l3_dv"]] / 10),
    )


def _row(entry: ShipmentEntry, from_s: int, first: Poll, to_s: int, second: Poll, roll_over_wh: int) -> dict[str, Any]:
    return {
        "serial": entry.serial,
        "usage_point": entry.usage_point,
        "interval_start": from_s * 1_000_000,
        "interval_length_s": to_s - from_s,
        "import_wh": (second.import_register_wh - first.import_register_wh) % roll_over_wh,
        "export_wh": (second.export_register_wh - first.export_register_wh) % roll_over_wh,
        "import_register_wh": second.import_register_wh,
        "export_register_wh": second.export_register_wh,
        "active_power_w": second.active_power_w,
        **{f"voltage_l{phase}_v": volts for phase, volts in enumerate(second.voltages_v, start=1)},
        "window_start_s": float(first.at_s),
        "window_end_s": float(second.at_s),
        "recorded_at_s": float(second.at_s),
    }
