"""Interval records made up by hypothesis, with what goes over a wire as its codes have it."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from meters.device.records import IntervalRecord

wh = st.integers(0, 999_999_999)
signed = st.integers(-100_000, 100_000)


def _values(name: str) -> st.SearchStrategy[int] | st.SearchStrategy[float]:
    """What a field may hold, by its unit."""
    kinds: tuple[tuple[str, st.SearchStrategy[int] | st.SearchStrategy[float]], ...] = (
        ("allowed", st.just(0.0)),
        ("max_demand_import_w", st.integers(0, 999_999)),
        ("max_demand_at_s", st.integers(0, 4_000_000_000)),
        ("varh", wh),
        ("wh", wh),
        ("_w", signed),
        ("_var", signed),
        ("_permille", st.integers(-1000, 1000)),
        ("_dv", st.integers(0, 3000)),
        ("_ma", st.integers(0, 100_000)),
        ("status", st.integers(0, 15)),
    )
    return next((values for part, values in kinds if part in name), st.just(0))


@st.composite
def interval_records(draw: st.DrawFn, start_s: int = 0) -> IntervalRecord:
    drawn: dict[str, Any] = {name: draw(_values(name)) for name in IntervalRecord._fields}
    return IntervalRecord(**drawn | {"interval_start_s": start_s, "meter": 0})


def _largest(name: str) -> int:
    """The longest that a field may become on a wire."""
    longest = {"_permille": -1000, "_dv": 9999, "_ma": 999_999, "_w": -999_999_999, "_var": -999_999_999, "status": 15}
    longest = {"max_demand_import_w": 999_999_999} | longest | {"max_demand_at_s": 4_000_000_000, "wh": 999_999_999}
    longest["varh"] = 999_999_999
    return next((value for part, value in longest.items() if name.endswith(part)), 0)


LARGEST = IntervalRecord(**{name: _largest(name) for name in IntervalRecord._fields})


def coded(record: IntervalRecord) -> dict[str, float]:
    """By OBIS code C.D.E: energies in Wh, powers of either direction in W, voltages in V, the status."""
    codes = {
        "1.8.0": record.import_register_wh, "2.8.0": record.export_register_wh,
        "1.29.0": record.import_wh, "2.29.0": record.export_wh,
        "21.29.0": record.import_l1_wh, "41.29.0": record.import_l2_wh, "61.29.0": record.import_l3_wh,
        "22.29.0": record.export_l1_wh, "42.29.0": record.export_l2_wh, "62.29.0": record.export_l3_wh,
    }  # fmt: skip
    power_w = record.active_power_w
    values: dict[str, float] = dict(codes)
    values |= {"1.7.0": power_w if power_w > 0 else 0, "2.7.0": -power_w if power_w < 0 else 0}
    voltages_dv = (record.voltage_l1_dv, record.voltage_l2_dv, record.voltage_l3_dv)
    values |= {f"{code}.7.0": dv / 10 for code, dv in zip((32, 52, 72), voltages_dv, strict=True)}
    return values | {"96.10.1": record.status}
