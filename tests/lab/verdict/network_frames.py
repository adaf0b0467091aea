"""Frames of a communications network for a synthetic run, as a fleet exports them: in time until a test breaks it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from meters.radio.passage import Cause, DeliveryClass, Direction
from tests.lab.verdict.synthetic import START_S, STEP_S, Run

TIME = pa.timestamp("us", tz="UTC")
FORM = pa.schema(
    [
        *((name, pa.string()) for name in ("serial", "technology", "via")),
        *((name, pa.uint8()) for name in ("direction", "delivery_class", "cause", "hops", "attempts")),
        ("lit", pa.bool_()),
        ("bytes", pa.uint32()),
        ("about", pa.int64()),
        ("sent_at", TIME),
        ("arrived_at", TIME),
    ]
)


def serial(number: int) -> str:
    return f"AMI{number:08d}"


def at(time_s: float | None) -> datetime | None:
    return None if time_s is None else datetime.fromtimestamp(time_s, UTC)


@dataclass
class Air:
    """Rows of a network's file. Times are seconds from the run's start; `delay_s` None: it never arrives."""

    technology: str = "mesh"
    rows: list[dict[str, Any]] = field(default_factory=list)

    def frame(
        self,
        number: int,
        cls: DeliveryClass,
        sent_s: float,
        delay_s: float | None = 1.0,
        *,
        about: int = -1,
        cause: Cause = Cause.ON_TIME,
        direction: Direction = Direction.UP,
        lit: bool = True,
        attempts: int | None = None,
        technology: str | None = None,
    ) -> None:
        hops = 1 + number % 4
        begun_s = START_S + sent_s
        self.rows.append(
            {
                "serial": serial(number),
                "technology": technology or self.technology,
                "via": f"collector-{number % 3}",
                "direction": int(direction),
                "delivery_class": int(cls),
                "cause": int(cause),
                "hops": hops,
                "attempts": hops if attempts is None else attempts,
                "lit": lit,
                "bytes": 100,
                "about": about,
                "sent_at": at(begun_s),
                "arrived_at": at(None if delay_s is None else begun_s + delay_s),
            }
        )

    def read(self, number: int, interval: int, sent_s: float, delay_s: float | None = 1.0, **more: Any) -> None:
        self.frame(number, DeliveryClass.READ, sent_s, delay_s, about=START_S + interval * STEP_S, **more)

    def write(self, run_dir: Path) -> Path:
        """In two shards' files."""
        directory = run_dir / "network"
        directory.mkdir()
        for shard in range(2):
            pq.write_table(pa.Table.from_pylist(self.rows[shard::2], FORM), directory / f"{shard}.parquet")
        return run_dir


def reads_of(run: Run) -> Air:
    """Each recorded read sent at its interval's end, and arrived a second later."""
    air = Air()
    ends_s = run.journal["interval_start"].astype("datetime64[s]").astype(np.int64) - START_S + STEP_S
    for name, end_s in zip(run.journal["serial"].tolist(), ends_s.tolist(), strict=True):
        air.read(int(name[3:]), end_s // STEP_S - 1, end_s)
    return air


def all_classes(run: Run) -> Air:
    """With a hundred messages of each of the other classes besides."""
    air = reads_of(run)
    for number in range(100):
        air.frame(number % run.points, DeliveryClass.ALARM, 60.0 * number, 2.0, about=number)
        air.frame(
            number % run.points, DeliveryClass.CONTROL, 60.0 * number, 4.0, about=number, direction=Direction.DOWN
        )
        air.frame(number % run.points, DeliveryClass.SYSTEM, 60.0 * number, 8.0, about=number)
    return air
