"""The values that load-test meters report: made up, the same for the same meter and interval. Pure.

So whoever judges a run knows what the database must have, without being told value by value.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from meters.device.records import IntervalRecord

Whole = TypeVar("Whole", int, NDArray[np.int64])
_REGISTER_WH = 48_000_000
_LEAST_WH = 60
_SPAN_WH = 900


def import_wh(meter: Whole, number: Whole) -> Whole:
    """Energy imported in an interval, Wh."""
    return (meter * 7919 + number * 104_729) % _SPAN_WH + _LEAST_WH


def record(meter: int, number: int, start_s: int) -> IntervalRecord:
    """One interval as a meter keeps it, from `start_s` on."""
    energy_wh = import_wh(meter, number)
    third_wh = energy_wh // 3
    voltage_dv = 2280 + (meter + number) % 50
    return IntervalRecord(
        interval_start_s=start_s,
        meter=meter,
        import_register_wh=_REGISTER_WH + (meter % 1000) * 1000 + number * _LEAST_WH,
        export_register_wh=0,
        import_wh=energy_wh,
        export_wh=0,
        import_l1_wh=third_wh,
        import_l2_wh=third_wh,
        import_l3_wh=third_wh,
        export_l1_wh=0,
        export_l2_wh=0,
        export_l3_wh=0,
        reactive_q1_register_varh=_REGISTER_WH // 4 + number * (_LEAST_WH // 4),
        reactive_q2_register_varh=0,
        reactive_q3_register_varh=0,
        reactive_q4_register_varh=0,
        reactive_q1_varh=energy_wh // 4,
        reactive_q2_varh=0,
        reactive_q3_varh=0,
        reactive_q4_varh=0,
        active_power_w=energy_wh * 4,
        active_power_l1_w=third_wh * 4,
        active_power_l2_w=third_wh * 4,
        active_power_l3_w=third_wh * 4,
        reactive_power_l1_var=third_wh,
        reactive_power_l2_var=third_wh,
        reactive_power_l3_var=third_wh,
        power_factor_l1_permille=970,
        power_factor_l2_permille=970,
        power_factor_l3_permille=970,
        voltage_l1_dv=voltage_dv,
        voltage_l2_dv=voltage_dv,
        voltage_l3_dv=voltage_dv,
        current_l1_ma=third_wh * 18,
        current_l2_ma=third_wh * 18,
        current_l3_ma=third_wh * 18,
        max_demand_import_w=(_LEAST_WH + _SPAN_WH) * 4,
        max_demand_at_s=start_s,
        status=0,
        import_allowed_wh=0.0,
        export_allowed_wh=0.0,
        reactive_q1_allowed_varh=0.0,
        reactive_q2_allowed_varh=0.0,
        reactive_q3_allowed_varh=0.0,
        reactive_q4_allowed_varh=0.0,
        window_start_s=start_s,
        window_end_s=start_s,
        recorded_at_s=start_s,
    )
