"""meters.parquet: what the verdict and the report need to know of each meter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lab.fleet.commissioning import Commissioned
from lab.fleet.geography import Place

_TRANSPORTS = {"sparkplug": "mqtt"}


def write_fleet_table(path: Path, fleet: Commissioned, places: Sequence[Place]) -> None:
    """One row for each meter, with capabilities and facts of its vendor's profile; `places` in the same order.

    `collector` is what carries the meter: an edge node, or host and port of a gateway; empty where nothing does.
    """
    meters = fleet.meters
    profiles = [meter.profile for meter in meters]
    table = pa.table(
        {
            "serial": [meter.serial for meter in meters],
            "usage_point": [meter.usage_point for meter in meters],
            "vendor_profile": [profile.name for profile in profiles],
            "protocol": [_TRANSPORTS.get(profile.protocol, profile.protocol) for profile in profiles],
            "keeps_load_profile": [profile.capabilities.keeps_load_profile for profile in profiles],
            "reports_outages": [profile.capabilities.reports_outages for profile in profiles],
            "interval_length_s": pa.array([profile.facts.interval_length_s for profile in profiles], pa.int64()),
            "report_every_s": pa.array([profile.facts.report_every_s for profile in profiles], pa.int64()),
            "accuracy_class_percent": [profile.facts.accuracy_class_percent for profile in profiles],
            "reactive_class_percent": [profile.facts.reactive_class_percent for profile in profiles],
            "register_step_wh": [float(profile.facts.register_step_wh) for profile in profiles],
            "current_ratio": [meter.current_ratio for meter in meters],
            "voltage_ratio": [meter.voltage_ratio for meter in meters],
            "collector": [meter.address.rpartition("/")[0] or meter.address for meter in meters],
            "longitude": pa.array([place.longitude for place in places], pa.float64()),
            "latitude": pa.array([place.latitude for place in places], pa.float64()),
            "transformer": [place.transformer for place in places],
        }
    )
    pq.write_table(table, path, compression="zstd")
