"""meters.parquet: what the verdict needs to know of each meter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lab.shipment import ShippedMeter
from meters.profile import VendorProfile


def write_fleet_table(path: Path, meters: Sequence[ShippedMeter], profile: VendorProfile) -> None:
    """One row for each meter, with the facts of its vendor's profile."""
    facts = profile.facts
    table = pa.table({"serial": [m.serial for m in meters], "usage_point": [m.usage_point for m in meters]})
    same: list[tuple[str, object, pa.DataType]] = [
        ("vendor_profile", profile.name, pa.string()),
        ("protocol", profile.protocol, pa.string()),
        ("interval_length_s", facts.interval_length_s, pa.int64()),
        ("report_every_s", facts.report_every_s, pa.int64()),
        ("accuracy_class_percent", facts.accuracy_class_percent, pa.float64()),
        ("register_step_wh", float(facts.register_step_wh), pa.float64()),
    ]
    for name, value, kind in same:
        table = table.append_column(name, pa.repeat(pa.scalar(value, kind), len(meters)))
    pq.write_table(table, path, compression="zstd")
