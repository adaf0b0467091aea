"""What a process of the generator has sent, and when: due, sent, acknowledged. One Parquet file per process.

Instants are epoch seconds by this machine's wall clock, which is also the database's; NaN is never. So whoever has all
ledgers and the database can say of each interval whether it arrived and how long that took.
"""

from __future__ import annotations

import math
import os
from array import array
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from loadtests.duties import Duty

SCHEMA = pa.schema(
    [
        ("kind", pa.int8()),
        ("meter", pa.int32()),
        ("first", pa.int64()),
        ("count", pa.int32()),
        ("due_s", pa.float64()),
        ("sent_s", pa.float64()),
        ("acknowledged_s", pa.float64()),
    ]
)
_RECENT = 2_000


class Ledger:
    """Append-only; an entry is named by its place."""

    def __init__(self) -> None:
        self._whole = array("q")
        self._due = array("d")
        self._sent = array("d")
        self._acknowledged = array("d")
        self.acknowledged = 0
        self.failed = 0
        """Duties that could not be done at all, and connections that failed."""
        self.unsent = 0
        """Duties that were due while their user was there, and not begun."""

    def __len__(self) -> int:
        return len(self._due)

    def sent(self, duty: Duty, due_s: float, sent_s: float) -> int:
        """Enter what is being sent; returns its place."""
        self._whole.extend((int(duty.kind), duty.meter, duty.first, duty.count))
        self._due.append(due_s)
        self._sent.append(sent_s)
        self._acknowledged.append(math.nan)
        return len(self._due) - 1

    def done(self, place: int, at_s: float) -> None:
        """It was acknowledged, or answered."""
        self._acknowledged[place] = at_s
        self.acknowledged += 1

    def sent_at_s(self, place: int) -> float:
        return self._sent[place]

    def recent_lag_s(self) -> float:
        """The 95th percentile of how late the last ones were sent, s; 0 without any."""
        last = slice(max(0, len(self) - _RECENT), None)
        due, sent = np.array(self._due[last]), np.array(self._sent[last])
        return float(np.percentile(sent - due, 95)) if len(due) else 0.0

    def write(self, directory: Path) -> None:
        """Write it to a file of this process's own, in one step."""
        whole: NDArray[np.int64] = np.array(self._whole, dtype=np.int64).reshape(-1, 4)
        columns = [*whole.T, np.array(self._due), np.array(self._sent), np.array(self._acknowledged)]
        table = pa.table(
            [pa.array(column).cast(field.type) for column, field in zip(columns, SCHEMA, strict=True)], schema=SCHEMA
        ).replace_schema_metadata({"failed": str(self.failed), "unsent": str(self.unsent)})
        path = directory / f"{os.uname().nodename}-{os.getpid()}.parquet"
        draft = path.with_suffix(".new")
        pq.write_table(table, draft, compression="zstd")
        draft.replace(path)


class ProgressFile:
    """A line of JSON a second, for whoever watches."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / f"{os.uname().nodename}-{os.getpid()}.jsonl"

    def say(self, at_s: float, users: int, ledger: Ledger) -> None:
        line = {
            "at_s": at_s,
            "users": users,
            "sent": len(ledger),
            "acknowledged": ledger.acknowledged,
            "failed": ledger.failed,
            "lag_p95_s": ledger.recent_lag_s(),
        }
        with self._path.open("ab") as file:
            file.write(orjson.dumps(line) + b"\n")
