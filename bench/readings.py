"""Interval readings made by the database itself, and the queries that dashboards and billing ask of them."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psutil
import psycopg

LENGTH_S = 900
START_S = 1_764_547_200
"""2025-12-01 00:00 UTC."""
FEEDER_METERS = 500
_DAY_S = 86_400
_SLOTS = _DAY_S // LENGTH_S

# What a meter with all channels reports: 200 to 327 Wh a quarter-hour in thirds, registers that grow by about that,
# three voltages with two decimals; a third of it as reactive energy; powers, currents and power factors of each phase
# with noise of their own; a maximum demand that stands for the month. Noise is a hash, since compression must not find
# what is not there in real readings. One in a thousand is missing. In the order of time, as readings arrive.
_DAY = """
INSERT INTO interval_reading (meter_id, interval_length_s, interval_start, device_time, received_at, committed_at,
    import_register_wh, export_register_wh, import_wh, export_wh, import_l1_wh, import_l2_wh, import_l3_wh,
    export_l1_wh, export_l2_wh, export_l3_wh, import_power_w, export_power_w, voltage_l1_v, voltage_l2_v, voltage_l3_v,
    status, revision, quality, origin, reactive_q1_register_varh, reactive_q2_register_varh, reactive_q3_register_varh,
    reactive_q4_register_varh, reactive_q1_varh, reactive_q2_varh, reactive_q3_varh, reactive_q4_varh,
    active_power_l1_w, active_power_l2_w, active_power_l3_w, reactive_power_l1_var, reactive_power_l2_var,
    reactive_power_l3_var, current_l1_a, current_l2_a, current_l3_a, power_factor_l1, power_factor_l2, power_factor_l3,
    max_demand_import_w, max_demand_at)
SELECT meter, %(length)s, at, ends, ends + make_interval(secs => 1 + (noise & 4095) / 1000.0),
    ends + make_interval(secs => 1.05 + (noise & 4095) / 1000.0),
    meter * 1000 + slot * 264 + wh, 0, wh, 0, wh / 3, wh / 3, wh - 2 * (wh / 3), 0, 0, 0, wh * 4 + (noise >> 8 & 15), 0,
    round((225 + (noise >> 4 & 1023) / 100.0)::numeric, 2), round((225 + (noise >> 9 & 1023) / 100.0)::numeric, 2),
    round((225 + (noise >> 14 & 1023) / 100.0)::numeric, 2), 0, 0, 0, 0,
    meter * 400 + slot * 88 + wh / 3, 0, 0, 71, wh / 3, 0, 0, 0,
    wh * 4 / 3 + (noise >> 3 & 63), wh * 4 / 3 + (noise >> 8 & 63), wh * 4 / 3 + (noise >> 13 & 63),
    wh / 2 + (noise >> 5 & 63), wh / 2 + (noise >> 10 & 63), wh / 2 + (noise >> 15 & 63),
    round(wh / 170.0 + (noise >> 2 & 255) / 1000.0, 3), round(wh / 170.0 + (noise >> 7 & 255) / 1000.0, 3),
    round(wh / 170.0 + (noise >> 12 & 255) / 1000.0, 3), round(0.9 + (noise >> 4 & 63) / 1000.0, 3),
    round(0.9 + (noise >> 9 & 63) / 1000.0, 3), round(0.9 + (noise >> 14 & 63) / 1000.0, 3),
    1300 + meter %% 400, to_timestamp(%(start)s - meter %% 96 * %(length)s)
FROM (
    SELECT meter, slot, noise, 200 + (noise & 127) AS wh, to_timestamp(%(start)s + slot * %(length)s) AS at,
        to_timestamp(%(start)s + (slot + 1) * %(length)s) AS ends
    FROM generate_series(%(first)s::int, %(last)s::int) slot, generate_series(1, %(meters)s::int) meter,
        LATERAL (SELECT hashint8(meter::bigint * 1000003 + slot) & 1073741823 AS noise) n
    WHERE noise %% 1000 <> 0
    ORDER BY slot, meter
) r
"""


@dataclass(frozen=True, slots=True)
class Volume:
    meters: int = 10_000
    days: int = 31

    @property
    def text(self) -> str:
        return (
            f"{self.meters * self.days * _SLOTS / 1e6:,.1f} million readings, {self.meters:,} meters, {self.days} days"
        )


def fill(connection: psycopg.Connection[Any], volume: Volume, note: Callable[[str], None] = lambda _: None) -> int:
    """Register the meters and write their readings, day by day; returns how many they are."""
    connection.execute(
        "INSERT INTO end_device (serial, vendor_profile, usage_point, device_group, registered_at)"
        " SELECT 'M' || n, 'rl-dsp', 'U' || n, 'bench', to_timestamp(%s) FROM generate_series(1, %s) n",
        [START_S, volume.meters],
    )
    rows = 0
    for day in range(volume.days):
        numbers = {"first": day * _SLOTS, "last": (day + 1) * _SLOTS - 1, "length": LENGTH_S, "start": START_S}
        rows += connection.execute(_DAY, {**numbers, "meters": volume.meters}).rowcount
        if day % 10 == 9:
            note(f"{rows:,} readings")
    connection.execute("VACUUM (ANALYZE) interval_reading")
    connection.execute("ANALYZE end_device")
    return rows


QUERIES = {
    "a meter's month": "SELECT interval_start, import_wh, quality FROM stored_reading"
    " WHERE serial = 'M' || %(meter)s AND interval_start >= to_timestamp(%(first)s)"
    " AND interval_start < to_timestamp(%(last)s) ORDER BY interval_start",
    "a feeder's day by hour": "SELECT bucket, sum(import_wh), sum(intervals) FROM reading_hourly"
    " WHERE meter_id = ANY(%(feeder)s) AND bucket >= to_timestamp(%(day)s)"
    " AND bucket < to_timestamp(%(day)s + 86400) GROUP BY bucket ORDER BY bucket",
    "all meters' last read": "SELECT serial, interval_start, import_register_wh FROM last_reading",
    "missing reads of a day": "SELECT serial, interval_start FROM missing_reading"
    "((to_timestamp(%(day)s) AT TIME ZONE 'UTC')::date)",
}


@dataclass(frozen=True, slots=True)
class Taken:
    """What one query took: by the clock, from the question to the last row of the answer; and of all processors."""

    wall_ms: float
    processor_ms: float


def take(connection: psycopg.Connection[Any], volume: Volume, query: str, times: int) -> list[Taken]:
    """Ask with other meters and days each time."""
    chance = random.Random(query)
    processor_s = _server_time(connection.info.backend_pid)
    taken = []
    for _ in range(times):
        arguments = {
            "meter": chance.randint(1, volume.meters),
            "feeder": chance.sample(range(1, volume.meters + 1), min(FEEDER_METERS, volume.meters)),
            "day": START_S + chance.randrange(volume.days) * _DAY_S,
            "first": START_S,
            "last": START_S + volume.days * _DAY_S,
        }
        before_s, began_s = processor_s(), time.perf_counter()
        # As dashboards ask, which write the day into the query: a plan that is kept would know no day.
        found = connection.execute(query, arguments, prepare=False).fetchall()
        wall_s = time.perf_counter() - began_s
        taken.append(Taken(wall_s * 1000, (processor_s() - before_s) * 1000))
        if not found:
            raise RuntimeError(f"no answer to: {query}")
    return taken


def _server_time(backend_pid: int) -> Callable[[], float]:
    """Processor time (s) of a session so far, in steps of 10 ms: its own, and that of its parallel workers.

    Those are children of the server, and have ended when the answer is there.
    """
    backend = psutil.Process(backend_pid)
    server = backend.parent()
    assert server is not None, "a session has a server"

    def now() -> float:
        own, ended = backend.cpu_times(), server.cpu_times()
        return float(own.user + own.system + ended.children_user + ended.children_system)

    return now
