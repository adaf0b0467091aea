"""What COPY takes: the interval rows of a batch as one binary stream. Pure."""

import math

import numpy as np
from numpy.typing import NDArray

from headend.drivers import ABSENT, READING_COUNTERS, READING_MEASURES
from headend.ratios import NO_TRANSFORMERS
from headend.store.batch import REPORTED, ROW_HEAD, Batch
from headend.store.register_records import DerivedRow

ACTUAL, ESTIMATED, REVISED = 0, 1, 2
"""What interval_reading.quality says."""

#: Columns of the stage: name, binary type, SQL type.
STAGE_TYPES = (
    ("n", ">i4", "integer"),
    ("meter_id", ">i4", "integer"),
    ("interval_length_s", ">i4", "integer"),
    ("interval_start", ">i8", "timestamptz"),
    ("received_at", ">i8", "timestamptz"),
    ("origin", ">i2", "smallint"),
    ("quality", ">i2", "smallint"),
    *((name, ">i8", "bigint") for name in READING_COUNTERS),
    # Single precision where the column is: numpy rounds what PostgreSQL would refuse to.
    *(
        (name, ">f8", "double precision") if name.startswith("voltage_") else (name, ">f4", "real")
        for name in READING_MEASURES
    ),
)
# Epoch of PostgreSQL's binary timestamps, 2000-01-01, as Unix µs.
_POSTGRES_EPOCH_US = 946_684_800_000_000
_VOLTAGES = ("voltage_l1_v", "voltage_l2_v", "voltage_l3_v")


def _copy_dtype() -> np.dtype[np.void]:
    """A row of binary COPY: field count, then each field's length and value (PostgreSQL manual, COPY)."""
    fields: list[tuple[str, str]] = [("fields", ">i2")]
    for name, binary, _ in STAGE_TYPES:
        fields += [(f"{name}_length", ">i4"), (name, binary)]
    return np.dtype(fields)


_ROW_DTYPE = np.dtype(
    [*((name, "=i8") for name in (*ROW_HEAD, *READING_COUNTERS)), *((name, "=f8") for name in READING_MEASURES)]
)
_COPY_DTYPE = _copy_dtype()
_COPY_HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_COPY_TRAILER = b"\xff\xff"


def copy_stream(batch: Batch) -> bytes:
    """All interval rows of a batch: those that meters reported, then those that were derived from registers."""
    parts = [_rows(batch.readings)]
    if batch.derived:
        parts.append(_derived_rows(batch.derived))
        parts[1]["n"] += len(parts[0])
    return b"".join((_COPY_HEADER, *(rows.tobytes() for rows in parts), _COPY_TRAILER))


def starts_s(batch: Batch) -> tuple[int, int]:
    """The first and the last start of the intervals of a batch that has some."""
    reported = np.frombuffer(batch.readings, _ROW_DTYPE)["interval_start_s"]
    derived = [row.interval.start_s for row in batch.derived]
    found = [*((int(reported.min()), int(reported.max())) if len(reported) else ()), *derived]
    return min(found), max(found)


def _rows(readings: bytearray) -> NDArray[np.void]:
    values = np.frombuffer(readings, _ROW_DTYPE)
    rows = np.empty(len(values), dtype=_COPY_DTYPE)
    rows["fields"] = len(STAGE_TYPES)
    for name, binary, _ in STAGE_TYPES:
        rows[f"{name}_length"] = int(binary[2])
    rows["n"] = np.arange(len(values))
    rows["meter_id"] = values["meter_id"]
    rows["interval_start"] = values["interval_start_s"] * 1_000_000 - _POSTGRES_EPOCH_US
    rows["interval_length_s"] = values["interval_length_s"]
    rows["received_at"] = values["received_at_us"] - _POSTGRES_EPOCH_US
    rows["origin"] = values["origin"]
    rows["quality"] = ACTUAL
    with np.errstate(over="ignore", under="ignore"):
        for name in (*READING_COUNTERS, *READING_MEASURES):
            rows[name] = values[name]
    return rows


def _derived_rows(derived: list[DerivedRow]) -> NDArray[np.void]:
    batch = Batch()
    for row in derived:
        interval, end = row.interval, row.end
        known: dict[str, float] = {"import_wh": interval.import_wh, "export_wh": interval.export_wh}
        if end is not None:
            known |= {"import_register_wh": end.import_register_wh, "export_register_wh": end.export_register_wh}
            if not interval.estimated:
                if end.active_power_w != ABSENT:
                    known["import_power_w"] = max(end.active_power_w, 0)
                    known["export_power_w"] = max(-end.active_power_w, 0)
                known |= dict(zip(_VOLTAGES, end.voltages_v, strict=True)) | dict(end.channels)
        if row.ratios != NO_TRANSFORMERS:
            known = {name: value * row.ratios.of(name) for name, value in known.items()}
        batch.add_reading(
            row.meter_id,
            interval.start_s,
            row.length_s,
            int(row.received_s * 1e6),
            REPORTED,
            tuple(round(known.get(name, ABSENT)) for name in READING_COUNTERS),
            tuple(known.get(name, math.nan) for name in READING_MEASURES),
        )
    rows = _rows(batch.readings)
    rows["quality"] = [ESTIMATED if row.interval.estimated else ACTUAL for row in derived]
    return rows
