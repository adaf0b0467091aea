"""Sags and swells: is what is stored of them what the meters' logs have? Event by event.

recorded     in a meter's log (journal/*_events.parquet)
stored       what the head-end has of them (events.parquet)
altered      stored, and not in the log under that number, or there with another code, time, phase, extreme or duration
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from lab.verdict.read_run import collected, read_parquet
from lab.verdict.tables import EVENTS, EVENTS_FILE, empty

CODES = ("voltage_sag", "voltage_swell")


@dataclass(frozen=True, slots=True)
class VoltageEvent:
    """`sequence`: the number that the meter's log gave it. `detail`: phase, extreme and duration, by name."""

    serial: str
    sequence: int
    code: str
    time_s: float
    detail: Any


@dataclass(frozen=True, slots=True)
class VoltageEvents:
    """`altered`: as they are stored."""

    recorded: int
    stored: int
    altered: tuple[VoltageEvent, ...]

    def to_json(self) -> dict[str, object]:
        """As in verdict.json."""
        return {"recorded": self.recorded, "stored": self.stored, "altered": len(self.altered)}


def read_events(run_dir: Path) -> tuple[pa.Table, pa.Table] | None:
    """The meters' logs and what the head-end has of them; None where it does not say it: in earlier runs, or others'.

    Raises:
        TableError: with the faults of all these files.
    """
    path = run_dir / EVENTS_FILE
    if not path.exists():
        return None
    logs = sorted((run_dir / "journal").glob("*_events.parquet"))
    stored, *recorded = collected(
        [
            partial(read_parquet, path, EVENTS),
            *(partial(read_parquet, log, EVENTS, label=f"journal/{log.name}") for log in logs),
        ]
    )
    if not _is_whole(stored):
        return None
    return pa.concat_tables([empty(EVENTS), *filter(_is_whole, recorded)]), stored


def judge_voltage(recorded: pa.Table, stored: pa.Table) -> VoltageEvents | None:
    """None where no meter recorded any, and none is stored."""
    log = {(each.serial, each.sequence): each for each in _events(recorded)}
    found = [
        each
        for each in _events(stored)
        if each.code in CODES or getattr(log.get((each.serial, each.sequence)), "code", None) in CODES
    ]
    count = sum(each.code in CODES for each in log.values())
    if not count and not found:
        return None
    altered = tuple(each for each in found if log.get((each.serial, each.sequence)) != each)
    return VoltageEvents(count, len(found), altered)


def _is_whole(table: pa.Table) -> bool:
    """Those of earlier runs have fewer columns."""
    return set(EVENTS.column_names()) <= set(table.column_names)


def _events(table: pa.Table) -> list[VoltageEvent]:
    columns = (table[name].to_pylist() for name in ("serial", "sequence", "code", "device_time", "detail"))
    return [
        VoltageEvent(serial, sequence, code, time.timestamp(), _parsed(detail))
        for serial, sequence, code, time, detail in zip(*columns, strict=True)
    ]


def _parsed(detail: str | None) -> Any:
    """The same however it was written; what is no JSON is as it is, and equal to nothing else."""
    try:
        return None if detail is None else json.loads(detail)
    except ValueError:
        return detail
