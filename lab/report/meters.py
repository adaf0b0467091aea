"""meters.parquet as the report uses it, with the columns that not every run has."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lab.verdict.tables import capability


@dataclass(frozen=True, slots=True)
class Meters:
    """One entry per meter, in the file's order. Empty text and NaN where a column is not there or null."""

    usage_points: tuple[str, ...]
    serials: tuple[str, ...]
    vendors: tuple[str, ...]
    protocols: tuple[str, ...]
    transformers: tuple[str, ...]
    collectors: tuple[str, ...]
    interval_length_s: NDArray[np.int64]
    report_every_s: NDArray[np.int64]
    reports_outages: NDArray[np.bool_]
    longitude: NDArray[np.float64]
    latitude: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.usage_points)


def read_meters(run_dir: Path) -> Meters:
    table = pq.read_table(run_dir / "meters.parquet")

    def texts(name: str) -> tuple[str, ...]:
        if name not in table.column_names:
            return ("",) * len(table)
        return tuple(value or "" for value in table[name].cast(pa.string()).to_pylist())

    def degrees(name: str) -> NDArray[np.float64]:
        if name not in table.column_names:
            return np.full(len(table), np.nan)
        return np.asarray(table[name].cast(pa.float64()).to_numpy(), dtype=np.float64)

    return Meters(
        texts("usage_point"),
        texts("serial"),
        texts("vendor_profile"),
        texts("protocol"),
        texts("transformer"),
        texts("collector"),
        table["interval_length_s"].to_numpy(),
        table["report_every_s"].to_numpy(),
        capability(table, "reports_outages"),
        degrees("longitude"),
        degrees("latitude"),
    )
