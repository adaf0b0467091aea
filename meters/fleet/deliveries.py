"""What became of the frames of a shard: a file beside its durable memory, and the table that a verdict reads.

The file is appended to, and read when the run is collected. A frame is written when it is sent, as lost, and once more
when it has arrived: what was in the air when the process was killed stays lost.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from meters.device.journal import write_tables
from meters.errors import MemoryFailedError, MemoryFullError
from meters.radio.passage import DELIVERY, Cause

FILED = np.dtype([*DELIVERY.descr, ("number", "<i8"), ("intervals", "<u2")])
"""A frame as the file has it. `number` counts the frames of the file; of one number the last record holds.
`intervals`: so many, one after another, the frame carries from `about` on; 0 of a frame that carries none."""

_INSTANT = pa.timestamp("us", tz="UTC")
TABLE = pa.schema(
    [
        ("serial", pa.string()),
        ("technology", pa.string()),
        ("via", pa.string()),
        *((name, pa.uint8()) for name in ("direction", "delivery_class", "cause", "hops", "attempts")),
        ("lit", pa.bool_()),
        ("bytes", pa.uint32()),
        ("about", pa.int64()),
        ("sent_at", _INSTANT),
        ("arrived_at", _INSTANT),
    ]
)
"""A row for each frame, or for each interval of a frame that carries some: the first has all its bytes. `via`: the
collector or the cell. `arrived_at`: null if it never did."""


class Deliveries:
    """The file of one shard. Every method raises MemoryFullError or MemoryFailedError, naming the file."""

    def __init__(self, path: Path) -> None:
        """Open or create it. What an earlier process had not written to its end is left out."""
        self._path = path
        self._fresh: list[NDArray[np.void]] = []
        self._unwritten = b""
        try:
            kept = path.stat().st_size // FILED.itemsize if path.exists() else 0
            self._file = path.open("ab", buffering=0)
            self._file.truncate(kept * FILED.itemsize)
        except OSError as error:
            raise self._failed(error) from error
        # No more frames than records: none gets the number of another.
        self._count = kept

    def sent(self, frames: NDArray[np.void]) -> NDArray[np.int64]:
        """Frames of `FILED` that are sent now: their numbers (m,), given here. `arrived_s` is what has happened."""
        numbers = self._count + np.arange(len(frames), dtype=np.int64)
        self._count += len(frames)
        frames["number"] = numbers
        self._fresh.append(frames)
        return numbers

    def concluded(self, frames: NDArray[np.void]) -> None:
        """Frames that were sent, as they are now."""
        self._fresh.append(frames)

    def flush(self) -> None:
        """Hand what is new to the kernel: it survives this process.

        After a failure the next call goes on where this one stopped, in the middle of a record, too.
        """
        self._unwritten += b"".join(frames.tobytes() for frames in self._fresh)
        self._fresh = []
        try:
            while self._unwritten:
                self._unwritten = self._unwritten[self._file.write(self._unwritten) :]
        except OSError as error:
            raise self._failed(error) from error

    def frames(self) -> NDArray[np.void]:
        """All frames, by number, as they are now."""
        self.flush()
        try:
            records = np.fromfile(self._path, dtype=FILED)
        except OSError as error:
            raise self._failed(error) from error
        last = np.full(self._count, -1, dtype=np.int64)
        # Later records overwrite earlier ones of the same frame.
        last[records["number"]] = np.arange(len(records))
        found: NDArray[np.void] = records[last[last >= 0]]
        return found

    def close(self) -> None:
        """Write what is new."""
        self.flush()
        self._file.close()

    def _failed(self, error: OSError) -> MemoryFailedError:
        kind = MemoryFullError if error.errno in (errno.ENOSPC, errno.EDQUOT) else MemoryFailedError
        return kind(f"{self._path}: the deliveries of the network cannot be written or read: {error}")


def of_intervals(frames: NDArray[np.void], interval_length_s: int) -> NDArray[np.void]:
    """`FILED`, with a row for each interval that a frame carries. The first of them has the bytes."""
    times = np.maximum(frames["intervals"], 1).astype(np.intp)
    rows = np.repeat(frames, times)
    place = np.arange(len(rows)) - np.repeat(np.cumsum(times) - times, times)
    rows["about"] += place * interval_length_s
    rows["bytes"][place > 0] = 0
    return rows


def write_deliveries(
    frames: NDArray[np.void],
    directory: Path,
    shard: str,
    *,
    serials: Sequence[str],
    technology: str,
    via: Sequence[str],
    interval_length_s: int,
) -> None:
    """Write `<shard>.parquet` of `TABLE` into `directory`, creating it. Raises MemoryFailedError.

    :param frames: of `FILED`.
    :param serials: by row of the shard, as `via` is.
    """
    rows = of_intervals(frames, interval_length_s)
    meters = pa.array(rows["row"])
    columns = {
        "serial": pa.array(serials, pa.string()).take(meters),
        "technology": pa.array([technology] * len(rows), pa.string()),
        "via": pa.array(via, pa.string()).take(meters),
        "sent_at": _instants(rows["sent_s"]),
        "arrived_at": _instants(rows["arrived_s"]),
    }
    table = pa.table([columns[name] if name in columns else pa.array(rows[name]) for name in TABLE.names], schema=TABLE)
    write_tables(directory, {shard: table})


def _instants(epoch_s: NDArray[np.float64]) -> pa.Array:
    known = np.isfinite(epoch_s)
    us = np.where(known, epoch_s, 0.0) * 1_000_000
    return pa.array(us.astype(np.int64), pa.int64(), mask=~known).cast(_INSTANT)


def frame_records(count: int, **fields: object) -> NDArray[np.void]:
    """`count` frames of `FILED` that have not arrived: what is given in `fields`, scalars or (count,)."""
    frames = np.zeros(count, dtype=FILED)
    frames["arrived_s"] = np.nan
    frames["cause"] = Cause.COLLECTOR
    for name, value in fields.items():
        frames[name] = value
    return frames
