"""The file of what became of frames, and the table made of it."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from meters.errors import MemoryFailedError, MemoryFullError
from meters.fleet.deliveries import FILED, Deliveries, frame_records, write_deliveries
from meters.radio.passage import Cause, DeliveryClass

SENT_S = 1_768_435_200.0


def frames(*rows: int, **fields: object) -> np.ndarray[Any, np.dtype[np.void]]:
    return frame_records(len(rows), row=rows, delivery_class=DeliveryClass.READ, sent_s=SENT_S, lit=True, **fields)


def table(path: Path, records: np.ndarray[Any, np.dtype[np.void]]) -> list[dict[str, Any]]:
    write_deliveries(
        records, path, "shard", serials=["A", "B", "C"], technology="mesh", via=["K", "K", "L"], interval_length_s=900
    )
    rows: list[dict[str, Any]] = pq.read_table(path / "shard.parquet").to_pylist()
    return rows


def test_a_frame_that_never_concluded_is_lost_with_the_process(tmp_path: Path) -> None:
    deliveries = Deliveries(tmp_path / "file")
    arriving, lost = frames(0), frames(2)
    deliveries.sent(arriving.copy())
    deliveries.sent(lost.copy())
    arriving["number"] = 0
    arriving["arrived_s"], arriving["cause"] = SENT_S + 3, Cause.RADIO
    deliveries.concluded(arriving)
    deliveries.flush()
    # It is killed here, in the middle of writing another.
    with (tmp_path / "file").open("ab") as file:
        file.write(b"torn")
    again = Deliveries(tmp_path / "file")
    assert again.sent(frames(1)).tolist() == [3]
    rows = table(tmp_path / "network", again.frames())
    assert [(row["serial"], row["via"], row["cause"], row["arrived_at"] is None) for row in rows] == [
        ("A", "K", Cause.RADIO, False),
        ("C", "L", Cause.COLLECTOR, True),
        ("B", "K", Cause.COLLECTOR, True),
    ]
    assert (rows[0]["arrived_at"] - rows[0]["sent_at"]).total_seconds() == 3
    again.close()


def test_a_frame_of_several_intervals_is_a_row_for_each_and_its_bytes_are_counted_once(tmp_path: Path) -> None:
    rows = table(tmp_path, frames(1, 0, about=[900, 1800], intervals=[3, 0], bytes=[112, 40]))
    assert [(row["serial"], row["about"], row["bytes"]) for row in rows] == [
        ("B", 900, 112),
        ("B", 1800, 0),
        ("B", 2700, 0),
        ("A", 1800, 40),
    ]


def test_a_full_disk_is_a_fault_that_names_the_file(small_disk: Path) -> None:
    deliveries = Deliveries(small_disk / "file")
    deliveries.sent(frames(*[0] * (3_000_000 // FILED.itemsize)))
    with pytest.raises(MemoryFullError, match="file"):
        deliveries.flush()


def test_after_a_failed_write_the_file_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """The disk takes records up to the middle of one, and later has room again."""
    deliveries = Deliveries(tmp_path / "file")
    deliveries.sent(frames(0, 1, 2))
    with pytest.raises(MemoryFailedError, match="file"), files_of_at_most(FILED.itemsize + 7):
        deliveries.flush()
    deliveries.sent(frames(2))
    assert deliveries.frames()["row"].tolist() == [0, 1, 2, 2]
    deliveries.close()


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
